//! Announces what happened, in the transaction in which it happens.

use serde_json::Value;
use usance_core::ids::{OutboxEventId, WebhookEndpointId};
use usance_db::{TenantTx, outbox};

use crate::{Cx, error::Result};

/// Every type of events, in alphabetical order.
pub const EVENT_TYPES: [&str; 47] = [
    "api_key.created",
    "api_key.revoked",
    "api_key.rotated",
    "coupon.created",
    "credit_note.created",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "discount.created",
    "entitlement.exhausted",
    "entitlement.restored",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.sent",
    "invoice.uncollectible",
    "invoice.voided",
    "meter.created",
    "payment.duplicate",
    "payment.failed",
    "payment.succeeded",
    "payment.unknown",
    "plan.archived",
    "plan.created",
    "plan.migrated",
    "plan.updated",
    "refund.created",
    "refund.failed",
    "refund.succeeded",
    "refund.unknown",
    "subscription.activated",
    "subscription.canceled",
    "subscription.created",
    "subscription.past_due",
    "subscription.paused",
    "subscription.resumed",
    "subscription.updated",
    "tax_rate.created",
    "tenant.updated",
    "wallet.debt_limit_reached",
    "wallet.low",
    "wallet.top_up_failed",
    "wallet.topped_up",
    "webhook_delivery.dead",
    "webhook_delivery.failing",
    "webhook_endpoint.disabled",
];

/// Writes an outbox event, for example of type `invoice.paid`, and its deliveries.
pub async fn announce(cx: &Cx, tx: &mut TenantTx, event_type: &str, data: Value) -> Result<()> {
    announce_many(cx, tx, vec![(event_type, data)]).await
}

/// Writes an outbox event that one endpoint is not told.
pub(crate) async fn announce_except(
    cx: &Cx,
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    (event_type, data): (&str, Value),
) -> Result<()> {
    insert(cx, tx, vec![(event_type, data)], Some(endpoint)).await
}

/// Writes outbox events in the order in which they happened, and their deliveries.
pub(crate) async fn announce_many(cx: &Cx, tx: &mut TenantTx, events: Vec<(&str, Value)>) -> Result<()> {
    insert(cx, tx, events, None).await
}

async fn insert(
    cx: &Cx,
    tx: &mut TenantTx,
    events: Vec<(&str, Value)>,
    except: Option<WebhookEndpointId>,
) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let with_id = |(event_type, data)| {
        debug_assert!(EVENT_TYPES.contains(&event_type), "{event_type} is missing among the types");
        (OutboxEventId::from_uuid(cx.app.ids.next()), event_type, data)
    };
    let events: Vec<_> = events.into_iter().map(with_id).collect();
    Ok(outbox::insert_many(tx, &events, except, cx.now).await?)
}
