//! Billing periods: half-open `[start, end)` in UTC, computed in the customer's time zone.
//!
//! Boundary *n* is always computed from a fixed origin plus *n* intervals, never from the boundary before it, so
//! that a month end clamps and returns: 31 January, 28 February, 31 March. A period ends exactly where the next
//! one starts, so the sequence has neither gap nor overlap, whatever a time zone does.
//!
//! The origin of an *anniversary* cycle is the subscription's start, with its time of day. *Calendar* cycles share
//! one grid of local midnights that counts from 1 January 1970, or for weeks from Monday 5 January 1970: months
//! start on the 1st, quarters in January, April, July and October, years in January, and periods of several units
//! begin where the count from there is a multiple (two-month periods in odd months, two-year ones in even years).
//! The first calendar period is cut at the subscription's start.
//!
//! A local time that a time zone skips becomes the same distance after the gap (so midnight becomes the first
//! instant of that day); one that occurs twice becomes the first of the two. Where a zone skips a whole day, the
//! daily period of that day would be empty and is left out.

mod interval;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;

pub use interval::{Alignment, BillingInterval, IntervalUnit};

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use thiserror::Error;

/// The first day of the calendar grid for days, months, quarters and years.
const GRID_ORIGIN: Date = date(1970, 1, 1);

/// The first day of the calendar grid for weeks, a Monday.
const WEEK_GRID_ORIGIN: Date = date(1970, 1, 5);

/// Steps from the estimated period to the right one; clamped month ends and skipped days need at most two.
const STEPS_MAX: u32 = 8;

/// A stretch of time that is billed at once, from `start` up to but without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first instant of the period.
    pub start: Timestamp,
    /// The first instant after the period.
    pub end: Timestamp,
}

impl Period {
    /// Tells whether an instant is in the period, which its end is not.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Returns the shortest period that holds both, and what lies between them.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// What decides all billing periods of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct BillingCycle {
    /// The length of a full period.
    pub interval: BillingInterval,
    /// Whether periods follow the calendar or the subscription's start.
    pub alignment: Alignment,
    /// The customer's time zone.
    pub time_zone: TimeZone,
    /// The start of the subscription, which is the start of its first period.
    pub anchor: Timestamp,
}

/// Why an instant has no billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// The instant is earlier than the subscription's start.
    #[error("{at} is before the subscription's start at {anchor}")]
    BeforeAnchor {
        /// The instant that was asked for.
        at: Timestamp,
        /// The subscription's start.
        anchor: Timestamp,
    },
    /// A boundary of the period is not between the years -9999 and 9999.
    #[error("the billing period leaves the range of dates")]
    OutOfRange,
    /// An interval counts at least one unit.
    #[error("an interval of zero units has no length")]
    EmptyInterval,
}

impl BillingCycle {
    /// Finds the period an instant belongs to; the first one starts at the anchor, also on the calendar.
    pub fn period_containing(&self, at: Timestamp) -> Result<Period, PeriodError> {
        if at < self.anchor {
            return Err(PeriodError::BeforeAnchor { at, anchor: self.anchor });
        }
        let full = self.full_period_containing(at)?;
        Ok(Period { start: full.start.max(self.anchor), end: full.end })
    }

    /// Finds the period that starts exactly where another one ends, also where that is no boundary of this cycle because
    /// the time zone has changed meanwhile: then the period ends at the nearest boundary that leaves no stub.
    pub fn next(&self, period: &Period) -> Result<Period, PeriodError> {
        let start = period.end;
        let full = self.full_period_containing(start)?;
        let (past, left) = (start.duration_since(full.start), full.end.duration_since(start));
        let end = if left < past { self.full_period_containing(full.end)?.end } else { full.end };
        Ok(Period { start, end })
    }

    /// Finds the uncut period around an instant, before the anchor too: what a proration divides by.
    pub fn full_period_containing(&self, at: Timestamp) -> Result<Period, PeriodError> {
        let mut index = self.estimated_index(at)?;
        for _ in 0..STEPS_MAX {
            let (start, end) = (self.boundary(index)?, self.boundary(index + 1)?);
            if at < start {
                index -= 1;
            } else if end <= at {
                index += 1;
            } else {
                return Ok(Period { start, end });
            }
        }
        Err(PeriodError::OutOfRange)
    }

    /// Computes where full period `index` starts, counted from the origin, which is period 0.
    fn boundary(&self, index: i64) -> Result<Timestamp, PeriodError> {
        if index == 0 && self.alignment == Alignment::Anniversary {
            // The anchor may be the second of two equal local times, which resolving would not give back.
            return Ok(self.anchor);
        }
        let units = index.checked_mul(self.interval.unit_count()).ok_or(PeriodError::OutOfRange)?;
        let span = if self.interval.is_in_months() {
            Span::new().try_months(units)
        } else {
            Span::new().try_days(units)
        };
        let local = span.and_then(|span| self.origin().checked_add(span));
        local
            .and_then(|local| self.time_zone.to_ambiguous_timestamp(local).compatible())
            .map_err(|_| PeriodError::OutOfRange)
    }

    /// Guesses the index from civil dates alone, which is off by one around clamped days and times of day.
    fn estimated_index(&self, at: Timestamp) -> Result<i64, PeriodError> {
        let (origin, local) = (self.origin().date(), self.time_zone.to_datetime(at).date());
        let units = if self.interval.is_in_months() {
            months_since_year_zero(local) - months_since_year_zero(origin)
        } else {
            let span = origin.until(local).map_err(|_| PeriodError::OutOfRange)?;
            i64::from(span.get_days())
        };
        Ok(units.div_euclid(self.interval.unit_count()))
    }

    /// The local date and time that index 0 starts at.
    fn origin(&self) -> DateTime {
        match (self.alignment, self.interval.unit) {
            (Alignment::Anniversary, _) => self.time_zone.to_datetime(self.anchor),
            (Alignment::Calendar, IntervalUnit::Week) => WEEK_GRID_ORIGIN.at(0, 0, 0, 0),
            (
                Alignment::Calendar,
                IntervalUnit::Day | IntervalUnit::Month | IntervalUnit::Quarter | IntervalUnit::Year,
            ) => GRID_ORIGIN.at(0, 0, 0, 0),
        }
    }
}

fn months_since_year_zero(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}
