//! Plans, their immutable versions, and the prices and entitlements of a version.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::ids::{MeterId, PlanId, PlanVersionId, PriceId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A plan: what all its versions share.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Groups plans that differ only by interval or currency.
    pub family: Option<String>,
    /// The newest version; new subscriptions take it.
    pub version: i32,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived plan takes no new subscriptions.
    pub archived_at: Option<Timestamp>,
}

/// One version of a plan: everything that decides money.
#[derive(Debug, Clone)]
pub struct PlanVersion {
    /// Its id.
    pub id: PlanVersionId,
    /// The plan.
    pub plan_id: PlanId,
    /// Counts from 1.
    pub version: i32,
    /// ISO 4217.
    pub currency: String,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub interval_unit: String,
    /// How many units make a billing period.
    pub interval_count: i16,
    /// `calendar` or `anniversary`.
    pub alignment: String,
    /// UTC.
    pub created_at: Timestamp,
}

/// A price of a plan version.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// Order on the invoice, from 0.
    pub position: i16,
    /// Unique in the version.
    pub code: String,
    /// For people; the invoice line carries it.
    pub name: String,
    /// The meter that gives the quantity; absent for a fixed fee.
    pub meter_id: Option<MeterId>,
    /// The meter's code.
    pub meter_code: Option<String>,
    /// Which charge model.
    pub charge_model: String,
    /// The model's parameters; money as decimal strings in major units.
    pub parameters: Value,
    /// `advance` or `arrears`.
    pub pay: String,
}

/// An entitlement of a plan version.
#[derive(Debug, Clone)]
pub struct Entitlement {
    /// The feature's code.
    pub feature: String,
    /// Of a static entitlement.
    pub value: Option<String>,
    /// Of a metered entitlement.
    pub usage_limit: Option<Decimal>,
    /// `hour`, `day`, `month`, `period` or `never`.
    pub reset: String,
    /// `fixed` or `sliding`.
    pub time_window: String,
    /// Whether usage over the limit is refused.
    pub hard: bool,
}

struct PlanRow {
    id: Uuid,
    code: String,
    name: String,
    description: String,
    family: Option<String>,
    version: i32,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl From<PlanRow> for Plan {
    fn from(row: PlanRow) -> Self {
        Self {
            id: PlanId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            description: row.description,
            family: row.family,
            version: row.version,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

struct VersionRow {
    id: Uuid,
    plan_id: Uuid,
    version: i32,
    currency: String,
    interval_unit: String,
    interval_count: i16,
    alignment: String,
    created_at: jiff_sqlx::Timestamp,
}

impl From<VersionRow> for PlanVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            id: PlanVersionId::from_uuid(row.id),
            plan_id: PlanId::from_uuid(row.plan_id),
            version: row.version,
            currency: row.currency,
            interval_unit: row.interval_unit,
            interval_count: row.interval_count,
            alignment: row.alignment,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds a plan. Conflict: `plans_code_key`.
pub async fn insert(tx: &mut TenantTx, plan: &Plan) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::insert
        INSERT INTO plans (tenant_id, livemode, id, code, name, description, family, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        tenant,
        livemode,
        plan.id.uuid(),
        plan.code,
        plan.name,
        plan.description,
        plan.family,
        plan.version,
        plan.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes name, description, family, the newest version and whether the plan is archived.
pub async fn update(tx: &mut TenantTx, plan: &Plan) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::update
        UPDATE plans SET name = $4, description = $5, family = $6, version = $7, archived_at = $8, updated_at = $9
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        plan.id.uuid(),
        plan.name,
        plan.description,
        plan.family,
        plan.version,
        plan.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        plan.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a plan by its code and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, code: &str) -> Result<Option<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::lock
        SELECT id, code, name, description, family, version, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3
        FOR UPDATE",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Plan::from))
}

/// Finds a plan by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::find
        SELECT id, code, name, description, family, version, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Plan::from))
}

/// Finds the plan of a version.
pub async fn get_of_version(tx: &mut TenantTx, version: PlanVersionId) -> Result<Plan, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::get_of_version
        SELECT p.id, p.code, p.name, p.description, p.family, p.version, p.created_at, p.updated_at, p.archived_at
        FROM plan_versions v
        JOIN plans p ON p.tenant_id = v.tenant_id AND p.livemode = v.livemode AND p.id = v.plan_id
        WHERE v.tenant_id = $1 AND v.livemode = $2 AND v.id = $3",
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Lists the plans that are not archived.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        PlanRow,
        "-- plans::list
        SELECT id, code, name, description, family, version, created_at, updated_at, archived_at
        FROM plans
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

