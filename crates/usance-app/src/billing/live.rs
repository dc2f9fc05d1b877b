//! What was used of open stretches so far.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{money::Money, period::Period, subscription::Item};
use usance_db::{TenantTx, customers::Customer, subscriptions::Subscription};

use super::{LineDraft, Offers, lines::rated_usage};
use crate::{
    error::Result,
    measure::{Measurement, measure},
    subscriptions::state,
};

/// What was used of a price.
#[derive(Debug)]
pub(crate) struct PriceUsage {
    pub(crate) price: String,
    pub(crate) meter: String,
    pub(crate) line: LineDraft,
}

/// What the items of a subscription have used of their open stretches until an instant, each price rated as if the
/// stretch ended there.
pub(super) async fn usage_until(
    tx: &mut TenantTx,
    offers: &Offers,
    customer: &Customer,
    items: &[Item],
    until: Timestamp,
) -> Result<Vec<PriceUsage>> {
    let mut wanted = Vec::new();
    let mut priced = Vec::new();
    for item in items.iter().filter(|item| item.from < until) {
        let offer = offers.get(item.plan_version)?;
        for price in &offer.prices {
            if let Some(meter) = &price.meter {
                let period = Period { start: item.from, end: until };
                wanted.push(Measurement { customer, meter, price, period });
                priced.push((offer, price, meter, period));
            }
        }
    }
    let mut usages = Vec::with_capacity(wanted.len());
    for ((offer, price, meter, period), measured) in priced.into_iter().zip(measure(tx, &wanted).await?) {
        let blank = LineDraft::new("usage", period, Money::zero(offer.currency), Decimal::ZERO);
        usages.push(PriceUsage {
            price: price.price.code.clone(),
            meter: meter.code.clone(),
            line: rated_usage(offer, price, &measured, blank)?,
        });
    }
    Ok(usages)
}

/// What a subscription has used of its open stretches until an instant.
pub(crate) async fn usage_so_far(
    tx: &mut TenantTx,
    stored: &Subscription,
    customer: &Customer,
    until: Timestamp,
) -> Result<Vec<PriceUsage>> {
    let mut offers = Offers::default();
    offers.load(tx, state::versions(stored).into_iter()).await?;
    let current = state::load(stored, customer, &offers)?;
    usage_until(tx, &offers, customer, &current.items, until).await
}
