//! Stored lines, measured and rated once more: late usage still changes a draft in its grace period.

use usance_core::{
    discount::CouponOrder,
    money::{Currency, Money},
};
use usance_db::{
    TenantTx,
    customers::Customer,
    invoices::Invoice,
    line_items::{self, LineItem},
};

use super::{
    Draft, LineDraft, Offers,
    issue::rewrite_draft,
    lines::{Unrated, rate_usage},
    totals::stored_rates,
};
use crate::{
    Cx,
    error::{Error, Result},
    refunds::read_currency,
};

/// Measures and rates the usage of a draft once more, and computes everything that follows from it.
pub(crate) async fn refresh_draft(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &Customer,
    invoice: &mut Invoice,
) -> Result<()> {
    let stored = line_items::list(tx, &[invoice.id]).await?;
    if !stored.iter().any(|line| line.kind == "usage") {
        return Ok(());
    }
    let Rerated { lines, coupon_order, .. } =
        rerate(tx, customer, read_currency(&invoice.currency)?, &stored).await?;
    let draft = Draft {
        id: invoice.id,
        subscription: invoice.subscription_id,
        coupon_order,
        memo: invoice.memo.clone(),
        keep: true,
        ..Draft::new(cx, "subscription", customer, invoice.period, invoice.created_at, lines)
    };
    rewrite_draft(cx, tx, invoice, draft).await
}

/// The lines of a stored invoice, before discounts and taxes, by all usage that is known now.
pub(super) struct Rerated {
    /// In the order of the stored ones.
    pub(super) lines: Vec<LineDraft>,
    /// Of the plan of the last usage line.
    pub(super) coupon_order: CouponOrder,
    /// Whether a plan of the usage has a minimum commitment, which is not computed again.
    pub(super) has_minimum: bool,
}

/// Measures and rates the usage of stored lines once more; the others stay as they are.
pub(super) async fn rerate(
    tx: &mut TenantTx,
    customer: &Customer,
    currency: Currency,
    stored: &[LineItem],
) -> Result<Rerated> {
    let prices: Vec<_> = stored.iter().filter_map(|line| line.price_id).collect();
    let versions = usance_db::plans::list_versions_of_prices(tx, &prices).await?;
    let mut offers = Offers::default();
    offers.load(tx, versions.iter().copied()).await?;
    let mut lines = stored.iter().map(|line| kept(line, currency)).collect::<Result<Vec<_>>>()?;
    let (mut coupon_order, mut has_minimum) = (CouponOrder::default(), false);
    let (mut places, mut unrated) = (Vec::new(), Vec::new());
    for (place, line) in stored.iter().enumerate().filter(|(_, line)| line.kind == "usage") {
        let priced = versions.iter().filter_map(|version| offers.get(*version).ok()).find_map(|offer| {
            let price = offer.prices.iter().find(|price| Some(price.price.id) == line.price_id)?;
            Some((offer, price))
        });
        let (offer, price) = priced.ok_or(Error::Internal("a usage line has no price"))?;
        coupon_order = offer.coupon_order;
        has_minimum |= offer.plan.version.policies.minimum.is_some();
        places.push(place);
        unrated.push(Unrated { price, booked: Money::zero(currency), blank: lines[place].clone() });
    }
    for (place, line) in places.into_iter().zip(rate_usage(tx, customer, unrated).await?) {
        lines[place] = line;
    }
    Ok(Rerated { lines, coupon_order, has_minimum })
}

/// A stored line as it was before discounts and taxes.
fn kept(line: &LineItem, currency: Currency) -> Result<LineDraft> {
    let kind = match line.kind.as_str() {
        "fee" => "fee",
        "usage" => "usage",
        "adjustment" => "adjustment",
        "credit" => "credit",
        "minimum" => "minimum",
        "trial" => "trial",
        "one_off" => "one_off",
        "progressive" => "progressive",
        _ => return Err(Error::Internal("a stored line is of an unknown kind")),
    };
    Ok(LineDraft {
        subscription: line.subscription_id,
        item: line.item_id,
        price: line.price_id,
        description: line.description.clone(),
        quantity: line.quantity,
        arithmetic: line.arithmetic.clone(),
        share: line.share.clone(),
        events: line.events,
        // What gives a charge back keeps its rates; all others have the customer's.
        rates: line.credited_line_id.map(|_| stored_rates(&line.taxes)).transpose()?,
        credited: line.credited_line_id,
        revision: line.revision,
        place: (line.position, 1),
        ..LineDraft::new(kind, line.period, Money::new(line.amount_minor, currency), line.exact_amount)
    })
}