/// Adds a version with its prices and entitlements; they can never be changed.
pub async fn insert_version(
    tx: &mut TenantTx,
    version: &PlanVersion,
    prices: &[Price],
    entitlements: &[Entitlement],
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::insert_version
        INSERT INTO plan_versions
            (tenant_id, livemode, id, plan_id, version, currency, interval_unit, interval_count, alignment, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant,
        livemode,
        version.id.uuid(),
        version.plan_id.uuid(),
        version.version,
        version.currency,
        version.interval_unit,
        version.interval_count,
        version.alignment,
        version.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    for price in prices {
        insert_price(tx, version.id, price).await?;
    }
    for entitlement in entitlements {
        insert_entitlement(tx, version.id, entitlement).await?;
    }
    Ok(())
}

async fn insert_price(tx: &mut TenantTx, version: PlanVersionId, price: &Price) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::insert_price
        INSERT INTO prices (tenant_id, livemode, id, plan_version_id, position, code, name, meter_id, charge_model, parameters, pay)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant,
        livemode,
        price.id.uuid(),
        version.uuid(),
        price.position,
        price.code,
        price.name,
        price.meter_id.map(MeterId::uuid),
        price.charge_model,
        price.parameters,
        price.pay,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn insert_entitlement(
    tx: &mut TenantTx,
    version: PlanVersionId,
    entitlement: &Entitlement,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::insert_entitlement
        INSERT INTO plan_entitlements
            (tenant_id, livemode, plan_version_id, feature_id, value, usage_limit, reset, time_window, hard)
        SELECT $1, $2, $3, f.id, $5, $6, $7, $8, $9
        FROM features f
        WHERE f.tenant_id = $1 AND f.livemode = $2 AND f.code = $4",
        tenant,
        livemode,
        version.uuid(),
        entitlement.feature,
        entitlement.value,
        entitlement.usage_limit,
        entitlement.reset,
        entitlement.time_window,
        entitlement.hard,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a version of a plan by its number.
pub async fn find_version(
    tx: &mut TenantTx,
    plan: PlanId,
    version: i32,
) -> Result<Option<PlanVersion>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        VersionRow,
        "-- plans::find_version
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, created_at
        FROM plan_versions
        WHERE tenant_id = $1 AND livemode = $2 AND plan_id = $3 AND version = $4",
        tenant,
        livemode,
        plan.uuid(),
        version,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(PlanVersion::from))
}

/// Finds the version that a subscription names.
pub async fn get_version(tx: &mut TenantTx, id: PlanVersionId) -> Result<PlanVersion, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        VersionRow,
        "-- plans::get_version
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, created_at
        FROM plan_versions
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Lists the versions of a plan.
pub async fn list_versions(
    tx: &mut TenantTx,
    plan: PlanId,
    page: PageRequest,
) -> Result<Page<PlanVersion>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        VersionRow,
        "-- plans::list_versions
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, created_at
        FROM plan_versions
        WHERE tenant_id = $1 AND livemode = $2 AND plan_id = $3 AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        plan.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Lists the prices of a version in their order.
pub async fn list_prices(tx: &mut TenantTx, version: PlanVersionId) -> Result<Vec<Price>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- plans::list_prices
        SELECT p.id, p.position, p.code, p.name, p.meter_id, m.code AS "meter_code?", p.charge_model, p.parameters, p.pay
        FROM prices p
        LEFT JOIN meters m ON m.tenant_id = p.tenant_id AND m.livemode = p.livemode AND m.id = p.meter_id
        WHERE p.tenant_id = $1 AND p.livemode = $2 AND p.plan_version_id = $3
        ORDER BY p.position"#,
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let price = rows.into_iter().map(|row| Price {
        id: PriceId::from_uuid(row.id),
        position: row.position,
        code: row.code,
        name: row.name,
        meter_id: row.meter_id.map(MeterId::from_uuid),
        meter_code: row.meter_code,
        charge_model: row.charge_model,
        parameters: row.parameters,
        pay: row.pay,
    });
    Ok(price.collect())
}

/// Lists the entitlements of a version by feature.
pub async fn list_entitlements(
    tx: &mut TenantTx,
    version: PlanVersionId,
) -> Result<Vec<Entitlement>, DbError> {
    let (tenant, livemode) = tx.keys();
    let entitlements = sqlx::query_as!(
        Entitlement,
        "-- plans::list_entitlements
        SELECT f.code AS feature, e.value, e.usage_limit, e.reset, e.time_window, e.hard
        FROM plan_entitlements e
        JOIN features f ON f.tenant_id = e.tenant_id AND f.livemode = e.livemode AND f.id = e.feature_id
        WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.plan_version_id = $3
        ORDER BY f.code",
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(entitlements)
}
