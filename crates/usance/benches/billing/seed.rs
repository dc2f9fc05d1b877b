//! A tenant whose subscriptions have reached the end of a month.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::net::SocketAddr;
use usance_testkit::Client;
use uuid::Uuid;

/// The first instant of the cycle and the first after it, as SQL: the last calendar month.
const CYCLE: &str = "date_trunc('month', now(), 'UTC') - interval '1 month' AS cycle_start, \
    date_trunc('month', now(), 'UTC') AS cycle_end";

/// Events and value of one bucket.
pub(crate) const BUCKET_EVENTS: u32 = 10;
pub(crate) const BUCKET_VALUE: u32 = 1_000;

/// Customers, one subscription each, and the usage of both meters, spread over the month.
const STATEMENTS: [&str; 4] = [
    "INSERT INTO customers (tenant_id, livemode, id, external_id, name, email, currency, time_zone, tax, created_at, updated_at)
    SELECT $1, true, bench_id(1, i), 'c' || i, 'Customer ' || i, 'c' || i || '@usance.example', 'USD', 'UTC',
        '{\"rates\": [{\"name\": \"tax\", \"percent\": \"8\"}]}', cycle_start, cycle_start
    FROM bench_cycle, generate_series(1, $2) AS i",
    "INSERT INTO subscriptions (tenant_id, livemode, id, customer_id, status, start_at, anchor_at, period_start, period_end,
        full_start, full_end, created_at, updated_at)
    SELECT $1, true, bench_id(2, i), bench_id(1, i), 'active', cycle_start, cycle_start, cycle_start, cycle_end,
        cycle_start, cycle_end, cycle_start, cycle_start
    FROM bench_cycle, generate_series(1, $2) AS i",
    "INSERT INTO subscription_items (tenant_id, livemode, id, subscription_id, position, plan_version_id, quantity, billed_to, seats_from)
    SELECT $1, true, bench_id(3, i), bench_id(2, i), 0, v.id, 1, cycle_start, cycle_start
    FROM bench_cycle, plan_versions v, generate_series(1, $2) AS i
    WHERE v.tenant_id = $1 AND v.livemode",
    "INSERT INTO due_work (tenant_id, livemode, kind, subject_id, due_at)
    SELECT $1, true, 'advance_subscription', bench_id(2, i), cycle_end
    FROM bench_cycle, generate_series(1, $2) AS i",
];

const USAGE: &str =
    "INSERT INTO usage_buckets (tenant_id, livemode, customer_id, meter_id, bucket_start, event_count, value_sum, first_at,
        last_at, digest_high, digest_low)
    SELECT $1, true, bench_id(1, i), m.id, at, $4, CASE m.aggregation WHEN 'sum' THEN $5 ELSE 0 END, at,
        at + interval '1 minute', i, bucket
    FROM generate_series(1, $2) AS i, meters m, generate_series(0, $3 - 1) AS bucket, bench_cycle,
        LATERAL (SELECT cycle_start + bucket * (interval '1 day' * 28 / $3) AS raw) r,
        LATERAL (SELECT date_bin('15 minutes', raw, cycle_start) AS at) b
    WHERE m.tenant_id = $1 AND m.livemode";

/// Makes what the statements need, once for a database.
pub(crate) async fn prepare(admin: &mut PgConnection) -> Result<()> {
    // Ids grow with time, as those of the product.
    let id = "CREATE FUNCTION bench_id(kind integer, i integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
        $$ SELECT ('018c0000-000' || kind || '-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid $$";
    sqlx::raw_sql(id).execute(&mut *admin).await?;
    let cycle = format!("CREATE TABLE bench_cycle AS SELECT {CYCLE}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(cycle)).execute(admin).await?;
    Ok(())
}

/// Registers a tenant with two meters and a plan of three prices, in live mode.
pub(crate) async fn register(admin: &mut PgConnection, address: SocketAddr, name: &str) -> Result<Uuid> {
    let url = format!("http://{address}");
    let registered = Client::new(&url).register(name).await;
    let key = registered.pointer("/tenant/api_key_secret").and_then(Value::as_str);
    let client = Client::new(&url).with_key(key.context("the registration returned no key")?);
    client
        .post("/meters", json!({ "code": "calls", "event_type": "llm_call", "aggregation": "count" }))
        .await
        .expect(201);
    let tokens = json!({ "code": "tokens", "event_type": "llm_call", "aggregation": "sum", "value_property": "tokens" });
    client.post("/meters", tokens).await.expect(201);
    let prices: Value = serde_json::from_str(usance_testkit::STARTER_PRICES)?;
    let plan = json!({ "code": "starter", "name": "Starter", "currency": "USD", "interval": "month", "prices": prices });
    client.post("/plans", plan).await.expect(201);
    let sql = "SELECT tenant_id FROM tenants WHERE company_name = $1";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_one(admin).await?)
}

/// Writes the tenant's customers, subscriptions, usage and due work.
pub(crate) async fn fill(
    admin: &mut PgConnection,
    tenant: Uuid,
    subscriptions: u64,
    buckets: u32,
) -> Result<()> {
    let count = i32::try_from(subscriptions)?;
    for sql in STATEMENTS {
        sqlx::query(sql).bind(tenant).bind(count).execute(&mut *admin).await?;
    }
    sqlx::query(USAGE)
        .bind(tenant)
        .bind(count)
        .bind(i32::try_from(buckets)?)
        .bind(i64::from(BUCKET_EVENTS))
        .bind(i64::from(BUCKET_VALUE))
        .execute(admin)
        .await?;
    Ok(())
}
