//! Everything that happens by itself when a tenant's time comes.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::TenantId;
use uuid::Uuid;

use crate::{DbError, Scope, SystemTx, TenantTx};

/// One piece of work, locked by the transaction that claimed it.
#[derive(Debug, Clone)]
pub struct DueWork {
    /// What is to be done.
    pub kind: String,
    /// To what.
    pub subject_id: Uuid,
    /// When it was due, in the tenant's time.
    pub due_at: Timestamp,
    /// Another number whenever it is planned anew, which no work had before.
    pub revision: i64,
    /// How often it failed.
    pub attempts: i32,
}

struct Row {
    kind: String,
    subject_id: Uuid,
    due_at: jiff_sqlx::Timestamp,
    revision: i64,
    attempts: i32,
}

impl From<Row> for DueWork {
    fn from(row: Row) -> Self {
        Self {
            kind: row.kind,
            subject_id: row.subject_id,
            due_at: row.due_at.to_jiff(),
            revision: row.revision,
            attempts: row.attempts,
        }
    }
}

/// Plans work, or moves it to an earlier time.
pub async fn schedule(
    tx: &mut TenantTx,
    kind: &str,
    subject_id: Uuid,
    due_at: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::schedule
        INSERT INTO due_work AS w (tenant_id, livemode, kind, subject_id, due_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, livemode, kind, subject_id) DO UPDATE
            SET due_at = least(w.due_at, excluded.due_at), revision = excluded.revision, attempts = 0, retry_at = NULL, leased_until = NULL, parked = false",
        tenant,
        livemode,
        kind,
        subject_id,
        due_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Moves work to a later time, also while it is leased.
pub async fn postpone(
    tx: &mut TenantTx,
    kind: &str,
    subject_id: Uuid,
    due_at: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::postpone
        INSERT INTO due_work AS w (tenant_id, livemode, kind, subject_id, due_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, livemode, kind, subject_id) DO UPDATE
            SET due_at = excluded.due_at, revision = excluded.revision, attempts = 0, retry_at = NULL, leased_until = NULL",
        tenant,
        livemode,
        kind,
        subject_id,
        due_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Leaves work for a person to look at, whether it was planned or not.
pub async fn park(
    tx: &mut TenantTx,
    kind: &str,
    subject_id: Uuid,
    now: Timestamp,
    reason: &str,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::park
        INSERT INTO due_work AS w (tenant_id, livemode, kind, subject_id, due_at, last_error, parked)
        VALUES ($1, $2, $3, $4, $5, $6, true)
        ON CONFLICT (tenant_id, livemode, kind, subject_id) DO UPDATE
            SET revision = excluded.revision, last_error = excluded.last_error, leased_until = NULL, parked = true",
        tenant,
        livemode,
        kind,
        subject_id,
        now.to_sqlx(),
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Plans much work of one kind, each piece for its own time.
pub async fn schedule_many(
    tx: &mut TenantTx,
    kind: &str,
    subjects: &[(Uuid, Timestamp)],
) -> Result<(), DbError> {
    if subjects.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::schedule_many
        INSERT INTO due_work AS w (tenant_id, livemode, kind, subject_id, due_at)
        SELECT $1, $2, $3, t.subject_id, t.due_at FROM unnest($4::uuid[], $5::timestamptz[]) AS t (subject_id, due_at)
        ON CONFLICT (tenant_id, livemode, kind, subject_id) DO UPDATE
            SET due_at = excluded.due_at, revision = excluded.revision, attempts = 0, retry_at = NULL, leased_until = NULL, parked = false",
        tenant,
        livemode,
        kind,
        &subjects.iter().map(|subject| subject.0).collect::<Vec<_>>(),
        &subjects.iter().map(|subject| subject.1.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Plans much work of one kind, or moves it to an earlier time; what is planned for an earlier one stays. Work that is
/// leased may have looked already: it is planned anew.
pub async fn schedule_earlier(
    tx: &mut TenantTx,
    kind: &str,
    subjects: &[(Uuid, Timestamp)],
) -> Result<(), DbError> {
    if subjects.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::schedule_earlier
        INSERT INTO due_work AS w (tenant_id, livemode, kind, subject_id, due_at)
        SELECT $1, $2, $3, t.subject_id, t.due_at FROM unnest($4::uuid[], $5::timestamptz[]) AS t (subject_id, due_at)
        ON CONFLICT (tenant_id, livemode, kind, subject_id) DO UPDATE
            SET due_at = excluded.due_at, revision = excluded.revision, attempts = 0, retry_at = NULL, leased_until = NULL, parked = false
            WHERE w.due_at > excluded.due_at OR w.leased_until IS NOT NULL OR w.parked",
        tenant,
        livemode,
        kind,
        &subjects.iter().map(|subject| subject.0).collect::<Vec<_>>(),
        &subjects.iter().map(|subject| subject.1.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes work that has become needless.
pub async fn cancel(tx: &mut TenantTx, kind: &str, subject_id: Uuid) -> Result<(), DbError> {
    cancel_many(tx, kind, &[subject_id]).await
}

/// Removes much work of one kind that has become needless.
pub async fn cancel_many(tx: &mut TenantTx, kind: &str, subjects: &[Uuid]) -> Result<(), DbError> {
    if subjects.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::cancel_many
        DELETE FROM due_work WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND subject_id = ANY($4)",
        tenant,
        livemode,
        kind,
        subjects,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes more work of the same kind that is due at the same time, unless another transaction or lease has it.
pub async fn claim_more(
    tx: &mut TenantTx,
    first: &DueWork,
    wall_now: Timestamp,
    limit: i64,
) -> Result<Vec<DueWork>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- due_work::claim_more
        SELECT kind, subject_id, due_at, revision, attempts
        FROM due_work
        WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND due_at = $4 AND subject_id <> $5 AND NOT parked
            AND attempts = 0 AND (leased_until IS NULL OR leased_until <= $6)
        ORDER BY subject_id
        LIMIT $7
        FOR UPDATE SKIP LOCKED",
        tenant,
        livemode,
        first.kind,
        first.due_at.to_sqlx(),
        first.subject_id,
        wall_now.to_sqlx(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(DueWork::from).collect())
}

/// Claims work once more that a transaction which was rolled back had claimed; false if it is gone or somebody has it.
pub async fn claim_again(tx: &mut TenantTx, work: &DueWork, wall_now: Timestamp) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- due_work::claim_again
        SELECT subject_id FROM due_work
        WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND subject_id = $4 AND revision = $5 AND NOT parked
            AND (leased_until IS NULL OR leased_until <= $6)
        FOR UPDATE SKIP LOCKED",
        tenant,
        livemode,
        work.kind,
        work.subject_id,
        work.revision,
        wall_now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Removes work that is done, unless it was planned anew since it was claimed.
pub async fn complete_many(tx: &mut TenantTx, works: &[DueWork]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::complete_many
        DELETE FROM due_work w
        USING unnest($3::text[], $4::uuid[], $5::bigint[]) AS t (kind, subject_id, revision)
        WHERE w.tenant_id = $1 AND w.livemode = $2 AND w.kind = t.kind AND w.subject_id = t.subject_id AND w.revision = t.revision",
        tenant,
        livemode,
        &works.iter().map(|work| work.kind.clone()).collect::<Vec<_>>(),
        &works.iter().map(|work| work.subject_id).collect::<Vec<_>>(),
        &works.iter().map(|work| work.revision).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the earliest work that is due by `by` and may be tried by `retry_by`, unless another transaction or lease has it. Of works due at the same time, those
/// later in the alphabet come first: `rate_unbilled` before `close_period`.
pub async fn claim(
    tx: &mut TenantTx,
    by: Timestamp,
    retry_by: Timestamp,
    wall_now: Timestamp,
) -> Result<Option<DueWork>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- due_work::claim
        SELECT kind, subject_id, due_at, revision, attempts
        FROM due_work
        WHERE tenant_id = $1 AND livemode = $2 AND NOT parked AND due_at <= $3 AND (retry_at IS NULL OR retry_at <= $4)
            AND (leased_until IS NULL OR leased_until <= $5)
        ORDER BY due_at, kind DESC, subject_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED",
        tenant,
        livemode,
        by.to_sqlx(),
        retry_by.to_sqlx(),
        wall_now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(DueWork::from))
}

/// Finds work of a kind that is not parked, whoever may hold it.
pub async fn find_open(tx: &mut TenantTx, kind: &str) -> Result<Option<DueWork>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- due_work::find_open
        SELECT kind, subject_id, due_at, revision, attempts
        FROM due_work
        WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND NOT parked
        LIMIT 1",
        tenant,
        livemode,
        kind,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(DueWork::from))
}

/// Whether work is due that someone else holds or that waits for its retry.
pub async fn is_pending(tx: &mut TenantTx, by: Timestamp) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- due_work::is_pending
        SELECT EXISTS (
            SELECT FROM due_work WHERE tenant_id = $1 AND livemode = $2 AND NOT parked AND due_at <= $3
        ) AS "pending!""#,
        tenant,
        livemode,
        by.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.pending)
}

/// Keeps claimed work from others beyond this transaction, until it is done, fails or the lease ends.
pub async fn lease(tx: &mut TenantTx, work: &DueWork, until: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::lease
        UPDATE due_work SET leased_until = $5 WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND subject_id = $4",
        tenant,
        livemode,
        work.kind,
        work.subject_id,
        until.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes work that is done, unless it was planned anew since it was claimed.
pub async fn complete(tx: &mut TenantTx, work: &DueWork) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::complete
        DELETE FROM due_work WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND subject_id = $4 AND revision = $5",
        tenant,
        livemode,
        work.kind,
        work.subject_id,
        work.revision,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes a failure: the work is tried again from `retry_at`, or parked for a person to look at, unless it was planned anew
/// since it was claimed.
pub async fn fail(
    tx: &mut TenantTx,
    work: &DueWork,
    error: &str,
    retry_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- due_work::fail
        UPDATE due_work SET attempts = attempts + 1, last_error = $5, retry_at = $6, parked = $7, leased_until = NULL
        WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND subject_id = $4 AND revision = $8",
        tenant,
        livemode,
        work.kind,
        work.subject_id,
        error,
        retry_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        retry_at.is_none(),
        work.revision,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists tenants that have work due now, by their own clocks.
pub async fn list_scopes(tx: &mut SystemTx, wall_now: Timestamp, limit: i64) -> Result<Vec<Scope>, DbError> {
    let rows = sqlx::query!(
        "-- due_work::list_scopes
        SELECT w.tenant_id, w.livemode
        FROM due_work w
        LEFT JOIN test_clocks c ON c.tenant_id = w.tenant_id AND NOT w.livemode
        WHERE NOT w.parked AND w.due_at <= coalesce(c.frozen_at, $1) AND (w.retry_at IS NULL OR w.retry_at <= $1)
            AND (w.leased_until IS NULL OR w.leased_until <= $1)
        GROUP BY w.tenant_id, w.livemode
        ORDER BY min(w.due_at)
        LIMIT $2",
        wall_now.to_sqlx(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Scope { tenant: TenantId::from_uuid(row.tenant_id), livemode: row.livemode })
        .collect())
}

/// Counts parked work over all tenants.
pub async fn count_parked(tx: &mut SystemTx) -> Result<i64, DbError> {
    let row = sqlx::query!(
        r#"-- due_work::count_parked
        SELECT count(*) AS "count!" FROM due_work WHERE parked"#
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.count)
}
