//! The windows in which use is counted.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use thiserror::Error;

use super::sliding::SLOTS;
use crate::period::Period;

/// When the use of a fixed window starts again from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reset {
    /// With each minute.
    Minute,
    /// With each hour of UTC.
    Hour,
    /// With each date of UTC.
    Day,
    /// With each calendar month of UTC.
    Month,
    /// With each billing period.
    Period,
    /// Never.
    Never,
}

impl Reset {
    /// Every reset, the shortest window first.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Period, Self::Never];

    /// Returns the word of the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Period => "period",
            Self::Never => "never",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reset| reset.as_str() == word)
    }
}

/// The length of a sliding window: what ends now and began so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlidingSpan(SignedDuration);

impl SlidingSpan {
    /// The span of a reset: 60 s, 1 h, 24 h or 30 days. A billing period and eternity do not slide.
    pub const fn of(reset: Reset) -> Option<Self> {
        match reset {
            Reset::Minute => Some(Self(SignedDuration::from_secs(60))),
            Reset::Hour => Some(Self(SignedDuration::from_hours(1))),
            Reset::Day => Some(Self(SignedDuration::from_hours(24))),
            Reset::Month => Some(Self(SignedDuration::from_hours(30 * 24))),
            Reset::Period | Reset::Never => None,
        }
    }

    /// Its length.
    pub const fn duration(self) -> SignedDuration {
        self.0
    }

    /// The length of one of the slots that it is counted in, in microseconds.
    pub fn slot_micros(self) -> i64 {
        (i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX) / SLOTS).max(1)
    }
}

/// How use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counting {
    /// From one reset to the next.
    Fixed(Reset),
    /// In the time before now.
    Sliding(SlidingSpan),
}

/// Why two words name no way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CountingError {
    /// The word for the reset is not known.
    #[error("must be one of minute, hour, day, month, period, never")]
    UnknownReset,
    /// The word for the window is not known.
    #[error("must be fixed or sliding")]
    UnknownWindow,
    /// There is no sliding window of such a length.
    #[error("a sliding window is a minute, an hour, a day or a month long: choose such a reset")]
    CannotSlide,
}

impl Counting {
    /// Reads the words of the API and the database.
    pub fn parse(reset: &str, window: &str) -> Result<Self, CountingError> {
        let reset = Reset::parse(reset).ok_or(CountingError::UnknownReset)?;
        match window {
            "fixed" => Ok(Self::Fixed(reset)),
            "sliding" => SlidingSpan::of(reset).map(Self::Sliding).ok_or(CountingError::CannotSlide),
            _ => Err(CountingError::UnknownWindow),
        }
    }
}

/// The fixed window around an instant; `period` is the billing period around it. A window that never resets has no end
/// that can be reached.
pub fn fixed_window(reset: Reset, period: Period, now: Timestamp) -> Period {
    let local = TimeZone::UTC.to_datetime(now);
    let date = local.date();
    let (start, end) = match reset {
        Reset::Minute => aligned(now, SignedDuration::from_secs(60)),
        Reset::Hour => aligned(now, SignedDuration::from_hours(1)),
        Reset::Day => {
            (instant(date.at(0, 0, 0, 0)), date.tomorrow().ok().map(|day| instant(day.at(0, 0, 0, 0))))
        }
        Reset::Month => {
            let first = date.first_of_month();
            let next = first.last_of_month().tomorrow().ok();
            (instant(first.at(0, 0, 0, 0)), next.map(|day| instant(day.at(0, 0, 0, 0))))
        }
        Reset::Period => (period.start, Some(period.end)),
        Reset::Never => (Timestamp::UNIX_EPOCH, None),
    };
    Period { start, end: end.unwrap_or(Timestamp::MAX) }
}

fn instant(local: DateTime) -> Timestamp {
    TimeZone::UTC.to_timestamp(local).unwrap_or(Timestamp::MAX)
}

/// The stretch of a length around an instant that begins at a multiple of it.
fn aligned(now: Timestamp, length: SignedDuration) -> (Timestamp, Option<Timestamp>) {
    let seconds = now.as_second() - now.as_second().rem_euclid(length.as_secs().max(1));
    // Rounding towards the past may leave the range by less than a window.
    let start = Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN);
    (start, start.checked_add(length).ok())
}
