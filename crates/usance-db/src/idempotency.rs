//! Answers kept under an idempotency key, and the keys of requests that still run.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::{DbError, TenantTx};

/// What names a request that may be sent again.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// SHA-256 of method and path in hexadecimal, with the caller's session where the route is about it: a path may be longer
    /// than an index entry.
    pub route: String,
    /// The key that the client chose.
    pub key: String,
    /// SHA-256 of the request's body.
    pub request_hash: Vec<u8>,
}

/// The request that claimed a key first.
#[derive(Debug, Clone)]
pub struct StoredRequest {
    /// SHA-256 of its body.
    pub request_hash: Vec<u8>,
    /// `None` while it runs.
    pub answer: Option<StoredAnswer>,
}

/// The first answer.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: i16,
    /// JSON.
    pub body: Vec<u8>,
}

/// How long a claimed key belongs to its request.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// When it is claimed.
    pub now: Timestamp,
    /// From then on the same request may run again if it has left no answer.
    pub locked_until: Timestamp,
    /// From then on any request may take the key.
    pub expires_at: Timestamp,
}

/// Takes the key. Waits while another transaction holds it; `Some` is the request that has it.
pub async fn claim(
    tx: &mut TenantTx,
    key: &RequestKey,
    claim: Claim,
) -> Result<Option<StoredRequest>, DbError> {
    let (tenant, livemode) = tx.keys();
    let claimed = sqlx::query!(
        "-- idempotency::claim
        INSERT INTO idempotency_keys AS k
            (tenant_id, livemode, route, key, request_hash, created_at, expires_at, locked_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (tenant_id, livemode, route, key) DO UPDATE
            SET request_hash = excluded.request_hash, status = NULL, body = NULL,
                created_at = excluded.created_at, expires_at = excluded.expires_at, locked_until = excluded.locked_until
            WHERE k.expires_at <= excluded.created_at
                OR (k.status IS NULL AND k.locked_until <= excluded.created_at AND k.request_hash = excluded.request_hash)",
        tenant,
        livemode,
        key.route,
        key.key,
        key.request_hash,
        claim.now.to_sqlx(),
        claim.expires_at.to_sqlx(),
        claim.locked_until.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query!(
        "-- idempotency::claim
        SELECT request_hash, status, body
        FROM idempotency_keys
        WHERE tenant_id = $1 AND livemode = $2 AND route = $3 AND key = $4",
        tenant,
        livemode,
        key.route,
        key.key,
    )
    .fetch_optional(tx.connection())
    .await?;
    // The request that had it let go of the key between the two statements.
    let Some(row) = row else { return Err(DbError::Contended(sqlx::Error::RowNotFound)) };
    let answer = row.status.zip(row.body).map(|(status, body)| StoredAnswer { status, body });
    Ok(Some(StoredRequest { request_hash: row.request_hash, answer }))
}

/// Keeps the answer under a claimed key. An answer that is there already stays.
pub async fn store(tx: &mut TenantTx, key: &RequestKey, status: i16, body: &[u8]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- idempotency::store
        UPDATE idempotency_keys SET status = $5, body = $6, locked_until = NULL
        WHERE tenant_id = $1 AND livemode = $2 AND route = $3 AND key = $4 AND status IS NULL",
        tenant,
        livemode,
        key.route,
        key.key,
        status,
        body,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets go of a key whose request left no answer to keep, unless another request has taken it over.
pub async fn release(tx: &mut TenantTx, key: &RequestKey, claim: Claim) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- idempotency::release
        DELETE FROM idempotency_keys
        WHERE tenant_id = $1 AND livemode = $2 AND route = $3 AND key = $4 AND status IS NULL AND locked_until = $5",
        tenant,
        livemode,
        key.route,
        key.key,
        claim.locked_until.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
