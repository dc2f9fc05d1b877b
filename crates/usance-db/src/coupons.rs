//! Coupons: what may be taken off, and how often.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::ids::{CouponId, PlanId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A coupon as stored. Either `percent` is there, or `amount_minor` with `currency`.
#[derive(Debug, Clone)]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// Above 0, at most 100.
    pub percent: Option<Decimal>,
    /// In minor units of `currency`, above 0.
    pub amount_minor: Option<i64>,
    /// ISO 4217, of a fixed amount.
    pub currency: Option<String>,
    /// `once`, `repeating` or `forever`.
    pub duration: String,
    /// Billing periods of a repeating coupon.
    pub duration_periods: Option<i32>,
    /// How often it may be redeemed in all; without limit if absent.
    pub max_redemptions: Option<i32>,
    /// How often it was redeemed.
    pub times_redeemed: i32,
    /// From this instant of the tenant's time on it cannot be redeemed.
    pub redeem_by: Option<Timestamp>,
    /// Codes of the plans that it is limited to, ascending; none for all plans.
    pub plans: Vec<String>,
    /// The tenant's own data: an object of texts.
    pub metadata: Value,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived coupon cannot be redeemed, and discounts go on.
    pub archived_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    code: String,
    name: String,
    percent: Option<Decimal>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    duration: String,
    duration_periods: Option<i32>,
    max_redemptions: Option<i32>,
    times_redeemed: i32,
    redeem_by: Option<jiff_sqlx::Timestamp>,
    plans: Vec<String>,
    metadata: Value,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Coupon {
    fn from(row: Row) -> Self {
        Self {
            id: CouponId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            percent: row.percent,
            amount_minor: row.amount_minor,
            currency: row.currency,
            duration: row.duration,
            duration_periods: row.duration_periods,
            max_redemptions: row.max_redemptions,
            times_redeemed: row.times_redeemed,
            redeem_by: row.redeem_by.map(jiff_sqlx::Timestamp::to_jiff),
            plans: row.plans,
            metadata: row.metadata,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a coupon, limited to the given plans if there are any. Conflict: `coupons_code_key`.
pub async fn insert(tx: &mut TenantTx, coupon: &Coupon, plans: &[PlanId]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- coupons::insert
        INSERT INTO coupons
            (tenant_id, livemode, id, code, name, percent, amount_minor, currency, duration, duration_periods,
             max_redemptions, redeem_by, metadata, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
        tenant,
        livemode,
        coupon.id.uuid(),
        coupon.code,
        coupon.name,
        coupon.percent,
        coupon.amount_minor,
        coupon.currency,
        coupon.duration,
        coupon.duration_periods,
        coupon.max_redemptions,
        coupon.redeem_by.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        coupon.metadata,
        coupon.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    let plans: Vec<Uuid> = plans.iter().map(|plan| plan.uuid()).collect();
    sqlx::query!(
        "-- coupons::insert_plans
        INSERT INTO coupon_plans (tenant_id, livemode, coupon_id, plan_id)
        SELECT $1, $2, $3, plan_id FROM unnest($4::uuid[]) AS plan_id",
        tenant,
        livemode,
        coupon.id.uuid(),
        &plans,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a coupon by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<Coupon>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- coupons::find
        SELECT id, code, name, percent, amount_minor, currency, duration, duration_periods, max_redemptions, times_redeemed,
            redeem_by, metadata, created_at, updated_at, archived_at,
            ARRAY(
                SELECT p.code FROM coupon_plans cp
                JOIN plans p ON p.tenant_id = cp.tenant_id AND p.livemode = cp.livemode AND p.id = cp.plan_id
                WHERE cp.tenant_id = $1 AND cp.livemode = $2 AND cp.coupon_id = coupons.id
                ORDER BY p.code
            ) AS "plans!"
        FROM coupons
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3"#,
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Coupon::from))
}

/// Finds a coupon by its code, and keeps others from redeeming or changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, code: &str) -> Result<Option<Coupon>, DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- coupons::lock
        SELECT id FROM coupons WHERE tenant_id = $1 AND livemode = $2 AND code = $3 FOR NO KEY UPDATE",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    find(tx, code).await
}

/// Lists the coupons that are not archived.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Coupon>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- coupons::list
        SELECT id, code, name, percent, amount_minor, currency, duration, duration_periods, max_redemptions, times_redeemed,
            redeem_by, metadata, created_at, updated_at, archived_at,
            ARRAY(
                SELECT p.code FROM coupon_plans cp
                JOIN plans p ON p.tenant_id = cp.tenant_id AND p.livemode = cp.livemode AND p.id = cp.plan_id
                WHERE cp.tenant_id = $1 AND cp.livemode = $2 AND cp.coupon_id = coupons.id
                ORDER BY p.code
            ) AS "plans!"
        FROM coupons
        WHERE tenant_id = $1 AND livemode = $2 AND archived_at IS NULL AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $4"#,
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Changes name, limits, metadata and whether the coupon is archived.
pub async fn update(tx: &mut TenantTx, coupon: &Coupon) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- coupons::update
        UPDATE coupons
        SET name = $4, max_redemptions = $5, redeem_by = $6, metadata = $7, archived_at = $8, updated_at = $9
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        coupon.id.uuid(),
        coupon.name,
        coupon.max_redemptions,
        coupon.redeem_by.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        coupon.metadata,
        coupon.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        coupon.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Counts a redemption of a coupon that is locked.
pub async fn count_redemption(tx: &mut TenantTx, id: CouponId) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- coupons::count_redemption
        UPDATE coupons SET times_redeemed = times_redeemed + 1
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
