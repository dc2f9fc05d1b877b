//! The length of a billing period and what it is aligned to.

use std::num::NonZeroU16;

use super::PeriodError;

/// The calendar unit an interval counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalUnit {
    /// A local day of 23, 24 or 25 hours.
    Day,
    /// Seven local days, from Monday on the calendar.
    Week,
    /// A calendar month.
    Month,
    /// Three calendar months.
    Quarter,
    /// Twelve calendar months.
    Year,
}

impl IntervalUnit {
    /// Reads the lower-case singular, such as `month`.
    pub fn parse(text: &str) -> Option<Self> {
        let units = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];
        units.into_iter().find(|unit| unit.as_str() == text)
    }

    /// Returns the lower-case singular, such as `month`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// The length of a billing period, as a number of calendar units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BillingInterval {
    /// What is counted.
    pub unit: IntervalUnit,
    /// How many of them make a period.
    pub count: NonZeroU16,
}

impl BillingInterval {
    /// Takes a count of at least one.
    pub fn new(unit: IntervalUnit, count: u16) -> Result<Self, PeriodError> {
        let count = NonZeroU16::new(count).ok_or(PeriodError::EmptyInterval)?;
        Ok(Self { unit, count })
    }

    /// Tells months from days, the two units that all others are made of.
    pub(super) const fn is_in_months(self) -> bool {
        match self.unit {
            IntervalUnit::Day | IntervalUnit::Week => false,
            IntervalUnit::Month | IntervalUnit::Quarter | IntervalUnit::Year => true,
        }
    }

    /// Returns the length in days or in months.
    pub(super) fn unit_count(self) -> i64 {
        let units_each = match self.unit {
            IntervalUnit::Day | IntervalUnit::Month => 1,
            IntervalUnit::Week => 7,
            IntervalUnit::Quarter => 3,
            IntervalUnit::Year => 12,
        };
        i64::from(self.count.get()) * units_each
    }
}

/// What the boundaries of billing periods follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// The calendar: the first of the month, Mondays, local midnight.
    Calendar,
    /// The day and time of day of the subscription's start.
    Anniversary,
}

impl Alignment {
    /// Reads `calendar` or `anniversary`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Calendar, Self::Anniversary].into_iter().find(|alignment| alignment.as_str() == text)
    }

    /// Returns `calendar` or `anniversary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calendar => "calendar",
            Self::Anniversary => "anniversary",
        }
    }
}
