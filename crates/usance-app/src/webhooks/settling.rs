//! What an attempt makes of its delivery and of the endpoint.

use serde_json::json;
use url::Url;
use usance_core::{
    ids::WebhookEndpointId,
    webhook::{ATTEMPTS_MAX, EndpointHealth, next_attempt},
};
use usance_db::{
    TenantTx,
    webhook_deliveries::{self, ClaimedDelivery, Outcome},
    webhook_endpoints::{self, WebhookEndpoint},
};

use super::sending::Sent;
use crate::{
    Cx, audit,
    error::Result,
    mail::{self, WebhookTrouble},
    outbox::announce_except,
};

/// The failed attempt at which the tenant is told of it.
const TELLING_ATTEMPT: i32 = 5;
/// Events about webhooks themselves, of which no further events are made.
const OWN_EVENTS: &str = "webhook_";

/// Notes an attempt. `url` is the address that was called: the endpoint may have another one by now, or be disabled or
/// removed, which ends what failed.
pub(super) async fn settle(cx: &Cx, delivery: &ClaimedDelivery, url: &str, sent: &Sent) -> Result<()> {
    let mut tx = cx.begin().await?;
    let endpoint = webhook_endpoints::lock(&mut tx, Some(delivery.endpoint)).await?;
    let is_served = endpoint.as_ref().is_some_and(|it| it.disabled.is_none());
    let endpoint = endpoint.filter(|it| it.url.as_deref() == Some(url));
    let outcome = if is_served || sent.failed.is_none() {
        outcome_of(cx, delivery, sent, endpoint.is_some())
    } else {
        Outcome::Dead
    };
    webhook_deliveries::insert_attempt(&mut tx, delivery.id, &sent.attempt).await?;
    let is_settled = webhook_deliveries::settle(&mut tx, delivery, outcome, cx.app.now()).await?;
    if is_settled {
        if is_served {
            tell_of_failure(cx, &mut tx, delivery, outcome, sent).await?;
            mail_of_failure(cx, &mut tx, delivery, url, outcome, sent).await?;
        }
        if let Some(endpoint) = endpoint {
            note_health(cx, &mut tx, endpoint, sent).await?;
        }
    }
    tx.commit().await?;
    let word = match outcome {
        _ if !is_settled => "overtaken",
        Outcome::Delivered => "delivered",
        Outcome::Retry(_) => "failed",
        Outcome::Dead => "dead",
    };
    metrics::counter!("usance_webhook_attempts_total", "outcome" => word).increment(1);
    Ok(())
}

/// An address that is not the endpoint's any more cannot say that the endpoint is gone.
fn outcome_of(cx: &Cx, delivery: &ClaimedDelivery, sent: &Sent, is_current: bool) -> Outcome {
    let Some(failed) = sent.failed else { return Outcome::Delivered };
    if sent.is_gone() && is_current {
        return Outcome::Dead;
    }
    let attempts = usize::try_from(delivery.attempt).unwrap_or(ATTEMPTS_MAX);
    let mut chance = [0; 4];
    cx.app.random.fill(&mut chance);
    let next = next_attempt(attempts, failed, cx.app.now(), u32::from_be_bytes(chance));
    next.map_or(Outcome::Dead, Outcome::Retry)
}

/// Tells the tenant's other endpoints of a delivery that keeps failing, and of one that is given up.
async fn tell_of_failure(
    cx: &Cx,
    tx: &mut TenantTx,
    delivery: &ClaimedDelivery,
    outcome: Outcome,
    sent: &Sent,
) -> Result<()> {
    let event_type = match outcome {
        Outcome::Retry(_) if delivery.attempt == TELLING_ATTEMPT => "webhook_delivery.failing",
        Outcome::Dead if !sent.is_gone() => "webhook_delivery.dead",
        Outcome::Delivered | Outcome::Retry(_) | Outcome::Dead => return Ok(()),
    };
    if delivery.event.event_type.starts_with(OWN_EVENTS) {
        return Ok(());
    }
    let data = json!({
        "id": delivery.id,
        "endpoint": delivery.endpoint,
        "event": { "id": delivery.event.id, "type": delivery.event.event_type },
        "attempts": delivery.attempt,
        "status_code": sent.attempt.answer.as_ref().ok(),
        "error": sent.attempt.answer.as_ref().err(),
    });
    announce_except(cx, tx, delivery.endpoint, (event_type, data)).await
}

/// Mails the staff of the same.
async fn mail_of_failure(
    cx: &Cx,
    tx: &mut TenantTx,
    delivery: &ClaimedDelivery,
    url: &str,
    outcome: Outcome,
    sent: &Sent,
) -> Result<()> {
    let trouble = match outcome {
        Outcome::Retry(_) if delivery.attempt == TELLING_ATTEMPT => WebhookTrouble::Failing,
        Outcome::Dead if !sent.is_gone() => WebhookTrouble::Dead,
        Outcome::Delivered | Outcome::Retry(_) | Outcome::Dead => return Ok(()),
    };
    mail_of_trouble(cx, tx, trouble, delivery.endpoint, url).await
}

/// Once for each endpoint, kind of trouble and day.
async fn mail_of_trouble(
    cx: &Cx,
    tx: &mut TenantTx,
    trouble: WebhookTrouble,
    endpoint: WebhookEndpointId,
    url: &str,
) -> Result<()> {
    let livemode = cx.scope.livemode;
    let day = cx.app.now().strftime("%Y-%m-%d");
    let once = format!("webhook:{}:{endpoint}:{}:{day}", trouble.as_str(), audit::mode(livemode));
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let id = endpoint.to_string();
    let letter = |to| mail::webhook_trouble(to, trouble, &id, &host, livemode);
    mail::tell_staff(cx, tx, &once, letter).await
}

/// Notes how the endpoint is doing, and disables one that is gone or has failed for days.
async fn note_health(cx: &Cx, tx: &mut TenantTx, mut endpoint: WebhookEndpoint, sent: &Sent) -> Result<()> {
    let now = cx.app.now();
    let before = endpoint.health;
    endpoint.health = match sent.failed {
        None => EndpointHealth::default(),
        Some(_) => before.after_failure(now),
    };
    let reason = if sent.is_gone() {
        Some("gone")
    } else if endpoint.health.is_given_up(now) {
        Some("failing")
    } else {
        None
    };
    let disabling = reason.filter(|_| endpoint.disabled.is_none());
    if endpoint.health == before && disabling.is_none() {
        return Ok(());
    }
    endpoint.disabled = disabling.map(|reason| (now, reason.to_owned())).or(endpoint.disabled);
    webhook_endpoints::update(tx, &endpoint).await?;
    if let Some(reason) = disabling {
        webhook_deliveries::give_up(tx, endpoint.id, now).await?;
        let data = json!({ "id": endpoint.id, "reason": reason });
        announce_except(cx, tx, endpoint.id, ("webhook_endpoint.disabled", data)).await?;
        let url = endpoint.url.as_deref().unwrap_or_default();
        mail_of_trouble(cx, tx, WebhookTrouble::Disabled, endpoint.id, url).await?;
    }
    Ok(())
}
