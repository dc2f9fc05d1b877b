//! Events on their way to the endpoints of a tenant: a queue by the wall clock.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use usance_core::ids::{OutboxEventId, TenantId, WebhookDeliveryId, WebhookEndpointId};
use uuid::Uuid;

use crate::{DbError, Scope, SystemTx, TenantTx, outbox::OutboxEvent, webhook_endpoints::WebhookEndpoint};

/// A delivery that is about to be attempted.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Which.
    pub id: WebhookDeliveryId,
    /// Whom it is for.
    pub endpoint: WebhookEndpointId,
    /// The attempt, from 1.
    pub attempt: i32,
    /// What is told.
    pub event: OutboxEvent,
    /// Until when it is ours; no other claim has the same.
    pub leased_until: Timestamp,
    /// Whether the endpoint has failed since its last success.
    pub is_failing: bool,
}

/// Deliveries that one transaction gives up.
const GIVEN_UP_MAX: i64 = 1_000;

/// An endpoint of a tenant in a mode.
pub type ScopedEndpoint = (Scope, WebhookEndpointId);

/// Finds endpoints with deliveries that are due by the wall clock and room for them, from behind the given one on.
///
/// It leaps from endpoint to endpoint, so that a long queue of one costs no more than a short one.
pub async fn list_due(
    tx: &mut SystemTx,
    after: Option<ScopedEndpoint>,
    now: Timestamp,
    most: InFlight,
    limit: i64,
) -> Result<Vec<ScopedEndpoint>, DbError> {
    let rows = sqlx::query!(
        r#"-- webhook_deliveries::list_due
        WITH RECURSIVE endpoints AS (
            SELECT $1::uuid AS tenant_id, $2::boolean AS livemode, $3::uuid AS endpoint_id
            UNION ALL
            SELECT n.tenant_id, n.livemode, n.endpoint_id
            FROM endpoints e CROSS JOIN LATERAL (
                SELECT d.tenant_id, d.livemode, d.endpoint_id
                FROM webhook_deliveries d
                WHERE d.status = 'pending' AND (d.tenant_id, d.livemode, d.endpoint_id) > (e.tenant_id, e.livemode, e.endpoint_id)
                ORDER BY d.tenant_id, d.livemode, d.endpoint_id
                LIMIT 1
            ) n
        )
        SELECT e.tenant_id AS "tenant_id!", e.livemode AS "livemode!", e.endpoint_id AS "endpoint_id!"
        FROM endpoints e
        WHERE (e.tenant_id, e.livemode, e.endpoint_id) <> ($1, $2, $3) AND EXISTS (
            SELECT FROM webhook_deliveries d
            WHERE d.tenant_id = e.tenant_id AND d.livemode = e.livemode AND d.endpoint_id = e.endpoint_id AND d.status = 'pending'
                AND d.next_attempt_at <= $4
        ) AND (
            SELECT count(*) FROM webhook_deliveries l
            WHERE l.tenant_id = e.tenant_id AND l.livemode = e.livemode AND l.endpoint_id = e.endpoint_id
                AND l.leased_until IS NOT NULL AND l.leased_until > $4
        ) < $5
        LIMIT $6"#,
        after.map_or(Uuid::nil(), |(scope, _)| scope.tenant.uuid()),
        after.is_some_and(|(scope, _)| scope.livemode),
        after.map_or(Uuid::nil(), |(_, endpoint)| endpoint.uuid()),
        now.to_sqlx(),
        most.of_endpoint,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let endpoint = rows.into_iter().map(|row| {
        let scope = Scope { tenant: TenantId::from_uuid(row.tenant_id), livemode: row.livemode };
        (scope, WebhookEndpointId::from_uuid(row.endpoint_id))
    });
    Ok(endpoint.collect())
}

/// How many deliveries may be under way at once.
#[derive(Debug, Clone, Copy)]
pub struct InFlight {
    /// To one endpoint.
    pub of_endpoint: i64,
    /// Of a tenant in a mode. Processes that claim at the same moment can exceed it, each by what it claims.
    pub of_tenant: i64,
    /// What the process has room for.
    pub of_process: i64,
    /// What it has room for to an endpoint that has failed since its last success. Such a one has one at a time.
    pub of_process_failing: i64,
}

/// Takes deliveries to an endpoint that are due, until the lease ends. Only one worker at a time takes those of an endpoint;
/// for others there are none.
pub async fn claim(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    now: Timestamp,
    leased_until: Timestamp,
    most: InFlight,
) -> Result<Vec<ClaimedDelivery>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- webhook_deliveries::claim
        WITH endpoint AS (
            SELECT id, failed_at IS NOT NULL AS is_failing
            FROM webhook_endpoints
            WHERE tenant_id = $1 AND livemode = $2 AND id = $3
            FOR NO KEY UPDATE SKIP LOCKED
        ), leased AS (
            SELECT endpoint_id FROM webhook_deliveries
            WHERE tenant_id = $1 AND livemode = $2 AND leased_until IS NOT NULL AND leased_until > $4
        ), due AS (
            SELECT d.id
            FROM webhook_deliveries d
            WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.endpoint_id = (SELECT id FROM endpoint) AND d.status = 'pending'
                AND d.next_attempt_at <= $4
            ORDER BY d.next_attempt_at
            LIMIT greatest(0, least(
                CASE WHEN (SELECT is_failing FROM endpoint) THEN 1 ELSE $6::bigint END - (SELECT count(*) FROM leased WHERE endpoint_id = $3),
                $7 - (SELECT count(*) FROM leased),
                CASE WHEN (SELECT is_failing FROM endpoint) THEN $9::bigint ELSE $8::bigint END
            ))
        ), claimed AS (
            UPDATE webhook_deliveries d SET leased_until = $5, next_attempt_at = $5, attempts = d.attempts + 1
            FROM due
            WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.id = due.id AND d.status = 'pending' AND d.next_attempt_at <= $4
            RETURNING d.id, d.event_id, d.attempts, d.leased_until
        )
        SELECT c.id, c.event_id, c.attempts, c.leased_until AS "leased_until!",
            (SELECT is_failing FROM endpoint) AS "is_failing!", o.sequence, o.type, o.data, o.created_at
        FROM claimed c
        JOIN outbox_events o ON o.tenant_id = $1 AND o.livemode = $2 AND o.id = c.event_id
        ORDER BY o.sequence"#,
        tenant,
        livemode,
        endpoint.uuid(),
        now.to_sqlx(),
        leased_until.to_sqlx(),
        most.of_endpoint,
        most.of_tenant,
        most.of_process,
        most.of_process_failing,
    )
    .fetch_all(tx.connection())
    .await?;
    let delivery = rows.into_iter().map(|row| ClaimedDelivery {
        id: WebhookDeliveryId::from_uuid(row.id),
        endpoint,
        attempt: row.attempts,
        event: OutboxEvent {
            id: OutboxEventId::from_uuid(row.event_id),
            sequence: row.sequence,
            event_type: row.r#type,
            data: row.data,
            created_at: row.created_at.to_jiff(),
        },
        leased_until: row.leased_until.to_jiff(),
        is_failing: row.is_failing,
    });
    Ok(delivery.collect())
}

