//! What was used of open stretches so far.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{money::Money, period::Period, subscription::Item};
use usance_db::{TenantTx, customers::Customer, subscriptions::Subscription};

use super::{
    LineDraft, Offers,
    lines::{Unrated, rate_usage},
};
use crate::{error::Result, subscriptions::state};

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
    let mut unrated = Vec::new();
    let mut priced = Vec::new();
    for item in items.iter().filter(|item| item.from < until) {
        let offer = offers.get(item.plan_version)?;
        let period = Period { start: item.from, end: until };
        let nothing = Money::zero(offer.currency);
        for price in &offer.prices {
            if let Some(meter) = &price.meter {
                let blank = LineDraft::new("usage", period, nothing, Decimal::ZERO);
                unrated.push(Unrated { price, booked: nothing, blank });
                priced.push((&price.price.code, &meter.code));
            }
        }
    }
    let lines = rate_usage(tx, customer, unrated).await?;
    let usage = |((price, meter), line): ((&String, &String), LineDraft)| PriceUsage {
        price: price.clone(),
        meter: meter.clone(),
        line,
    };
    Ok(priced.into_iter().zip(lines).map(usage).collect())
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
