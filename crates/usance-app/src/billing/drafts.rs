//! Drafts in their grace period: late usage still changes them.

use usance_core::{discount::CouponOrder, money::Money, period::Period};
use usance_db::{
    TenantTx,
    customers::Customer,
    invoices::Invoice,
    line_items::{self, LineItem},
};

use super::{Draft, LineDraft, Offers, issue::rewrite_draft, lines::rated_usage, totals::stored_rates};
use crate::{
    Cx,
    error::{Error, Result},
    measure::{Measurement, measure},
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
    let prices: Vec<_> = stored.iter().filter_map(|line| line.price_id).collect();
    let versions = usance_db::plans::list_versions_of_prices(tx, &prices).await?;
    let mut offers = Offers::default();
    offers.load(tx, versions.iter().copied()).await?;
    let mut lines = Vec::with_capacity(stored.len());
    let mut coupon_order = CouponOrder::default();
    for line in stored {
        let priced = versions.iter().filter_map(|version| offers.get(*version).ok()).find_map(|offer| {
            let price = offer.prices.iter().find(|price| Some(price.price.id) == line.price_id)?;
            Some((offer, price))
        });
        let draft = match priced {
            Some((offer, price)) if line.kind == "usage" => {
                coupon_order = offer.coupon_order;
                let meter = price.meter.as_ref().ok_or(Error::Internal("a price has no meter"))?;
                let wanted = Measurement { customer, meter, price, period: line.period };
                let measured = measure(tx, &[wanted]).await?.pop();
                let measured = measured.ok_or(Error::Internal("a price was not measured"))?;
                rated_usage(offer, price, &measured, kept(&line, offer.currency)?)?
            }
            Some((offer, _)) => kept(&line, offer.currency)?,
            None => {
                let currency = usance_core::money::Currency::parse(&invoice.currency)
                    .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
                kept(&line, currency)?
            }
        };
        lines.push(draft);
    }
    let draft = Draft {
        id: invoice.id,
        kind: "subscription",
        customer,
        subscription: invoice.subscription_id,
        period: Period { ..invoice.period },
        at: invoice.created_at,
        coupon_order,
        memo: invoice.memo.clone(),
        keep: true,
        lines,
    };
    rewrite_draft(cx, tx, invoice, draft).await
}

/// A stored line as it was before discounts and taxes.
fn kept(line: &LineItem, currency: usance_core::money::Currency) -> Result<LineDraft> {
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
