//! What single subscriptions grant instead of their plans.

use usance_core::ids::SubscriptionId;
use usance_db::{TenantTx, catalog_versions, entitlements, plans::Entitlement, subscriptions};

use crate::{
    Cx,
    catalog::plans::{CreateEntitlement, read_entitlements},
    error::{Error, Faults, Result},
    work,
};

/// Lists what a subscription grants instead of its plan, by feature.
pub async fn list_own(tx: &mut TenantTx, id: SubscriptionId) -> Result<Vec<Entitlement>> {
    subscriptions::find(tx, id).await?.ok_or_else(|| Error::not_found("subscription"))?;
    Ok(entitlements::list_own(tx, id).await?)
}

/// Replaces all that a subscription grants instead of its plan; it holds from now on, whatever becomes of the plan.
pub async fn set_own(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    inputs: &[CreateEntitlement],
) -> Result<Vec<Entitlement>> {
    tx.lock_catalog().await?;
    let subscription = subscriptions::lock(tx, id).await?;
    let subscription = subscription.ok_or_else(|| Error::not_found("subscription"))?;
    let now = cx.tenant_now(tx).await?;
    super::look_again(tx, &[subscription.customer_id], now).await?;
    replace_own(tx, id, inputs).await?;
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    Ok(entitlements::list_own(tx, id).await?)
}

/// The same for a subscription that is being made, or that is locked with the catalogue.
pub async fn replace_own(tx: &mut TenantTx, id: SubscriptionId, inputs: &[CreateEntitlement]) -> Result<()> {
    let mut faults = Faults::default();
    let read = read_entitlements(tx, &mut faults, "/entitlements", inputs, false).await?;
    faults.check()?;
    Ok(entitlements::replace_own(tx, id, &read).await?)
}
