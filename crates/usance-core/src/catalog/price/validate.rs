//! The rules that the parameters of a price keep.

use rust_decimal::Decimal;
use thiserror::Error;

use super::{ChargeModel, Tier};
use crate::decimal::{DecimalError, stored_decimal};

/// Tiers that one price may have.
pub const TIERS_MAX: usize = 1_000;

/// A parameter that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {fault}")]
pub struct PriceError {
    /// The end of a JSON pointer, relative to the price and without a leading slash, such as `tiers/1/up_to`.
    pub field: String,
    /// The rule that is broken.
    pub fault: PriceFault,
}

/// The rule that a parameter breaks, as the end of a sentence about the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PriceFault {
    /// Credits are coupons or credit notes, not prices below zero.
    #[error("must not be negative")]
    Negative,
    /// A package of no units has no count.
    #[error("must be greater than zero")]
    NotPositive,
    /// The value does not fit a stored decimal.
    #[error("must have at most 12 digits after the point and 16 before it")]
    NotStorable(DecimalError),
    /// A price of no tiers has no amount.
    #[error("must have at least one tier")]
    NoTiers,
    /// The price has more than [`TIERS_MAX`] tiers.
    #[error("must have at most {TIERS_MAX} tiers")]
    TooManyTiers,
    /// The bound is not above the bound of the tier before, or for the first tier above zero.
    #[error("must be greater than the bound of the tier before it")]
    NotAscending,
    /// A tier after this one could never be reached.
    #[error("must not be null, except in the last tier")]
    OpenBeforeLast,
    /// A quantity above the bound would have no price.
    #[error("must be null in the last tier")]
    LastNotOpen,
}

impl ChargeModel {
    /// Checks every parameter and reports the first that breaks a rule.
    pub fn validate(&self) -> Result<(), PriceError> {
        match self.faults().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Checks every parameter and reports all that break a rule, in the order of the fields.
    pub fn faults(&self) -> Vec<PriceError> {
        let mut faults = Vec::new();
        match self {
            Self::Flat { amount } => check_amount(&mut faults, "amount", *amount),
            Self::PerUnit { unit } => check_amount(&mut faults, "unit", *unit),
            Self::Graduated { tiers } | Self::Volume { tiers } => check_tiers(&mut faults, tiers),
            Self::Package { amount, package_size, free_units, rounding: _ } => {
                check_amount(&mut faults, "amount", *amount);
                check_positive(&mut faults, "package_size", *package_size);
                check_amount(&mut faults, "free_units", *free_units);
            }
        }
        faults
    }
}

fn check_tiers(faults: &mut Vec<PriceError>, tiers: &[Tier]) {
    if tiers.is_empty() {
        return report(faults, "tiers", PriceFault::NoTiers);
    }
    if tiers.len() > TIERS_MAX {
        return report(faults, "tiers", PriceFault::TooManyTiers);
    }
    let last = tiers.len() - 1;
    let mut lower = Decimal::ZERO;
    for (index, tier) in tiers.iter().enumerate() {
        let field = format!("tiers/{index}/up_to");
        match tier.up_to {
            None if index < last => report(faults, &field, PriceFault::OpenBeforeLast),
            None => {}
            Some(_) if index == last => report(faults, &field, PriceFault::LastNotOpen),
            Some(up_to) if up_to <= lower => report(faults, &field, PriceFault::NotAscending),
            Some(up_to) => check_amount(faults, &field, up_to),
        }
        lower = tier.up_to.unwrap_or(lower);
        check_amount(faults, &format!("tiers/{index}/unit"), tier.unit);
        check_amount(faults, &format!("tiers/{index}/flat"), tier.flat);
    }
}

fn check_amount(faults: &mut Vec<PriceError>, field: &str, value: Decimal) {
    if value < Decimal::ZERO {
        report(faults, field, PriceFault::Negative);
    } else if let Err(error) = stored_decimal(value) {
        report(faults, field, PriceFault::NotStorable(error));
    }
}

fn check_positive(faults: &mut Vec<PriceError>, field: &str, value: Decimal) {
    if value.is_zero() {
        report(faults, field, PriceFault::NotPositive);
    } else {
        check_amount(faults, field, value);
    }
}

fn report(faults: &mut Vec<PriceError>, field: &str, fault: PriceFault) {
    faults.push(PriceError { field: field.to_owned(), fault });
}
