//! API keys: stored as keyed hashes, found before the tenant is known.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{ApiKeyId, TenantId};

use crate::{DbError, Scope, SystemTx, TenantTx};

/// A new key. The secret itself is not part of it.
#[derive(Debug)]
pub struct NewApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// `secret` or `publishable`.
    pub kind: &'static str,
    /// HMAC-SHA-256 of the whole key.
    pub key_hash: Vec<u8>,
    /// Which pepper made the hash.
    pub pepper_version: i16,
    /// The key itself, for a publishable one.
    pub publishable_key: Option<String>,
    /// What may be shown of it.
    pub masked: String,
    /// UTC.
    pub created_at: Timestamp,
}

/// What a presented key stands for.
#[derive(Debug, Clone, Copy)]
pub struct KeyOwner {
    /// Tenant and mode.
    pub scope: Scope,
    /// The key's id.
    pub id: ApiKeyId,
    /// Secret keys may do everything, publishable ones only what a browser may.
    pub is_secret: bool,
}

/// Adds a key in the transaction's mode.
pub async fn insert(tx: &mut TenantTx, key: &NewApiKey) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- api_keys::insert
        INSERT INTO api_keys (tenant_id, livemode, id, kind, key_hash, pepper_version, publishable_key, masked, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        livemode,
        key.id.uuid(),
        key.kind,
        key.key_hash,
        key.pepper_version,
        key.publishable_key,
        key.masked,
        key.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the owner of a key that is not revoked and whose tenant is active.
pub async fn find_owner(tx: &mut SystemTx, key_hash: &[u8]) -> Result<Option<KeyOwner>, DbError> {
    let row = sqlx::query!(
        "-- api_keys::find_owner
        SELECT k.tenant_id, k.livemode, k.id, k.kind
        FROM api_keys k
        JOIN tenants t ON t.tenant_id = k.tenant_id
        WHERE k.key_hash = $1 AND k.revoked_at IS NULL AND t.is_active",
        key_hash,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| KeyOwner {
        scope: Scope { tenant: TenantId::from_uuid(row.tenant_id), livemode: row.livemode },
        id: ApiKeyId::from_uuid(row.id),
        is_secret: row.kind == "secret",
    }))
}
