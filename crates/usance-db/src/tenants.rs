//! Tenants: the root of everything else.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::ids::TenantId;
use uuid::Uuid;

use crate::{DbError, SystemTx, TenantTx};

/// A tenant as stored.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Name of the company.
    pub company_name: String,
    /// Short name for addresses, unique over all tenants.
    pub slug: String,
    /// Lower case, unique over all tenants.
    pub email: String,
    /// The tenant's own domain, if it has one.
    pub domain: Option<String>,
    /// Whether its keys are honoured.
    pub is_active: bool,
    /// The operator's own tier for this tenant.
    pub subscription_tier: String,
    /// Share of each charge that the operator keeps, in percent.
    pub platform_fee_percentage: Decimal,
    /// The connected Stripe account.
    pub stripe_connect_account_id: Option<String>,
    /// How far the connection to Stripe is.
    pub stripe_connect_status: String,
    /// How often something was learnt of that connection.
    pub stripe_connect_revision: i64,
    /// Colours and logo.
    pub branding: Value,
    /// Address of the default endpoint of webhooks in the mode of the transaction.
    pub webhook_url: Option<String>,
    /// What invoice numbers begin with.
    pub invoice_prefix: String,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

struct Row {
    tenant_id: Uuid,
    company_name: String,
    slug: String,
    email: String,
    domain: Option<String>,
    is_active: bool,
    subscription_tier: String,
    platform_fee_percentage: Decimal,
    stripe_connect_account_id: Option<String>,
    stripe_connect_status: String,
    stripe_connect_revision: i64,
    branding: Value,
    webhook_url: Option<String>,
    invoice_prefix: String,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Tenant {
    fn from(row: Row) -> Self {
        Self {
            id: TenantId::from_uuid(row.tenant_id),
            company_name: row.company_name,
            slug: row.slug,
            email: row.email,
            domain: row.domain,
            is_active: row.is_active,
            subscription_tier: row.subscription_tier,
            platform_fee_percentage: row.platform_fee_percentage,
            stripe_connect_account_id: row.stripe_connect_account_id,
            stripe_connect_status: row.stripe_connect_status,
            stripe_connect_revision: row.stripe_connect_revision,
            branding: row.branding,
            webhook_url: row.webhook_url,
            invoice_prefix: row.invoice_prefix,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Adds a tenant without endpoints of webhooks. Conflicts: `tenants_email_key`, `tenants_slug_key`.
pub async fn insert(tx: &mut TenantTx, tenant: &Tenant) -> Result<(), DbError> {
    sqlx::query!(
        "-- tenants::insert
        INSERT INTO tenants (tenant_id, company_name, slug, email, domain, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)",
        tenant.id.uuid(),
        tenant.company_name,
        tenant.slug,
        tenant.email,
        tenant.domain,
        tenant.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the transaction's own tenant.
pub async fn find(tx: &mut TenantTx) -> Result<Option<Tenant>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- tenants::find
        SELECT t.tenant_id, company_name, slug, email, domain, is_active, subscription_tier, platform_fee_percentage,
            stripe_connect_account_id, stripe_connect_status, stripe_connect_revision, branding, e.url AS "webhook_url?", invoice_prefix, t.created_at,
            t.updated_at
        FROM tenants t
        LEFT JOIN webhook_endpoints e
            ON e.tenant_id = t.tenant_id AND e.livemode = $2 AND e.is_default AND e.deleted_at IS NULL
        WHERE t.tenant_id = $1"#,
        tenant,
        livemode,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Tenant::from))
}

/// Whether any tenant has this slug.
pub async fn slug_exists(tx: &mut SystemTx, slug: &str) -> Result<bool, DbError> {
    let found = sqlx::query!("-- tenants::slug_exists\nSELECT tenant_id FROM tenants WHERE slug = $1", slug)
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.is_some())
}

/// Finds an active tenant by its slug.
pub async fn find_id_by_slug(tx: &mut SystemTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    let row = sqlx::query!(
        "-- tenants::find_id_by_slug\nSELECT tenant_id FROM tenants WHERE slug = $1 AND is_active",
        slug
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| TenantId::from_uuid(row.tenant_id)))
}

/// Whether there is any tenant at all.
pub async fn any_exists(tx: &mut SystemTx) -> Result<bool, DbError> {
    let found = sqlx::query!("-- tenants::any_exists\nSELECT tenant_id FROM tenants LIMIT 1")
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.is_some())
}

/// Lists all tenants, in the order of their ids.
pub async fn list_ids(tx: &mut SystemTx) -> Result<Vec<TenantId>, DbError> {
    let rows = sqlx::query!("-- tenants::list_ids\nSELECT tenant_id FROM tenants ORDER BY tenant_id")
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(|row| TenantId::from_uuid(row.tenant_id)).collect())
}

/// Locks the transaction's own tenant, so that its keys are changed by one at a time. Rows that refer to it can be added.
pub async fn lock(tx: &mut TenantTx) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- tenants::lock\nSELECT tenant_id FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
        tenant
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(())
}

/// Finds the tenant that a Stripe account is connected to.
pub async fn find_id_by_stripe_account(
    tx: &mut SystemTx,
    account_id: &str,
) -> Result<Option<TenantId>, DbError> {
    let row = sqlx::query!(
        "-- tenants::find_id_by_stripe_account\nSELECT tenant_id FROM tenants WHERE stripe_connect_account_id = $1",
        account_id
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| TenantId::from_uuid(row.tenant_id)))
}

/// Counts that something was learnt of the connection of the transaction's own tenant to Stripe, which did not change it.
pub async fn count_stripe_answer(tx: &mut TenantTx) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- tenants::count_stripe_answer
        UPDATE tenants SET stripe_connect_revision = stripe_connect_revision + 1 WHERE tenant_id = $1",
        tenant,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Sets the connected Stripe account of the transaction's own tenant, or none, and how far the connection is, and counts that.
/// Conflict:
/// `tenants_stripe_connect_account_id_key`.
pub async fn set_stripe_account(
    tx: &mut TenantTx,
    account_id: Option<&str>,
    status: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- tenants::set_stripe_account
        UPDATE tenants SET stripe_connect_account_id = $2, stripe_connect_status = $3,
            stripe_connect_revision = stripe_connect_revision + 1, updated_at = $4
        WHERE tenant_id = $1",
        tenant,
        account_id,
        status,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
