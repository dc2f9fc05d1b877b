//! The steps of each charge model.

use rust_decimal::Decimal;

use super::step::{ANY, Range, StepKind, Steps};
use super::{ONE_PERCENT, RateError, Usage, curve, percentage};
use crate::catalog::price::{ChargeModel, FirstTierFlat, PackageRounding, PercentTier, Tier};
use crate::decimal::{DecimalError, exact_add, exact_div_rem, exact_mul, exact_sub};

/// How units become packages.
#[derive(Debug, Clone, Copy)]
struct Packages {
    size: Decimal,
    free: Decimal,
    rounding: PackageRounding,
}

/// What the tiers of all models have in common.
#[derive(Debug, Clone, Copy)]
struct TierPrice {
    kind: StepKind,
    up_to: Option<Decimal>,
    unit: Decimal,
    flat: Decimal,
    cap: Option<Decimal>,
}

/// Adds the steps of a model for a quantity of zero or more; single events are read from the usage.
pub(super) fn push(
    steps: &mut Steps,
    model: &ChargeModel,
    quantity: Decimal,
    usage: &Usage,
    first_tier_flat: FirstTierFlat,
) -> Result<(), RateError> {
    match model {
        ChargeModel::Flat { amount } => steps.push(StepKind::Flat, ANY, Decimal::ONE, *amount)?,
        ChargeModel::PerUnit { unit } => steps.push(StepKind::Unit, ANY, quantity, *unit)?,
        ChargeModel::Graduated { tiers } => {
            push_graduated(steps, &unit_tiers(tiers), quantity, first_tier_flat)?;
        }
        ChargeModel::Volume { tiers } => push_volume(steps, &unit_tiers(tiers), quantity, first_tier_flat)?,
        ChargeModel::Package { amount, package_size, free_units, rounding } => {
            let packages = Packages { size: *package_size, free: *free_units, rounding: *rounding };
            push_packages(steps, *amount, packages, quantity)?;
        }
        ChargeModel::Percentage(percentage) => percentage::push(steps, percentage, quantity, usage)?,
        ChargeModel::GraduatedPercentage { tiers } => {
            push_graduated(steps, &percent_tiers(tiers)?, quantity, first_tier_flat)?;
        }
        ChargeModel::Dynamic { multiplier } => {
            if usage.event_amount < Decimal::ZERO {
                return Err(RateError::NegativeQuantity);
            }
            steps.push(StepKind::EventPrice, ANY, usage.event_amount, *multiplier)?;
        }
        ChargeModel::Seat { unit, minimum_seats, maximum_seats } => {
            if maximum_seats.is_some_and(|maximum| quantity > maximum) {
                return Err(RateError::TooManySeats);
            }
            let charged = minimum_seats.map_or(quantity, |minimum| quantity.max(minimum));
            steps.push(StepKind::Seat, ANY, charged, *unit)?;
        }
        ChargeModel::Curve(curve) => {
            steps.push(StepKind::Curve, ANY, Decimal::ONE, curve::amount(curve, quantity)?)?;
        }
    }
    Ok(())
}

fn unit_tiers(tiers: &[Tier]) -> Vec<TierPrice> {
    let price = |tier: &Tier| TierPrice {
        kind: StepKind::TierUnit,
        up_to: tier.up_to,
        unit: tier.unit,
        flat: tier.flat,
        cap: tier.cap,
    };
    tiers.iter().map(price).collect()
}

fn percent_tiers(tiers: &[PercentTier]) -> Result<Vec<TierPrice>, DecimalError> {
    let price = |tier: &PercentTier| {
        let unit = exact_mul(tier.rate_percent, ONE_PERCENT)?;
        Ok(TierPrice { kind: StepKind::TierPercent, up_to: tier.up_to, unit, flat: tier.flat, cap: None })
    };
    tiers.iter().map(price).collect()
}

fn push_graduated(
    steps: &mut Steps,
    tiers: &[TierPrice],
    quantity: Decimal,
    first_tier_flat: FirstTierFlat,
) -> Result<(), RateError> {
    let mut lower = Decimal::ZERO;
    for tier in tiers {
        let range = tier_range(lower, tier)?;
        let reached = tier.up_to.map_or(quantity, |up_to| up_to.min(quantity));
        push_tier(steps, tier, range, exact_sub(reached, lower)?, first_tier_flat)?;
        match tier.up_to {
            Some(up_to) if up_to < quantity => lower = up_to,
            Some(_) | None => return Ok(()),
        }
    }
    Err(RateError::BeyondLastTier)
}

fn push_volume(
    steps: &mut Steps,
    tiers: &[TierPrice],
    quantity: Decimal,
    first_tier_flat: FirstTierFlat,
) -> Result<(), RateError> {
    let mut lower = Decimal::ZERO;
    for tier in tiers {
        let range = tier_range(lower, tier)?;
        match tier.up_to {
            Some(up_to) if up_to < quantity => lower = up_to,
            Some(_) | None => return Ok(push_tier(steps, tier, range, quantity, first_tier_flat)?),
        }
    }
    Err(RateError::BeyondLastTier)
}

fn tier_range(lower: Decimal, tier: &TierPrice) -> Result<Range, RateError> {
    if tier.up_to.is_some_and(|up_to| up_to <= lower) {
        return Err(RateError::TiersNotAscending);
    }
    Ok(Range { from: Some(lower), up_to: tier.up_to })
}

fn push_tier(
    steps: &mut Steps,
    tier: &TierPrice,
    range: Range,
    units: Decimal,
    first_tier_flat: FirstTierFlat,
) -> Result<(), DecimalError> {
    steps.push(tier.kind, range, units, tier.unit)?;
    let cost = exact_mul(units, tier.unit)?;
    if let Some(cap) = tier.cap.filter(|cap| cost > *cap) {
        steps.push(StepKind::TierCap, range, Decimal::ONE, exact_sub(cap, cost)?)?;
    }
    // No units in a tier means no usage at all: a tier is entered only with the first unit above its lower bound.
    let is_due = match first_tier_flat {
        FirstTierFlat::Charge => true,
        FirstTierFlat::Skip => !units.is_zero(),
    };
    if is_due && !tier.flat.is_zero() {
        steps.push(StepKind::TierFlat, range, Decimal::ONE, tier.flat)?;
    }
    Ok(())
}

fn push_packages(
    steps: &mut Steps,
    amount: Decimal,
    packages: Packages,
    quantity: Decimal,
) -> Result<(), RateError> {
    if packages.size <= Decimal::ZERO {
        return Err(RateError::PackageSizeNotPositive);
    }
    let free = packages.free.max(Decimal::ZERO);
    if free > Decimal::ZERO {
        let range = Range { from: Some(Decimal::ZERO), up_to: Some(free) };
        steps.push(StepKind::FreeUnits, range, free.min(quantity), Decimal::ZERO)?;
    }
    let charged = exact_sub(quantity.max(free), free)?;
    let count = package_count(charged, packages)?;
    Ok(steps.push(StepKind::Package, Range { from: Some(free), up_to: None }, count, amount)?)
}

/// Counts packages on integers, so that 0.3 units are exactly 3 packages of 0.1 and never a rounded quotient's ceiling.
fn package_count(units: Decimal, packages: Packages) -> Result<Decimal, DecimalError> {
    let (full, rest) = exact_div_rem(units, packages.size)?;
    match packages.rounding {
        PackageRounding::Up if !rest.is_zero() => exact_add(full, Decimal::ONE),
        PackageRounding::Up | PackageRounding::Down => Ok(full),
    }
}
