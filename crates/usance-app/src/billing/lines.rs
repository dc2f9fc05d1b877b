//! From the effects of a subscription's life to the lines of its invoice.

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    catalog::price::PayTiming,
    decimal::{decimal_text, exact_add},
    fraction::Fraction,
    money::Money,
    period::Period,
    proration::{Proration, ServiceEnd, fraction, prorate},
    rating::{self, Run, Step, Usage, delta::book, rate},
    subscription::{Effect, Fees, Item},
};
use usance_db::{TenantTx, customers::Customer};

use super::{
    Bill, LineDraft, Offer, Offers,
    commitment::{self, Stretch},
    credits::{self, Charge, CreditRequest},
    offers::OfferPrice,
    progressive, time_zone,
};
use crate::{
    error::{Error, Result},
    measure::{Measured, Measurement, measure},
};

/// What the lines of one bill have in common.
struct Context<'a> {
    bill: &'a Bill<'a>,
    time_zone: &'a TimeZone,
}

impl Context<'_> {
    fn policy(&self, offer: &Offer) -> Proration {
        self.bill.proration.unwrap_or(offer.proration)
    }
}

/// A part of a full period.
#[derive(Clone, Copy)]
struct Service {
    period: Period,
    full: Period,
    end: ServiceEnd,
}

/// Makes the lines of every bill, in the order of the bills.
pub(super) async fn collect(
    tx: &mut TenantTx,
    offers: &Offers,
    bills: &[Bill<'_>],
) -> Result<Vec<Vec<LineDraft>>> {
    let measured = measure(tx, &measurements(offers, bills)?).await?;
    let credits = credits::collect(tx, &credit_requests(bills)).await?;
    let mut collected = of_bills(offers, bills, measured, credits)?;
    for (bill, lines) in bills.iter().zip(&mut collected) {
        let settled = settlements(tx, bill, offers, lines).await?;
        lines.extend(settled);
    }
    Ok(collected)
}

/// Makes the lines from what was measured and what may be given back, both in the order of the effects.
pub(super) fn of_bills(
    offers: &Offers,
    bills: &[Bill<'_>],
    measured: Vec<Measured>,
    credits: Vec<Vec<Charge>>,
) -> Result<Vec<Vec<LineDraft>>> {
    let (mut measured, mut credits) = (measured.into_iter(), credits.into_iter());
    let mut collected = Vec::with_capacity(bills.len());
    for bill in bills {
        let time_zone = time_zone(bill.customer)?;
        let cx = Context { bill, time_zone: &time_zone };
        let mut lines = Vec::new();
        for effect in bill.effects {
            if let Effect::Credit { item, full, end, service, fees } = effect {
                let offer = offers.get(item.plan_version)?;
                let charges = credits.next().ok_or(Error::Internal("a credit was not looked up"))?;
                let unused =
                    credits::Unused { from: service.start, full: *full, end: *end, policy: cx.policy(offer) };
                lines.extend(credits::lines(&charges, offer, unused, *fees, &time_zone)?);
            } else {
                lines.extend(effect_lines(&cx, offers, effect, &mut measured)?);
            }
        }
        // The order of the plan's prices; what is given back before what is charged anew.
        lines.sort_by_key(|line| (line.place.0, line.place.1, line.period.start));
        collected.push(lines);
    }
    Ok(collected)
}

/// What follows from the other lines of a bill when a stretch of its plan is settled: the minimum commitment, and the
/// credit for threshold invoices.
async fn settlements(
    tx: &mut TenantTx,
    bill: &Bill<'_>,
    offers: &Offers,
    lines: &[LineDraft],
) -> Result<Vec<LineDraft>> {
    let mut further = Vec::new();
    for effect in bill.effects {
        let Effect::Arrears { item, service, full, end } = effect else { continue };
        let offer = offers.get(item.plan_version)?;
        let (service, full, end, item) = (*service, *full, *end, *item);
        let policy = bill.proration.unwrap_or(offer.proration);
        let time_zone = &time_zone(bill.customer)?;
        let stretch = Stretch { offer, item, service, full, end, policy, time_zone };
        further.extend(commitment::line(tx, &stretch, lines).await?);
        further.extend(progressive::credits(tx, offer, bill.subscription).await?);
    }
    Ok(further)
}

/// A usage line that is to be filled in.
pub(super) struct Unrated<'a> {
    /// Of a meter.
    pub(super) price: &'a OfferPrice,
    /// What was booked for the same usage before.
    pub(super) booked: Money,
    /// For the period that is measured.
    pub(super) blank: LineDraft,
}

/// Measures and rates usage of one customer, all prices in one look, and returns the lines in their order.
pub(super) async fn rate_usage(
    tx: &mut TenantTx,
    customer: &Customer,
    unrated: Vec<Unrated<'_>>,
) -> Result<Vec<LineDraft>> {
    let wanted = unrated.iter().map(|Unrated { price, blank, .. }| {
        let meter = price.meter.as_ref().ok_or(Error::Internal("a price of usage has no meter"))?;
        Ok(Measurement { customer, meter, price, period: blank.period })
    });
    let measured = measure(tx, &wanted.collect::<Result<Vec<_>>>()?).await?;
    let line =
        |(it, measured): (Unrated<'_>, Measured)| rated_usage(it.price, &measured, it.booked, it.blank);
    unrated.into_iter().zip(measured).map(line).collect()
}

/// What the usage lines need, in the order of the effects and of the prices.
fn measurements<'a>(offers: &'a Offers, bills: &'a [Bill<'a>]) -> Result<Vec<Measurement<'a>>> {
    let mut wanted = Vec::new();
    for bill in bills {
        for effect in bill.effects {
            let Effect::Arrears { item, service, .. } = effect else { continue };
            for price in &offers.get(item.plan_version)?.prices {
                if let Some(meter) = &price.meter {
                    wanted.push(Measurement { customer: bill.customer, meter, price, period: *service });
                }
            }
        }
    }
    Ok(wanted)
}

