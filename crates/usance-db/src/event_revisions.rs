//! Which revision of an event counts, and what was said about it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CorrectionId, CorrectionSessionId, CustomerId};
use uuid::Uuid;

use crate::{DbError, Scope, TenantTx, WriterTx};

/// A revision of an event as stored.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// The id hash of the event as it was sent.
    pub origin: Uuid,
    /// 0 is the event as it was sent.
    pub revision: i32,
    /// The first 16 bytes of SHA-256 over what names the revision.
    pub id_hash: Uuid,
    /// As sent.
    pub id: String,
    /// As sent.
    pub event_type: String,
    /// Whose it is.
    pub customer: CustomerId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was stored.
    pub received_at: Timestamp,
    /// Canonical JSON.
    pub properties: String,
}

/// An event at the revision that counts, or that counted last.
#[derive(Debug, Clone)]
pub struct CurrentEvent {
    /// The revision.
    pub event: StoredEvent,
    /// The number of the newest revision.
    pub newest: i32,
    /// Whether it counts.
    pub counts: bool,
}

/// Finds counted events by the id hashes under which they were sent, in no order. One that waits, or whose month was dropped,
/// is absent.
pub async fn find_many(tx: &mut TenantTx, origins: &[Uuid]) -> Result<Vec<CurrentEvent>, DbError> {
    let (tenant, livemode) = tx.keys();
    // A key does not say whose its event is, because every event would pay for that: the customers are tried.
    let rows = sqlx::query!(
        r#"-- event_revisions::find_many
        WITH found AS MATERIALIZED (
            SELECT o.origin, coalesce(r.revision, 0) AS revision, coalesce(r.newest, 0) AS newest, r.voided_at,
                r.customer_id, coalesce(r.occurred_at, k.occurred_at) AS occurred_at, coalesce(r.id_hash, o.origin) AS id_hash
            FROM unnest($3::uuid[]) AS o (origin)
            JOIN event_keys k ON k.tenant_id = $1 AND k.livemode = $2 AND k.key = event_key($1, $2, o.origin)
            LEFT JOIN LATERAL (
                SELECT revision, id_hash, customer_id, occurred_at, voided_at, max(revision) OVER () AS newest
                FROM event_revisions
                WHERE tenant_id = $1 AND livemode = $2 AND origin_hash = o.origin
                ORDER BY voided_at DESC NULLS FIRST, revision DESC
                LIMIT 1
            ) r ON true
        ), wanted AS MATERIALIZED (
            SELECT *, date_bin('15 minutes', occurred_at, 'epoch') AS bucket_start FROM found
        )
        SELECT w.origin AS "origin!", w.revision AS "revision!", w.newest AS "newest!", (w.voided_at IS NULL) AS "counts!",
            e.id_hash, e.id, e.type, e.customer_id, e.occurred_at, e.received_at, e.properties
        FROM wanted w
        JOIN customers c ON c.tenant_id = $1 AND c.livemode = $2 AND (w.customer_id IS NULL OR c.id = w.customer_id)
        JOIN events e ON e.tenant_id = $1 AND e.livemode = $2 AND e.customer_id = c.id AND e.bucket_start = w.bucket_start
            AND e.occurred_at = w.occurred_at AND e.id_hash = w.id_hash"#,
        tenant,
        livemode,
        origins,
    )
    .fetch_all(tx.connection())
    .await?;
    let current = rows.into_iter().map(|row| CurrentEvent {
        event: StoredEvent {
            origin: row.origin,
            revision: row.revision,
            id_hash: row.id_hash,
            id: row.id,
            event_type: row.r#type,
            customer: CustomerId::from_uuid(row.customer_id),
            occurred_at: row.occurred_at.to_jiff(),
            received_at: row.received_at.to_jiff(),
            properties: row.properties,
        },
        newest: row.newest,
        counts: row.counts,
    });
    Ok(current.collect())
}

