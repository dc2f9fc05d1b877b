//! Usage events, for reading.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::{ids::CustomerId, metering::bucket_start, period::Period};
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
    /// 0 for an event as it was sent; an amendment has a number from 1.
    pub revision: i32,
    /// Whether it counts: it was neither voided nor amended.
    pub counts: bool,
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
        r#"-- events::list
        SELECT e.id, e.id_hash, e.type, e.customer_id, e.occurred_at, e.received_at, e.properties::jsonb AS "properties!",
            coalesce(r.revision, 0) AS "revision!", (r.voided_at IS NULL) AS "counts!"
        FROM events e
        LEFT JOIN event_revisions r ON r.tenant_id = $1 AND r.livemode = $2 AND r.customer_id = $3
            AND r.occurred_at = e.occurred_at AND r.id_hash = e.id_hash
        WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.customer_id = $3 AND e.bucket_start <= coalesce($7::timestamptz, 'infinity')
            AND ($4::timestamptz IS NULL OR (e.occurred_at, e.id_hash) < ($4, $5))
        ORDER BY e.bucket_start DESC, e.occurred_at DESC, e.id_hash DESC
        LIMIT $6"#,
        tenant,
        livemode,
        customer.uuid(),
        after.map(|after| after.0.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        after.map(|after| after.1),
        page.fetch(),
        after.map(|after| bucket_start(after.0).to_sqlx()) as Option<jiff_sqlx::Timestamp>,
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
        revision: row.revision,
        counts: row.counts,
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

/// A stretch of one customer's events of one type, as far as they were received from an instant on.
#[derive(Debug, Clone, Copy)]
pub struct EventSpan<'a> {
    /// Whose events.
    pub customer: CustomerId,
    /// Of which type.
    pub event_type: &'a str,
    /// When they happened.
    pub span: Period,
    /// Since when they count.
    pub received_from: Timestamp,
}

/// An event as far as it is measured.
#[derive(Debug, Clone)]
pub struct SpanEvent {
    /// Index of its span.
    pub place: usize,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// Canonical JSON.
    pub properties: String,
}

/// Where reading goes on in the first of several spans: after this event.
#[derive(Debug, Clone, Copy)]
pub struct SpanCursor {
    /// When the last event that was read happened.
    pub occurred_at: Timestamp,
    /// Its id hash.
    pub id_hash: Uuid,
}

/// Reads a page of the events that count of several spans, in the order of the spans and then of time and id hash; fewer than the
/// limit are all that are left.
pub async fn list_spans(
    tx: &mut TenantTx,
    spans: &[EventSpan<'_>],
    after: Option<SpanCursor>,
    limit: usize,
) -> Result<Vec<SpanEvent>, DbError> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let (tenant, livemode) = tx.keys();
    let mut starts: Vec<_> = spans.iter().map(|it| it.span.start).collect();
    if let (Some(first), Some(after)) = (starts.first_mut(), after) {
        *first = after.occurred_at;
    }
    // The limit within each span keeps a page from sorting all that is left of the span.
    let rows = sqlx::query!(
        r#"-- events::list_spans
        SELECT s.place AS "place!", e.occurred_at AS "occurred_at!", e.id_hash AS "id_hash!", e.properties AS "properties!"
        FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
                $10::timestamptz[]) WITH ORDINALITY
            AS s (customer_id, type, span_start, span_end, received_from, first_bucket, place)
        CROSS JOIN LATERAL (
            SELECT occurred_at, id_hash, properties
            FROM events
            WHERE tenant_id = $1 AND livemode = $2 AND customer_id = s.customer_id AND type = s.type
                AND bucket_start >= s.first_bucket AND bucket_start < s.span_end
                AND occurred_at >= s.span_start AND occurred_at < s.span_end AND received_at >= s.received_from
                AND (s.place > 1 OR $8::uuid IS NULL OR (occurred_at, id_hash) > (s.span_start, $8))
                AND NOT EXISTS (
                    SELECT FROM event_revisions r
                    WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.customer_id = s.customer_id
                        AND r.occurred_at = events.occurred_at AND r.id_hash = events.id_hash AND r.voided_at IS NOT NULL
                )
            ORDER BY bucket_start, occurred_at, id_hash
            LIMIT $9
        ) e
        ORDER BY s.place, e.occurred_at, e.id_hash
        LIMIT $9"#,
        tenant,
        livemode,
        &spans.iter().map(|it| it.customer.uuid()).collect::<Vec<_>>(),
        &spans.iter().map(|it| it.event_type.to_owned()).collect::<Vec<_>>(),
        &starts.iter().map(|start| start.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &spans.iter().map(|it| it.span.end.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &spans.iter().map(|it| it.received_from.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        after.map(|after| after.id_hash),
        i64::try_from(limit).unwrap_or(i64::MAX),
        &starts.iter().map(|start| bucket_start(*start).to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .fetch_all(tx.connection())
    .await?;
    let event = rows.into_iter().map(|row| SpanEvent {
        place: usize::try_from(row.place - 1).unwrap_or_default(),
        occurred_at: row.occurred_at.to_jiff(),
        id_hash: row.id_hash,
        properties: row.properties,
    });
    Ok(event.collect())
}