fn credit_requests(bills: &[Bill<'_>]) -> Vec<CreditRequest> {
    let request = |effect: &Effect| match effect {
        Effect::Credit { item, service, .. } => Some(CreditRequest { item: item.id, after: service.start }),
        Effect::TrialFee { .. }
        | Effect::Free { .. }
        | Effect::Advance { .. }
        | Effect::Arrears { .. }
        | Effect::ArrearsSeats { .. }
        | Effect::Announce(_) => None,
    };
    bills.iter().flat_map(|bill| bill.effects.iter().filter_map(request)).collect()
}

fn effect_lines(
    cx: &Context<'_>,
    offers: &Offers,
    effect: &Effect,
    measured: &mut impl Iterator<Item = Measured>,
) -> Result<Vec<LineDraft>> {
    match effect {
        Effect::TrialFee { service } => trial_fee(cx, offers, *service),
        Effect::Advance { item, service, full, fees } => {
            let service = Service { period: *service, full: *full, end: ServiceEnd::PeriodEnd };
            fees_of(cx, offers.get(item.plan_version)?, *item, service, (PayTiming::Advance, *fees))
        }
        Effect::ArrearsSeats { item, service, full } => {
            let service = Service { period: *service, full: *full, end: ServiceEnd::Change };
            fees_of(cx, offers.get(item.plan_version)?, *item, service, (PayTiming::Arrears, Fees::Seats))
        }
        Effect::Arrears { item, service, full, end } => {
            let service = Service { period: *service, full: *full, end: *end };
            arrears(cx, offers.get(item.plan_version)?, *item, service, measured)
        }
        Effect::Free { .. } | Effect::Credit { .. } | Effect::Announce(_) => Ok(Vec::new()),
    }
}

fn arrears(
    cx: &Context<'_>,
    offer: &Offer,
    item: Item,
    service: Service,
    measured: &mut impl Iterator<Item = Measured>,
) -> Result<Vec<LineDraft>> {
    let mut lines = Vec::new();
    for price in &offer.prices {
        if price.meter.is_some() {
            let measured = measured.next().ok_or(Error::Internal("a price was not measured"))?;
            lines.push(usage_line(cx, offer, item, service.period, (price, &measured))?);
        } else if price.pay == PayTiming::Arrears {
            let start = if price.is_by_seat() { item.seats_from } else { service.period.start };
            let period = Period { start, ..service.period };
            lines.push(fee_line(cx, offer, item, Service { period, ..service }, price)?);
        }
    }
    Ok(lines)
}

fn fees_of(
    cx: &Context<'_>,
    offer: &Offer,
    item: Item,
    service: Service,
    (pay, fees): (PayTiming, Fees),
) -> Result<Vec<LineDraft>> {
    let wanted = offer.prices.iter().filter(|price| {
        price.meter.is_none() && price.pay == pay && (fees == Fees::All || price.is_by_seat())
    });
    wanted.map(|price| fee_line(cx, offer, item, service, price)).collect()
}

fn usage_line(
    cx: &Context<'_>,
    offer: &Offer,
    item: Item,
    period: Period,
    (price, measured): (&OfferPrice, &Measured),
) -> Result<LineDraft> {
    let nothing = LineDraft::new("usage", period, Money::zero(offer.currency), Decimal::ZERO);
    rated_usage(price, measured, nothing.amount, line(cx, item, price, nothing))
}

/// Fills a usage line in with what was measured: each group is rated on its own. The amount is less what was booked
/// before; all else is of the whole.
fn rated_usage(
    price: &OfferPrice,
    measured: &Measured,
    booked: Money,
    blank: LineDraft,
) -> Result<LineDraft> {
    let usages = measured.usages.iter().map(|it| &it.usage);
    let booking = book(&price.terms, usages, booked, Run::Final)?;
    let groups = measured.usages.iter().map(|it| it.group.as_deref());
    let steps = groups
        .zip(&booking.charges)
        .flat_map(|(group, charge)| charge.steps.iter().map(move |step| step_json(step, group)));
    Ok(LineDraft {
        quantity: measured.quantity,
        amount: booking.amount,
        exact: booking.exact,
        arithmetic: steps.collect(),
        events: Some(measured.events),
        ..blank
    })
}

fn fee_line(
    cx: &Context<'_>,
    offer: &Offer,
    item: Item,
    service: Service,
    price: &OfferPrice,
) -> Result<LineDraft> {
    let quantity = price.fixed_quantity(item.quantity);
    let charge = rate(&price.terms, &Usage::of(quantity), Run::Final)?;
    let share = fraction(cx.policy(offer), service.period, service.full, cx.time_zone, service.end);
    let prorated = prorate(charge.exact, share, offer.currency)?;
    Ok(LineDraft {
        quantity,
        arithmetic: steps_json(&charge),
        share: share_text(share),
        ..line(cx, item, price, LineDraft::new("fee", service.period, prorated.money, prorated.exact))
    })
}

fn line(cx: &Context<'_>, item: Item, price: &OfferPrice, blank: LineDraft) -> LineDraft {
    LineDraft {
        subscription: Some(cx.bill.subscription),
        item: Some(item.id),
        price: Some(price.price.id),
        description: price.price.name.clone(),
        place: (price.price.position, 1),
        ..blank
    }
}

fn trial_fee(cx: &Context<'_>, offers: &Offers, service: Period) -> Result<Vec<LineDraft>> {
    let Some(version) = cx.bill.trial else { return Ok(Vec::new()) };
    let offer = offers.get(version)?;
    let Some(price) = offer.plan.version.policies.trial_price else { return Ok(Vec::new()) };
    let amount = Money::from_exact(price, offer.currency)?;
    Ok(vec![LineDraft {
        subscription: Some(cx.bill.subscription),
        description: format!("{}: trial", offer.plan.plan.name),
        ..LineDraft::new("trial", service, amount, price)
    }])
}

/// A share of a full period as a fraction in lowest terms; none for the whole.
pub(super) fn share_text(share: Fraction) -> Option<String> {
    (share != Fraction::WHOLE && share.numerator() != share.denominator())
        .then(|| format!("{}/{}", share.numerator(), share.denominator()))
}

fn steps_json(charge: &rating::Charge) -> Value {
    charge.steps.iter().map(|step| step_json(step, None)).collect()
}

/// A step as it is stored and shown; only a step of a group names one.
pub(crate) fn step_json(step: &Step, group: Option<&str>) -> Value {
    let mut json = json!({
        "kind": step.kind.as_str(),
        "from": step.from.map(decimal_text),
        "up_to": step.up_to.map(decimal_text),
        "quantity": decimal_text(step.quantity),
        "unit": decimal_text(step.unit),
        "amount": decimal_text(step.amount),
    });
    if let Some(group) = group {
        json["group"] = group.into();
    }
    json
}

/// The sum of the steps of a stored line: the price of a full period.
pub(super) fn full_price(arithmetic: &Value) -> Result<Decimal> {
    let unreadable = || Error::Internal("the arithmetic of a stored line cannot be read");
    let mut sum = Decimal::ZERO;
    for step in arithmetic.as_array().ok_or_else(unreadable)? {
        let amount = step.get("amount").and_then(Value::as_str).ok_or_else(unreadable)?;
        let amount = usance_core::decimal::parse_decimal(amount).map_err(|_| unreadable())?;
        sum = exact_add(sum, amount).map_err(|_| unreadable())?;
    }
    Ok(sum)
}
