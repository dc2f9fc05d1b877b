//! Subscriptions and their items.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::{
    ids::{CustomerId, PlanVersionId, SubscriptionId, SubscriptionItemId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A subscription as stored. All times are UTC.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// The word of the state.
    pub status: String,
    /// When it begins.
    pub start_at: Timestamp,
    /// What anniversary periods count from.
    pub anchor_at: Timestamp,
    /// The open period; the last one if it is paused or canceled.
    pub period: Period,
    /// The uncut period around the open one.
    pub full_period: Period,
    /// End of the trial, and the word for what happens then.
    pub trial: Option<(Timestamp, String)>,
    /// When it is to end.
    pub cancel_at: Option<Timestamp>,
    /// When a planned change takes effect, and the items that it leads to.
    pub scheduled: Option<(Timestamp, Value)>,
    /// Usage from here on is not the subscription's.
    pub ended_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The plan first, then add-ons.
    pub items: Vec<SubscriptionItem>,
}

/// The plan of a subscription or one of its add-ons.
#[derive(Debug, Clone)]
pub struct SubscriptionItem {
    /// Its id.
    pub id: SubscriptionItemId,
    /// What is bought.
    pub plan_version_id: PlanVersionId,
    /// Seats.
    pub quantity: i32,
    /// Usage from here on belongs to the open period.
    pub billed_to: Timestamp,
    /// Since when, in the open period, the quantity holds.
    pub seats_from: Timestamp,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    status: String,
    start_at: jiff_sqlx::Timestamp,
    anchor_at: jiff_sqlx::Timestamp,
    period_start: jiff_sqlx::Timestamp,
    period_end: jiff_sqlx::Timestamp,
    full_start: jiff_sqlx::Timestamp,
    full_end: jiff_sqlx::Timestamp,
    trial_ends_at: Option<jiff_sqlx::Timestamp>,
    trial_then: Option<String>,
    cancel_at: Option<jiff_sqlx::Timestamp>,
    scheduled_at: Option<jiff_sqlx::Timestamp>,
    scheduled_items: Option<Value>,
    ended_at: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Subscription {
    fn from(row: Row) -> Self {
        let jiff = jiff_sqlx::Timestamp::to_jiff;
        Self {
            id: SubscriptionId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            status: row.status,
            start_at: row.start_at.to_jiff(),
            anchor_at: row.anchor_at.to_jiff(),
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            full_period: Period { start: row.full_start.to_jiff(), end: row.full_end.to_jiff() },
            trial: row.trial_ends_at.map(jiff).zip(row.trial_then),
            cancel_at: row.cancel_at.map(jiff),
            scheduled: row.scheduled_at.map(jiff).zip(row.scheduled_items),
            ended_at: row.ended_at.map(jiff),
            created_at: row.created_at.to_jiff(),
            items: Vec::new(),
        }
    }
}

/// Adds a subscription with its items.
pub async fn insert(tx: &mut TenantTx, subscription: &Subscription) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- subscriptions::insert
        INSERT INTO subscriptions
            (tenant_id, livemode, id, customer_id, status, start_at, anchor_at, period_start, period_end, full_start, full_end,
             trial_ends_at, trial_then, ended_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)",
        tenant,
        livemode,
        subscription.id.uuid(),
        subscription.customer_id.uuid(),
        subscription.status,
        subscription.start_at.to_sqlx(),
        subscription.anchor_at.to_sqlx(),
        subscription.period.start.to_sqlx(),
        subscription.period.end.to_sqlx(),
        subscription.full_period.start.to_sqlx(),
        subscription.full_period.end.to_sqlx(),
        subscription.trial.as_ref().map(|trial| trial.0.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        subscription.trial.as_ref().map(|trial| trial.1.as_str()),
        subscription.ended_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        subscription.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    set_items(tx, subscription).await
}

/// Writes the state of a subscription and its items.
pub async fn update(tx: &mut TenantTx, subscription: &Subscription, now: Timestamp) -> Result<(), DbError> {
    update_many(tx, &[subscription], now).await?;
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- subscriptions::update
        UPDATE subscriptions SET scheduled_at = $4, scheduled_items = $5 WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        subscription.id.uuid(),
        subscription.scheduled.as_ref().map(|change| change.0.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        subscription.scheduled.as_ref().map(|change| &change.1),
    )
    .execute(tx.connection())
    .await?;
    set_items(tx, subscription).await
}

/// Writes the states of subscriptions whose items and planned changes stay as they are, except for how far they are
/// billed.
pub async fn update_many(
    tx: &mut TenantTx,
    subscriptions: &[&Subscription],
    now: Timestamp,
) -> Result<(), DbError> {
    if subscriptions.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    let times = |of: fn(&Subscription) -> Timestamp| -> Vec<jiff_sqlx::Timestamp> {
        subscriptions.iter().map(|it| of(it).to_sqlx()).collect()
    };
    let options = |of: fn(&Subscription) -> Option<Timestamp>| -> Vec<Option<jiff_sqlx::Timestamp>> {
        subscriptions.iter().map(|it| of(it).map(ToSqlx::to_sqlx)).collect()
    };
    sqlx::query!(
        "-- subscriptions::update_many
        UPDATE subscriptions s
        SET status = t.status, anchor_at = t.anchor_at, period_start = t.period_start, period_end = t.period_end,
            full_start = t.full_start, full_end = t.full_end, cancel_at = t.cancel_at, ended_at = t.ended_at, updated_at = $3
        FROM unnest($4::uuid[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
            $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
            AS t (id, status, anchor_at, period_start, period_end, full_start, full_end, cancel_at, ended_at)
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.id = t.id",
        tenant,
        livemode,
        now.to_sqlx(),
        &subscriptions.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &subscriptions.iter().map(|it| it.status.clone()).collect::<Vec<_>>(),
        &times(|it| it.anchor_at) as &[jiff_sqlx::Timestamp],
        &times(|it| it.period.start) as &[jiff_sqlx::Timestamp],
        &times(|it| it.period.end) as &[jiff_sqlx::Timestamp],
        &times(|it| it.full_period.start) as &[jiff_sqlx::Timestamp],
        &times(|it| it.full_period.end) as &[jiff_sqlx::Timestamp],
        &options(|it| it.cancel_at) as &[Option<jiff_sqlx::Timestamp>],
        &options(|it| it.ended_at) as &[Option<jiff_sqlx::Timestamp>],
    )
    .execute(tx.connection())
    .await?;
    let items: Vec<_> = subscriptions.iter().flat_map(|it| &it.items).collect();
    sqlx::query!(
        "-- subscriptions::update_many_items
        UPDATE subscription_items i
        SET billed_to = t.billed_to, seats_from = t.seats_from
        FROM unnest($3::uuid[], $4::timestamptz[], $5::timestamptz[]) AS t (id, billed_to, seats_from)
        WHERE i.tenant_id = $1 AND i.livemode = $2 AND i.id = t.id",
        tenant,
        livemode,
        &items.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &items.iter().map(|it| it.billed_to.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &items.iter().map(|it| it.seats_from.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes the stored items those of the subscription.
async fn set_items(tx: &mut TenantTx, subscription: &Subscription) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let items = &subscription.items;
    let ids: Vec<Uuid> = items.iter().map(|item| item.id.uuid()).collect();
    sqlx::query!(
        "-- subscriptions::remove_items
        DELETE FROM subscription_items
        WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = $3 AND id <> ALL($4)",
        tenant,
        livemode,
        subscription.id.uuid(),
        &ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "-- subscriptions::set_items
        INSERT INTO subscription_items
            (tenant_id, livemode, id, subscription_id, position, plan_version_id, quantity, billed_to, seats_from)
        SELECT $1, $2, t.id, $3, t.position, t.plan_version_id, t.quantity, t.billed_to, t.seats_from
        FROM unnest($4::uuid[], $5::smallint[], $6::uuid[], $7::integer[], $8::timestamptz[], $9::timestamptz[])
            AS t (id, position, plan_version_id, quantity, billed_to, seats_from)
        ON CONFLICT (tenant_id, livemode, id) DO UPDATE
            SET position = excluded.position, plan_version_id = excluded.plan_version_id, quantity = excluded.quantity,
                billed_to = excluded.billed_to, seats_from = excluded.seats_from",
        tenant,
        livemode,
        subscription.id.uuid(),
        &ids,
        &(0_i16..).take(items.len()).collect::<Vec<_>>(),
        &items.iter().map(|item| item.plan_version_id.uuid()).collect::<Vec<_>>(),
        &items.iter().map(|item| item.quantity).collect::<Vec<_>>(),
        &items.iter().map(|item| item.billed_to.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &items.iter().map(|item| item.seats_from.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn with_items(tx: &mut TenantTx, rows: Vec<Row>) -> Result<Vec<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let found = sqlx::query!(
        "-- subscriptions::list_items
        SELECT subscription_id, id, plan_version_id, quantity, billed_to, seats_from
        FROM subscription_items
        WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = ANY($3)
        ORDER BY subscription_id, position",
        tenant,
        livemode,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut items: HashMap<Uuid, Vec<SubscriptionItem>> = HashMap::with_capacity(ids.len());
    for row in found {
        items.entry(row.subscription_id).or_default().push(SubscriptionItem {
            id: SubscriptionItemId::from_uuid(row.id),
            plan_version_id: PlanVersionId::from_uuid(row.plan_version_id),
            quantity: row.quantity,
            billed_to: row.billed_to.to_jiff(),
            seats_from: row.seats_from.to_jiff(),
        });
    }
    let subscription = |row: Row| {
        let items = items.remove(&row.id).unwrap_or_default();
        Subscription { items, ..Subscription::from(row) }
    };
    Ok(rows.into_iter().map(subscription).collect())
}

/// Finds a subscription.
pub async fn find(tx: &mut TenantTx, id: SubscriptionId) -> Result<Option<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- subscriptions::find
        SELECT id, customer_id, status, start_at, anchor_at, period_start, period_end, full_start, full_end, trial_ends_at, trial_then,
            cancel_at, scheduled_at, scheduled_items, ended_at, created_at
        FROM subscriptions
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(with_items(tx, rows).await?.pop())
}

/// Finds subscriptions and keeps others from changing them until the transaction ends.
pub async fn lock_many(tx: &mut TenantTx, ids: &[SubscriptionId]) -> Result<Vec<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- subscriptions::lock_many
        SELECT id, customer_id, status, start_at, anchor_at, period_start, period_end, full_start, full_end, trial_ends_at, trial_then,
            cancel_at, scheduled_at, scheduled_items, ended_at, created_at
        FROM subscriptions
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)
        ORDER BY id
        FOR UPDATE",
        tenant,
        livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    with_items(tx, rows).await
}

/// Finds a subscription and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: SubscriptionId) -> Result<Option<Subscription>, DbError> {
    Ok(lock_many(tx, &[id]).await?.pop())
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
        SELECT id, customer_id, status, start_at, anchor_at, period_start, period_end, full_start, full_end, trial_ends_at, trial_then,
            cancel_at, scheduled_at, scheduled_items, ended_at, created_at
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
    let found = with_items(tx, rows).await?;
    Ok(Page::new(page, found))
}

/// Finds a subscription of the customer that has not ended and prices a meter that the plan version also prices, leaving
/// out the subscription that is to buy the version.
pub async fn find_rival(
    tx: &mut TenantTx,
    customer: CustomerId,
    plan_version: PlanVersionId,
    except: Option<SubscriptionId>,
) -> Result<Option<SubscriptionId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- subscriptions::find_rival
        SELECT s.id
        FROM subscriptions s
        JOIN subscription_items i ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
        JOIN prices theirs ON theirs.tenant_id = s.tenant_id AND theirs.livemode = s.livemode
            AND theirs.plan_version_id = i.plan_version_id
        JOIN prices ours ON ours.tenant_id = s.tenant_id AND ours.livemode = s.livemode AND ours.meter_id = theirs.meter_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.customer_id = $3 AND s.ended_at IS NULL AND ours.plan_version_id = $4
            AND ($5::uuid IS NULL OR s.id <> $5)
        LIMIT 1",
        tenant,
        livemode,
        customer.uuid(),
        plan_version.uuid(),
        except.map(SubscriptionId::uuid),
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