/// What an endpoint answered to an attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its id; a later attempt has a greater one.
    pub id: Uuid,
    /// When it began, UTC.
    pub attempted_at: Timestamp,
    /// From the first byte of the search for the address to the last one of the answer.
    pub duration: SignedDuration,
    /// The status of the answer, or why there was none.
    pub answer: Result<u16, String>,
    /// The beginning of the answer's body.
    pub response: String,
}

/// Notes an attempt.
pub async fn insert_attempt(
    tx: &mut TenantTx,
    delivery: WebhookDeliveryId,
    attempt: &Attempt,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_deliveries::insert_attempt
        INSERT INTO webhook_attempts
            (tenant_id, livemode, delivery_id, id, attempted_at, duration_us, status_code, error, response)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        livemode,
        delivery.uuid(),
        attempt.id,
        attempt.attempted_at.to_sqlx(),
        i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX),
        attempt.answer.as_ref().ok().and_then(|status| i16::try_from(*status).ok()),
        attempt.answer.as_ref().err(),
        attempt.response,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What an attempt makes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Retry(Timestamp),
    /// It is given up.
    Dead,
}

/// Notes what an attempt made of a delivery. Returns `false` if somebody else has taken it since, or it was sent again by
/// hand or given up.
pub async fn settle(
    tx: &mut TenantTx,
    claimed: &ClaimedDelivery,
    outcome: Outcome,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let (status, next_attempt_at) = match outcome {
        Outcome::Delivered => ("delivered", None),
        Outcome::Retry(at) => ("pending", Some(at)),
        Outcome::Dead => ("dead", None),
    };
    let settled = sqlx::query!(
        "-- webhook_deliveries::settle
        UPDATE webhook_deliveries
        SET status = $5, next_attempt_at = $6, leased_until = NULL, ended_at = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz END
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND leased_until = $4",
        tenant,
        livemode,
        claimed.id.uuid(),
        claimed.leased_until.to_sqlx(),
        status,
        next_attempt_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Gives up what waits for an endpoint that was disabled or removed, the first thousand; what is under way is not touched.
pub async fn give_up(tx: &mut TenantTx, endpoint: WebhookEndpointId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_deliveries::give_up
        UPDATE webhook_deliveries SET status = 'dead', next_attempt_at = NULL, leased_until = NULL, ended_at = $4
        WHERE tenant_id = $1 AND livemode = $2 AND id IN (
            SELECT id FROM webhook_deliveries
            WHERE tenant_id = $1 AND livemode = $2 AND endpoint_id = $3 AND status = 'pending'
                AND (leased_until IS NULL OR leased_until <= $4)
            ORDER BY next_attempt_at
            LIMIT $5
        )",
        tenant,
        livemode,
        endpoint.uuid(),
        now.to_sqlx(),
        GIVEN_UP_MAX,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Sends again: the schedule begins anew. Returns `false` for what is under way.
pub async fn replay(tx: &mut TenantTx, id: WebhookDeliveryId, now: Timestamp) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let replayed = sqlx::query!(
        "-- webhook_deliveries::replay
        UPDATE webhook_deliveries
        SET status = 'pending', attempts = 0, next_attempt_at = $4, leased_until = NULL, ended_at = NULL
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND (leased_until IS NULL OR leased_until <= $4)",
        tenant,
        livemode,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(replayed.rows_affected() == 1)
}

/// Sends to an endpoint what happened since then and did not arrive: what was given up, and what it was not told because
/// it was disabled or did not exist. The oldest come first. Returns how many.
pub async fn replay_since(
    tx: &mut TenantTx,
    endpoint: &WebhookEndpoint,
    since: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<u64, DbError> {
    let (tenant, livemode) = tx.keys();
    let replayed = sqlx::query!(
        "-- webhook_deliveries::replay_since
        INSERT INTO webhook_deliveries (tenant_id, livemode, id, event_id, endpoint_id, next_attempt_at, created_at)
        SELECT $1, $2, webhook_delivery_id(o.id, $3), o.id, $3, $5, $5
        FROM outbox_events o
        LEFT JOIN webhook_deliveries d ON d.tenant_id = $1 AND d.livemode = $2 AND d.event_id = o.id AND d.endpoint_id = $3
        WHERE o.tenant_id = $1 AND o.livemode = $2 AND o.id >= $8 AND o.created_at >= $4 AND (d.id IS NULL OR d.status = 'dead')
            AND (cardinality($6::text[]) = 0 OR o.type = ANY($6))
        ORDER BY o.id
        LIMIT $7
        ON CONFLICT (tenant_id, livemode, event_id, endpoint_id) DO UPDATE
            SET status = 'pending', attempts = 0, next_attempt_at = $5, leased_until = NULL, ended_at = NULL
            WHERE webhook_deliveries.status = 'dead'",
        tenant,
        livemode,
        endpoint.id.uuid(),
        since.to_sqlx(),
        now.to_sqlx(),
        &endpoint.event_types,
        limit,
        first_id(since),
    )
    .execute(tx.connection())
    .await?;
    Ok(replayed.rows_affected())
}

/// No event since then has a lesser id (RFC 9562, version 7: an id begins with its milliseconds).
fn first_id(since: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(since.as_millisecond()).unwrap_or_default();
    Uuid::from_u64_pair(milliseconds << 16, 0)
}
