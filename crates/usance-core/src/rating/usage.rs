//! What was used in a period, and what of it a price needs to know.

use rust_decimal::Decimal;

use crate::catalog::price::{ChargeModel, PriceTerms, WindowSize};

/// What was used in a period. Only what [`PriceTerms::needs`] asks for is read; the rest may be left at its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The measured quantity, or that of the subscription.
    pub quantity: Decimal,
    /// How many events there were.
    pub event_count: u64,
    /// The sum of the prices that the events carry, in major units.
    pub event_amount: Decimal,
    /// The value of every event, in the order of their times and, at the same time, of their id hashes.
    pub events: Vec<Decimal>,
    /// The usage of the windows, in any order.
    pub windows: Vec<WindowUsage>,
}

/// The usage of one hour or day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowUsage {
    /// The hour of the day at which the window starts in the customer's time zone, 0 to 23; 0 for a day.
    pub hour: u8,
    /// The measured quantity.
    pub quantity: Decimal,
}

/// What must be known of a period to rate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The quantity, and for a percentage the number of events.
    Quantity,
    /// The sum of the prices that the events carry, and the quantity only to show it.
    EventAmounts,
    /// Every event with its value, and their number.
    Events,
    /// The quantity of each window.
    Windows {
        /// The length of the windows.
        size: WindowSize,
        /// Whether the windows without usage are needed too, at zero.
        empty: bool,
    },
}

/// Whether more usage of the period may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// More may follow: neither the minimum nor a true-up is charged yet.
    Interim,
    /// The period is over.
    Final,
}

impl Usage {
    /// Usage that is no more than a quantity.
    pub fn of(quantity: Decimal) -> Self {
        Self { quantity, ..Self::default() }
    }
}

impl PriceTerms {
    /// Tells what of a period's usage the amount depends on.
    pub fn needs(&self) -> Needs {
        if let Some(window) = &self.window {
            return Needs::Windows { size: window.size, empty: window.charges_empty_windows() };
        }
        match &self.model {
            ChargeModel::Flat { .. } => Needs::Nothing,
            ChargeModel::Dynamic { .. } => Needs::EventAmounts,
            ChargeModel::Percentage(percentage) if percentage.needs_events() => Needs::Events,
            ChargeModel::Percentage(_)
            | ChargeModel::PerUnit { .. }
            | ChargeModel::Graduated { .. }
            | ChargeModel::Volume { .. }
            | ChargeModel::Package { .. }
            | ChargeModel::GraduatedPercentage { .. }
            | ChargeModel::Seat { .. }
            | ChargeModel::Curve(_) => Needs::Quantity,
        }
    }
}
