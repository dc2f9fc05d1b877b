//! Answers kept under an idempotency key, in the transaction of their effect.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::{DbError, TenantTx};

/// What names a request that may be sent again.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Method and path.
    pub route: String,
    /// The key that the client chose.
    pub key: String,
    /// SHA-256 of the request's body.
    pub request_hash: Vec<u8>,
}

/// The first answer.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    /// SHA-256 of the first request's body.
    pub request_hash: Vec<u8>,
    /// HTTP status.
    pub status: i16,
    /// JSON.
    pub body: Vec<u8>,
}

/// Takes the key for this transaction. Waits while another transaction holds it; `Some` is the answer that one gave.
pub async fn claim(
    tx: &mut TenantTx,
    key: &RequestKey,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Option<StoredAnswer>, DbError> {
    let (tenant, livemode) = tx.keys();
    let claimed = sqlx::query!(
        "-- idempotency::claim
        INSERT INTO idempotency_keys AS k (tenant_id, livemode, route, key, request_hash, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, livemode, route, key) DO UPDATE
            SET request_hash = excluded.request_hash, status = NULL, body = NULL,
                created_at = excluded.created_at, expires_at = excluded.expires_at
            WHERE k.expires_at <= excluded.created_at",
        tenant,
        livemode,
        key.route,
        key.key,
        key.request_hash,
        now.to_sqlx(),
        expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query!(
        r#"-- idempotency::claim
        SELECT request_hash, status AS "status!", body AS "body!"
        FROM idempotency_keys
        WHERE tenant_id = $1 AND livemode = $2 AND route = $3 AND key = $4"#,
        tenant,
        livemode,
        key.route,
        key.key,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Some(StoredAnswer { request_hash: row.request_hash, status: row.status, body: row.body }))
}

/// Keeps the answer under the key that this transaction claimed.
pub async fn store(tx: &mut TenantTx, key: &RequestKey, status: i16, body: &[u8]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- idempotency::store
        UPDATE idempotency_keys SET status = $5, body = $6
        WHERE tenant_id = $1 AND livemode = $2 AND route = $3 AND key = $4",
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
