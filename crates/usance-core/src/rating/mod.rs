//! Rating: usage and the terms of a price give an exact amount and the arithmetic that led to it.
//!
//! Nothing here is rounded but a curve, whose amounts are whole by definition. A step's amount is its quantity times
//! its unit price, and the charge is the sum of its steps, so that an invoice line can show how its number came about.
//! Usage of zero is charged as usage: the flat fee of the first tier is due unless the terms say otherwise, a package is
//! not. [`delta`] rates a period in parts.

mod curve;
pub mod delta;
mod models;
mod percentage;
mod step;
#[cfg(test)]
mod tests;
mod usage;
mod window;

pub use step::{Step, StepKind};
pub use usage::{Needs, Run, Usage, WindowUsage};

use rust_decimal::Decimal;
use thiserror::Error;

use crate::catalog::price::{ConversionOperation, PriceTerms, UnitConversion};
use crate::catalog::rounding::QuantityRounding;
use crate::decimal::{DecimalError, exact_mul, exact_sub};
use crate::money::MoneyError;

use step::{ANY, Range, Steps};

/// One percent, as a factor.
const ONE_PERCENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// The exact amount for a quantity, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The unrounded amount in major units; the invoice line rounds it.
    pub exact: Decimal,
    /// What was rated: the quantity after conversion and without what is free by the terms.
    pub quantity: Decimal,
    /// The arithmetic, in the order in which it was done; the amounts add up to `exact`.
    pub steps: Vec<Step>,
    /// How far the commitments of windows were used; absent where the price has no windows.
    pub commitment: Option<CommitmentUse>,
}

/// What became of the commitments of all windows, in major units; the three add up to the amount before discounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitmentUse {
    /// What usage cost up to the commitment, or at all where there was none.
    pub utilized: Decimal,
    /// What usage beyond the commitment cost, its factor included.
    pub overage: Decimal,
    /// What was charged without usage, up to the commitment.
    pub true_up: Decimal,
}

impl Charge {
    /// Returns the amount for one unit, rounded half-up to 12 digits; nothing where the quantity is not above zero.
    pub fn average_unit(&self) -> Option<Decimal> {
        QuantityRounding::STORED.divide(self.exact, self.quantity).ok()
    }
}

/// Why usage cannot be rated; a validated price leaves the sign, the size and the completeness of the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RateError {
    /// The quantity, or the value of an event that is priced by itself, is below zero.
    #[error("a quantity below zero cannot be rated")]
    NegativeQuantity,
    /// The last tier has a bound and the quantity is above it.
    #[error("the quantity is above the bound of the last tier")]
    BeyondLastTier,
    /// A tier's bound is not above the one before.
    #[error("the bounds of the tiers do not ascend")]
    TiersNotAscending,
    /// The package size is zero or less.
    #[error("the package size is not greater than zero")]
    PackageSizeNotPositive,
    /// The decay of a curve is zero or less.
    #[error("the decay of the curve is not greater than zero")]
    DecayNotPositive,
    /// The subscription has more seats than the price allows.
    #[error("the quantity is above the seats that the price allows")]
    TooManySeats,
    /// The price needs every single event, and not as many were given as were counted.
    #[error("the price needs the value of every event")]
    EventsMissing,
    /// The exact amount needs more digits than are kept; rounding the meter's quantity helps.
    #[error("the amount has more digits than can be computed exactly")]
    Inexact(#[from] DecimalError),
    /// The amount does not fit the minor units of its currency, or was booked in another one.
    #[error("the amount cannot be booked")]
    Unbookable(#[from] MoneyError),
}

/// Rates the usage of a period: what [`PriceTerms::needs`] asks for must be filled in.
pub fn rate(terms: &PriceTerms, usage: &Usage, run: Run) -> Result<Charge, RateError> {
    let mut steps = Steps::default();
    let (quantity, commitment) = match &terms.window {
        Some(pricing) => {
            let (quantity, used) = window::push(&mut steps, terms, pricing, &usage.windows, run)?;
            (quantity, Some(used))
        }
        None => (push_whole(&mut steps, terms, usage)?, None),
    };
    push_adjustments(&mut steps, terms, run)?;
    let (exact, steps) = steps.into_parts();
    Ok(Charge { exact, quantity, steps, commitment })
}

/// Adds the steps of a period that is rated as a whole, and returns the rated quantity.
fn push_whole(steps: &mut Steps, terms: &PriceTerms, usage: &Usage) -> Result<Decimal, RateError> {
    let converted = convert(terms.conversion.as_ref(), usage.quantity)?;
    let free = terms.usage_discount.unwrap_or_default().min(converted).max(Decimal::ZERO);
    if terms.usage_discount.is_some() {
        let range = Range { from: Some(Decimal::ZERO), up_to: terms.usage_discount };
        steps.push(StepKind::UsageDiscount, range, free, Decimal::ZERO)?;
    }
    let quantity = exact_sub(converted, free)?;
    models::push(steps, &terms.model, quantity, usage, terms.first_tier_flat)?;
    Ok(quantity)
}

/// Makes priced units of measured ones, which are zero or more.
fn convert(conversion: Option<&UnitConversion>, quantity: Decimal) -> Result<Decimal, RateError> {
    if quantity < Decimal::ZERO {
        return Err(RateError::NegativeQuantity);
    }
    let Some(conversion) = conversion else { return Ok(quantity) };
    let rounding = conversion.rounding;
    Ok(match conversion.operation {
        ConversionOperation::Multiply => {
            let product = exact_mul(quantity, conversion.factor)?;
            rounding.map_or(Ok(product), |rounding| rounding.round(product))?
        }
        ConversionOperation::Divide => {
            rounding.unwrap_or(QuantityRounding::STORED).divide(quantity, conversion.factor)?
        }
    })
}

/// Applies what changes the amount of a whole period: the discount, the maximum, and at its end the minimum.
fn push_adjustments(steps: &mut Steps, terms: &PriceTerms, run: Run) -> Result<(), DecimalError> {
    if let Some(percent) = terms.discount_percent.filter(|percent| !percent.is_zero()) {
        steps.push(StepKind::Discount, ANY, steps.total(), -exact_mul(percent, ONE_PERCENT)?)?;
    }
    if let Some(maximum) = terms.maximum.filter(|maximum| steps.total() > *maximum) {
        steps.push(StepKind::Maximum, ANY, Decimal::ONE, exact_sub(maximum, steps.total())?)?;
    }
    let minimum = match run {
        Run::Interim => None,
        Run::Final => terms.minimum,
    };
    if let Some(minimum) = minimum.filter(|minimum| steps.total() < *minimum) {
        steps.push(StepKind::Minimum, ANY, Decimal::ONE, exact_sub(minimum, steps.total())?)?;
    }
    Ok(())
}
