//! Windows: the hours or days of a period, in the customer's time zone.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Time, tz::TimeZone};

use crate::{catalog::price::WindowSize, period::Period};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// One hour or day of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What of the hour or day lies within the period.
    pub span: Period,
    /// The hour of the day at which it starts in the time zone, 0 to 23; 0 for a day.
    pub hour: u8,
}

/// The windows of a period, which they tile.
///
/// A clock that is set forward or back makes a day shorter or longer, and lets an hour be missing or come twice.
#[derive(Debug, Clone)]
pub struct WindowGrid {
    period: Period,
    /// Without a size the period is one window.
    size: Option<WindowSize>,
    time_zone: TimeZone,
}

impl WindowGrid {
    /// Lays the windows of a size over a period.
    pub const fn new(period: Period, size: WindowSize, time_zone: TimeZone) -> Self {
        Self { period, size: Some(size), time_zone }
    }

    /// Makes the period one window, which starts at hour 0.
    pub const fn whole(period: Period) -> Self {
        Self { period, size: None, time_zone: TimeZone::UTC }
    }

    /// The period that the windows tile.
    pub const fn period(&self) -> Period {
        self.period
    }

    /// Finds the window that holds an instant; none outside the period.
    pub fn containing(&self, at: Timestamp) -> Option<Window> {
        if !self.period.contains(at) {
            return None;
        }
        let (span, hour) = match self.size {
            None => (self.period, 0),
            Some(WindowSize::Day) => (self.day(at), 0),
            Some(WindowSize::Hour) => self.hour(at),
        };
        let (start, end) = (span.start.max(self.period.start), span.end.min(self.period.end));
        Some(Window { span: Period { start, end }, hour })
    }

    /// From midnight to midnight; a day without midnight begins with its first instant.
    fn day(&self, at: Timestamp) -> Period {
        let date = self.time_zone.to_datetime(at).date();
        let midnight = |date: jiff::civil::Date| {
            self.time_zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight())).compatible().ok()
        };
        Period {
            start: midnight(date).unwrap_or(Timestamp::MIN),
            end: date.checked_add(1.day()).ok().and_then(midnight).unwrap_or(Timestamp::MAX),
        }
    }

    /// An hour as the clock shows it, cut where the clock is set.
    fn hour(&self, at: Timestamp) -> (Period, u8) {
        let local = self.time_zone.to_datetime(at);
        let into = SignedDuration::new(
            i64::from(local.minute()) * 60 + i64::from(local.second()),
            local.subsec_nanosecond(),
        );
        let start = at.checked_sub(into).unwrap_or(Timestamp::MIN);
        let end = start.checked_add(HOUR).unwrap_or(Timestamp::MAX);
        // `preceding` is about what lies strictly before.
        let before = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
        let set_before = self.time_zone.preceding(before).next().map(|transition| transition.timestamp());
        let set_after = self.time_zone.following(at).next().map(|transition| transition.timestamp());
        let span = Period {
            start: set_before.map_or(start, |set| start.max(set)),
            end: set_after.map_or(end, |set| end.min(set)),
        };
        (span, local.hour().unsigned_abs())
    }
}
