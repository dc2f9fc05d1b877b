//! Browsers on their way to an identity provider and back.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::IdentityProviderId;
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// Sign-ins that one new one clears away.
const PURGED_MAX: i64 = 100;

/// A sign-in that has begun. What it is compared with is stored as SHA-256.
#[derive(Debug, Clone)]
pub struct OidcSignIn {
    /// Where the browser was sent.
    pub provider: IdentityProviderId,
    /// Of the cookie of the browser that began.
    pub browser_hash: Vec<u8>,
    /// Of what the ID token must carry.
    pub nonce_hash: Vec<u8>,
    /// What the provider must be shown, encrypted.
    pub verifier_sealed: Vec<u8>,
    /// UTC.
    pub expires_at: Timestamp,
}

struct Row {
    provider_id: Uuid,
    browser_hash: Vec<u8>,
    nonce_hash: Vec<u8>,
    verifier_sealed: Vec<u8>,
    expires_at: jiff_sqlx::Timestamp,
}

/// Adds a sign-in.
pub async fn insert(tx: &mut TenantTx, state_hash: &[u8], sign_in: &OidcSignIn) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- oidc_sign_ins::insert
        INSERT INTO oidc_sign_ins
            (tenant_id, state_hash, provider_id, browser_hash, nonce_hash, verifier_sealed, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant,
        state_hash,
        sign_in.provider.uuid(),
        sign_in.browser_hash,
        sign_in.nonce_hash,
        sign_in.verifier_sealed,
        sign_in.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a sign-in that nobody took before, whether or not it has expired.
pub async fn take(tx: &mut TenantTx, state_hash: &[u8]) -> Result<Option<OidcSignIn>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- oidc_sign_ins::take
        DELETE FROM oidc_sign_ins WHERE tenant_id = $1 AND state_hash = $2
        RETURNING provider_id, browser_hash, nonce_hash, verifier_sealed, expires_at",
        tenant,
        state_hash,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| OidcSignIn {
        provider: IdentityProviderId::from_uuid(row.provider_id),
        browser_hash: row.browser_hash,
        nonce_hash: row.nonce_hash,
        verifier_sealed: row.verifier_sealed,
        expires_at: row.expires_at.to_jiff(),
    }))
}

/// Removes sign-ins whose browser did not come back in time.
pub async fn purge(tx: &mut TenantTx, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- oidc_sign_ins::purge
        DELETE FROM oidc_sign_ins
        WHERE tenant_id = $1 AND state_hash IN (
            SELECT state_hash FROM oidc_sign_ins WHERE tenant_id = $1 AND expires_at < $2 LIMIT $3
        )",
        tenant,
        now.to_sqlx(),
        PURGED_MAX,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
