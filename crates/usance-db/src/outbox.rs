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
