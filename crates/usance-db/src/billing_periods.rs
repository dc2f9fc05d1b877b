//! The stretches of subscription items that are settled. The database refuses an overlap.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{
    ids::{InvoiceId, PlanVersionId, SubscriptionId, SubscriptionItemId},
    period::Period,
};

use crate::{DbError, TenantTx};

/// A settled stretch of an item.
#[derive(Debug, Clone, Copy)]
pub struct BillingPeriod {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Of which item.
    pub item: SubscriptionItemId,
    /// By which prices.
    pub plan_version: PlanVersionId,
    /// The stretch.
    pub period: Period,
    /// The uncut billing period around it.
    pub full_period: Period,
    /// The invoice; none if there was nothing to pay.
    pub invoice: Option<InvoiceId>,
    /// A trial: its usage is never billed.
    pub free: bool,
}

/// Notes settled stretches. Conflict: `billing_periods_period_excl` (or the primary key).
pub async fn insert_many(tx: &mut TenantTx, periods: &[BillingPeriod]) -> Result<(), DbError> {
    if periods.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    let times = |of: fn(&BillingPeriod) -> Timestamp| -> Vec<jiff_sqlx::Timestamp> {
        periods.iter().map(|it| of(it).to_sqlx()).collect()
    };
    sqlx::query!(
        "-- billing_periods::insert_many
        INSERT INTO billing_periods
            (tenant_id, livemode, subscription_id, item_id, plan_version_id, period, full_period, invoice_id, free)
        SELECT $1, $2, t.subscription_id, t.item_id, t.plan_version_id, tstzrange(t.period_start, t.period_end, '[)'),
            tstzrange(t.full_start, t.full_end, '[)'), t.invoice_id, t.free
        FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
            $10::uuid[], $11::bool[])
            AS t (subscription_id, item_id, plan_version_id, period_start, period_end, full_start, full_end, invoice_id, free)",
        tenant,
        livemode,
        &periods.iter().map(|it| it.subscription.uuid()).collect::<Vec<_>>(),
        &periods.iter().map(|it| it.item.uuid()).collect::<Vec<_>>(),
        &periods.iter().map(|it| it.plan_version.uuid()).collect::<Vec<_>>(),
        &times(|it| it.period.start) as &[jiff_sqlx::Timestamp],
        &times(|it| it.period.end) as &[jiff_sqlx::Timestamp],
        &times(|it| it.full_period.start) as &[jiff_sqlx::Timestamp],
        &times(|it| it.full_period.end) as &[jiff_sqlx::Timestamp],
        &periods.iter().map(|it| it.invoice.map(InvoiceId::uuid)).collect::<Vec<_>>() as &[Option<uuid::Uuid>],
        &periods.iter().map(|it| it.free).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the settled stretch of an item that begins at an instant.
pub async fn find(
    tx: &mut TenantTx,
    item: SubscriptionItemId,
    period_start: Timestamp,
) -> Result<Option<BillingPeriod>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- billing_periods::find
        SELECT subscription_id, plan_version_id, lower(period) AS "period_start!", upper(period) AS "period_end!",
            lower(full_period) AS "full_start!", upper(full_period) AS "full_end!", invoice_id, free
        FROM billing_periods
        WHERE tenant_id = $1 AND livemode = $2 AND item_id = $3 AND lower(period) = $4"#,
        tenant,
        livemode,
        item.uuid(),
        period_start.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| BillingPeriod {
        subscription: SubscriptionId::from_uuid(row.subscription_id),
        item,
        plan_version: PlanVersionId::from_uuid(row.plan_version_id),
        period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
        full_period: Period { start: row.full_start.to_jiff(), end: row.full_end.to_jiff() },
        invoice: row.invoice_id.map(InvoiceId::from_uuid),
        free: row.free,
    }))
}
