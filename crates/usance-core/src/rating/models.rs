//! The steps of each charge model.

use rust_decimal::Decimal;

use super::{RateError, Step, StepKind};
use crate::catalog::price::{PackageRounding, Tier};
use crate::decimal::{DecimalError, exact_add, exact_div_rem, exact_mul, exact_sub};

/// How units become packages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packages {
    pub(super) size: Decimal,
    pub(super) free: Decimal,
    pub(super) rounding: PackageRounding,
}

/// The units above `from`, up to and including `up_to`.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Option<Decimal>,
    up_to: Option<Decimal>,
}

const ANY: Range = Range { from: None, up_to: None };

pub(super) fn flat(amount: Decimal) -> Result<Step, RateError> {
    Ok(step(StepKind::Flat, ANY, Decimal::ONE, amount)?)
}

pub(super) fn per_unit(unit: Decimal, quantity: Decimal) -> Result<Step, RateError> {
    Ok(step(StepKind::Unit, ANY, quantity, unit)?)
}

pub(super) fn graduated(tiers: &[Tier], quantity: Decimal) -> Result<Vec<Step>, RateError> {
    let mut steps = Vec::new();
    let mut lower = Decimal::ZERO;
    for tier in tiers {
        let range = tier_range(lower, tier)?;
        let reached = tier.up_to.map_or(quantity, |up_to| up_to.min(quantity));
        push_tier(&mut steps, tier, range, exact_sub(reached, lower)?)?;
        match tier.up_to {
            Some(up_to) if up_to < quantity => lower = up_to,
            Some(_) | None => return Ok(steps),
        }
    }
    Err(RateError::BeyondLastTier)
}

pub(super) fn volume(tiers: &[Tier], quantity: Decimal) -> Result<Vec<Step>, RateError> {
    let mut lower = Decimal::ZERO;
    for tier in tiers {
        let range = tier_range(lower, tier)?;
        match tier.up_to {
            Some(up_to) if up_to < quantity => lower = up_to,
            Some(_) | None => {
                let mut steps = Vec::new();
                push_tier(&mut steps, tier, range, quantity)?;
                return Ok(steps);
            }
        }
    }
    Err(RateError::BeyondLastTier)
}

pub(super) fn package(
    amount: Decimal,
    packages: Packages,
    quantity: Decimal,
) -> Result<Vec<Step>, RateError> {
    if packages.size <= Decimal::ZERO {
        return Err(RateError::PackageSizeNotPositive);
    }
    let mut steps = Vec::new();
    let free = packages.free.max(Decimal::ZERO);
    if free > Decimal::ZERO {
        let range = Range { from: Some(Decimal::ZERO), up_to: Some(free) };
        steps.push(step(StepKind::FreeUnits, range, free.min(quantity), Decimal::ZERO)?);
    }
    let charged = exact_sub(quantity.max(free), free)?;
    let count = package_count(charged, packages)?;
    steps.push(step(StepKind::Package, Range { from: Some(free), up_to: None }, count, amount)?);
    Ok(steps)
}

/// Counts packages on integers, so that 0.3 units are exactly 3 packages of 0.1 and never a rounded quotient's ceiling.
fn package_count(units: Decimal, packages: Packages) -> Result<Decimal, DecimalError> {
    let (full, rest) = exact_div_rem(units, packages.size)?;
    match packages.rounding {
        PackageRounding::Up if !rest.is_zero() => exact_add(full, Decimal::ONE),
        PackageRounding::Up | PackageRounding::Down => Ok(full),
    }
}

fn tier_range(lower: Decimal, tier: &Tier) -> Result<Range, RateError> {
    if tier.up_to.is_some_and(|up_to| up_to <= lower) {
        return Err(RateError::TiersNotAscending);
    }
    Ok(Range { from: Some(lower), up_to: tier.up_to })
}

fn push_tier(steps: &mut Vec<Step>, tier: &Tier, range: Range, units: Decimal) -> Result<(), DecimalError> {
    steps.push(step(StepKind::TierUnit, range, units, tier.unit)?);
    if !tier.flat.is_zero() {
        steps.push(step(StepKind::TierFlat, range, Decimal::ONE, tier.flat)?);
    }
    Ok(())
}

fn step(kind: StepKind, range: Range, quantity: Decimal, unit: Decimal) -> Result<Step, DecimalError> {
    let amount = exact_mul(quantity, unit)?;
    Ok(Step { kind, from: range.from, up_to: range.up_to, quantity, unit, amount })
}
