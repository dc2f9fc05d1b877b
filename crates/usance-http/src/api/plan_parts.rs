//! What plans and add-ons are made of: prices, entitlements, trials.

#![expect(clippy::disallowed_types, reason = "the derived schema of free members names every JSON type")]

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usance_app::catalog::{SentFilters, overrides::PriceOverride, plans};
use usance_core::decimal::decimal_text;
use usance_db::plans as rows;
use utoipa::ToSchema;

use crate::extract::objects;

/// A price: a charge model with its parameters, and optional terms around it. Money and quantities are decimal strings,
/// money in major units.
///
/// Models: `flat {amount}`, `per_unit {unit}`, `graduated` and `volume {tiers: [{up_to, unit, flat, cap}]}`,
/// `package {amount, package_size, free_units, rounding}`, `percentage {rate_percent, fixed_amount_per_event,
/// free_events, free_units_total, per_event_min, per_event_max}`, `graduated_percentage {tiers: [{up_to, rate_percent,
/// flat}]}`, `dynamic {multiplier}`, `seat {unit, minimum_seats, maximum_seats}`, `curve {unit_floor, unit_spread, decay,
/// minimum, discounts: [{from, percent}]}`.
///
/// Terms, in the order in which they apply: `unit_config {operation: multiply or divide, factor, rounding: none, half_up,
/// ceil or floor, precision}`, `usage_discount` (a free quantity), `first_tier_flat: charge or skip` (without usage),
/// `window {size: hour or day, commitment: {amount or quantity, overage_factor, true_up}, times_of_day: [{from_hour,
/// to_hour, charge_model and its parameters, commitment}]}`, `discount_percent`, `maximum_amount`, `minimum_amount`.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub(crate) struct PriceBody {
    /// Unique in the plan.
    code: String,
    /// On the invoice; the code if absent.
    name: Option<String>,
    /// Code of the meter; none for `flat`, `seat` and `curve`.
    meter: Option<String>,
    /// `flat`, `per_unit`, `graduated`, `volume`, `package`, `percentage`, `graduated_percentage`, `dynamic`, `seat` or
    /// `curve`.
    charge_model: String,
    /// `advance` or `arrears`; `flat`, `seat` and `curve` default to advance, usage to arrears.
    pay: Option<String>,
    /// The events of the meter that are priced, as the values of properties; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<SentFilters>,
    /// The properties whose groups of values are rated each on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<Vec<String>>,
    /// The property in which an event carries its own price, in major units; only for `dynamic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_property: Option<String>,
    /// The model's parameters and the terms.
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

impl From<PriceBody> for plans::CreatePrice {
    fn from(body: PriceBody) -> Self {
        let PriceBody {
            code,
            name,
            meter,
            charge_model,
            pay,
            filters,
            group_by,
            amount_property,
            parameters,
        } = body;
        Self { code, name, meter, charge_model, parameters, filters, group_by, amount_property, pay }
    }
}

impl From<rows::Price> for PriceBody {
    fn from(price: rows::Price) -> Self {
        let mut parameters = price.parameters.as_object().cloned().unwrap_or_default();
        parameters.extend(price.terms.as_object().cloned().unwrap_or_default());
        let filters: SentFilters =
            price.filters.into_iter().map(|filter| (filter.property, filter.values)).collect();
        Self {
            code: price.code,
            name: Some(price.name),
            meter: price.meter_code,
            charge_model: price.charge_model,
            pay: Some(price.pay),
            filters: Some(filters).filter(|filters| !filters.is_empty()),
            group_by: Some(price.group_by).filter(|properties| !properties.is_empty()),
            amount_property: price.amount_property,
            parameters,
        }
    }
}

/// What a plan grants: nothing but the feature (boolean), a value (static) or a limit (metered).
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitlementBody {
    /// Code of the feature.
    feature: String,
    /// Of a static entitlement.
    value: Option<String>,
    /// Of a metered entitlement, a decimal string.
    limit: Option<String>,
    /// `minute`, `hour`, `day` or `month` of UTC, `period` or `never`; `period` if absent. A sliding window is a minute,
    /// an hour, 24 hours or 30 days long.
    reset: Option<String>,
    /// `fixed` or `sliding`; `fixed` if absent. A sliding window counts what is consumed, also where the feature has a
    /// meter.
    window: Option<String>,
    /// Whether usage over the limit is refused; true if absent.
    hard: Option<bool>,
}

impl From<EntitlementBody> for plans::CreateEntitlement {
    fn from(body: EntitlementBody) -> Self {
        let EntitlementBody { feature, value, limit, reset, window, hard } = body;
        Self { feature, value, limit, reset, window, hard }
    }
}

impl From<rows::Entitlement> for EntitlementBody {
    fn from(row: rows::Entitlement) -> Self {
        Self {
            feature: row.feature,
            value: row.value,
            limit: row.usage_limit.map(decimal_text),
            reset: Some(row.reset),
            window: Some(row.time_window),
            hard: Some(row.hard),
        }
    }
}

/// A time before the first billing period, in which usage is free.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialBody {
    /// Days of the customer's calendar; either these or hours.
    days: Option<i16>,
    /// Hours.
    hours: Option<i16>,
    /// Charged once when it begins: a decimal string of major units; free if absent.
    price: Option<String>,
    /// What happens at its end: `convert` to a paid subscription, or `cancel`; convert if absent.
    then: Option<String>,
    /// What the trial grants of features, instead of what the plan does.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    limits: Vec<EntitlementBody>,
}

impl From<TrialBody> for plans::CreateTrial {
    fn from(body: TrialBody) -> Self {
        let TrialBody { days, hours, price, then, limits } = body;
        Self { days, hours, price, then, limits: limits.into_iter().map(Into::into).collect() }
    }
}

impl TrialBody {
    pub(crate) fn of(policies: &rows::PlanPolicies, limits: &[rows::Entitlement]) -> Option<Self> {
        let (unit, count) = policies.trial.as_ref()?;
        let by_hour = unit == "hour";
        Some(Self {
            days: (!by_hour).then_some(*count),
            hours: by_hour.then_some(*count),
            price: policies.trial_price.map(decimal_text),
            then: Some(policies.trial_then.clone()),
            limits: limits.iter().cloned().map(Into::into).collect(),
        })
    }
}

/// A price of the plan that is another one for a subscription. It keeps code, name, meter, filters, place and time of
/// payment.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PriceOverrideBody {
    /// Code of the plan's price.
    price: String,
    /// With it, the parameters and terms are all that is given; without it, the price's own model and whatever is not
    /// given stay.
    charge_model: Option<String>,
    /// The model's parameters and the terms, as of a price.
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

impl From<PriceOverrideBody> for PriceOverride {
    fn from(body: PriceOverrideBody) -> Self {
        let PriceOverrideBody { price, charge_model, parameters } = body;
        Self { price, charge_model, parameters }
    }
}
