//! Mails on their way to people: a queue by the wall clock.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{MailId, TenantId};

use crate::{DbError, SystemTx, TenantTx};

/// A mail to be sent.
#[derive(Debug)]
pub struct NewMail<'a> {
    /// Its id.
    pub id: MailId,
    /// Why it is sent.
    pub kind: &'a str,
    /// Recipient and content, encrypted.
    pub sealed: &'a [u8],
    /// What is told once only, and to whom.
    pub once_key: Option<&'a str>,
    /// UTC.
    pub created_at: Timestamp,
    /// From when on it would be of no use.
    pub expires_at: Option<Timestamp>,
}

/// Adds a mail that is due at once, unless there is one with the same key.
pub async fn insert(tx: &mut TenantTx, mail: &NewMail<'_>) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- mails::insert
        INSERT INTO mails (tenant_id, id, kind, sealed, once_key, next_attempt_at, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
        ON CONFLICT (tenant_id, once_key) DO NOTHING",
        tenant,
        mail.id.uuid(),
        mail.kind,
        mail.sealed,
        mail.once_key,
        mail.created_at.to_sqlx(),
        mail.expires_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds tenants with mails that are due by the wall clock, those that wait longest first.
pub async fn list_due(tx: &mut SystemTx, now: Timestamp, limit: i64) -> Result<Vec<TenantId>, DbError> {
    let rows = sqlx::query!(
        "-- mails::list_due
        SELECT tenant_id
        FROM mails
        WHERE status = 'pending' AND next_attempt_at <= $1
        GROUP BY tenant_id
        ORDER BY min(next_attempt_at)
        LIMIT $2",
        now.to_sqlx(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| TenantId::from_uuid(row.tenant_id)).collect())
}

/// A mail that is about to be sent.
#[derive(Debug)]
pub struct ClaimedMail {
    /// Which.
    pub id: MailId,
    /// Why it is sent.
    pub kind: String,
    /// Recipient and content, encrypted.
    pub sealed: Vec<u8>,
    /// The attempt, from 1.
    pub attempt: i32,
    /// UTC.
    pub created_at: Timestamp,
    /// From when on it would be of no use.
    pub expires_at: Option<Timestamp>,
    /// Until when it is ours; no other claim has the same.
    pub leased_until: Timestamp,
}

/// Takes mails of the tenant that are due, until the lease ends.
pub async fn claim(
    tx: &mut TenantTx,
    now: Timestamp,
    leased_until: Timestamp,
    limit: i64,
) -> Result<Vec<ClaimedMail>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query!(
        r#"-- mails::claim
        UPDATE mails SET leased_until = $3, next_attempt_at = $3, attempts = attempts + 1
        WHERE tenant_id = $1 AND id IN (
            SELECT id FROM mails
            WHERE tenant_id = $1 AND status = 'pending' AND next_attempt_at <= $2
            ORDER BY next_attempt_at
            LIMIT $4
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id, kind, sealed AS "sealed!", attempts, created_at, expires_at, leased_until AS "leased_until!""#,
        tenant,
        now.to_sqlx(),
        leased_until.to_sqlx(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let mail = rows.into_iter().map(|row| ClaimedMail {
        id: MailId::from_uuid(row.id),
        kind: row.kind,
        sealed: row.sealed,
        attempt: row.attempts,
        created_at: row.created_at.to_jiff(),
        expires_at: row.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
        leased_until: row.leased_until.to_jiff(),
    });
    Ok(mail.collect())
}

/// What an attempt makes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOutcome {
    /// A server took it.
    Sent,
    /// It is tried again.
    Retry(Timestamp),
    /// It is given up.
    Dead,
}

/// Notes what an attempt made of a mail; one that has ended loses its content. Returns `false` if somebody else has taken it
/// since.
pub async fn settle(
    tx: &mut TenantTx,
    claimed: &ClaimedMail,
    outcome: MailOutcome,
    error: Option<&str>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let (status, next_attempt_at) = match outcome {
        MailOutcome::Sent => ("sent", None),
        MailOutcome::Retry(at) => ("pending", Some(at)),
        MailOutcome::Dead => ("dead", None),
    };
    let settled = sqlx::query!(
        "-- mails::settle
        UPDATE mails
        SET status = $4, next_attempt_at = $5, leased_until = NULL, last_error = $6,
            sealed = CASE WHEN $5::timestamptz IS NULL THEN NULL ELSE sealed END,
            ended_at = CASE WHEN $5::timestamptz IS NULL THEN $7::timestamptz END
        WHERE tenant_id = $1 AND id = $2 AND leased_until = $3",
        tenant,
        claimed.id.uuid(),
        claimed.leased_until.to_sqlx(),
        status,
        next_attempt_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        error,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Removes what was claimed without a trace.
pub async fn remove(tx: &mut TenantTx, claimed: &ClaimedMail) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- mails::remove
        DELETE FROM mails WHERE tenant_id = $1 AND id = $2 AND leased_until = $3",
        tenant,
        claimed.id.uuid(),
        claimed.leased_until.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets mails of the tenant that ended before a time, the oldest first.
pub async fn forget(tx: &mut TenantTx, before: Timestamp, limit: i64) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- mails::forget
        DELETE FROM mails
        WHERE tenant_id = $1 AND id IN (
            SELECT id FROM mails
            WHERE tenant_id = $1 AND status <> 'pending' AND ended_at < $2
            ORDER BY ended_at
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        )",
        tenant,
        before.to_sqlx(),
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
