//! Delta rating: a settled stretch that usage has come for is rated again as a whole, and the difference is booked.
//!
//! Each rating of a price over a stretch is a line of its own revision; together they come to what the stretch costs by
//! all usage that is known now. An issued invoice never changes.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use usance_core::{
    decimal::{decimal_text, exact_add, exact_sub},
    discount::CouponOrder,
    ids::{InvoiceId, SubscriptionId},
    money::Money,
    rating::RateError,
};
use usance_db::{
    TenantTx,
    billing_periods::{self, BillingPeriod},
    customers::{self, Customer},
    invoices,
    late_usage::{self, LateStretch},
    line_items::{self, LineItem},
    subscriptions,
};

use super::{Draft, LineDraft, Offer, OfferPrice, Offers, issue::issue_many, lines::rated_usage};
use crate::{
    Cx,
    error::{Error, Result},
    measure::{Measured, Measurement, measure},
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
    let mut lines = Vec::new();
    for price in &offer.prices {
        let Some(meter) = &price.meter else { continue };
        let wanted = Measurement { customer, meter, price, period: settled.period };
        let measured = measure(tx, &[wanted]).await?.pop();
        let measured = measured.ok_or(Error::Internal("a price was not measured"))?;
        let before: Vec<_> = ratings.iter().filter(|line| line.price_id == Some(price.price.id)).collect();
        lines.extend(difference(offer, price, &measured, &before, &settled)?);
    }
    Ok(lines)
}

async fn is_draft(tx: &mut TenantTx, invoice: Option<InvoiceId>) -> Result<bool> {
    let Some(invoice) = invoice else { return Ok(false) };
    Ok(invoices::find(tx, invoice).await?.is_some_and(|invoice| invoice.status == "draft"))
}

/// What a price costs by all usage, less what was booked; nothing if the usage is the same.
fn difference(
    offer: &Offer,
    price: &OfferPrice,
    measured: &Measured,
    before: &[&LineItem],
    settled: &BillingPeriod,
) -> Result<Option<LineDraft>> {
    let blank = LineDraft::new(
        "adjustment",
        settled.period,
        Money::zero(offer.currency),
        rust_decimal::Decimal::ZERO,
    );
    let whole = rated_usage(offer, price, measured, blank)?;
    let (mut quantity, mut exact) = (whole.quantity, whole.exact);
    let mut booked = Money::zero(offer.currency);
    for line in before {
        quantity = exact_sub(quantity, line.quantity).map_err(RateError::from)?;
        exact = exact_sub(exact, line.exact_amount).map_err(RateError::from)?;
        booked = booked.checked_add(Money::new(line.amount_minor, offer.currency))?;
    }
    let amount = whole.amount.checked_sub(booked)?;
    if quantity.is_zero() && amount.minor() == 0 {
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
        amount,
        exact,
        arithmetic: Value::Array(arithmetic),
        revision: before.iter().map(|line| line.revision + 1).max().unwrap_or_default(),
        place: (price.price.position, 2),
        ..whole
    }))
}

fn booked_step(booked: rust_decimal::Decimal) -> Value {
    json!({
        "kind": "booked",
        "from": null,
        "up_to": null,
        "quantity": "-1",
        "unit": decimal_text(booked),
        "amount": decimal_text(-booked),
    })
}

/// Bills the late usage of a subscription that has ended by an invoice of its own. That of one which runs waits for the
/// end of its period.
pub(crate) async fn bill_late_usage(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    at: Timestamp,
) -> Result<()> {
    let stored =
        subscriptions::lock(tx, id).await?.ok_or(Error::Internal("due work names no subscription"))?;
    if stored.ended_at.is_none() {
        return Ok(());
    }
    let customer = customers::find_many(tx, &[stored.customer_id]).await?.pop();
    let customer = customer.ok_or(Error::Internal("a subscription has no customer"))?;
    let lines = collect(tx, &[(id, &customer)]).await?.remove(&id).unwrap_or_default();
    let span = lines
        .iter()
        .map(|line| line.period)
        .reduce(|a, b| usance_core::period::Period { start: a.start.min(b.start), end: a.end.max(b.end) });
    let Some(period) = span else { return Ok(()) };
    let draft = Draft {
        id: InvoiceId::from_uuid(cx.app.ids.next()),
        kind: "late_usage",
        customer: &customer,
        subscription: Some(id),
        period,
        at,
        coupon_order: CouponOrder::default(),
        memo: String::new(),
        keep: false,
        lines,
    };
    issue_many(cx, tx, vec![draft]).await
}
