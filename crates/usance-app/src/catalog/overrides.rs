//! Price overrides: what one subscription pays otherwise than its plan says.

use std::collections::HashSet;

use serde_json::{Map, Value};
use usance_core::ids::PlanVersionId;
use usance_db::{
    TenantTx,
    plans::{self, PlanVersion, Price},
};

use super::{
    filters::SentFilters,
    plan_prices::{CreatePrice, read_price},
    plans::PlanAtVersion,
};
use crate::{
    Cx,
    error::{Faults, Result},
};

/// A price of a plan that is to be another one, as sent.
#[derive(Debug, Clone)]
pub struct PriceOverride {
    /// Code of the plan's price.
    pub price: String,
    /// Which model; the price's own if absent.
    pub charge_model: Option<String>,
    /// With a model, all of its parameters and terms; without, those that differ.
    pub parameters: Map<String, Value>,
}

/// Stores a version for one subscription: a public version with other prices. Without overrides it is the public one.
///
/// The prices keep code, name, meter, filters, place and time of payment.
pub(crate) async fn override_prices(
    cx: &Cx,
    tx: &mut TenantTx,
    public: &PlanAtVersion,
    overrides: &[PriceOverride],
) -> Result<PlanVersionId> {
    if overrides.is_empty() {
        return Ok(public.version.id);
    }
    let mut faults = Faults::default();
    let mut prices = public.prices.clone();
    let mut seen = HashSet::new();
    for (index, wanted) in overrides.iter().enumerate() {
        let pointer = format!("/overrides/{index}");
        let price_pointer = format!("{pointer}/price");
        let Some(price) = prices.iter_mut().find(|price| price.code == wanted.price) else {
            faults.add(&price_pointer, "unknown_price", "the plan has no price of this code");
            continue;
        };
        if !seen.insert(wanted.price.as_str()) {
            faults.add(&price_pointer, "repeated", "must be different from the ones before");
            continue;
        }
        let place = (pointer.as_str(), usize::try_from(price.position).unwrap_or_default());
        let read = read_price(cx, tx, &mut faults, place, &merged(price, wanted)).await?;
        if let Some(read) = read {
            *price = read;
        }
    }
    faults.check()?;
    let version = PlanVersion {
        id: PlanVersionId::from_uuid(cx.app.ids.next()),
        override_of: Some(public.version.id),
        created_at: cx.now,
        ..public.version.clone()
    };
    for price in &mut prices {
        price.id = usance_core::ids::PriceId::from_uuid(cx.app.ids.next());
    }
    plans::insert_version(tx, &version, &prices, &public.all_entitlements()).await?;
    Ok(version.id)
}

/// The price as it would be sent with what is overridden.
fn merged(price: &Price, wanted: &PriceOverride) -> CreatePrice {
    let mut parameters = Map::new();
    if wanted.charge_model.is_none() {
        for own in [&price.parameters, &price.terms] {
            parameters.extend(own.as_object().cloned().unwrap_or_default());
        }
    }
    parameters.extend(wanted.parameters.clone());
    let filters: SentFilters =
        price.filters.iter().map(|filter| (filter.property.clone(), filter.values.clone())).collect();
    CreatePrice {
        code: price.code.clone(),
        name: Some(price.name.clone()),
        meter: price.meter_code.clone(),
        charge_model: wanted.charge_model.clone().unwrap_or_else(|| price.charge_model.clone()),
        parameters,
        filters: Some(filters),
        group_by: Some(price.group_by.clone()),
        amount_property: price.amount_property.clone(),
        pay: Some(price.pay.clone()),
    }
}
