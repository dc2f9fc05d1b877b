//! Proration: the share of a period that a service lasted, and the share of a price for it.
//!
//! Days are the calendar days of the customer's time zone, so a day of 23 or 25 hours is one day. A share is kept as
//! the count it comes from and applied to the exact price; the result is rounded once, from that ratio.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::decimal::SCALE_MAX;
use crate::fraction::Fraction;
use crate::money::{Currency, Money, MoneyError};
use crate::period::Period;

/// How the share of a period is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Proration {
    /// In days, of which the one that a service ends on is not used.
    #[default]
    DayExclusiveEnd,
    /// In days, of which the one of a termination is used; the day of a plan change belongs to the new plan.
    DayInclusive,
    /// In elapsed time, to the microsecond.
    Second,
    /// Not at all: any part of a period costs the whole.
    None,
}

/// Why a service ends, which decides whom its last day belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceEnd {
    /// The period is over.
    PeriodEnd,
    /// Another plan or quantity takes over.
    Change,
    /// The service stops and nothing follows.
    Termination,
}

/// A period's shares before and after the instant at which a service ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// What was used; kept when the period was paid in advance, charged when it is billed afterwards.
    pub used: Fraction,
    /// What was not used; credited when the period was paid in advance.
    pub unused: Fraction,
}

/// A share of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prorated {
    /// The share, rounded half-up once from the exact ratio.
    pub money: Money,
    /// The share in major units to 12 digits after the point, to show beside the rounded one.
    pub exact: Decimal,
}

impl Proration {
    /// Every policy; the first is the default.
    pub const ALL: [Self; 4] = [Self::DayExclusiveEnd, Self::DayInclusive, Self::Second, Self::None];

    /// Reads the word of [`Proration::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }

    /// Returns the word of the API's and the database's `proration`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DayExclusiveEnd => "day_exclusive_end",
            Self::DayInclusive => "day_inclusive",
            Self::Second => "second",
            Self::None => "none",
        }
    }
}

/// Counts the midnights between two instants in a time zone; negative if the second is on an earlier day.
pub fn calendar_days_between(from: Timestamp, to: Timestamp, tz: &TimeZone) -> i64 {
    tz.to_datetime(from).date().duration_until(tz.to_datetime(to).date()).as_hours() / 24
}

/// Computes the share of a full period that a service lasted; what lies outside of the period is not counted.
///
/// Where a full period is shorter than a day, elapsed time is counted instead.
pub fn fraction(
    policy: Proration,
    service: Period,
    full: Period,
    tz: &TimeZone,
    end: ServiceEnd,
) -> Fraction {
    let (counted, whole) = counts(policy, service, full, tz, end);
    Fraction::new(counted.min(whole).max(0), whole).unwrap_or(Fraction::WHOLE)
}

/// Divides the share of a service at the instant it ends early: both parts add up to the share of the uncut service.
pub fn split(
    policy: Proration,
    service: Period,
    cut: Timestamp,
    full: Period,
    tz: &TimeZone,
    end: ServiceEnd,
) -> Split {
    let uncut = fraction(policy, service, full, tz, ServiceEnd::PeriodEnd);
    if cut < service.start {
        return Split { used: Fraction::NONE, unused: uncut };
    }
    let before = Period { start: service.start, end: cut.min(service.end) };
    let used = fraction(policy, before, full, tz, end);
    let counted = used.numerator().min(uncut.numerator());
    let share = |numerator| Fraction::new(numerator, uncut.denominator()).unwrap_or(Fraction::NONE);
    Split { used: share(counted), unused: share(uncut.numerator() - counted) }
}

/// Takes a share of a price in major units; an error means that the result is too large.
pub fn prorate(amount: Decimal, fraction: Fraction, currency: Currency) -> Result<Prorated, MoneyError> {
    let minor = fraction.share_of_decimal(amount, currency.exponent()).ok_or(MoneyError::TooLarge)?;
    let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge)?;
    let digits = fraction.share_of_decimal(amount, SCALE_MAX).ok_or(MoneyError::TooLarge)?;
    let exact = Decimal::try_from_i128_with_scale(digits, SCALE_MAX).map_err(|_| MoneyError::TooLarge)?;
    Ok(Prorated { money: Money::new(minor, currency), exact: exact.normalize() })
}

/// Counts days or microseconds of the service and of the full period.
fn counts(policy: Proration, service: Period, full: Period, tz: &TimeZone, end: ServiceEnd) -> (i128, i128) {
    let inside = Period { start: service.start.max(full.start), end: service.end.min(full.end) };
    let days = |period: Period| i128::from(calendar_days_between(period.start, period.end, tz));
    match policy {
        Proration::None => (1, 1),
        Proration::DayExclusiveEnd if days(full) > 0 => (days(inside), days(full)),
        Proration::DayInclusive if days(full) > 0 => (days(inside) + last_days(end), days(full)),
        Proration::DayExclusiveEnd | Proration::DayInclusive | Proration::Second => {
            (microseconds(inside), microseconds(full))
        }
    }
}

/// Counts the days that a service has beyond its end where the last day is inclusive.
const fn last_days(end: ServiceEnd) -> i128 {
    match end {
        ServiceEnd::Termination => 1,
        ServiceEnd::PeriodEnd | ServiceEnd::Change => 0,
    }
}

fn microseconds(period: Period) -> i128 {
    period.end.duration_since(period.start).as_micros()
}
