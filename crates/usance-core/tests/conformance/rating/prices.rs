//! The prices and the usage that cases describe, in the product's terms.

use rust_decimal::Decimal;
use usance_core::{
    catalog::{
        price::{
            ChargeModel, ConversionOperation, FirstTierFlat, PackageRounding, PercentTier, Percentage,
            PriceTerms, Tier, UnitConversion,
        },
        rounding::{QuantityRounding, RoundingMode},
    },
    rating::{Run, Usage},
};

use crate::case::{Case, Fields};

/// The policy of every case that is not tagged with another one.
const CHARGE_FIRST_TIER_FLAT: &str = "charge_first_tier_flat_at_zero_usage";

/// The price of a case's model, apart from what the model's name says about the terms around it.
pub(super) fn model_of(case_model: &str) -> &str {
    match case_model {
        "unit_config_per_unit" => "per_unit",
        "unit_config_graduated" | "tiered_graduated_tier_cap" => "tiered_graduated",
        model => model,
    }
}

/// Reads the price that a case's parameters describe.
pub(super) fn terms(case: &Case, model: &str) -> Result<PriceTerms, String> {
    let mut terms = PriceTerms::from(charge_model(model, case.params())?);
    limit(&mut terms, case.params())?;
    terms.first_tier_flat = match case.policy() {
        None | Some(CHARGE_FIRST_TIER_FLAT) => FirstTierFlat::Charge,
        Some("skip_first_tier_flat_at_zero_usage") => FirstTierFlat::Skip,
        Some(policy) => return Err(format!("unsupported: no policy `{policy}` for prices")),
    };
    Ok(terms)
}

/// Reads a price that names its own type.
pub(super) fn priced(price: Fields) -> Result<PriceTerms, String> {
    let mut terms = PriceTerms::from(charge_model(price.text("type")?, price)?);
    limit(&mut terms, price)?;
    Ok(terms)
}

/// Adds what a case says about conversion, discounts and limits.
pub(super) fn limit(terms: &mut PriceTerms, params: Fields) -> Result<(), String> {
    if let Some(conversion) = params.object_opt("unit_config") {
        terms.conversion = Some(unit_conversion(conversion)?);
    }
    terms.usage_discount = params.decimal_opt("usage_discount")?.or(terms.usage_discount);
    terms.discount_percent = params.decimal_opt("discount_percent")?.or(terms.discount_percent);
    terms.minimum = params.decimal_opt("minimum_amount")?.or(terms.minimum);
    terms.maximum = params.decimal_opt("maximum_amount")?.or(terms.maximum);
    Ok(())
}

pub(super) fn charge_model(model: &str, params: Fields) -> Result<ChargeModel, String> {
    Ok(match model {
        "flat" => ChargeModel::Flat { amount: params.decimal("amount")? },
        "per_unit" => ChargeModel::PerUnit { unit: params.decimal("unit")? },
        "tiered_graduated" | "graduated" => ChargeModel::Graduated { tiers: tiers(params)? },
        "tiered_volume" | "volume" => ChargeModel::Volume { tiers: tiers(params)? },
        "package" => ChargeModel::Package {
            amount: params.decimal_opt("amount")?.unwrap_or_default(),
            package_size: params.decimal("package_size")?,
            free_units: params.decimal_opt("free_units")?.unwrap_or_default(),
            rounding: match params.text_opt("rounding") {
                None => PackageRounding::Up,
                Some(word) => PackageRounding::parse(word).ok_or("unsupported: the rounding of packages")?,
            },
        },
        "percentage" => ChargeModel::Percentage(percentage(params)?),
        "graduated_percentage" => ChargeModel::GraduatedPercentage { tiers: percent_tiers(params)? },
        "multiplier" => ChargeModel::Dynamic { multiplier: params.decimal("multiplier")? },
        unknown => return Err(format!("unsupported: no charge model `{unknown}`")),
    })
}

