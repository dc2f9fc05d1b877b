//! Plan versions as the billing engine needs them: read once for a whole run.

use std::{collections::HashMap, sync::Arc};

use rust_decimal::Decimal;
use usance_core::{
    catalog::price::{FirstTierFlat, PayTiming, PriceTerms, QuantityBasis},
    discount::CouponOrder,
    ids::{MeterId, PlanVersionId},
    late_usage::LateUsage,
    money::Currency,
    period::{Alignment, BillingInterval, IntervalUnit},
    proration::Proration,
    subscription::Rhythm,
};
use usance_db::{
    TenantTx,
    meters::{self, Meter},
    plans::{PlanVersion, Price},
};

use crate::{
    catalog::plans::{self, PlanAtVersion},
    error::{Error, Result},
    prices::price_terms,
};

/// A plan version, its prices parsed.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) plan: PlanAtVersion,
    pub(crate) prices: Vec<OfferPrice>,
    pub(crate) currency: Currency,
    pub(crate) rhythm: Rhythm,
    pub(crate) proration: Proration,
    pub(crate) coupon_order: CouponOrder,
    pub(crate) late_usage: LateUsage,
}

/// A price, parsed.
#[derive(Debug)]
pub(crate) struct OfferPrice {
    pub(crate) price: Price,
    pub(crate) terms: PriceTerms,
    pub(crate) pay: PayTiming,
    pub(crate) meter: Option<Arc<Meter>>,
}

impl OfferPrice {
    /// Whether the amount depends on the quantity of the subscription.
    pub(crate) const fn is_by_seat(&self) -> bool {
        matches!(self.terms.model.basis(), QuantityBasis::Subscription)
    }

    /// What a fixed fee counts: seats, or one.
    pub(crate) fn fixed_quantity(&self, seats: u32) -> Decimal {
        if self.is_by_seat() { Decimal::from(seats) } else { Decimal::ONE }
    }
}

/// The offers of a run.
#[derive(Debug, Default)]
pub(crate) struct Offers(HashMap<PlanVersionId, Arc<Offer>>);

impl Offers {
    /// Reads the versions that are not known yet.
    pub(crate) async fn load(
        &mut self,
        tx: &mut TenantTx,
        versions: impl Iterator<Item = PlanVersionId>,
    ) -> Result<()> {
        let mut missing: Vec<_> = versions.filter(|id| !self.0.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        for id in missing {
            let plan = plans::get_version(tx, id).await?;
            self.insert(tx, plan).await?;
        }
        Ok(())
    }

    /// Adds a version that may not be stored.
    pub(crate) async fn insert(&mut self, tx: &mut TenantTx, plan: PlanAtVersion) -> Result<()> {
        let metered: Vec<MeterId> = plan.prices.iter().filter_map(|price| price.meter_id).collect();
        let meters = meters::find_many(tx, &metered).await?;
        self.0.insert(plan.version.id, Arc::new(parse(plan, meters)?));
        Ok(())
    }

    /// An offer that was loaded.
    pub(crate) fn get(&self, version: PlanVersionId) -> Result<&Arc<Offer>> {
        self.0.get(&version).ok_or(Error::Internal("a plan version was not loaded"))
    }
}

fn parse(plan: PlanAtVersion, meters: Vec<Meter>) -> Result<Offer> {
    let meters: HashMap<MeterId, Arc<Meter>> =
        meters.into_iter().map(|meter| (meter.id, Arc::new(meter))).collect();
    let first_tier_flat = FirstTierFlat::parse(&plan.version.policies.first_tier_flat)
        .ok_or(Error::Internal("a stored plan version cannot be read"))?;
    let mut prices = Vec::with_capacity(plan.prices.len());
    for price in &plan.prices {
        let meter = match price.meter_id {
            None => None,
            Some(id) => Some(meters.get(&id).cloned().ok_or(Error::Internal("a price has no meter"))?),
        };
        prices.push(OfferPrice {
            terms: PriceTerms { first_tier_flat, ..price_terms(price)? },
            pay: PayTiming::parse(&price.pay).ok_or(Error::Internal("a stored price cannot be read"))?,
            price: price.clone(),
            meter,
        });
    }
    let version = &plan.version;
    let unreadable = || Error::Internal("a stored plan version cannot be read");
    Ok(Offer {
        currency: Currency::parse(&version.currency).map_err(|_| unreadable())?,
        rhythm: rhythm(version)?,
        proration: Proration::parse(&version.policies.proration).ok_or_else(unreadable)?,
        coupon_order: CouponOrder::parse(&version.policies.coupon_order).ok_or_else(unreadable)?,
        late_usage: LateUsage::parse(&version.policies.late_usage).ok_or_else(unreadable)?,
        prices,
        plan,
    })
}

/// How long the billing periods of a plan version are and what they are aligned to.
pub(crate) fn rhythm(version: &PlanVersion) -> Result<Rhythm> {
    let unreadable = Error::Internal("a stored billing cycle cannot be read");
    let unit = IntervalUnit::parse(&version.interval_unit);
    let count = u16::try_from(version.interval_count).ok();
    let (Some(unit), Some(count), Some(alignment)) = (unit, count, Alignment::parse(&version.alignment))
    else {
        return Err(unreadable);
    };
    Ok(Rhythm { interval: BillingInterval::new(unit, count)?, alignment })
}
