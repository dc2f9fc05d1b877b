//! Prices: the charge models, their parameters, the terms around them and the rules those keep.
//!
//! Every amount is a decimal in *major* units of the plan's currency, so that a price may be below the currency's
//! smallest coin. A model that passes [`ChargeModel::validate`] can be stored and rates any quantity that it covers.

mod curve;
mod terms;
#[cfg(test)]
mod tests;
mod validate;
mod window;

pub use curve::{CURVE_DISCOUNTS_MAX, Curve, CurveDiscount};
pub use terms::{ConversionOperation, FirstTierFlat, PriceTerms, UnitConversion};
pub use validate::{PriceError, PriceFault, TIERS_MAX};
pub use window::{Commitment, Committed, TIMES_OF_DAY_MAX, TimeOfDay, WindowPricing, WindowSize};

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
    /// A share of the measured amount, and a fee for each event.
    Percentage(Percentage),
    /// A share of the measured amount that depends on the tier; every tier that is entered adds its flat fee.
    GraduatedPercentage {
        /// The tiers, in ascending order.
        tiers: Vec<PercentTier>,
    },
    /// Each event carries its own price; the sum of these is charged.
    Dynamic {
        /// What the sum is multiplied with, such as 1.2 for a margin of a fifth.
        multiplier: Decimal,
    },
    /// One price for every seat of the subscription.
    Seat {
        /// The price of one seat.
        unit: Decimal,
        /// The seats that are charged at least.
        minimum_seats: Option<Decimal>,
        /// The seats that a subscription may have.
        maximum_seats: Option<Decimal>,
    },
    /// A price of the subscription's quantity whose unit price falls along a curve.
    Curve(Curve),
}

/// A share of the measured amount, with what is free of it and what each event costs.
///
/// An event is free as long as neither limit of the free usage is passed with it. The units of the event that passes
/// `free_units_total` are free up to that limit, and the event counts as paid; once the free events are used up,
/// nothing more is free. `per_event_min` and `per_event_max` bound the share and fee of each paid event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Percentage {
    /// The share: 2.9 stands for 2.9 %.
    pub rate_percent: Decimal,
    /// The fee for each paid event.
    pub fixed_amount_per_event: Decimal,
    /// The first events that are free; without it their number has no limit.
    pub free_events: Option<u64>,
    /// The amount that is free; without it what is free has no limit but the events.
    pub free_units_total: Option<Decimal>,
    /// The least that a paid event costs.
    pub per_event_min: Option<Decimal>,
    /// The most that a paid event costs.
    pub per_event_max: Option<Decimal>,
}

impl Percentage {
    /// Tells whether the amount depends on the single events, and not only on their number and sum.
    pub fn needs_events(&self) -> bool {
        let has_free = self.free_events.is_some() || self.free_units_total.is_some();
        let is_linear = self.fixed_amount_per_event.is_zero() && self.free_events.is_none();
        self.per_event_min.is_some() || self.per_event_max.is_some() || (has_free && !is_linear)
    }
}

/// One step of a graduated percentage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PercentTier {
    /// The last amount that is still in the tier; absent in the last tier, which has no end.
    pub up_to: Option<Decimal>,
    /// The share of the amounts in the tier: 2.9 stands for 2.9 %.
    pub rate_percent: Decimal,
    /// The fee for entering the tier.
    pub flat: Decimal,
}

/// What a charge model multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantityBasis {
    /// Nothing: the amount is fixed.
    Fixed,
    /// The quantity of the subscription.
    Subscription,
    /// What a meter measured.
    Usage,
}

/// One step of a graduated or volume price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The last quantity that is still in the tier; absent in the last tier, which has no end.
    pub up_to: Option<Decimal>,
    /// The price of one unit.
    pub unit: Decimal,
    /// The fee for entering the tier; [`FirstTierFlat`] says whether the first tier's is due at zero usage.
    pub flat: Decimal,
    /// The most that the units in the tier cost, without the flat fee.
    pub cap: Option<Decimal>,
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
            Self::Percentage(_) => "percentage",
            Self::GraduatedPercentage { .. } => "graduated_percentage",
            Self::Dynamic { .. } => "dynamic",
            Self::Seat { .. } => "seat",
            Self::Curve(_) => "curve",
        }
    }

    /// Tells what the model multiplies.
    pub const fn basis(&self) -> QuantityBasis {
        match self {
            Self::Flat { .. } => QuantityBasis::Fixed,
            Self::Seat { .. } | Self::Curve(_) => QuantityBasis::Subscription,
            Self::PerUnit { .. }
            | Self::Graduated { .. }
            | Self::Volume { .. }
            | Self::Package { .. }
            | Self::Percentage(_)
            | Self::GraduatedPercentage { .. }
            | Self::Dynamic { .. } => QuantityBasis::Usage,
        }
    }

    /// Tells whether the amount depends on a measured quantity, so that the price needs a meter.
    pub const fn is_usage(&self) -> bool {
        matches!(self.basis(), QuantityBasis::Usage)
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
