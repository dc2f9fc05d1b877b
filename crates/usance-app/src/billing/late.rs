//! Delta rating: a settled stretch that usage has come for is rated again as a whole, and the difference is booked.
//!
//! Each rating of a price over a stretch is a line of its own revision; together they come to what the stretch costs by
//! all usage that is known now. An issued invoice never changes; where the plan wants it and it can be done, it is taken
//! back and issued anew instead ([`super::reissue`]).

use std::collections::HashMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    decimal::{decimal_text, exact_add, exact_sub},
    ids::{InvoiceId, SubscriptionId},
    money::{Currency, Money},
    period::Period,
    rating::RateError,
};
use usance_db::{
    TenantTx,
    billing_periods::{self, BillingPeriod},
    customers::Customer,
    invoices,
    late_usage::{self, LateStretch},
    line_items::{self, LineItem},
    subscriptions,
};

use super::{
    Draft, LineDraft, OfferPrice, Offers,
    issue::issue_many,
    lines::{Unrated, rate_usage},
    reissue,
};
use crate::{
    Cx, customers,
    error::{Error, Result},
};

/// Takes what is to be rated again of subscriptions and returns the lines that book the differences.
pub(super) async fn collect(
    tx: &mut TenantTx,
    of: &[(SubscriptionId, &Customer)],
) -> Result<HashMap<SubscriptionId, Vec<LineDraft>>> {
    let ids: Vec<_> = of.iter().map(|(id, _)| *id).collect();
    let mut lines: HashMap<SubscriptionId, Vec<LineDraft>> = HashMap::new();
    for stretch in late_usage::take(tx, &ids).await? {
        let customer = of.iter().find(|(id, _)| *id == stretch.subscription);
        let (_, customer) = customer.ok_or(Error::Internal("late usage names no subscription"))?;
        lines.entry(stretch.subscription).or_default().extend(adjust(tx, customer, stretch).await?);
    }
    Ok(lines)
}

/// The lines that book what a settled stretch costs by all usage that is known now, less what was booked.
pub(crate) async fn adjust(
    tx: &mut TenantTx,
    customer: &Customer,
    stretch: LateStretch,
) -> Result<Vec<LineDraft>> {
    let settled = billing_periods::find(tx, stretch.item, stretch.period_start).await?;
    let Some(settled) = settled.filter(|settled| !settled.free) else { return Ok(Vec::new()) };
    if is_draft(tx, settled.invoice).await? {
        // It is measured once more when it is finalized.
        return Ok(Vec::new());
    }
    let mut offers = Offers::default();
    offers.load(tx, [settled.plan_version].into_iter()).await?;
    let offer = offers.get(settled.plan_version)?;
    let ratings = line_items::list_ratings(tx, stretch.item, stretch.period_start).await?;
    let before = |price: &OfferPrice| -> Vec<&LineItem> {
        ratings.iter().filter(|line| line.price_id == Some(price.price.id)).collect()
    };
    let metered: Vec<_> = offer.prices.iter().filter(|price| price.meter.is_some()).collect();
    let nothing = Money::zero(offer.currency);
    let mut unrated = Vec::with_capacity(metered.len());
    for &price in &metered {
        let blank = LineDraft::new("adjustment", settled.period, nothing, Decimal::ZERO);
        unrated.push(Unrated { price, booked: booked(&before(price), offer.currency)?, blank });
    }
    let mut lines = Vec::new();
    for (price, whole) in metered.iter().zip(rate_usage(tx, customer, unrated).await?) {
        lines.extend(difference(price, whole, &before(price), &settled)?);
    }
    Ok(lines)
}

fn booked(before: &[&LineItem], currency: Currency) -> Result<Money> {
    let mut booked = Money::zero(currency);
    for line in before {
        booked = booked.checked_add(Money::new(line.amount_minor, currency))?;
    }
    Ok(booked)
}

async fn is_draft(tx: &mut TenantTx, invoice: Option<InvoiceId>) -> Result<bool> {
    let Some(invoice) = invoice else { return Ok(false) };
    Ok(invoices::find(tx, invoice).await?.is_some_and(|invoice| invoice.status == "draft"))
}

/// The line that books a difference; nothing if the usage is the same. Of the whole, only the amount is less what was
/// booked before.
fn difference(
    price: &OfferPrice,
    whole: LineDraft,
    before: &[&LineItem],
    settled: &BillingPeriod,
) -> Result<Option<LineDraft>> {
    let (mut quantity, mut exact) = (whole.quantity, whole.exact);
    for line in before {
        quantity = exact_sub(quantity, line.quantity).map_err(RateError::from)?;
        exact = exact_sub(exact, line.exact_amount).map_err(RateError::from)?;
    }
    if quantity.is_zero() && whole.amount.minor() == 0 {
        return Ok(None);
    }
    let booked_exact = exact_sub(whole.exact, exact).map_err(RateError::from)?;
    let mut arithmetic = whole.arithmetic.as_array().cloned().unwrap_or_default();
    arithmetic.push(booked_step(booked_exact));
    debug_assert_eq!(exact_add(exact, booked_exact), Ok(whole.exact));
    Ok(Some(LineDraft {
        subscription: Some(settled.subscription),
        item: Some(settled.item),
        price: Some(price.price.id),
        description: format!("{}: late usage", price.price.name),
        quantity,
        exact,
        arithmetic: Value::Array(arithmetic),
        revision: before.iter().map(|line| line.revision + 1).max().unwrap_or_default(),
        place: (price.price.position, 2),
        ..whole
    }))
}

fn booked_step(booked: Decimal) -> Value {
    json!({
        "kind": "booked",
        "from": null,
        "up_to": null,
        "quantity": "-1",
        "unit": decimal_text(booked),
        "amount": decimal_text(-booked),
    })
}

/// Corrects the invoices of a subscription that late usage is to be corrected on. Of the rest, that of a subscription
/// which has ended gets an invoice of its own; that of one which runs waits for the end of its period.
pub(crate) async fn bill_late_usage(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    at: Timestamp,
) -> Result<()> {
    let unknown = || Error::Internal("due work names no subscription");
    let found = subscriptions::find(tx, id).await?.ok_or_else(unknown)?;
    let customer = customers::stored(tx, found.customer_id).await?;
    for stretch in late_usage::list(tx, id).await? {
        reissue::correct(cx, tx, &customer, stretch, at).await?;
    }
    if subscriptions::lock(tx, id).await?.ok_or_else(unknown)?.ended_at.is_none() {
        return Ok(());
    }
    let lines = collect(tx, &[(id, &customer)]).await?.remove(&id).unwrap_or_default();
    let Some(period) = lines.iter().map(|line| line.period).reduce(Period::hull) else { return Ok(()) };
    let draft =
        Draft { subscription: Some(id), ..Draft::new(cx, "late_usage", &customer, period, at, lines) };
    issue_many(cx, tx, vec![draft]).await
}
