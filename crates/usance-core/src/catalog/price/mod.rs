//! Prices: the charge models, their parameters and the rules those keep.
//!
//! Every amount is a decimal in *major* units of the plan's currency, so that a price may be below the currency's
//! smallest coin. A model that passes [`ChargeModel::validate`] can be stored and rates any quantity that it covers.

#[cfg(test)]
mod tests;
mod validate;

pub use validate::{PriceError, PriceFault, TIERS_MAX};

use rust_decimal::Decimal;

/// How a quantity becomes an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeModel {
    /// One amount for each period, whatever the quantity.
    Flat {
        /// The amount.
        amount: Decimal,
    },
    /// One price for every unit.
    PerUnit {
        /// The price of one unit.
        unit: Decimal,
    },
    /// Each unit costs what the tier it falls into says; every tier that is entered adds its flat fee.
    Graduated {
        /// The tiers, in ascending order.
        tiers: Vec<Tier>,
    },
    /// All units cost what the one tier says that the whole quantity falls into, plus that tier's flat fee.
    Volume {
        /// The tiers, in ascending order.
        tiers: Vec<Tier>,
    },
    /// One price for every package of units, after the free units.
    Package {
        /// The price of one package.
        amount: Decimal,
        /// The units in one package.
        package_size: Decimal,
        /// The units that are taken off the quantity before packages are counted.
        free_units: Decimal,
        /// What happens to a package that is not full.
        rounding: PackageRounding,
    },
}

/// One step of a graduated or volume price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The last quantity that is still in the tier; absent in the last tier, which has no end.
    pub up_to: Option<Decimal>,
    /// The price of one unit.
    pub unit: Decimal,
    /// The fee for entering the tier; the first tier's is due even at zero usage.
    pub flat: Decimal,
}

/// Whether a package that is not full is charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PackageRounding {
    /// It is charged like a full one.
    #[default]
    Up,
    /// It is free.
    Down,
}

/// When a price is charged: at the start of the period or after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayTiming {
    /// At the start of the period; the default of flat fees.
    Advance,
    /// After the end of the period; the default of usage, which is not known earlier.
    Arrears,
}

impl ChargeModel {
    /// Returns the word of the API's `charge_model`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Flat { .. } => "flat",
            Self::PerUnit { .. } => "per_unit",
            Self::Graduated { .. } => "graduated",
            Self::Volume { .. } => "volume",
            Self::Package { .. } => "package",
        }
    }

    /// Tells whether the amount depends on a measured quantity, so that the price needs a meter.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Flat { .. } => false,
            Self::PerUnit { .. } | Self::Graduated { .. } | Self::Volume { .. } | Self::Package { .. } => {
                true
            }
        }
    }
}

impl PackageRounding {
    /// Reads `up` or `down`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Up, Self::Down].into_iter().find(|rounding| rounding.as_str() == text)
    }

    /// Returns `up` or `down`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl PayTiming {
    /// Reads `advance` or `arrears`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Advance, Self::Arrears].into_iter().find(|timing| timing.as_str() == text)
    }

    /// Returns `advance` or `arrears`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Arrears => "arrears",
        }
    }
}
