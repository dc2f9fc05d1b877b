//! Discounts: coupons that a customer has redeemed, and what is left of them.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::ids::{CouponId, CustomerId, DiscountId, InvoiceId, SubscriptionId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A discount as stored, with what its coupon takes off.
#[derive(Debug, Clone)]
pub struct Discount {
    /// Its id.
    pub id: DiscountId,
    /// Who redeemed.
    pub customer_id: CustomerId,
    /// The one subscription that it is for; all of the customer's if absent.
    pub subscription_id: Option<SubscriptionId>,
    /// What was redeemed.
    pub coupon_id: CouponId,
    /// The coupon's code.
    pub coupon_code: String,
    /// The coupon's name.
    pub coupon_name: String,
    /// The coupon's percentage, above 0 and at most 100; a fixed amount if absent.
    pub percent: Option<Decimal>,
    /// The coupon's fixed amount, in minor units of `currency`.
    pub amount_minor: Option<i64>,
    /// The coupon's currency, which is the customer's; absent of a percentage.
    pub currency: Option<String>,
    /// The coupon's `once`, `repeating` or `forever`.
    pub duration: String,
    /// The order in which the customer redeemed, ascending.
    pub position: i32,
    /// Billing periods that it is still good for: 1 of `once` at first; for ever if absent.
    pub periods_left: Option<i32>,
    /// What is left of a fixed amount that is taken off once; absent of every other coupon.
    pub fixed_left_minor: Option<i64>,
    /// Tenant time.
    pub created_at: Timestamp,
    /// Tenant time; used up or removed.
    pub ended_at: Option<Timestamp>,
}

