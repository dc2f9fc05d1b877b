//! What a full period of a plan costs, without a subscription: the same lines as on its invoice.

use jiff::Timestamp;
use usance_core::{
    ids::{PlanVersionId, SubscriptionId, SubscriptionItemId},
    money::Money,
    period::{BillingCycle, Period},
    proration::ServiceEnd,
    rating::{RateError, Run, Usage, rate},
    subscription::{Effect, Fees, Item},
};
use usance_db::{customers::Customer, line_items::EventSet};
use uuid::Uuid;

use super::{
    Bill, LineDraft, Offer, Offers,
    commitment::{self, Stretch},
    lines::of_bills,
    time_zone,
};
use crate::{
    error::{Error, Result},
    measure::Measured,
};

/// The full billing period of a plan around an instant, in the customer's time zone.
pub(crate) fn full_period(offer: &Offer, customer: &Customer, at: Timestamp) -> Result<Period> {
    let cycle = BillingCycle {
        interval: offer.rhythm.interval,
        alignment: offer.rhythm.alignment,
        time_zone: time_zone(customer)?,
        anchor: at,
    };
    Ok(cycle.full_period_containing(at)?)
}

/// Makes the lines of a full period. The usages are those of the metered prices, in the order of the prices; the offer
/// of the version must be loaded.
pub(crate) fn quote_lines(
    offers: &Offers,
    version: PlanVersionId,
    customer: &Customer,
    period: Period,
    (quantity, usages): (u32, Vec<Usage>),
) -> Result<Vec<LineDraft>> {
    let (from, seats_from) = (period.start, period.start);
    let id = SubscriptionItemId::from_uuid(Uuid::nil());
    let item = Item { id, plan_version: version, quantity, from, seats_from };
    let effects = [
        Effect::Advance { item, service: period, full: period, fees: Fees::All },
        Effect::Arrears { item, service: period, full: period, end: ServiceEnd::PeriodEnd },
    ];
    let bill = Bill {
        subscription: SubscriptionId::from_uuid(Uuid::nil()),
        customer,
        trial: None,
        at: period.end,
        proration: None,
        effects: &effects,
    };
    let no_events = EventSet { count: 0, first_and_last_at: None, digest: Uuid::nil() };
    let measured = usages.into_iter().map(|usage| Measured::ungrouped(usage, no_events)).collect();
    let mut lines = of_bills(offers, &[bill], measured, Vec::new())?;
    let mut lines = lines.pop().ok_or(Error::Internal("a quote has no lines"))?;
    let (offer, time_zone) = (offers.get(version)?, time_zone(customer)?);
    let stretch = Stretch {
        offer,
        item,
        service: period,
        full: period,
        end: ServiceEnd::PeriodEnd,
        policy: offer.proration,
        time_zone: &time_zone,
    };
    let minimum = commitment::missing(&stretch, &lines, 0)?;
    lines.extend(minimum);
    Ok(lines)
}

/// What a full period costs without usage: every fee rounded as on its line.
pub(crate) fn fixed_fees(offer: &Offer, quantity: u32) -> Result<Money> {
    let mut sum = Money::zero(offer.currency);
    for price in offer.prices.iter().filter(|price| price.meter.is_none()) {
        let usage = Usage::of(price.fixed_quantity(quantity));
        let charge = rate(&price.terms, &usage, Run::Final)?;
        let fee = Money::from_exact(charge.exact, offer.currency).map_err(RateError::from)?;
        sum = sum.checked_add(fee)?;
    }
    Ok(sum)
}
