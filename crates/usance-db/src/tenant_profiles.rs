//! What a tenant says of itself on invoices, and its billing policies: one profile for both modes.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// The profile of a tenant, with the defaults where nothing is stored.
#[derive(Debug, Clone)]
pub struct TenantProfile {
    /// The seller's name on invoices; the company's name by default.
    pub legal_name: String,
    /// Postal address: an object of texts.
    pub address: Value,
    /// The seller's e-mail address on invoices; the tenant's own by default.
    pub email: String,
    /// `[{"type", "value"}]`, such as `eu_vat` and `DE123456789`.
    pub tax_ids: Value,
    /// Days from the finalization of an invoice to its due date.
    pub payment_terms_days: i16,
    /// What invoice numbers begin with, before the hyphen.
    pub invoice_number_prefix: String,
    /// Printed beside the total; may be empty.
    pub invoice_terms: String,
    /// Printed at the foot of each page; may be empty.
    pub invoice_footer: String,
    /// `#` and six hexadecimal digits.
    pub brand_color: Option<String>,
    /// The tenant's own domain.
    pub domain: Option<String>,
    /// `image/png` or `image/jpeg`; [`find_logo`] has the image.
    pub logo_media_type: Option<String>,
    /// Hours that an invoice stays a draft after its period.
    pub grace_period_hours: i16,
    /// The word of what happens to usage that comes after its invoice was finalized.
    pub late_usage: String,
    /// The word of the order in which several coupons are taken off.
    pub coupon_order: String,
    /// Days after the first failed payment on which it is tried again, ascending.
    pub dunning_retry_days: Vec<i16>,
    /// The word of what happens after the last failed payment.
    pub dunning_final_action: String,
    /// Whether members must have a second factor.
    pub require_second_factor: bool,
    /// UTC; when the profile or the tenant last changed.
    pub updated_at: Timestamp,
}

/// An image as stored.
#[derive(Debug, Clone)]
pub struct Logo {
    /// `image/png` or `image/jpeg`.
    pub media_type: String,
    /// The file.
    pub bytes: Vec<u8>,
}

