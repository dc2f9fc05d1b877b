//! Tax rates, by region.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::ids::TaxRateId;
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A tax rate as stored.
#[derive(Debug, Clone)]
pub struct StoredTaxRate {
    /// Its id.
    pub id: TaxRateId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// On the invoice.
    pub name: String,
    /// 0 to 100.
    pub percent: Decimal,
    /// Whether prices hold the tax already; the same for all rates of a region.
    pub inclusive: bool,
    /// Lower case.
    pub region: String,
    /// For people; may be empty.
    pub description: String,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived rate is on no new invoice.
    pub archived_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    code: String,
    name: String,
    percent: Decimal,
    inclusive: bool,
    region: String,
    description: String,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for StoredTaxRate {
    fn from(row: Row) -> Self {
        Self {
            id: TaxRateId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            percent: row.percent,
            inclusive: row.inclusive,
            region: row.region,
            description: row.description,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a tax rate. Conflict: `tax_rates_code_key`.
pub async fn insert(tx: &mut TenantTx, rate: &StoredTaxRate) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- tax_rates::insert
        INSERT INTO tax_rates
            (tenant_id, livemode, id, code, name, percent, inclusive, region, description, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        tenant,
        livemode,
        rate.id.uuid(),
        rate.code,
        rate.name,
        rate.percent,
        rate.inclusive,
        rate.region,
        rate.description,
        rate.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a tax rate by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<StoredTaxRate>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- tax_rates::find
        SELECT id, code, name, percent, inclusive, region, description, created_at, updated_at, archived_at
        FROM tax_rates
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(StoredTaxRate::from))
}

/// Lists the tax rates that are not archived.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<StoredTaxRate>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- tax_rates::list
        SELECT id, code, name, percent, inclusive, region, description, created_at, updated_at, archived_at
        FROM tax_rates
        WHERE tenant_id = $1 AND livemode = $2 AND archived_at IS NULL AND ($3::uuid IS NULL OR id < $3)
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

/// Lists the tax rates of a region that are not archived, oldest first.
pub async fn list_of_region(tx: &mut TenantTx, region: &str) -> Result<Vec<StoredTaxRate>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- tax_rates::list_of_region
        SELECT id, code, name, percent, inclusive, region, description, created_at, updated_at, archived_at
        FROM tax_rates
        WHERE tenant_id = $1 AND livemode = $2 AND region = $3 AND archived_at IS NULL
        ORDER BY id",
        tenant,
        livemode,
        region,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(StoredTaxRate::from).collect())
}

/// Changes name, description and whether the rate is archived.
pub async fn update(tx: &mut TenantTx, rate: &StoredTaxRate) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- tax_rates::update
        UPDATE tax_rates SET name = $4, description = $5, archived_at = $6, updated_at = $7
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        rate.id.uuid(),
        rate.name,
        rate.description,
        rate.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        rate.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
