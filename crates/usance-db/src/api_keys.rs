//! API keys: stored as keyed hashes, found before the tenant is known.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{ApiKeyId, TenantId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, Scope, SystemTx, TenantTx};

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
    /// What it is for; none for the pair that every tenant has in each mode.
    pub name: Option<String>,
    /// What it may do, such as `usage:write`, or `all`.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// UTC.
    pub created_at: Timestamp,
}

/// A key as it may be shown.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Live or test data.
    pub livemode: bool,
    /// `secret` or `publishable`.
    pub kind: String,
    /// The key itself, for a publishable one.
    pub publishable_key: Option<String>,
    /// What may be shown of it.
    pub masked: String,
    /// What it is for; none for the pair that every tenant has in each mode.
    pub name: Option<String>,
    /// What it may do, such as `usage:write`, or `all`.
    pub scopes: Vec<String>,
    /// UTC.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
}

struct Row {
    id: Uuid,
    livemode: bool,
    kind: String,
    publishable_key: Option<String>,
    masked: String,
    name: Option<String>,
    scopes: Vec<String>,
    created_at: jiff_sqlx::Timestamp,
    expires_at: Option<jiff_sqlx::Timestamp>,
    last_used_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    revoked_reason: Option<String>,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        Self {
            id: ApiKeyId::from_uuid(row.id),
            livemode: row.livemode,
            kind: row.kind,
            publishable_key: row.publishable_key,
            masked: row.masked,
            name: row.name,
            scopes: row.scopes,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
            last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_at: row.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_reason: row.revoked_reason,
        }
    }
}

/// What a presented key stands for.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// Tenant and mode.
    pub scope: Scope,
    /// The key's id.
    pub id: ApiKeyId,
    /// Secret keys may do everything, publishable ones only what a browser may.
    pub is_secret: bool,
    /// What it may do, such as `usage:write`, or `all`.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Adds a key in the transaction's mode.
pub async fn insert(tx: &mut TenantTx, key: &NewApiKey) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- api_keys::insert
        INSERT INTO api_keys (tenant_id, livemode, id, kind, key_hash, pepper_version, publishable_key, masked, name, scopes, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant,
        livemode,
        key.id.uuid(),
        key.kind,
        key.key_hash,
        key.pepper_version,
        key.publishable_key,
        key.masked,
        key.name,
        &key.scopes,
        key.expires_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
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
        SELECT k.tenant_id, k.livemode, k.id, k.kind, k.scopes, k.expires_at, k.last_used_at
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
        scopes: row.scopes,
        expires_at: row.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
        last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// Notes that a key was used, unless that was noted since `noted_before`.
pub async fn note_use(
    tx: &mut TenantTx,
    id: ApiKeyId,
    noted_before: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- api_keys::note_use
        UPDATE api_keys SET last_used_at = $5
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND (last_used_at IS NULL OR last_used_at < $4)",
        tenant,
        livemode,
        id.uuid(),
        noted_before.to_sqlx(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the keys of the transaction's mode that still work, the oldest first.
pub async fn list_working(tx: &mut TenantTx, now: Timestamp) -> Result<Vec<ApiKey>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- api_keys::list_working
        SELECT id, livemode, kind, publishable_key, masked, name, scopes, created_at, expires_at, last_used_at, revoked_at, revoked_reason
        FROM api_keys
        WHERE tenant_id = $1 AND livemode = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)
        ORDER BY id",
        tenant,
        livemode,
        now.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Lists all keys of the transaction's mode, newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<ApiKey>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- api_keys::list
        SELECT id, livemode, kind, publishable_key, masked, name, scopes, created_at, expires_at, last_used_at, revoked_at, revoked_reason
        FROM api_keys
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $4",
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Finds a key and locks it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- api_keys::lock
        SELECT id, livemode, kind, publishable_key, masked, name, scopes, created_at, expires_at, last_used_at, revoked_at, revoked_reason
        FROM api_keys
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(ApiKey::from))
}

/// Revokes a key.
pub async fn revoke(tx: &mut TenantTx, id: ApiKeyId, reason: &str, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- api_keys::revoke
        UPDATE api_keys SET revoked_at = $4, revoked_reason = $5
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND revoked_at IS NULL",
        tenant,
        livemode,
        id.uuid(),
        now.to_sqlx(),
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets a key end by itself, never later than it would have.
pub async fn expire(tx: &mut TenantTx, id: ApiKeyId, at: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- api_keys::expire
        UPDATE api_keys SET expires_at = least(expires_at, $4) WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
