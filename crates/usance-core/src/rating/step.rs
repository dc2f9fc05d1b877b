//! The steps of a charge, and what each of them stands for.

use rust_decimal::Decimal;

use crate::decimal::{DecimalError, exact_add, exact_mul};

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
    /// The price of one, in major units; below zero where something is taken off.
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
    /// What a tier's units cost beyond the tier's cap, taken off.
    TierCap,
    /// The amount in a tier at the tier's share.
    TierPercent,
    /// The units before packages are counted or a share is taken, at no price.
    FreeUnits,
    /// The packages.
    Package,
    /// The measured amount at its share.
    Percent,
    /// The fees of the paid events.
    EventFee,
    /// What events cost less than each must, added.
    EventMinimum,
    /// What events cost more than each may, taken off.
    EventMaximum,
    /// The sum of the events' own prices at the multiplier.
    EventPrice,
    /// The seats.
    Seat,
    /// The amount that a curve gives for the whole quantity.
    Curve,
    /// The free quantity of the price's terms, at no price.
    UsageDiscount,
    /// What usage beyond the commitments of windows cost, at the part of the factor above 1.
    Overage,
    /// What windows used less than their commitments.
    TrueUp,
    /// The amount so far at the discount, taken off.
    Discount,
    /// What the amount is above the maximum, taken off.
    Maximum,
    /// What the amount is below the minimum.
    Minimum,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::Flat,
        Self::Unit,
        Self::TierUnit,
        Self::TierFlat,
        Self::TierCap,
        Self::TierPercent,
        Self::FreeUnits,
        Self::Package,
        Self::Percent,
        Self::EventFee,
        Self::EventMinimum,
        Self::EventMaximum,
        Self::EventPrice,
        Self::Seat,
        Self::Curve,
        Self::UsageDiscount,
        Self::Overage,
        Self::TrueUp,
        Self::Discount,
        Self::Maximum,
        Self::Minimum,
    ];

    /// Returns the word under which the API and the stored explanation show the step.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Unit => "unit",
            Self::TierUnit => "tier_unit",
            Self::TierFlat => "tier_flat",
            Self::TierCap => "tier_cap",
            Self::TierPercent => "tier_percent",
            Self::FreeUnits => "free_units",
            Self::Package => "package",
            Self::Percent => "percent",
            Self::EventFee => "event_fee",
            Self::EventMinimum => "event_minimum",
            Self::EventMaximum => "event_maximum",
            Self::EventPrice => "event_price",
            Self::Seat => "seat",
            Self::Curve => "curve",
            Self::UsageDiscount => "usage_discount",
            Self::Overage => "overage",
            Self::TrueUp => "true_up",
            Self::Discount => "discount",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
        }
    }

    /// Reads the word of [`StepKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Tells whether the step takes something off an amount, as opposed to charging for it.
    pub const fn is_reduction(self) -> bool {
        match self {
            Self::TierCap | Self::EventMaximum | Self::Discount | Self::Maximum => true,
            Self::Flat
            | Self::Unit
            | Self::TierUnit
            | Self::TierFlat
            | Self::TierPercent
            | Self::FreeUnits
            | Self::Package
            | Self::Percent
            | Self::EventFee
            | Self::EventMinimum
            | Self::EventPrice
            | Self::Seat
            | Self::Curve
            | Self::UsageDiscount
            | Self::Overage
            | Self::TrueUp
            | Self::Minimum => false,
        }
    }
}

/// The units above `from`, up to and including `up_to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from: Option<Decimal>,
    pub(super) up_to: Option<Decimal>,
}

/// The range of a step that does not divide units.
pub(super) const ANY: Range = Range { from: None, up_to: None };

/// Steps and their sum.
#[derive(Debug, Default)]
pub(super) struct Steps {
    list: Vec<Step>,
    total: Decimal,
}

impl Steps {
    pub(super) fn push(
        &mut self,
        kind: StepKind,
        range: Range,
        quantity: Decimal,
        unit: Decimal,
    ) -> Result<(), DecimalError> {
        let amount = exact_mul(quantity, unit)?;
        self.total = exact_add(self.total, amount)?;
        self.list.push(Step { kind, from: range.from, up_to: range.up_to, quantity, unit, amount });
        Ok(())
    }

    pub(super) const fn total(&self) -> Decimal {
        self.total
    }

    pub(super) fn into_parts(self) -> (Decimal, Vec<Step>) {
        (self.total, self.list)
    }

    /// Adds steps, each to the one of the same kind, range and price if there is one, so that many windows make few
    /// steps; what is taken off tiers is added up whatever it is.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), DecimalError> {
        self.total = exact_add(self.total, other.total)?;
        for step in other.list {
            let is_sum = step.kind == StepKind::TierCap;
            let same = self.list.iter_mut().find(|one| {
                (one.kind, one.from, one.up_to) == (step.kind, step.from, step.up_to)
                    && (is_sum || one.unit == step.unit)
            });
            let Some(same) = same else {
                self.list.push(step);
                continue;
            };
            if is_sum {
                same.unit = exact_add(same.unit, step.unit)?;
            } else {
                same.quantity = exact_add(same.quantity, step.quantity)?;
            }
            same.amount = exact_add(same.amount, step.amount)?;
        }
        Ok(())
    }
}
