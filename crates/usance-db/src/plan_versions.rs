//! The immutable versions of plans, and what a version grants.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::ids::{PlanId, PlanVersionId, PriceId};
use uuid::Uuid;

use crate::{
    DbError, Page, PageRequest, TenantTx,
    prices::{self, Price},
};

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
    /// What else decides money.
    pub policies: PlanPolicies,
    /// The version that this one departs from, for one subscription.
    pub override_of: Option<PlanVersionId>,
    /// UTC.
    pub created_at: Timestamp,
}

/// The named policies of a plan version, its trial and its commitments. Words are those of the API.
#[derive(Debug, Clone)]
pub struct PlanPolicies {
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`.
    pub proration: String,
    /// `charge` or `skip`: the flat fee of the first tier at zero usage.
    pub first_tier_flat: String,
    /// `percent_before_fixed`, `as_applied` or `pro_rata_on_remaining`.
    pub coupon_order: String,
    /// `next_invoice` or `credit_note_and_reissue`.
    pub late_usage: String,
    /// `hour` or `day`, and how many of them the trial lasts.
    pub trial: Option<(String, i16)>,
    /// Charged once when the trial begins, in major units.
    pub trial_price: Option<Decimal>,
    /// `convert` or `cancel`.
    pub trial_then: String,
    /// The minimum commitment per full period, in major units.
    pub minimum: Option<Decimal>,
    /// Usage that crosses one of these, in minor units, is invoiced at once.
    pub billing_thresholds: Vec<i64>,
}

impl Default for PlanPolicies {
    fn default() -> Self {
        Self {
            proration: "day_exclusive_end".to_owned(),
            first_tier_flat: "charge".to_owned(),
            coupon_order: "percent_before_fixed".to_owned(),
            late_usage: "next_invoice".to_owned(),
            trial: None,
            trial_price: None,
            trial_then: "convert".to_owned(),
            minimum: None,
            billing_thresholds: Vec::new(),
        }
    }
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
    /// `minute`, `hour`, `day`, `month`, `period` or `never`.
    pub reset: String,
    /// `fixed` or `sliding`.
    pub time_window: String,
    /// Whether usage over the limit is refused.
    pub hard: bool,
    /// Whether it takes the place of the other one of the feature while the trial runs.
    pub in_trial: bool,
}

struct VersionRow {
    id: Uuid,
    plan_id: Uuid,
    version: i32,
    currency: String,
    interval_unit: String,
    interval_count: i16,
    alignment: String,
    override_of: Option<Uuid>,
    proration: String,
    first_tier_flat: String,
    coupon_order: String,
    late_usage: String,
    trial_unit: Option<String>,
    trial_count: Option<i16>,
    trial_price: Option<Decimal>,
    trial_then: String,
    minimum: Option<Decimal>,
    billing_thresholds: Vec<i64>,
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
            policies: PlanPolicies {
                proration: row.proration,
                first_tier_flat: row.first_tier_flat,
                coupon_order: row.coupon_order,
                late_usage: row.late_usage,
                trial: row.trial_unit.zip(row.trial_count),
                trial_price: row.trial_price,
                trial_then: row.trial_then,
                minimum: row.minimum,
                billing_thresholds: row.billing_thresholds,
            },
            override_of: row.override_of.map(PlanVersionId::from_uuid),
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds a version with its prices and entitlements; they can never be changed.
pub async fn insert_version(
    tx: &mut TenantTx,
    version: &PlanVersion,
    prices: &[Price],
    entitlements: &[Entitlement],
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let policies = &version.policies;
    sqlx::query!(
        "-- plans::insert_version
        INSERT INTO plan_versions
            (tenant_id, livemode, id, plan_id, version, currency, interval_unit, interval_count, alignment, override_of, proration,
             first_tier_flat, coupon_order, late_usage, trial_unit, trial_count, trial_price, trial_then, minimum, billing_thresholds,
             created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
        tenant,
        livemode,
        version.id.uuid(),
        version.plan_id.uuid(),
        version.version,
        version.currency,
        version.interval_unit,
        version.interval_count,
        version.alignment,
        version.override_of.map(PlanVersionId::uuid),
        policies.proration,
        policies.first_tier_flat,
        policies.coupon_order,
        policies.late_usage,
        policies.trial.as_ref().map(|trial| trial.0.as_str()),
        policies.trial.as_ref().map(|trial| trial.1),
        policies.trial_price,
        policies.trial_then,
        policies.minimum,
        &policies.billing_thresholds,
        version.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    for price in prices {
        prices::insert(tx, version.id, price).await?;
    }
    for entitlement in entitlements {
        insert_entitlement(tx, version.id, entitlement).await?;
    }
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
            (tenant_id, livemode, plan_version_id, feature_id, value, usage_limit, reset, time_window, hard, in_trial)
        SELECT $1, $2, $3, f.id, $5, $6, $7, $8, $9, $10
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
        entitlement.in_trial,
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
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, override_of, proration, first_tier_flat,
            coupon_order, late_usage, trial_unit, trial_count, trial_price, trial_then, minimum, billing_thresholds, created_at
        FROM plan_versions
        WHERE tenant_id = $1 AND livemode = $2 AND plan_id = $3 AND version = $4 AND override_of IS NULL",
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
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, override_of, proration, first_tier_flat,
            coupon_order, late_usage, trial_unit, trial_count, trial_price, trial_then, minimum, billing_thresholds, created_at
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
        SELECT id, plan_id, version, currency, interval_unit, interval_count, alignment, override_of, proration, first_tier_flat,
            coupon_order, late_usage, trial_unit, trial_count, trial_price, trial_then, minimum, billing_thresholds, created_at
        FROM plan_versions
        WHERE tenant_id = $1 AND livemode = $2 AND plan_id = $3 AND override_of IS NULL AND ($4::uuid IS NULL OR id < $4)
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

/// Lists the versions that prices belong to, each once.
pub async fn list_versions_of_prices(
    tx: &mut TenantTx,
    prices: &[PriceId],
) -> Result<Vec<PlanVersionId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- plans::list_versions_of_prices
        SELECT DISTINCT plan_version_id FROM prices
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)
        ORDER BY plan_version_id",
        tenant,
        livemode,
        &prices.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| PlanVersionId::from_uuid(row.plan_version_id)).collect())
}

/// Lists the entitlements of a version by feature, those of its trial too.
pub async fn list_entitlements(
    tx: &mut TenantTx,
    version: PlanVersionId,
) -> Result<Vec<Entitlement>, DbError> {
    let (tenant, livemode) = tx.keys();
    let entitlements = sqlx::query_as!(
        Entitlement,
        "-- plans::list_entitlements
        SELECT f.code AS feature, e.value, e.usage_limit, e.reset, e.time_window, e.hard, e.in_trial
        FROM plan_entitlements e
        JOIN features f ON f.tenant_id = e.tenant_id AND f.livemode = e.livemode AND f.id = e.feature_id
        WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.plan_version_id = $3
        ORDER BY f.code, e.in_trial",
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(entitlements)
}
