//! Endpoints that a tenant wants to be told at, and the secrets that sign what they are told.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{ids::WebhookEndpointId, webhook::EndpointHealth};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// An endpoint as stored.
#[derive(Debug, Clone)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Where it is; none for a default endpoint that is not configured.
    pub url: Option<String>,
    /// The tenant's own words.
    pub description: String,
    /// The types of events that it is told; none means all.
    pub event_types: Vec<String>,
    /// Whether it is the one endpoint that the routes of the configuration are about.
    pub is_default: bool,
    /// Since when it is told nothing, and the word of the reason.
    pub disabled: Option<(Timestamp, String)>,
    /// How it has been doing.
    pub health: EndpointHealth,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

struct Row {
    id: Uuid,
    url: Option<String>,
    description: String,
    event_types: Vec<String>,
    is_default: bool,
    disabled_at: Option<jiff_sqlx::Timestamp>,
    disabled_reason: Option<String>,
    failed_at: Option<jiff_sqlx::Timestamp>,
    failing_since: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for WebhookEndpoint {
    fn from(row: Row) -> Self {
        Self {
            id: WebhookEndpointId::from_uuid(row.id),
            url: row.url,
            description: row.description,
            event_types: row.event_types,
            is_default: row.is_default,
            disabled: row.disabled_at.map(jiff_sqlx::Timestamp::to_jiff).zip(row.disabled_reason),
            health: EndpointHealth {
                failed_at: row.failed_at.map(jiff_sqlx::Timestamp::to_jiff),
                failing_since: row.failing_since.map(jiff_sqlx::Timestamp::to_jiff),
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Adds an endpoint. Conflict: `webhook_endpoints_default_key`.
pub async fn insert(tx: &mut TenantTx, endpoint: &WebhookEndpoint) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_endpoints::insert
        INSERT INTO webhook_endpoints
            (tenant_id, livemode, id, url, description, event_types, is_default, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        livemode,
        endpoint.id.uuid(),
        endpoint.url,
        endpoint.description,
        &endpoint.event_types,
        endpoint.is_default,
        endpoint.created_at.to_sqlx(),
        endpoint.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists endpoints, newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<WebhookEndpoint>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- webhook_endpoints::list
        SELECT id, url, description, event_types, is_default, disabled_at, disabled_reason, failed_at, failing_since, created_at, updated_at
        FROM webhook_endpoints
        WHERE tenant_id = $1 AND livemode = $2 AND deleted_at IS NULL AND url IS NOT NULL AND ($3::uuid IS NULL OR id < $3)
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

/// How many endpoints there are, the default one not counted while it is not configured.
pub async fn count(tx: &mut TenantTx) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- webhook_endpoints::count
        SELECT count(*) AS "count!"
        FROM webhook_endpoints
        WHERE tenant_id = $1 AND livemode = $2 AND deleted_at IS NULL AND url IS NOT NULL"#,
        tenant,
        livemode,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.count)
}

/// Finds an endpoint: the given one, or the default one.
pub async fn find(
    tx: &mut TenantTx,
    id: Option<WebhookEndpointId>,
) -> Result<Option<WebhookEndpoint>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- webhook_endpoints::find
        SELECT id, url, description, event_types, is_default, disabled_at, disabled_reason, failed_at, failing_since, created_at, updated_at
        FROM webhook_endpoints
        WHERE tenant_id = $1 AND livemode = $2 AND deleted_at IS NULL AND (id = $3 OR ($3::uuid IS NULL AND is_default))",
        tenant,
        livemode,
        id.map(WebhookEndpointId::uuid),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(WebhookEndpoint::from))
}

/// Finds an endpoint and locks it until the transaction ends: the given one, or the default one.
pub async fn lock(
    tx: &mut TenantTx,
    id: Option<WebhookEndpointId>,
) -> Result<Option<WebhookEndpoint>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- webhook_endpoints::lock
        SELECT id, url, description, event_types, is_default, disabled_at, disabled_reason, failed_at, failing_since, created_at, updated_at
        FROM webhook_endpoints
        WHERE tenant_id = $1 AND livemode = $2 AND deleted_at IS NULL AND (id = $3 OR ($3::uuid IS NULL AND is_default))
        FOR NO KEY UPDATE",
        tenant,
        livemode,
        id.map(WebhookEndpointId::uuid),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(WebhookEndpoint::from))
}

