//! Usage events, for reading.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::{ids::CustomerId, period::Period};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A counted event.
#[derive(Debug, Clone)]
pub struct Event {
    /// As sent.
    pub id: String,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// As sent.
    pub event_type: String,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// UTC.
    pub occurred_at: Timestamp,
    /// UTC.
    pub received_at: Timestamp,
    /// As sent, in canonical form.
    pub properties: Value,
}

/// An event that waits to be counted.
#[derive(Debug, Clone)]
pub struct UnbilledEvent {
    /// As sent.
    pub id: String,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// As sent.
    pub event_type: String,
    /// As sent.
    pub customer: String,
    /// Why it waits.
    pub reason: String,
    /// UTC.
    pub occurred_at: Timestamp,
    /// UTC.
    pub received_at: Timestamp,
    /// As sent, in canonical form.
    pub properties: Value,
}

/// Lists a customer's events, latest first, after the given time and id hash.
pub async fn list(
    tx: &mut TenantTx,
    customer: CustomerId,
    after: Option<(Timestamp, Uuid)>,
    page: PageRequest,
) -> Result<Page<Event>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- events::list
        SELECT id, id_hash, type, customer_id, occurred_at, received_at, properties
        FROM events
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3
            AND ($4::timestamptz IS NULL OR (occurred_at, id_hash) < ($4, $5))
        ORDER BY occurred_at DESC, id_hash DESC
        LIMIT $6",
        tenant,
        livemode,
        customer.uuid(),
        after.map(|after| after.0.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        after.map(|after| after.1),
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    let events = rows.into_iter().map(|row| Event {
        id: row.id,
        id_hash: row.id_hash,
        event_type: row.r#type,
        customer_id: CustomerId::from_uuid(row.customer_id),
        occurred_at: row.occurred_at.to_jiff(),
        received_at: row.received_at.to_jiff(),
        properties: row.properties,
    });
    Ok(Page::new(page, events.collect::<Vec<_>>()))
}

/// Lists the events that wait, in no meaningful order.
pub async fn list_unbilled(
    tx: &mut TenantTx,
    reason: Option<&str>,
    page: PageRequest,
) -> Result<Page<UnbilledEvent>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- events::list_unbilled
        SELECT id, id_hash, type, customer, reason, occurred_at, received_at, properties
        FROM unbilled_events
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::text IS NULL OR reason = $3) AND ($4::uuid IS NULL OR id_hash < $4)
        ORDER BY id_hash DESC
        LIMIT $5",
        tenant,
        livemode,
        reason,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    let events = rows.into_iter().map(|row| UnbilledEvent {
        id: row.id,
        id_hash: row.id_hash,
        event_type: row.r#type,
        customer: row.customer,
        reason: row.reason,
        occurred_at: row.occurred_at.to_jiff(),
        received_at: row.received_at.to_jiff(),
        properties: row.properties,
    });
    Ok(Page::new(page, events.collect::<Vec<_>>()))
}

/// Whether any event waits for a change of the catalogue.
pub async fn any_unbilled(tx: &mut TenantTx) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- events::any_unbilled
        SELECT EXISTS (
            SELECT FROM unbilled_events
            WHERE tenant_id = $1 AND livemode = $2 AND reason IN ('unknown_meter', 'unknown_customer', 'no_subscription')
        ) AS "any!""#,
        tenant,
        livemode,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.any)
}

/// Reads a customer's events of one type within a span that no bucket fits, as far as they were received from an instant
/// on: time, id hash and properties.
pub async fn list_span(
    tx: &mut TenantTx,
    customer: CustomerId,
    event_type: &str,
    span: Period,
    received_from: Timestamp,
) -> Result<Vec<(Timestamp, Uuid, String)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- events::list_span
        SELECT occurred_at, id_hash, properties::text AS "properties!"
        FROM events
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND type = $4 AND occurred_at >= $5 AND occurred_at < $6
            AND received_at >= $7
        ORDER BY occurred_at, id_hash"#,
        tenant,
        livemode,
        customer.uuid(),
        event_type,
        span.start.to_sqlx(),
        span.end.to_sqlx(),
        received_from.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.occurred_at.to_jiff(), row.id_hash, row.properties)).collect())
}
