//! What became of events on their way to the endpoints of a tenant.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usance_core::ids::{OutboxEventId, WebhookDeliveryId, WebhookEndpointId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx, outbox::OutboxEvent, webhook_deliveries::Attempt};

/// A delivery as stored, with its event.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// Whom it is for.
    pub endpoint: WebhookEndpointId,
    /// What is told.
    pub event: OutboxEvent,
    /// `pending`, `delivered` or `dead`.
    pub status: String,
    /// Since it was sent the last time by hand.
    pub attempts: i32,
    /// When it is tried next, UTC; none when it has ended.
    pub next_attempt_at: Option<Timestamp>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub ended_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    sequence: i64,
    event_type: String,
    data: Value,
    event_created_at: jiff_sqlx::Timestamp,
    status: String,
    attempts: i32,
    next_attempt_at: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
    ended_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        Self {
            id: WebhookDeliveryId::from_uuid(row.id),
            endpoint: WebhookEndpointId::from_uuid(row.endpoint_id),
            event: OutboxEvent {
                id: OutboxEventId::from_uuid(row.event_id),
                sequence: row.sequence,
                event_type: row.event_type,
                data: row.data,
                created_at: row.event_created_at.to_jiff(),
            },
            status: row.status,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at.map(jiff_sqlx::Timestamp::to_jiff),
            created_at: row.created_at.to_jiff(),
            ended_at: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Those to one endpoint.
    pub endpoint: Option<WebhookEndpointId>,
    /// Those of one event.
    pub event: Option<OutboxEventId>,
    /// Those with one status.
    pub status: Option<String>,
}

/// Lists deliveries, those of the newest events first.
pub async fn list(
    tx: &mut TenantTx,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> Result<Page<Delivery>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- webhook_log::list
        SELECT d.id, d.endpoint_id, d.event_id, o.sequence, o.type AS event_type, o.data, o.created_at AS event_created_at, d.status,
            d.attempts, d.next_attempt_at, d.created_at, d.ended_at
        FROM webhook_deliveries d
        JOIN outbox_events o ON o.tenant_id = d.tenant_id AND o.livemode = d.livemode AND o.id = d.event_id
        WHERE d.tenant_id = $1 AND d.livemode = $2 AND ($3::uuid IS NULL OR d.id < $3)
            AND ($4::uuid IS NULL OR d.endpoint_id = $4) AND ($5::uuid IS NULL OR d.event_id = $5)
            AND ($6::text IS NULL OR d.status = $6)
        ORDER BY d.id DESC
        LIMIT $7",
        tenant,
        livemode,
        page.after,
        filter.endpoint.map(WebhookEndpointId::uuid),
        filter.event.map(OutboxEventId::uuid),
        filter.status,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Finds a delivery.
pub async fn find(tx: &mut TenantTx, id: WebhookDeliveryId) -> Result<Option<Delivery>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- webhook_log::find
        SELECT d.id, d.endpoint_id, d.event_id, o.sequence, o.type AS event_type, o.data, o.created_at AS event_created_at, d.status,
            d.attempts, d.next_attempt_at, d.created_at, d.ended_at
        FROM webhook_deliveries d
        JOIN outbox_events o ON o.tenant_id = d.tenant_id AND o.livemode = d.livemode AND o.id = d.event_id
        WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Delivery::from))
}

/// Lists the newest attempts at a delivery, the newest first.
pub async fn list_attempts(
    tx: &mut TenantTx,
    delivery: WebhookDeliveryId,
    limit: i64,
) -> Result<Vec<Attempt>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- webhook_log::list_attempts
        SELECT id, attempted_at, duration_us, status_code, error, response
        FROM webhook_attempts
        WHERE tenant_id = $1 AND livemode = $2 AND delivery_id = $3
        ORDER BY id DESC
        LIMIT $4",
        tenant,
        livemode,
        delivery.uuid(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let attempt = rows.into_iter().map(|row| Attempt {
        id: row.id,
        attempted_at: row.attempted_at.to_jiff(),
        duration: SignedDuration::from_micros(row.duration_us),
        answer: match row.status_code.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => Ok(status),
            None => Err(row.error.unwrap_or_default()),
        },
        response: row.response,
    });
    Ok(attempt.collect())
}