/// Takes revisions out of the count since an instant, or lets them count: new ones, and old ones again. Of an event at most
/// one revision may count.
pub async fn set_voided(
    tx: &mut WriterTx,
    scope: Scope,
    revisions: &[&StoredEvent],
    voided_at: Option<Timestamp>,
) -> Result<(), DbError> {
    sqlx::query!(
        "-- event_revisions::set_voided
        INSERT INTO event_revisions AS r (tenant_id, livemode, origin_hash, revision, id_hash, customer_id, occurred_at, voided_at)
        SELECT $1, $2, t.*, $8
        FROM unnest($3::uuid[], $4::int[], $5::uuid[], $6::uuid[], $7::timestamptz[]) AS t
        ON CONFLICT (tenant_id, livemode, origin_hash, revision) DO UPDATE SET voided_at = excluded.voided_at",
        scope.tenant.uuid(),
        scope.livemode,
        &revisions.iter().map(|it| it.origin).collect::<Vec<_>>(),
        &revisions.iter().map(|it| it.revision).collect::<Vec<_>>(),
        &revisions.iter().map(|it| it.id_hash).collect::<Vec<_>>(),
        &revisions.iter().map(|it| it.customer.uuid()).collect::<Vec<_>>(),
        &revisions.iter().map(|it| it.occurred_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        voided_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What was said about an event.
#[derive(Debug, Clone)]
pub struct Correction {
    /// Its id, which orders the corrections of an event.
    pub id: CorrectionId,
    /// The session that it was made in.
    pub session: Option<CorrectionSessionId>,
    /// The id hash of the event as it was sent.
    pub origin: Uuid,
    /// The event's id as sent.
    pub event_id: String,
    /// The revision that counted before.
    pub from: Option<i32>,
    /// The revision that counts since.
    pub to: Option<i32>,
    /// For people; empty if nobody said why.
    pub reason: String,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

/// Notes corrections.
pub async fn insert_corrections(
    tx: &mut WriterTx,
    scope: Scope,
    corrections: &[Correction],
) -> Result<(), DbError> {
    sqlx::query!(
        "-- event_revisions::insert_corrections
        INSERT INTO event_corrections
            (tenant_id, livemode, id, session_id, origin_hash, event_id, from_revision, to_revision, reason, created_at)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::int[], $8::int[], $9::text[], $10::timestamptz[]) AS t",
        scope.tenant.uuid(),
        scope.livemode,
        &corrections.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &corrections.iter().map(|it| it.session.map(CorrectionSessionId::uuid)).collect::<Vec<_>>()
            as &[Option<Uuid>],
        &corrections.iter().map(|it| it.origin).collect::<Vec<_>>(),
        &corrections.iter().map(|it| it.event_id.clone()).collect::<Vec<_>>(),
        &corrections.iter().map(|it| it.from).collect::<Vec<_>>() as &[Option<i32>],
        &corrections.iter().map(|it| it.to).collect::<Vec<_>>() as &[Option<i32>],
        &corrections.iter().map(|it| it.reason.clone()).collect::<Vec<_>>(),
        &corrections.iter().map(|it| it.created_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the corrections that a session made, in their order.
pub async fn list_corrections(
    tx: &mut TenantTx,
    session: CorrectionSessionId,
) -> Result<Vec<Correction>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- event_revisions::list_corrections
        SELECT id, origin_hash, event_id, from_revision, to_revision, reason, created_at
        FROM event_corrections
        WHERE tenant_id = $1 AND livemode = $2 AND session_id = $3
        ORDER BY id",
        tenant,
        livemode,
        session.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let correction = rows.into_iter().map(|row| Correction {
        id: CorrectionId::from_uuid(row.id),
        session: Some(session),
        origin: row.origin_hash,
        event_id: row.event_id,
        from: row.from_revision,
        to: row.to_revision,
        reason: row.reason,
        created_at: row.created_at.to_jiff(),
    });
    Ok(correction.collect())
}

/// Finds revisions by event and number, in no order.
pub async fn find_revisions(tx: &mut TenantTx, wanted: &[(Uuid, i32)]) -> Result<Vec<StoredEvent>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- event_revisions::find_revisions
        WITH found AS MATERIALIZED (
            SELECT r.*, date_bin('15 minutes', r.occurred_at, 'epoch') AS bucket_start
            FROM unnest($3::uuid[], $4::int[]) AS w (origin_hash, revision)
            JOIN event_revisions r ON r.tenant_id = $1 AND r.livemode = $2 AND r.origin_hash = w.origin_hash AND r.revision = w.revision
        )
        SELECT r.origin_hash AS "origin_hash!", r.revision AS "revision!", e.id_hash, e.customer_id, e.occurred_at, e.id, e.type,
            e.received_at, e.properties
        FROM found r
        JOIN events e ON e.tenant_id = $1 AND e.livemode = $2 AND e.customer_id = r.customer_id
            AND e.bucket_start = r.bucket_start AND e.occurred_at = r.occurred_at AND e.id_hash = r.id_hash"#,
        tenant,
        livemode,
        &wanted.iter().map(|it| it.0).collect::<Vec<_>>(),
        &wanted.iter().map(|it| it.1).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let event = rows.into_iter().map(|row| StoredEvent {
        origin: row.origin_hash,
        revision: row.revision,
        id_hash: row.id_hash,
        id: row.id,
        event_type: row.r#type,
        customer: CustomerId::from_uuid(row.customer_id),
        occurred_at: row.occurred_at.to_jiff(),
        received_at: row.received_at.to_jiff(),
        properties: row.properties,
    });
    Ok(event.collect())
}