/// Stores what changes about an endpoint, which is locked.
pub async fn update(tx: &mut TenantTx, endpoint: &WebhookEndpoint) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let (disabled_at, disabled_reason) = endpoint.disabled.clone().unzip();
    sqlx::query!(
        "-- webhook_endpoints::update
        UPDATE webhook_endpoints
        SET url = $4, description = $5, event_types = $6, disabled_at = $7, disabled_reason = $8, failed_at = $9,
            failing_since = $10, updated_at = $11
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        endpoint.id.uuid(),
        endpoint.url,
        endpoint.description,
        &endpoint.event_types,
        disabled_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        disabled_reason,
        endpoint.health.failed_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        endpoint.health.failing_since.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        endpoint.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes an endpoint; what it was told stays on record.
pub async fn delete(tx: &mut TenantTx, id: WebhookEndpointId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_endpoints::delete
        UPDATE webhook_endpoints SET deleted_at = $4 WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A secret as stored.
#[derive(Debug, Clone)]
pub struct SealedSecret {
    /// Names the row, and the place that it is sealed for.
    pub id: Uuid,
    /// Encrypted.
    pub sealed: Vec<u8>,
    /// When it no longer signs; none for the current one.
    pub expires_at: Option<Timestamp>,
}

/// Lists the secrets of an endpoint, the current one first and those after it that have expired too.
pub async fn list_secrets(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
) -> Result<Vec<SealedSecret>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- webhook_endpoints::list_secrets
        SELECT id, sealed, expires_at
        FROM webhook_secrets
        WHERE tenant_id = $1 AND livemode = $2 AND endpoint_id = $3
        ORDER BY expires_at DESC NULLS FIRST, id DESC",
        tenant,
        livemode,
        endpoint.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let secret = rows.into_iter().map(|row| SealedSecret {
        id: row.id,
        sealed: row.sealed,
        expires_at: row.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
    });
    Ok(secret.collect())
}

/// Removes the secrets of an endpoint that have expired, and of the others all but the newest eleven: the current one and ten
/// that it replaced. A removed endpoint has none.
pub async fn remove_secrets(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_endpoints::remove_secrets
        DELETE FROM webhook_secrets
        WHERE tenant_id = $1 AND livemode = $2 AND endpoint_id = $3 AND (
            expires_at <= $4
            OR id NOT IN (
                SELECT id FROM webhook_secrets
                WHERE tenant_id = $1 AND livemode = $2 AND endpoint_id = $3
                ORDER BY id DESC
                LIMIT 11
            )
            OR EXISTS (SELECT FROM webhook_endpoints WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND deleted_at IS NOT NULL)
        )",
        tenant,
        livemode,
        endpoint.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes a secret the current one. The one before it signs until `grace_ends`.
pub async fn rotate_secret(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    secret: &SealedSecret,
    grace_ends: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- webhook_endpoints::expire_secret
        UPDATE webhook_secrets SET expires_at = $4
        WHERE tenant_id = $1 AND livemode = $2 AND endpoint_id = $3 AND expires_at IS NULL",
        tenant,
        livemode,
        endpoint.uuid(),
        grace_ends.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "-- webhook_endpoints::insert_secret
        INSERT INTO webhook_secrets (tenant_id, livemode, endpoint_id, id, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        tenant,
        livemode,
        endpoint.uuid(),
        secret.id,
        secret.sealed,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    remove_secrets(tx, endpoint, now).await
}
