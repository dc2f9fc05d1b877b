//! Subscriptions.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{
    ids::{CustomerId, PlanVersionId, SubscriptionId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A subscription as stored.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// What is bought.
    pub plan_version_id: PlanVersionId,
    /// The word of the state.
    pub status: String,
    /// Seats; 1 unless said otherwise.
    pub quantity: i32,
    /// UTC.
    pub start_at: Timestamp,
    /// The open period; earlier ones are invoiced.
    pub period: Period,
    /// UTC; usage from here on is not the subscription's.
    pub ended_at: Option<Timestamp>,
    /// UTC.
    pub created_at: Timestamp,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    plan_version_id: Uuid,
    status: String,
    quantity: i32,
    start_at: jiff_sqlx::Timestamp,
    period_start: jiff_sqlx::Timestamp,
    period_end: jiff_sqlx::Timestamp,
    ended_at: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Subscription {
    fn from(row: Row) -> Self {
        Self {
            id: SubscriptionId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            plan_version_id: PlanVersionId::from_uuid(row.plan_version_id),
            status: row.status,
            quantity: row.quantity,
            start_at: row.start_at.to_jiff(),
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            ended_at: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds a subscription.
pub async fn insert(tx: &mut TenantTx, subscription: &Subscription) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- subscriptions::insert
        INSERT INTO subscriptions
            (tenant_id, livemode, id, customer_id, plan_version_id, status, quantity, start_at, period_start, period_end,
             created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        tenant,
        livemode,
        subscription.id.uuid(),
        subscription.customer_id.uuid(),
        subscription.plan_version_id.uuid(),
        subscription.status,
        subscription.quantity,
        subscription.start_at.to_sqlx(),
        subscription.period.start.to_sqlx(),
        subscription.period.end.to_sqlx(),
        subscription.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a subscription.
pub async fn find(tx: &mut TenantTx, id: SubscriptionId) -> Result<Option<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- subscriptions::find
        SELECT id, customer_id, plan_version_id, status, quantity, start_at, period_start, period_end, ended_at, created_at
        FROM subscriptions
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Subscription::from))
}

/// Finds a subscription and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: SubscriptionId) -> Result<Option<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- subscriptions::lock
        SELECT id, customer_id, plan_version_id, status, quantity, start_at, period_start, period_end, ended_at, created_at
        FROM subscriptions
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Subscription::from))
}

/// Lists subscriptions, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<CustomerId>,
    page: PageRequest,
) -> Result<Page<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- subscriptions::list
        SELECT id, customer_id, plan_version_id, status, quantity, start_at, period_start, period_end, ended_at, created_at
        FROM subscriptions
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR customer_id = $3) AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.map(CustomerId::uuid),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Finds a subscription of the customer that has not ended and prices a meter that the plan version also prices.
pub async fn find_rival(
    tx: &mut TenantTx,
    customer: CustomerId,
    plan_version: PlanVersionId,
) -> Result<Option<SubscriptionId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- subscriptions::find_rival
        SELECT s.id
        FROM subscriptions s
        JOIN prices theirs ON theirs.tenant_id = s.tenant_id AND theirs.livemode = s.livemode
            AND theirs.plan_version_id = s.plan_version_id
        JOIN prices ours ON ours.tenant_id = s.tenant_id AND ours.livemode = s.livemode AND ours.meter_id = theirs.meter_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.customer_id = $3 AND s.ended_at IS NULL AND ours.plan_version_id = $4
        LIMIT 1",
        tenant,
        livemode,
        customer.uuid(),
        plan_version.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| SubscriptionId::from_uuid(row.id)))
}

/// Whether the customer has a subscription that has not ended.
pub async fn has_open(tx: &mut TenantTx, customer: CustomerId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- subscriptions::has_open
        SELECT EXISTS (
            SELECT FROM subscriptions WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND ended_at IS NULL
        ) AS "open!""#,
        tenant,
        livemode,
        customer.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.open)
}

/// Whether the tenant has any subscription in this mode.
pub async fn any(tx: &mut TenantTx) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- subscriptions::any
        SELECT EXISTS (SELECT FROM subscriptions WHERE tenant_id = $1 AND livemode = $2) AS "any!""#,
        tenant,
        livemode,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.any)
}

/// Moves a subscription to its next period.
pub async fn set_period(
    tx: &mut TenantTx,
    id: SubscriptionId,
    period: Period,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- subscriptions::set_period
        UPDATE subscriptions SET period_start = $4, period_end = $5, updated_at = $6
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        period.start.to_sqlx(),
        period.end.to_sqlx(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