fn tiers(params: Fields) -> Result<Vec<Tier>, String> {
    let tier = |tier: &Fields| {
        Ok(Tier {
            up_to: tier.decimal_opt("up_to")?,
            unit: tier.decimal_opt("unit")?.unwrap_or_default(),
            flat: tier.decimal_opt("flat")?.unwrap_or_default(),
            cap: tier.decimal_opt("cap")?,
        })
    };
    params.objects("tiers")?.iter().map(tier).collect()
}

fn percent_tiers(params: Fields) -> Result<Vec<PercentTier>, String> {
    let tier = |tier: &Fields| {
        Ok(PercentTier {
            up_to: tier.decimal_opt("up_to")?,
            rate_percent: tier.decimal_opt("rate_percent")?.unwrap_or_default(),
            flat: tier.decimal_opt("flat")?.unwrap_or_default(),
        })
    };
    params.objects("tiers")?.iter().map(tier).collect()
}

fn percentage(params: Fields) -> Result<Percentage, String> {
    let free_events = params.whole_opt("free_events")?.map(u64::try_from).transpose();
    Ok(Percentage {
        rate_percent: params.decimal("rate_percent")?,
        fixed_amount_per_event: params.decimal_opt("fixed_amount_per_event")?.unwrap_or_default(),
        free_events: free_events.map_err(|_| "`free_events` is below zero")?,
        free_units_total: params.decimal_opt("free_units_total")?,
        per_event_min: params.decimal_opt("per_event_min")?,
        per_event_max: params.decimal_opt("per_event_max")?,
    })
}

fn unit_conversion(conversion: Fields) -> Result<UnitConversion, String> {
    let operation =
        ConversionOperation::parse(conversion.text("operation")?).ok_or("unsupported: the operation")?;
    let rounding = match conversion.text_opt("rounding") {
        None | Some("none") => None,
        Some(word) => Some(rounding(word, conversion.whole_opt("precision")?.unwrap_or_default())?),
    };
    Ok(UnitConversion { operation, factor: conversion.decimal("factor")?, rounding })
}

/// Reads a rounding; the cases call half-up `round`.
pub(super) fn rounding(word: &str, scale: i64) -> Result<QuantityRounding, String> {
    let mode = match word {
        "round" => RoundingMode::HalfUp,
        word => RoundingMode::parse(word).ok_or_else(|| format!("unsupported: the rounding `{word}`"))?,
    };
    let scale = i8::try_from(scale).map_err(|_| "unsupported: the precision")?;
    Ok(QuantityRounding { mode, scale })
}

/// Reads the usage of a whole period.
pub(super) fn usage(case: &Case) -> Result<Usage, String> {
    if case.has_events() {
        let events =
            case.events().iter().map(|event| event.decimal("value")).collect::<Result<Vec<_>, _>>()?;
        let event_count = u64::try_from(events.len()).map_err(|_| "too many events")?;
        return Ok(Usage { event_count, events: events.clone(), ..Usage::of(events.iter().sum()) });
    }
    let usage = case.usage();
    let quantity = if usage.has("total") { usage.decimal("total")? } else { usage.decimal("quantity")? };
    let event_count =
        u64::try_from(usage.whole_opt("count")?.unwrap_or_default()).map_err(|_| "`count` is below zero")?;
    Ok(Usage { event_count, ..of(quantity) })
}

/// Reads the usage before a bill, and the usage with it.
pub(super) fn split_usage(case: &Case) -> Result<[Usage; 2], String> {
    let before = case.usage().decimal("pre_line_quantity")?;
    Ok([of(before), of(before + case.usage().decimal("quantity")?)])
}

/// A quantity of which each unit may be priced by a multiplier.
fn of(quantity: Decimal) -> Usage {
    Usage { event_amount: quantity, ..Usage::of(quantity) }
}

/// Tells whether the case is about the end of its period.
pub(super) fn run(case: &Case) -> Run {
    if case.params().flag_opt("last_in_period") == Some(false) { Run::Interim } else { Run::Final }
}
