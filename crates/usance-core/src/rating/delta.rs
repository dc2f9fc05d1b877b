//! Delta rating: a period that is billed in parts rates all its usage so far each time, and books the difference.
//!
//! The whole is rounded, and not the parts, so that splitting a period over any number of ratings books what rating it
//! at once would: there is no drift, late events correct what was booked before, and a cheaper volume tier or fewer
//! units give money back.

use rust_decimal::Decimal;

use super::{Charge, RateError, Run, Step, Usage, rate};
use crate::catalog::price::PriceTerms;
use crate::decimal::{DecimalError, exact_add, exact_mul, exact_sub};
use crate::money::Money;

/// What one rating of a period adds to what was booked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// The difference; below zero where too much was booked before.
    pub amount: Money,
    /// What all usage of the period so far costs before rounding, in major units.
    pub exact: Decimal,
    /// What each part of the usage costs, in the order of the parts.
    pub charges: Vec<Charge>,
}

/// Rates all usage of a period so far, each part of it on its own, rounds the sum once and takes off what ratings of the
/// period booked before.
///
/// The currency is that of `booked`, which is zero for the first rating.
pub fn book<'a>(
    terms: &PriceTerms,
    cumulative: impl IntoIterator<Item = &'a Usage>,
    booked: Money,
    run: Run,
) -> Result<Booking, RateError> {
    let (mut exact, mut charges) = (Decimal::ZERO, Vec::new());
    for part in cumulative {
        let charge = rate(terms, part, run)?;
        exact = exact_add(exact, charge.exact)?;
        charges.push(charge);
    }
    let amount = Money::from_exact(exact, booked.currency())?.checked_sub(booked)?;
    Ok(Booking { amount, exact, charges })
}

/// Explains the exact difference of two ratings of one period by what changed in each step.
///
/// The amounts add up to the difference. Steps that did not change are left out; a step that is not there any more is
/// taken back, with a quantity below zero.
pub fn difference(before: &Charge, after: &Charge) -> Result<Vec<Step>, DecimalError> {
    let mut old_steps: Vec<&Step> = before.steps.iter().collect();
    let mut steps = Vec::new();
    for new in &after.steps {
        let same_price = old_steps.iter().position(|old| is_alike(old, new) && old.unit == new.unit);
        let same = same_price
            .or_else(|| old_steps.iter().position(|old| is_alike(old, new) && old.quantity == new.quantity));
        let Some(old) = same.map(|index| old_steps.remove(index)) else {
            steps.push(new.clone());
            continue;
        };
        if old.unit != new.unit {
            steps.push(product(new, new.quantity, exact_sub(new.unit, old.unit)?)?);
        } else if old.quantity != new.quantity {
            steps.push(product(new, exact_sub(new.quantity, old.quantity)?, new.unit)?);
        }
    }
    let taken_back = old_steps.into_iter().map(|old| product(old, -old.quantity, old.unit));
    taken_back.chain(steps.into_iter().map(Ok)).collect()
}

fn is_alike(old: &Step, new: &Step) -> bool {
    (old.kind, old.from, old.up_to) == (new.kind, new.from, new.up_to)
}

fn product(step: &Step, quantity: Decimal, unit: Decimal) -> Result<Step, DecimalError> {
    Ok(Step { quantity, unit, amount: exact_mul(quantity, unit)?, ..step.clone() })
}