/// A coupon that is being redeemed.
#[derive(Debug, Clone)]
pub struct NewDiscount {
    /// Its id.
    pub id: DiscountId,
    /// Who redeems.
    pub customer_id: CustomerId,
    /// The one subscription that it is for; all of the customer's if absent.
    pub subscription_id: Option<SubscriptionId>,
    /// What is redeemed.
    pub coupon_id: CouponId,
    /// Billing periods that it is good for; for ever if absent.
    pub periods_left: Option<i32>,
    /// A fixed amount that is taken off once.
    pub fixed_left_minor: Option<i64>,
    /// Tenant time.
    pub created_at: Timestamp,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    subscription_id: Option<Uuid>,
    coupon_id: Uuid,
    coupon_code: String,
    coupon_name: String,
    percent: Option<Decimal>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    duration: String,
    position: i32,
    periods_left: Option<i32>,
    fixed_left_minor: Option<i64>,
    created_at: jiff_sqlx::Timestamp,
    ended_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Discount {
    fn from(row: Row) -> Self {
        Self {
            id: DiscountId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            subscription_id: row.subscription_id.map(SubscriptionId::from_uuid),
            coupon_id: CouponId::from_uuid(row.coupon_id),
            coupon_code: row.coupon_code,
            coupon_name: row.coupon_name,
            percent: row.percent,
            amount_minor: row.amount_minor,
            currency: row.currency,
            duration: row.duration,
            position: row.position,
            periods_left: row.periods_left,
            fixed_left_minor: row.fixed_left_minor,
            created_at: row.created_at.to_jiff(),
            ended_at: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a discount after the customer's others. The customer must be locked, because of their order.
pub async fn apply(tx: &mut TenantTx, discount: &NewDiscount) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- discounts::apply
        INSERT INTO discounts
            (tenant_id, livemode, id, customer_id, subscription_id, coupon_id, periods_left, fixed_left_minor, created_at, position)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce(max(position), 0) + 1
        FROM discounts
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $4",
        tenant,
        livemode,
        discount.id.uuid(),
        discount.customer_id.uuid(),
        discount.subscription_id.map(SubscriptionId::uuid),
        discount.coupon_id.uuid(),
        discount.periods_left,
        discount.fixed_left_minor,
        discount.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a discount, ended or not.
pub async fn find(tx: &mut TenantTx, id: DiscountId) -> Result<Option<Discount>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- discounts::find
        SELECT d.id, d.customer_id, d.subscription_id, d.coupon_id, c.code AS coupon_code, c.name AS coupon_name, c.percent,
            c.amount_minor, c.currency, c.duration, d.position, d.periods_left, d.fixed_left_minor, d.created_at, d.ended_at
        FROM discounts d
        JOIN coupons c ON c.tenant_id = d.tenant_id AND c.livemode = d.livemode AND c.id = d.coupon_id
        WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Discount::from))
}

/// Lists a customer's discounts, ended or not.
pub async fn list(
    tx: &mut TenantTx,
    customer: CustomerId,
    page: PageRequest,
) -> Result<Page<Discount>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- discounts::list
        SELECT d.id, d.customer_id, d.subscription_id, d.coupon_id, c.code AS coupon_code, c.name AS coupon_name, c.percent,
            c.amount_minor, c.currency, c.duration, d.position, d.periods_left, d.fixed_left_minor, d.created_at, d.ended_at
        FROM discounts d
        JOIN coupons c ON c.tenant_id = d.tenant_id AND c.livemode = d.livemode AND c.id = d.coupon_id
        WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.customer_id = $3 AND ($4::uuid IS NULL OR d.id < $4)
        ORDER BY d.id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Lists what may be taken off an invoice of the subscription, in the order of redeeming, and keeps others from using
/// it until the transaction ends: the discounts of the subscription and those of the customer whose coupon takes its plan.
pub async fn list_active(
    tx: &mut TenantTx,
    customer: CustomerId,
    subscription: SubscriptionId,
) -> Result<Vec<Discount>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- discounts::list_active
        SELECT d.id, d.customer_id, d.subscription_id, d.coupon_id, c.code AS coupon_code, c.name AS coupon_name, c.percent,
            c.amount_minor, c.currency, c.duration, d.position, d.periods_left, d.fixed_left_minor, d.created_at, d.ended_at
        FROM discounts d
        JOIN coupons c ON c.tenant_id = d.tenant_id AND c.livemode = d.livemode AND c.id = d.coupon_id
        WHERE d.tenant_id = $1 AND d.livemode = $2 AND d.customer_id = $3 AND d.ended_at IS NULL
            AND (d.subscription_id IS NULL OR d.subscription_id = $4)
            AND (
                NOT EXISTS (
                    SELECT FROM coupon_plans cp
                    WHERE cp.tenant_id = $1 AND cp.livemode = $2 AND cp.coupon_id = d.coupon_id
                )
                OR EXISTS (
                    SELECT FROM coupon_plans cp
                    JOIN plan_versions v ON v.tenant_id = cp.tenant_id AND v.livemode = cp.livemode AND v.plan_id = cp.plan_id
                    JOIN subscription_items i
                        ON i.tenant_id = v.tenant_id AND i.livemode = v.livemode AND i.plan_version_id = v.id
                    WHERE cp.tenant_id = $1 AND cp.livemode = $2 AND cp.coupon_id = d.coupon_id AND i.subscription_id = $4
                )
            )
        ORDER BY d.position
        FOR UPDATE OF d",
        tenant,
        livemode,
        customer.uuid(),
        subscription.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Discount::from).collect())
}

/// Whether the customer has a discount of this coupon that has not ended, for the same subscription or for all.
pub async fn is_applied(
    tx: &mut TenantTx,
    coupon: CouponId,
    customer: CustomerId,
    subscription: Option<SubscriptionId>,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- discounts::is_applied
        SELECT id FROM discounts
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND coupon_id = $4 AND ended_at IS NULL
            AND subscription_id IS NOT DISTINCT FROM $5
        LIMIT 1",
        tenant,
        livemode,
        customer.uuid(),
        coupon.uuid(),
        subscription.map(SubscriptionId::uuid),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Finds which of the customers have a discount that has not ended.
pub async fn list_owners(tx: &mut TenantTx, customers: &[CustomerId]) -> Result<Vec<CustomerId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- discounts::list_owners
        SELECT DISTINCT customer_id FROM discounts
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = ANY($3) AND ended_at IS NULL",
        tenant,
        livemode,
        &customers.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| CustomerId::from_uuid(row.customer_id)).collect())
}

