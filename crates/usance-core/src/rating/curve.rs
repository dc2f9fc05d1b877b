//! The amount along a curve, whose exponential is summed up as a series of decimals.
//!
//! This is the one price that is not computed exactly: e to the power of a fraction has no end. Its series is carried
//! to 28 digits after the point, of which about 25 are right, and the amount is a whole number of currency units. An
//! exact amount can never lie on one half, where the direction would hang on the last digit, because e to the power of
//! a fraction that is not zero is irrational.

use rust_decimal::{Decimal, RoundingStrategy};

use super::RateError;
use crate::catalog::price::Curve;
use crate::decimal::{DecimalError, exact_mul, exact_sub};

use super::ONE_PERCENT;

/// From here on, the exponential is below the last digit that is kept.
const EXPONENT_END: Decimal = Decimal::from_parts(64, 0, 0, false, 0);

/// How often the argument is halved before the series and its value squared afterwards: 64 becomes one half.
const HALVINGS: u32 = 7;

/// Terms of the series; at one half, the next one is below the last digit that is kept.
const TERMS: u32 = 24;

/// Computes the amount for a quantity of zero or more, in whole major units.
pub(super) fn amount(curve: &Curve, quantity: Decimal) -> Result<Decimal, RateError> {
    if curve.decay <= Decimal::ZERO {
        return Err(RateError::DecayNotPositive);
    }
    let exponent = divided(quantity, curve.decay)?;
    let spread = multiplied(curve.unit_spread, exp_of_negative(exponent)?)?;
    let unit = curve.unit_floor.checked_add(spread).ok_or(DecimalError::TooLarge)?;
    let undiscounted = whole(multiplied(quantity, unit)?).max(curve.minimum);
    let discount = curve.discounts.iter().rev().find(|discount| discount.from <= quantity);
    let discounted = match discount {
        None => undiscounted,
        Some(discount) => {
            let share = exact_mul(exact_sub(Decimal::ONE_HUNDRED, discount.percent)?, ONE_PERCENT)?;
            whole(exact_mul(undiscounted, share)?)
        }
    };
    Ok(discounted.max(curve.minimum).max(multiplied(quantity, curve.unit_floor)?))
}

/// Sums `e^-x` for an `x` of zero or more.
pub(super) fn exp_of_negative(x: Decimal) -> Result<Decimal, DecimalError> {
    if x >= EXPONENT_END {
        return Ok(Decimal::ZERO);
    }
    let halved = divided(x, Decimal::from(1_u32 << HALVINGS))?;
    let (mut term, mut sum) = (Decimal::ONE, Decimal::ONE);
    for n in 1..=TERMS {
        term = divided(multiplied(term, -halved)?, Decimal::from(n))?;
        sum = sum.checked_add(term).ok_or(DecimalError::TooLarge)?;
    }
    for _ in 0..HALVINGS {
        sum = multiplied(sum, sum)?;
    }
    Ok(sum)
}

fn whole(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
}

/// Multiplies to 28 digits, unlike the exact operations.
fn multiplied(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    a.checked_mul(b).ok_or(DecimalError::TooLarge)
}

/// Divides to 28 digits, unlike the exact operations.
fn divided(dividend: Decimal, divisor: Decimal) -> Result<Decimal, DecimalError> {
    dividend.checked_div(divisor).ok_or(DecimalError::TooLarge)
}
