//! Progressive billing: usage that crosses a threshold is invoiced before its period ends.

use jiff::{SignedDuration, Timestamp};
use usance_core::{
    ids::SubscriptionId,
    money::Money,
    period::Period,
    progressive::{Progress, Threshold, ThresholdScope, UsageAmount, cross},
    subscription::SubscriptionStatus,
};
use usance_db::{
    TenantTx,
    customers::Customer,
    line_items::{self, LineItem},
    subscriptions,
};

use super::{Draft, LineDraft, Offer, Offers, issue::issue_many, live::usage_until, totals::stored_rates};
use crate::{
    Cx, customers,
    error::{Error, Result},
    subscriptions::state,
    work,
};

/// How often usage is compared with the thresholds, in the tenant's time.
pub(crate) const CHECK_EVERY: SignedDuration = SignedDuration::from_hours(6);

/// Invoices the usage of a subscription's open period if it has crossed a threshold, and plans the next look.
pub(crate) async fn check_thresholds(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    at: Timestamp,
) -> Result<()> {
    let stored =
        subscriptions::lock(tx, id).await?.ok_or(Error::Internal("due work names no subscription"))?;
    let mut offers = Offers::default();
    offers.load(tx, state::versions(&stored).into_iter()).await?;
    let customer = customers::stored(tx, stored.customer_id).await?;
    let current = state::load(&stored, &customer, &offers)?;
    let plan = current.items.first().ok_or(Error::Internal("a subscription has no plan"))?;
    let offer = offers.get(plan.plan_version)?;
    let running = matches!(current.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue);
    let thresholds = thresholds(offer);
    if thresholds.is_empty() || !running {
        return Ok(());
    }
    let next = at.saturating_add(CHECK_EVERY).unwrap_or(at);
    work::schedule(tx, work::Kind::CheckThresholds, id.uuid(), next).await?;
    let service = Period { start: current.open.period.start, end: at };
    if at <= service.start || at >= current.open.period.end {
        return Ok(());
    }
    let before = line_items::list_progressive(tx, id).await?;
    let invoiced = Money::new(before.iter().map(|line| line.amount_minor).sum(), offer.currency);
    let mut used = Money::zero(offer.currency);
    for usage in usage_until(tx, &offers, &customer, &current.items, at).await? {
        used = used.checked_add(usage.line.amount)?;
    }
    // An invoice asks for all usage until then: what is invoiced tells what was crossed.
    let crossed: Vec<_> =
        thresholds.iter().copied().filter(|it| it.amount.minor() <= invoiced.minor()).collect();
    let progress = Progress { crossed: &crossed, invoiced };
    let crossing = cross(&thresholds, progress, UsageAmount { lifetime: used, period: used })?;
    match crossing.and_then(|crossing| crossing.invoice) {
        Some(amount) => invoice(cx, tx, offer, &customer, (id, service, amount)).await,
        None => Ok(()),
    }
}

fn thresholds(offer: &Offer) -> Vec<Threshold> {
    let threshold = |minor: &i64| Threshold {
        amount: Money::new(*minor, offer.currency),
        scope: ThresholdScope::EachPeriod,
    };
    offer.plan.version.policies.billing_thresholds.iter().map(threshold).collect()
}

async fn invoice(
    cx: &Cx,
    tx: &mut TenantTx,
    offer: &Offer,
    customer: &Customer,
    (subscription, period, amount): (SubscriptionId, Period, Money),
) -> Result<()> {
    let line = LineDraft {
        subscription: Some(subscription),
        description: format!("{}: usage so far", offer.plan.plan.name),
        ..LineDraft::new("progressive", period, amount, amount.to_decimal())
    };
    let draft = Draft {
        subscription: Some(subscription),
        ..Draft::new(cx, "progressive", customer, period, period.end, vec![line])
    };
    issue_many(cx, tx, vec![draft]).await
}

/// The lines that take what threshold invoices asked for off the invoice that charges everything.
pub(super) async fn credits(
    tx: &mut TenantTx,
    offer: &Offer,
    subscription: SubscriptionId,
) -> Result<Vec<LineDraft>> {
    if offer.plan.version.policies.billing_thresholds.is_empty() {
        return Ok(Vec::new());
    }
    let credit = |line: LineItem| {
        let amount = Money::new(-line.amount_minor, offer.currency);
        Ok(LineDraft {
            subscription: line.subscription_id,
            description: line.description,
            rates: Some(stored_rates(&line.taxes)?),
            credited: Some(line.id),
            ..LineDraft::new("progressive", line.period, amount, amount.to_decimal())
        })
    };
    line_items::list_progressive(tx, subscription).await?.into_iter().map(credit).collect()
}
