//! The limit: bare PostgreSQL storing the rows that the product made, set by set.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Invoices that one transaction stores.
const INVOICES: i64 = 500;

/// The tables that a cycle writes: the same columns, checks and indexes, without foreign keys, triggers and policies.
const SCHEMA: &str = "
    CREATE SCHEMA IF NOT EXISTS bare;
    DROP TABLE IF EXISTS bare.invoices, bare.line_items, bare.billing_periods, bare.outbox_events;
    CREATE TABLE bare.invoices (LIKE invoices INCLUDING ALL);
    CREATE TABLE bare.line_items (LIKE line_items INCLUDING ALL);
    CREATE TABLE bare.billing_periods (LIKE billing_periods INCLUDING ALL);
    CREATE TABLE bare.outbox_events (LIKE outbox_events INCLUDING ALL);";

const STATEMENTS: [&str; 4] = [
    "INSERT INTO bare.invoices SELECT * FROM invoices WHERE tenant_id = $1 AND livemode AND sequence > $2 AND sequence <= $3",
    "INSERT INTO bare.line_items SELECT l.* FROM invoices i
    JOIN line_items l ON l.tenant_id = i.tenant_id AND l.livemode = i.livemode AND l.invoice_id = i.id
    WHERE i.tenant_id = $1 AND i.livemode AND i.sequence > $2 AND i.sequence <= $3",
    "INSERT INTO bare.billing_periods SELECT b.* FROM invoices i
    JOIN billing_periods b ON b.tenant_id = i.tenant_id AND b.livemode = i.livemode AND b.subscription_id = i.subscription_id
    WHERE i.tenant_id = $1 AND i.livemode AND i.sequence > $2 AND i.sequence <= $3",
    // As many outbox events for each invoice as the product wrote, of the same kind and size.
    "INSERT INTO bare.outbox_events OVERRIDING SYSTEM VALUE SELECT o.* FROM outbox_events o
    JOIN (SELECT min(sequence) AS first, count(*) AS events FROM outbox_events WHERE tenant_id = $1 AND livemode) a ON true
    WHERE o.tenant_id = $1 AND o.livemode AND o.sequence >= a.first + $2 * a.events / $4 AND o.sequence < a.first + $3 * a.events / $4",
];

/// Stores the invoices of a tenant once more, and tells how long it took.
pub(crate) async fn measure(admin: &mut PgConnection, tenant: Uuid, invoices: u64) -> Result<Duration> {
    sqlx::raw_sql(SCHEMA).execute(&mut *admin).await.context("cannot make the tables of the limit")?;
    // The rows are new: without statistics, reading them back would cost more than storing them.
    sqlx::raw_sql("ANALYZE invoices, line_items, billing_periods, outbox_events")
        .execute(&mut *admin)
        .await?;
    let count = i64::try_from(invoices)?;
    let started = Instant::now();
    let mut done = 0;
    while done < count {
        let upto = (done + INVOICES).min(count);
        let mut tx = admin.begin().await?;
        for sql in STATEMENTS {
            let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(done).bind(upto);
            let query = if sql.contains("$4") { query.bind(count) } else { query };
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        done = upto;
    }
    Ok(started.elapsed())
}
