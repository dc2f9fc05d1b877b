//! Settled stretches of subscription items that usage has come for since.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, MeterId, SubscriptionId, SubscriptionItemId};
use uuid::Uuid;

use crate::{DbError, Scope, TenantTx, WriterTx};

/// A settled stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LateStretch {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Of which item.
    pub item: SubscriptionItemId,
    /// Where it begins.
    pub period_start: Timestamp,
}

/// An event that no open stretch counts, with one of the meters that measure it.
#[derive(Debug, Clone, Copy)]
pub struct LateEvent {
    /// Tells the events of one call apart.
    pub place: i64,
    /// Whose event.
    pub customer: CustomerId,
    /// What measures it.
    pub meter: MeterId,
    /// When it happened.
    pub at: Timestamp,
}

/// Finds the settled stretches of the tenant that was entered which contain events and price their meters: the place of
/// the event, the stretch, and whether it is free.
pub async fn find_settled(
    tx: &mut WriterTx,
    scope: Scope,
    events: &[LateEvent],
) -> Result<Vec<(i64, LateStretch, bool)>, DbError> {
    let rows = sqlx::query!(
        r#"-- late_usage::find_settled
        SELECT DISTINCT e.place AS "place!", b.subscription_id AS "subscription_id!", b.item_id AS "item_id!",
            lower(b.period) AS "period_start!", b.free AS "free!"
        FROM unnest($3::bigint[], $4::uuid[], $5::uuid[], $6::timestamptz[]) AS e (place, customer_id, meter_id, at)
        JOIN subscriptions s ON s.tenant_id = $1 AND s.livemode = $2 AND s.customer_id = e.customer_id
        JOIN billing_periods b ON b.tenant_id = $1 AND b.livemode = $2 AND b.subscription_id = s.id AND b.period @> e.at
        JOIN prices p ON p.tenant_id = $1 AND p.livemode = $2 AND p.plan_version_id = b.plan_version_id AND p.meter_id = e.meter_id"#,
        scope.tenant.uuid(),
        scope.livemode,
        &events.iter().map(|it| it.place).collect::<Vec<_>>(),
        &events.iter().map(|it| it.customer.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|it| it.meter.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|it| it.at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|row| {
        let stretch = LateStretch {
            subscription: SubscriptionId::from_uuid(row.subscription_id),
            item: SubscriptionItemId::from_uuid(row.item_id),
            period_start: row.period_start.to_jiff(),
        };
        (row.place, stretch, row.free)
    });
    Ok(found.collect())
}

/// Marks stretches as to be rated again, and plans the look at their subscriptions, each with the tenant's time.
pub async fn mark(tx: &mut WriterTx, marks: &[(Scope, LateStretch, Timestamp)]) -> Result<(), DbError> {
    let tenants: Vec<Uuid> = marks.iter().map(|mark| mark.0.tenant.uuid()).collect();
    let livemodes: Vec<bool> = marks.iter().map(|mark| mark.0.livemode).collect();
    let subscriptions: Vec<Uuid> = marks.iter().map(|mark| mark.1.subscription.uuid()).collect();
    sqlx::query!(
        "-- late_usage::mark
        INSERT INTO late_usage (tenant_id, livemode, subscription_id, item_id, period_start)
        SELECT * FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::uuid[], $5::timestamptz[])
        ON CONFLICT DO NOTHING",
        &tenants,
        &livemodes,
        &subscriptions,
        &marks.iter().map(|mark| mark.1.item.uuid()).collect::<Vec<_>>(),
        &marks.iter().map(|mark| mark.1.period_start.to_sqlx()).collect::<Vec<_>>()
            as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "-- late_usage::plan
        INSERT INTO due_work (tenant_id, livemode, kind, subject_id, due_at)
        SELECT t.tenant_id, t.livemode, 'bill_late_usage', t.subject_id, min(t.due_at)
        FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::timestamptz[]) AS t (tenant_id, livemode, subject_id, due_at)
        GROUP BY t.tenant_id, t.livemode, t.subject_id
        ON CONFLICT DO NOTHING",
        &tenants,
        &livemodes,
        &subscriptions,
        &marks.iter().map(|mark| mark.2.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the marks of a subscription in order.
pub async fn list(tx: &mut TenantTx, subscription: SubscriptionId) -> Result<Vec<LateStretch>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- late_usage::list
        SELECT item_id, period_start FROM late_usage
        WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = $3
        ORDER BY item_id, period_start",
        tenant,
        livemode,
        subscription.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let of_row = rows.into_iter().map(|row| LateStretch {
        subscription,
        item: SubscriptionItemId::from_uuid(row.item_id),
        period_start: row.period_start.to_jiff(),
    });
    Ok(of_row.collect())
}

/// Takes one mark away.
pub async fn remove(tx: &mut TenantTx, stretch: LateStretch) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- late_usage::remove
        DELETE FROM late_usage
        WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = $3 AND item_id = $4 AND period_start = $5",
        tenant,
        livemode,
        stretch.subscription.uuid(),
        stretch.item.uuid(),
        stretch.period_start.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the marks of subscriptions away and returns them in order.
pub async fn take(tx: &mut TenantTx, subscriptions: &[SubscriptionId]) -> Result<Vec<LateStretch>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- late_usage::take
        DELETE FROM late_usage WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = ANY($3)
        RETURNING subscription_id, item_id, period_start",
        tenant,
        livemode,
        &subscriptions.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let mut stretches: Vec<_> = rows
        .into_iter()
        .map(|row| LateStretch {
            subscription: SubscriptionId::from_uuid(row.subscription_id),
            item: SubscriptionItemId::from_uuid(row.item_id),
            period_start: row.period_start.to_jiff(),
        })
        .collect();
    stretches.sort_unstable();
    Ok(stretches)
}