struct Row {
    legal_name: String,
    address: Value,
    email: String,
    tax_ids: Value,
    payment_terms_days: i16,
    invoice_number_prefix: String,
    invoice_terms: String,
    invoice_footer: String,
    brand_color: Option<String>,
    domain: Option<String>,
    logo_media_type: Option<String>,
    grace_period_hours: i16,
    late_usage: String,
    coupon_order: String,
    dunning_retry_days: Vec<i16>,
    dunning_final_action: String,
    require_second_factor: bool,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for TenantProfile {
    fn from(row: Row) -> Self {
        Self {
            legal_name: row.legal_name,
            address: row.address,
            email: row.email,
            tax_ids: row.tax_ids,
            payment_terms_days: row.payment_terms_days,
            invoice_number_prefix: row.invoice_number_prefix,
            invoice_terms: row.invoice_terms,
            invoice_footer: row.invoice_footer,
            brand_color: row.brand_color,
            domain: row.domain,
            logo_media_type: row.logo_media_type,
            grace_period_hours: row.grace_period_hours,
            late_usage: row.late_usage,
            coupon_order: row.coupon_order,
            dunning_retry_days: row.dunning_retry_days,
            dunning_final_action: row.dunning_final_action,
            require_second_factor: row.require_second_factor,
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Reads the profile of the transaction's own tenant.
pub async fn get(tx: &mut TenantTx) -> Result<TenantProfile, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- tenant_profiles::get
        SELECT coalesce(p.legal_name, t.company_name) AS "legal_name!",
            coalesce(p.address, '{}') AS "address!",
            coalesce(p.email, t.email) AS "email!",
            coalesce(p.tax_ids, '[]') AS "tax_ids!",
            coalesce(p.payment_terms_days, 30::smallint) AS "payment_terms_days!",
            t.invoice_prefix AS invoice_number_prefix,
            coalesce(p.invoice_terms, '') AS "invoice_terms!",
            coalesce(p.invoice_footer, '') AS "invoice_footer!",
            t.branding ->> 'color' AS brand_color,
            t.domain,
            l.media_type AS "logo_media_type?",
            coalesce(p.grace_period_hours, 0::smallint) AS "grace_period_hours!",
            coalesce(p.late_usage, 'next_invoice') AS "late_usage!",
            coalesce(p.coupon_order, 'percent_before_fixed') AS "coupon_order!",
            coalesce(p.dunning_retry_days, '{1,3,5,7}') AS "dunning_retry_days!",
            coalesce(p.dunning_final_action, 'cancel') AS "dunning_final_action!",
            t.require_second_factor,
            greatest(p.updated_at, t.updated_at) AS "updated_at!: jiff_sqlx::Timestamp"
        FROM tenants t
        LEFT JOIN tenant_profiles p ON p.tenant_id = t.tenant_id
        LEFT JOIN tenant_logos l ON l.tenant_id = t.tenant_id
        WHERE t.tenant_id = $1"#,
        tenant,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Reads the profile and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx) -> Result<TenantProfile, DbError> {
    let (tenant, _) = tx.keys();
    // In a statement of its own: one that waits for a lock would still read the other tables as they were before.
    sqlx::query!(
        "-- tenant_profiles::lock\nSELECT tenant_id FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
        tenant
    )
    .fetch_one(tx.connection())
    .await?;
    get(tx).await
}

/// Writes the whole profile except the logo.
pub async fn store(tx: &mut TenantTx, profile: &TenantProfile) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    store_terms(tx, tenant, profile).await?;
    sqlx::query!(
        "-- tenant_profiles::store
        UPDATE tenants SET invoice_prefix = $2, domain = $3, updated_at = $5, require_second_factor = $6,
            branding = branding - 'color' || jsonb_strip_nulls(jsonb_build_object('color', $4::text))
        WHERE tenant_id = $1",
        tenant,
        profile.invoice_number_prefix,
        profile.domain,
        profile.brand_color,
        profile.updated_at.to_sqlx(),
        profile.require_second_factor,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn store_terms(tx: &mut TenantTx, tenant: Uuid, profile: &TenantProfile) -> Result<(), DbError> {
    sqlx::query!(
        "-- tenant_profiles::store_terms
        INSERT INTO tenant_profiles
            (tenant_id, legal_name, address, email, tax_ids, payment_terms_days, invoice_terms, invoice_footer,
             grace_period_hours, late_usage, coupon_order, dunning_retry_days, dunning_final_action, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (tenant_id) DO UPDATE SET
            legal_name = excluded.legal_name, address = excluded.address, email = excluded.email,
            tax_ids = excluded.tax_ids, payment_terms_days = excluded.payment_terms_days,
            invoice_terms = excluded.invoice_terms, invoice_footer = excluded.invoice_footer,
            grace_period_hours = excluded.grace_period_hours, late_usage = excluded.late_usage,
            coupon_order = excluded.coupon_order, dunning_retry_days = excluded.dunning_retry_days,
            dunning_final_action = excluded.dunning_final_action, updated_at = excluded.updated_at",
        tenant,
        profile.legal_name,
        profile.address,
        profile.email,
        profile.tax_ids,
        profile.payment_terms_days,
        profile.invoice_terms,
        profile.invoice_footer,
        profile.grace_period_hours,
        profile.late_usage,
        profile.coupon_order,
        &profile.dunning_retry_days,
        profile.dunning_final_action,
        profile.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the logo of the transaction's own tenant.
pub async fn find_logo(tx: &mut TenantTx) -> Result<Option<Logo>, DbError> {
    let (tenant, _) = tx.keys();
    let logo = sqlx::query_as!(
        Logo,
        "-- tenant_profiles::find_logo\nSELECT media_type, bytes FROM tenant_logos WHERE tenant_id = $1",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(logo)
}

/// Sets the logo, in place of the one before.
pub async fn store_logo(tx: &mut TenantTx, logo: &Logo, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- tenant_profiles::store_logo
        INSERT INTO tenant_logos (tenant_id, media_type, bytes, updated_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id) DO UPDATE
        SET media_type = excluded.media_type, bytes = excluded.bytes, updated_at = excluded.updated_at",
        tenant,
        logo.media_type,
        logo.bytes,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes the logo, if there is one.
pub async fn remove_logo(tx: &mut TenantTx) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!("-- tenant_profiles::remove_logo\nDELETE FROM tenant_logos WHERE tenant_id = $1", tenant)
        .execute(tx.connection())
        .await?;
    Ok(())
}
