//! The outbox: what the outside world is told, written with the change that it tells.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::ids::OutboxEventId;

use crate::{DbError, TenantTx};

/// Adds an event of the given type, for example `invoice.paid`.
pub async fn insert(
    tx: &mut TenantTx,
    id: OutboxEventId,
    event_type: &str,
    data: &Value,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- outbox::insert
        INSERT INTO outbox_events (tenant_id, livemode, id, type, data, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        tenant,
        livemode,
        id.uuid(),
        event_type,
        data,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds events that happen together, in their order.
pub async fn insert_many(
    tx: &mut TenantTx,
    events: &[(OutboxEventId, &str, Value)],
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- outbox::insert_many
        INSERT INTO outbox_events (tenant_id, livemode, id, type, data, created_at)
        SELECT $1, $2, t.id, t.type, t.data, $3 FROM unnest($4::uuid[], $5::text[], $6::jsonb[]) AS t (id, type, data)",
        tenant,
        livemode,
        now.to_sqlx(),
        &events.iter().map(|event| event.0.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.1.to_owned()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.2.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
