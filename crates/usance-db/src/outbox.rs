//! The outbox: what the outside world is told, written with the change that it tells.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::ids::{OutboxEventId, WebhookEndpointId};

use crate::{DbError, TenantTx};

/// An event as stored.
#[derive(Debug, Clone)]
pub struct OutboxEvent {
    /// Its id.
    pub id: OutboxEventId,
    /// Of two events about one thing, the later one has the greater number. Numbers are left out.
    pub sequence: i64,
    /// For example `invoice.paid`.
    pub event_type: String,
    /// What it tells.
    pub data: Value,
    /// When it happened, UTC.
    pub created_at: Timestamp,
}

/// Adds events that happen together, in their order, and their deliveries: one for each endpoint that wants to be told, with one
/// exception.
pub async fn insert_many(
    tx: &mut TenantTx,
    events: &[(OutboxEventId, &str, Value)],
    except: Option<WebhookEndpointId>,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- outbox::insert_many
        WITH events AS (
            INSERT INTO outbox_events (tenant_id, livemode, id, type, data, created_at)
            SELECT $1, $2, t.id, t.type, t.data, $3 FROM unnest($4::uuid[], $5::text[], $6::jsonb[]) AS t (id, type, data)
            RETURNING id, type
        )
        INSERT INTO webhook_deliveries (tenant_id, livemode, id, event_id, endpoint_id, next_attempt_at, created_at)
        SELECT $1, $2, webhook_delivery_id(o.id, e.id), o.id, e.id, $3, $3
        FROM webhook_endpoints e
        JOIN events o ON cardinality(e.event_types) = 0 OR o.type = ANY(e.event_types)
        WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.deleted_at IS NULL AND e.disabled_at IS NULL AND e.url IS NOT NULL
            AND ($7::uuid IS NULL OR e.id <> $7)",
        tenant,
        livemode,
        now.to_sqlx(),
        &events.iter().map(|event| event.0.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.1.to_owned()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.2.clone()).collect::<Vec<_>>(),
        except.map(WebhookEndpointId::uuid),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
