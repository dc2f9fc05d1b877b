//! The periods of a subscription that are closed. The database refuses an overlap.

use jiff_sqlx::ToSqlx;
use usance_core::{
    ids::{InvoiceId, SubscriptionId},
    period::Period,
};

use crate::{DbError, TenantTx};

/// Notes that an invoice closed a period. Conflict: `billing_periods_period_excl` (or the primary key).
pub async fn insert(
    tx: &mut TenantTx,
    subscription: SubscriptionId,
    period: Period,
    invoice: InvoiceId,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- billing_periods::insert
        INSERT INTO billing_periods (tenant_id, livemode, subscription_id, period, invoice_id)
        VALUES ($1, $2, $3, tstzrange($4, $5, '[)'), $6)",
        tenant,
        livemode,
        subscription.uuid(),
        period.start.to_sqlx(),
        period.end.to_sqlx(),
        invoice.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
