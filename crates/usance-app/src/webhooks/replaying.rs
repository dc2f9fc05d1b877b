//! Sending again what an endpoint was told, or should have been.

use jiff::{SignedDuration, Timestamp};
use usance_core::ids::{WebhookDeliveryId, WebhookEndpointId};
use usance_db::{
    TenantTx,
    webhook_deliveries::{self, Attempt},
    webhook_endpoints::WebhookEndpoint,
    webhook_log::{self, Delivery},
};

use super::endpoints::lock;
use crate::{
    Cx,
    error::{Code, Error, Result},
};

/// Attempts that are shown of a delivery.
const ATTEMPTS_SHOWN: i64 = 50;
/// How far back events are sent again.
const SINCE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Events that one request sends again at most.
const REPLAYED_MAX: i64 = 10_000;

/// Finds a delivery and its newest attempts.
pub async fn get_delivery(cx: &Cx, id: WebhookDeliveryId) -> Result<(Delivery, Vec<Attempt>)> {
    let mut tx = cx.begin().await?;
    // In this order, so that a delivery that is shown as ended has its last attempt settled.
    let attempts = webhook_log::list_attempts(&mut tx, id, ATTEMPTS_SHOWN).await?;
    Ok((find(&mut tx, id).await?, attempts))
}

async fn find(tx: &mut TenantTx, id: WebhookDeliveryId) -> Result<Delivery> {
    webhook_log::find(tx, id).await?.ok_or_else(|| Error::not_found("delivery"))
}

/// Sends an event again, with the same id, whatever became of it: the schedule begins anew.
pub async fn replay(cx: &Cx, tx: &mut TenantTx, id: WebhookDeliveryId) -> Result<Delivery> {
    let delivery = find(tx, id).await?;
    lock_enabled(tx, delivery.endpoint).await?;
    if !webhook_deliveries::replay(tx, id, cx.now).await? {
        return Err(Error::refused(Code::WebhookEndpointState, "the event is being sent at the moment"));
    }
    find(tx, id).await
}

/// Sends what happened since then and did not arrive, the oldest 10,000 events at most. Returns how many, and whether there
/// may be more.
pub async fn replay_since(
    cx: &Cx,
    tx: &mut TenantTx,
    id: WebhookEndpointId,
    since: Timestamp,
) -> Result<(u64, bool)> {
    if cx.now.duration_since(since) > SINCE_MAX {
        return Err(Error::field("/since", "out_of_range", "must lie within the last 30 days"));
    }
    let endpoint = lock_enabled(tx, id).await?;
    let replayed = webhook_deliveries::replay_since(tx, &endpoint, since, cx.now, REPLAYED_MAX).await?;
    Ok((replayed, i64::try_from(replayed).is_ok_and(|replayed| replayed >= REPLAYED_MAX)))
}

async fn lock_enabled(tx: &mut TenantTx, id: WebhookEndpointId) -> Result<WebhookEndpoint> {
    let endpoint = lock(tx, id).await?;
    if endpoint.disabled.is_some() {
        let detail = "the endpoint is disabled: enable it first";
        return Err(Error::refused(Code::WebhookEndpointState, detail));
    }
    Ok(endpoint)
}
