//! The billing engine: what subscriptions owe, from the effects of their life to invoices, many at a time.
//!
//! Every way to an invoice of a subscription leads through [`bill`]: a period that ends, a change, a cancellation. It
//! reads, rates and writes in sets, so that a run over many subscriptions costs a few statements and not a few per
//! subscription.

mod commitment;
mod credits;
mod draft;
mod issue;
mod late;
mod lines;
mod live;
mod offers;
mod parties;
mod progressive;
mod quote;
mod reissue;
mod rerating;
mod totals;

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use usance_core::{
    discount::CouponOrder,
    ids::{InvoiceId, PlanVersionId, SubscriptionId},
    period::Period,
    proration::Proration,
    subscription::Effect,
};
use usance_db::{
    TenantTx,
    billing_periods::{self, BillingPeriod},
    customers::Customer,
};

pub(crate) use draft::{Draft, LineDraft};
pub(crate) use issue::{apply, finalize_draft, issue_many, reference, restore_discounts};
pub(crate) use late::{adjust, bill_late_usage};
pub(crate) use lines::step_json;
pub(crate) use live::usage_so_far;
pub(crate) use offers::{Offer, OfferPrice, Offers};
pub(crate) use parties::parties;
pub(crate) use progressive::{CHECK_EVERY, check_thresholds};
pub(crate) use quote::{fixed_fees, full_period, quote_lines};
pub(crate) use rerating::refresh_draft;
pub(crate) use totals::{coupon_of, stored_rates, total_lines};

use crate::{
    Cx,
    error::{Error, Result},
};

/// A subscription and what is to be billed of it.
#[derive(Debug)]
pub(crate) struct Bill<'a> {
    pub(crate) subscription: SubscriptionId,
    pub(crate) customer: &'a Customer,
    /// The plan version whose trial begins.
    pub(crate) trial: Option<PlanVersionId>,
    /// In the tenant's time.
    pub(crate) at: Timestamp,
    /// Instead of the plans' own.
    pub(crate) proration: Option<Proration>,
    /// In order.
    pub(crate) effects: &'a [Effect],
}

/// Bills subscriptions: at most one invoice each, none where there is no line. The offers of all items must be loaded.
pub(crate) async fn bill(cx: &Cx, tx: &mut TenantTx, offers: &Offers, bills: &[Bill<'_>]) -> Result<()> {
    let lines = lines::collect(tx, offers, bills).await?;
    let mut late = late::collect(tx, &settling(bills)).await?;
    let mut drafts = Vec::new();
    for (bill, mut lines) in bills.iter().zip(lines) {
        lines.extend(late.remove(&bill.subscription).unwrap_or_default());
        if !lines.is_empty() {
            drafts.push(draft(cx, offers, bill, lines)?);
        }
    }
    let invoices: HashMap<SubscriptionId, InvoiceId> =
        drafts.iter().filter_map(|draft| Some((draft.subscription?, draft.id))).collect();
    let settled: Vec<_> =
        bills.iter().flat_map(|bill| settled(bill, invoices.get(&bill.subscription).copied())).collect();
    billing_periods::insert_many(tx, &settled).await?;
    issue_many(cx, tx, drafts).await
}

/// The subscriptions whose usage is billed now: late usage of earlier stretches goes with it.
fn settling<'a>(bills: &[Bill<'a>]) -> Vec<(SubscriptionId, &'a Customer)> {
    let settles =
        |bill: &&Bill<'_>| bill.effects.iter().any(|effect| matches!(effect, Effect::Arrears { .. }));
    bills.iter().filter(settles).map(|bill| (bill.subscription, bill.customer)).collect()
}

fn draft<'a>(cx: &Cx, offers: &Offers, bill: &Bill<'a>, lines: Vec<LineDraft>) -> Result<Draft<'a>> {
    let offer = bill.effects.iter().find_map(item_version).map(|version| offers.get(version)).transpose()?;
    let period = period_of(bill.effects).ok_or(Error::Internal("a bill has no period"))?;
    Ok(Draft {
        subscription: Some(bill.subscription),
        coupon_order: offer.map_or_else(CouponOrder::default, |offer| offer.coupon_order),
        ..Draft::new(cx, "subscription", bill.customer, period, bill.at, lines)
    })
}

const fn item_version(effect: &Effect) -> Option<PlanVersionId> {
    match effect {
        Effect::Free { item, .. }
        | Effect::Advance { item, .. }
        | Effect::Arrears { item, .. }
        | Effect::ArrearsSeats { item, .. }
        | Effect::Credit { item, .. } => Some(item.plan_version),
        Effect::TrialFee { .. } | Effect::Announce(_) => None,
    }
}

/// The period that an invoice is for: what is settled, else what begins, else what is given back.
fn period_of(effects: &[Effect]) -> Option<Period> {
    let rank = |effect: &Effect| match effect {
        Effect::Arrears { service, .. } => Some((0, *service)),
        Effect::Advance { service, .. } | Effect::TrialFee { service } => Some((1, *service)),
        Effect::ArrearsSeats { service, .. } | Effect::Credit { service, .. } => Some((2, *service)),
        Effect::Free { .. } | Effect::Announce(_) => None,
    };
    let best = effects.iter().filter_map(rank).map(|ranked| ranked.0).min()?;
    let chosen = effects.iter().filter_map(rank).filter(|ranked| ranked.0 == best).map(|ranked| ranked.1);
    chosen.reduce(Period::hull)
}

fn settled(bill: &Bill<'_>, invoice: Option<InvoiceId>) -> Vec<BillingPeriod> {
    let stretch = |effect: &Effect| {
        let (item, period, full_period, free) = match effect {
            Effect::Arrears { item, service, full, .. } => (item, *service, *full, false),
            Effect::Free { item, service } => (item, *service, *service, true),
            Effect::TrialFee { .. }
            | Effect::Advance { .. }
            | Effect::ArrearsSeats { .. }
            | Effect::Credit { .. }
            | Effect::Announce(_) => return None,
        };
        Some(BillingPeriod {
            subscription: bill.subscription,
            item: item.id,
            plan_version: item.plan_version,
            period,
            full_period,
            invoice: invoice.filter(|_| !free),
            free,
        })
    };
    bill.effects.iter().filter_map(stretch).collect()
}

/// The customer's time zone; days are counted in it.
pub(crate) fn time_zone(customer: &Customer) -> Result<TimeZone> {
    TimeZone::get(&customer.time_zone).map_err(|_| Error::Internal("a stored time zone cannot be read"))
}
