//! Rating: a quantity and a price give an exact amount and the arithmetic that led to it.
//!
//! Nothing here is rounded. A step's amount is its quantity times its unit price, and the charge is the sum of its
//! steps, so that an invoice line can show how its number came about. Usage of zero is charged as usage: the flat
//! fee of the first tier is due, a package is not.

mod models;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use thiserror::Error;

use crate::catalog::price::ChargeModel;
use crate::decimal::{DecimalError, exact_add};

/// The exact amount for a quantity, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The unrounded amount in major units; the invoice line rounds it.
    pub exact: Decimal,
    /// The arithmetic, in the order of the tiers; the amounts add up to `exact`.
    pub steps: Vec<Step>,
}

/// One multiplication of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is multiplied.
    pub kind: StepKind,
    /// The quantity above which units belong to the step, where the model divides units.
    pub from: Option<Decimal>,
    /// The last quantity that belongs to the step, where the model divides units and the step has an end.
    pub up_to: Option<Decimal>,
    /// How often the unit price is charged: units, packages, or 1 for a fee.
    pub quantity: Decimal,
    /// The price of one, in major units.
    pub unit: Decimal,
    /// Quantity times unit price, in major units.
    pub amount: Decimal,
}

/// What a step of a charge stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// The amount of a flat price.
    Flat,
    /// All units at one price.
    Unit,
    /// The units that are charged at a tier's price.
    TierUnit,
    /// The fee for entering a tier; left out where it is zero.
    TierFlat,
    /// The units before packages are counted, at no price.
    FreeUnits,
    /// The packages.
    Package,
}

impl StepKind {
    /// Returns the word under which the API and the stored explanation show the step.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Unit => "unit",
            Self::TierUnit => "tier_unit",
            Self::TierFlat => "tier_flat",
            Self::FreeUnits => "free_units",
            Self::Package => "package",
        }
    }

    /// Reads the word of [`StepKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        let kinds = [Self::Flat, Self::Unit, Self::TierUnit, Self::TierFlat, Self::FreeUnits, Self::Package];
        kinds.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Why a quantity cannot be rated; only the first and the last are possible for a price that was validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RateError {
    /// The quantity is below zero.
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
    /// The exact amount needs more digits than are kept; rounding the meter's quantity helps.
    #[error("the amount has more digits than can be computed exactly")]
    Inexact(#[from] DecimalError),
}

/// Rates a quantity of zero or more; a flat price ignores how much it is.
pub fn rate(model: &ChargeModel, quantity: Decimal) -> Result<Charge, RateError> {
    if quantity < Decimal::ZERO {
        return Err(RateError::NegativeQuantity);
    }
    let steps = match model {
        ChargeModel::Flat { amount } => vec![models::flat(*amount)?],
        ChargeModel::PerUnit { unit } => vec![models::per_unit(*unit, quantity)?],
        ChargeModel::Graduated { tiers } => models::graduated(tiers, quantity)?,
        ChargeModel::Volume { tiers } => models::volume(tiers, quantity)?,
        ChargeModel::Package { amount, package_size, free_units, rounding } => {
            let packages = models::Packages { size: *package_size, free: *free_units, rounding: *rounding };
            models::package(*amount, packages, quantity)?
        }
    };
    let mut exact = Decimal::ZERO;
    for step in &steps {
        exact = exact_add(exact, step.amount)?;
    }
    Ok(Charge { exact, steps })
}
