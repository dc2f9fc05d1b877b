//! Fees in advance that are given back because their service ends early.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use rust_decimal::Decimal;
use serde_json::json;
use usance_core::{
    decimal::decimal_text,
    fraction::Fraction,
    ids::SubscriptionItemId,
    money::Money,
    period::Period,
    proration::{Proration, ServiceEnd, prorate, split},
    subscription::Fees,
};
use usance_db::{
    TenantTx, credit_notes,
    line_items::{self, LineItem},
};

use super::{
    LineDraft, Offer,
    lines::{full_price, share_text},
    totals::stored_rates,
};
use crate::error::{Error, Result};

/// An item whose fees are given back from an instant on.
#[derive(Debug, Clone, Copy)]
pub(super) struct CreditRequest {
    pub(super) item: SubscriptionItemId,
    pub(super) after: Timestamp,
}

/// A fee in advance.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    line: LineItem,
    /// What credit notes took of it, in minor units.
    credited_minor: i64,
}

/// What of a service is not rendered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unused {
    pub(super) from: Timestamp,
    pub(super) full: Period,
    pub(super) end: ServiceEnd,
    pub(super) policy: Proration,
}

/// Finds the charges that each request may give back, in the order of the requests.
pub(super) async fn collect(tx: &mut TenantTx, requests: &[CreditRequest]) -> Result<Vec<Vec<Charge>>> {
    let Some(earliest) = requests.iter().map(|request| request.after).min() else { return Ok(Vec::new()) };
    let items: Vec<_> = requests.iter().map(|request| request.item).collect();
    let lines = line_items::list_creditable(tx, &items, earliest).await?;
    let ids: Vec<_> = lines.iter().map(|line| line.id).collect();
    let credited: HashMap<_, _> = credit_notes::sum_by_line(tx, &ids).await?.into_iter().collect();
    let mut charges: HashMap<SubscriptionItemId, Vec<Charge>> = HashMap::new();
    for line in lines {
        let credited_minor = credited.get(&line.id).copied().unwrap_or_default();
        if let Some(item) = line.item_id {
            charges.entry(item).or_default().push(Charge { line, credited_minor });
        }
    }
    let of_request = |request: &CreditRequest| {
        let charges = charges.get(&request.item).cloned().unwrap_or_default();
        charges.into_iter().filter(|charge| request.after < charge.line.period.end).collect()
    };
    Ok(requests.iter().map(of_request).collect())
}

/// The lines that give back what of the charges was not used, at the tax rates of the charge.
pub(super) fn lines(
    charges: &[Charge],
    offer: &Offer,
    unused: Unused,
    fees: Fees,
    time_zone: &TimeZone,
) -> Result<Vec<LineDraft>> {
    let by_seat = |charge: &Charge| {
        let price = offer.prices.iter().find(|price| Some(price.price.id) == charge.line.price_id);
        price.is_some_and(super::offers::OfferPrice::is_by_seat)
    };
    let mut lines = Vec::new();
    for charge in charges.iter().filter(|charge| fees == Fees::All || by_seat(charge)) {
        lines.extend(credit(charge, offer, unused, time_zone)?);
    }
    Ok(lines)
}

fn credit(
    Charge { line: charge, credited_minor }: &Charge,
    offer: &Offer,
    unused: Unused,
    time_zone: &TimeZone,
) -> Result<Option<LineDraft>> {
    let parts = split(unused.policy, charge.period, unused.from, unused.full, time_zone, unused.end);
    if parts.unused.numerator() == 0 {
        return Ok(None);
    }
    let gross = prorate(full_price(&charge.arithmetic)?, parts.unused, offer.currency)?;
    let discount = discount_share(charge, parts.unused, parts.used)?;
    let amount = Money::new(discount - gross.money.minor(), offer.currency);
    let exact = if discount == 0 { -gross.exact } else { amount.to_decimal() };
    let position = offer.prices.iter().find(|price| Some(price.price.id) == charge.price_id);
    let rest = Period { start: unused.from.max(charge.period.start), end: charge.period.end };
    let left = charge.amount_minor - charge.discount_minor - credited_minor;
    let line = LineDraft {
        subscription: charge.subscription_id,
        item: charge.item_id,
        price: charge.price_id,
        description: charge.description.clone(),
        quantity: charge.quantity,
        arithmetic: charge.arithmetic.clone(),
        share: share_text(parts.unused),
        rates: Some(stored_rates(&charge.taxes)?),
        credited: Some(charge.id),
        place: (position.map_or(0, |price| price.price.position), 0),
        ..LineDraft::new("credit", rest, amount, exact)
    };
    Ok(Some(limited(line, Money::new(left, offer.currency))))
}

/// What is given back is at most what no credit note has taken of the charge.
fn limited(line: LineDraft, left: Money) -> LineDraft {
    let wanted = -line.amount.minor();
    let given = wanted.clamp(left.minor().min(0), left.minor().max(0));
    if given == wanted {
        return line;
    }
    let given = Money::new(given, left.currency());
    let text = decimal_text(given.to_decimal());
    LineDraft {
        quantity: Decimal::ONE,
        amount: Money::new(-given.minor(), given.currency()),
        exact: -given.to_decimal(),
        arithmetic: json!([
            { "kind": "left", "from": null, "up_to": null, "quantity": "1", "unit": text, "amount": text },
        ]),
        share: None,
        ..line
    }
}

/// The part of a charge's discount that goes with its unused part, rounded half-up.
fn discount_share(charge: &LineItem, unused: Fraction, used: Fraction) -> Result<i64> {
    if charge.discount_minor == 0 {
        return Ok(0);
    }
    let whole = unused.numerator() + used.numerator();
    let share = Fraction::new(unused.numerator(), whole).unwrap_or(Fraction::WHOLE);
    let minor = share.share_of_decimal(Decimal::from(charge.discount_minor), 0);
    minor.and_then(|minor| i64::try_from(minor).ok()).ok_or(Error::Internal("a discount is too large"))
}