/// What an invoice took of a discount.
#[derive(Debug, Clone, Copy)]
pub struct DiscountUse {
    /// The discount.
    pub discount: DiscountId,
    /// What was taken off, in minor units.
    pub amount_minor: i64,
    /// Billing periods that were used: 0 or 1.
    pub periods: i32,
    /// What was used of a fixed amount that is taken off once.
    pub fixed_minor: i64,
}

/// Notes what an invoice took of its discounts.
pub async fn insert_uses(tx: &mut TenantTx, invoice: InvoiceId, uses: &[DiscountUse]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- discounts::insert_uses
        INSERT INTO discount_uses (tenant_id, livemode, invoice_id, discount_id, amount_minor, periods, fixed_minor)
        SELECT $1, $2, $3, t.* FROM unnest($4::uuid[], $5::bigint[], $6::integer[], $7::bigint[]) AS t",
        tenant,
        livemode,
        invoice.uuid(),
        &uses.iter().map(|it| it.discount.uuid()).collect::<Vec<_>>(),
        &uses.iter().map(|it| it.amount_minor).collect::<Vec<_>>(),
        &uses.iter().map(|it| it.periods).collect::<Vec<_>>(),
        &uses.iter().map(|it| it.fixed_minor).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes back the notes of what an invoice took, and returns them.
pub async fn take_uses(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Vec<DiscountUse>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- discounts::take_uses
        DELETE FROM discount_uses WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = $3
        RETURNING discount_id, amount_minor, periods, fixed_minor",
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let of_row = rows.into_iter().map(|row| DiscountUse {
        discount: DiscountId::from_uuid(row.discount_id),
        amount_minor: row.amount_minor,
        periods: row.periods,
        fixed_minor: row.fixed_minor,
    });
    Ok(of_row.collect())
}

/// Whether a discount that an invoice took of was removed since, so that nothing can be taken of it again.
pub async fn any_removed(tx: &mut TenantTx, invoice: InvoiceId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- discounts::any_removed
        SELECT EXISTS (
            SELECT FROM discount_uses u
            JOIN discounts d ON d.tenant_id = u.tenant_id AND d.livemode = u.livemode AND d.id = u.discount_id
            WHERE u.tenant_id = $1 AND u.livemode = $2 AND u.invoice_id = $3 AND d.ended_at IS NOT NULL
                AND (d.periods_left = 0 OR d.fixed_left_minor = 0) IS NOT TRUE
        ) AS "any!""#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.any)
}

/// Stores what is left after an invoice. What is used up has 0 left, and `ended_at` is the invoice's time.
pub async fn record_use(
    tx: &mut TenantTx,
    id: DiscountId,
    periods_left: Option<i32>,
    fixed_left_minor: Option<i64>,
    ended_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- discounts::record_use
        UPDATE discounts SET periods_left = $4, fixed_left_minor = $5, ended_at = $6
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        periods_left,
        fixed_left_minor,
        ended_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives back what an invoice took that is void now: billing periods, and minor units of a fixed amount taken off once.
///
/// A discount that was used up is good again; one that was removed stays removed.
pub async fn restore(
    tx: &mut TenantTx,
    id: DiscountId,
    periods: i32,
    fixed_minor: i64,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- discounts::restore
        UPDATE discounts
        SET periods_left = periods_left + $4, fixed_left_minor = fixed_left_minor + $5,
            ended_at = CASE WHEN periods_left = 0 OR fixed_left_minor = 0 THEN NULL ELSE ended_at END
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        periods,
        fixed_minor,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a customer's discount; false if it is not there or has ended.
pub async fn end(
    tx: &mut TenantTx,
    customer: CustomerId,
    id: DiscountId,
    at: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let result = sqlx::query!(
        "-- discounts::end
        UPDATE discounts SET ended_at = $5
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND customer_id = $4 AND ended_at IS NULL",
        tenant,
        livemode,
        id.uuid(),
        customer.uuid(),
        at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}
