//! Windows: usage that is priced hour by hour or day by day.

use rust_decimal::Decimal;

use super::ChargeModel;

/// Times of day that one price may tell apart.
pub const TIMES_OF_DAY_MAX: usize = 24;

/// The length of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowSize {
    /// An hour of the customer's time zone.
    Hour,
    /// A calendar day of the customer's time zone.
    Day,
}

/// Rates each window of the period on its own and adds the amounts up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowPricing {
    /// The length of a window.
    pub size: WindowSize,
    /// What is committed to in each window, outside the times of day.
    pub commitment: Option<Commitment>,
    /// Hours that are priced differently; they do not overlap.
    pub times_of_day: Vec<TimeOfDay>,
}

/// An amount that each window's usage is measured against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// How much is committed to.
    pub committed: Committed,
    /// What usage beyond the commitment is multiplied with; 1 leaves the price as it is.
    pub overage_factor: Decimal,
    /// Whether a window that uses less is charged up to the commitment, on the last rating of a period.
    pub true_up: bool,
}

/// The size of a commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// An amount in major units.
    Amount(Decimal),
    /// The price of a quantity.
    Quantity(Decimal),
}

/// Hours of the day that have a price and a commitment of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOfDay {
    /// The first hour, 0 to 23.
    pub from_hour: u8,
    /// The hour that is not in it any more, 1 to 24; at or below `from_hour` the time lasts beyond midnight.
    pub to_hour: u8,
    /// The price in these hours; the price's own model where it is absent.
    pub model: Option<ChargeModel>,
    /// What is committed to in each of these hours.
    pub commitment: Option<Commitment>,
}

impl WindowSize {
    /// Returns `hour` or `day`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Reads `hour` or `day`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hour, Self::Day].into_iter().find(|size| size.as_str() == text)
    }
}

impl TimeOfDay {
    /// Tells whether an hour of the day, 0 to 23, belongs to it.
    pub const fn contains(&self, hour: u8) -> bool {
        if self.from_hour < self.to_hour {
            self.from_hour <= hour && hour < self.to_hour
        } else {
            self.from_hour <= hour || hour < self.to_hour
        }
    }
}

impl WindowPricing {
    /// Finds the time of day that a window of the given hour belongs to.
    pub fn time_of_day(&self, hour: u8) -> Option<&TimeOfDay> {
        self.times_of_day.iter().find(|time| time.contains(hour))
    }

    /// Tells whether a window without usage may be charged, so that every window of a period must be rated.
    pub fn charges_empty_windows(&self) -> bool {
        let commitments = self.times_of_day.iter().map(|time| &time.commitment).chain([&self.commitment]);
        commitments.flatten().any(|commitment| commitment.true_up)
    }
}
