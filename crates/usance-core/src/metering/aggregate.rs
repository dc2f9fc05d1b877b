//! Aggregation: the events of a period, in any order, become one quantity.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{BucketFold, MeterValue};
use crate::{
    catalog::{
        meter::Aggregation,
        rounding::{QuantityRounding, RoundingMode},
    },
    decimal::{DecimalError, SCALE_MAX, exact_add, exact_mul, power_of_ten},
    period::Period,
};

/// One event, as far as a meter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The event's own time.
    pub at: Timestamp,
    /// The hash of its id, which decides which of two events of one instant is the later one.
    pub id_hash: Uuid,
    /// What it means to the meter.
    pub value: MeterValue,
}

/// What a recurring meter takes from one period to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Carried {
    /// Nothing: the meter does not recur, or nothing happened before.
    #[default]
    Nothing,
    /// The number, sum or latest value; of a weighted sum, the unweighted sum. It may be below zero.
    Level(Decimal),
    /// The different values of a unique count.
    Members(BTreeSet<Uuid>),
}

/// What the events of a period came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregated {
    /// The quantity of the period, rounded as the meter says. It is below zero where corrections outweigh the usage.
    pub quantity: Decimal,
    /// What the next period of a recurring meter starts with, never rounded.
    pub closing: Carried,
}

/// Folds events into the quantity of a period; those outside the period are left out.
///
/// What was carried over counts as if it had happened at the start of the period; an extreme and an average ignore it.
/// A quotient is rounded once, by the meter's rounding or else half-up to 12 digits. No events make a quantity of zero.
pub fn aggregate(
    aggregation: Aggregation,
    rounding: Option<QuantityRounding>,
    period: Period,
    opening: &Carried,
    points: &[Point],
) -> Result<Aggregated, DecimalError> {
    let mut aggregator = Aggregator::new(aggregation, period, opening.clone())?;
    for point in points {
        aggregator.add(point)?;
    }
    aggregator.finish(rounding)
}

/// Adds up the buckets of a period to the quantity that [`aggregate`] makes of their events.
///
/// Of a recurring meter the buckets before the period are given too. A unique count and a weighted sum are not to be told
/// from buckets: nothing is returned for them.
pub fn aggregate_buckets(
    aggregation: Aggregation,
    rounding: Option<QuantityRounding>,
    buckets: &[BucketFold],
) -> Result<Option<Decimal>, DecimalError> {
    if matches!(aggregation, Aggregation::UniqueCount | Aggregation::WeightedSum) {
        return Ok(None);
    }
    let mut tally = Tally::default();
    for bucket in buckets {
        tally.add_bucket(bucket)?;
    }
    tally.quantity(aggregation, rounding, Decimal::ZERO).map(Some)
}

/// Folds events one by one, as [`aggregate`] does, so that they need not be kept.
#[derive(Debug, Clone)]
pub struct Aggregator {
    aggregation: Aggregation,
    period: Period,
    opening: Decimal,
    tally: Tally,
    weighted: Weighted,
}

impl Aggregator {
    /// Starts with what was carried over.
    pub fn new(aggregation: Aggregation, period: Period, opening: Carried) -> Result<Self, DecimalError> {
        let (level, members) = match opening {
            Carried::Nothing => (Decimal::ZERO, BTreeSet::new()),
            Carried::Level(level) => (level, BTreeSet::new()),
            Carried::Members(members) => (Decimal::ZERO, members),
        };
        let mut weighted = Weighted::default();
        if aggregation == Aggregation::WeightedSum {
            weighted.add(period, period.start, level)?;
        }
        Ok(Self {
            aggregation,
            period,
            opening: level,
            tally: Tally { members, ..Tally::default() },
            weighted,
        })
    }

    /// Adds an event, in any order; one outside the period changes nothing.
    pub fn add(&mut self, point: &Point) -> Result<(), DecimalError> {
        if !self.period.contains(point.at) {
            return Ok(());
        }
        if let (Aggregation::WeightedSum, MeterValue::Decimal(value)) = (self.aggregation, point.value) {
            self.weighted.add(self.period, point.at, value)?;
        }
        self.tally.add(point)
    }

    /// Gives the quantity so far, rounded as the meter says, and what the next period of a recurring meter starts with.
    pub fn finish(self, rounding: Option<QuantityRounding>) -> Result<Aggregated, DecimalError> {
        let quantity = match self.aggregation {
            Aggregation::WeightedSum => {
                self.weighted.round(rounding.unwrap_or(QuantityRounding::STORED), self.period)?
            }
            Aggregation::Count
            | Aggregation::Sum
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Average
            | Aggregation::UniqueCount
            | Aggregation::Latest => self.tally.quantity(self.aggregation, rounding, self.opening)?,
        };
        Ok(Aggregated { quantity, closing: self.into_closing()? })
    }

    /// Gives only what the next period of a recurring meter starts with.
    pub fn into_closing(self) -> Result<Carried, DecimalError> {
        Ok(match self.aggregation {
            Aggregation::Count | Aggregation::Sum | Aggregation::Latest => {
                Carried::Level(self.tally.exact(self.aggregation, self.opening)?)
            }
            Aggregation::WeightedSum => Carried::Level(exact_add(self.opening, self.tally.sum()?)?),
            Aggregation::UniqueCount => Carried::Members(self.tally.members),
            Aggregation::Max | Aggregation::Min | Aggregation::Average => Carried::Nothing,
        })
    }
}

/// What is kept of events until all are there.
#[derive(Debug, Clone, Default)]
struct Tally {
    count: u64,
    /// Of values as integers of their last stored digit, because a sum of decimals of many scales could need more digits
    /// on the way than at the end.
    sum_digits: i128,
    values: u64,
    min: Option<Decimal>,
    max: Option<Decimal>,
    latest: Option<(Timestamp, Uuid, Decimal)>,
    members: BTreeSet<Uuid>,
}

impl Tally {
    fn add(&mut self, point: &Point) -> Result<(), DecimalError> {
        self.count = self.count.checked_add(1).ok_or(DecimalError::TooLarge)?;
        match point.value {
            MeterValue::One => {}
            MeterValue::Hash(hash) => {
                self.members.insert(hash);
            }
            MeterValue::Decimal(value) => {
                self.values += 1;
                self.add_sum(value)?;
                self.min = Some(self.min.map_or(value, |min| min.min(value)));
                self.max = self.max.max(Some(value));
                self.latest = self.latest.max(Some((point.at, point.id_hash, value)));
            }
        }
        Ok(())
    }

    fn add_bucket(&mut self, bucket: &BucketFold) -> Result<(), DecimalError> {
        let count = u64::try_from(bucket.event_count).map_err(|_| DecimalError::TooLarge)?;
        self.count = self.count.checked_add(count).ok_or(DecimalError::TooLarge)?;
        self.values = self.count;
        self.add_sum(bucket.value_sum)?;
        self.min = self.min.into_iter().chain(bucket.value_min).min();
        self.max = self.max.max(bucket.value_max);
        self.latest = self.latest.max(bucket.latest);
        Ok(())
    }

    fn add_sum(&mut self, value: Decimal) -> Result<(), DecimalError> {
        self.sum_digits = self.sum_digits.checked_add(stored_digits(value)?).ok_or(DecimalError::TooLarge)?;
        Ok(())
    }

    fn sum(&self) -> Result<Decimal, DecimalError> {
        from_stored_digits(self.sum_digits)
    }

    fn quantity(
        &self,
        aggregation: Aggregation,
        rounding: Option<QuantityRounding>,
        opening: Decimal,
    ) -> Result<Decimal, DecimalError> {
        if aggregation == Aggregation::Average && self.values > 0 {
            let rounding = rounding.unwrap_or(QuantityRounding::STORED);
            return rounding.divide(self.sum()?, Decimal::from(self.values));
        }
        let exact = self.exact(aggregation, opening)?;
        rounding.map_or(Ok(exact), |rounding| rounding.round(exact))
    }

    /// The quantity before rounding; zero for an average, which is only known rounded, and for a weighted sum.
    fn exact(&self, aggregation: Aggregation, opening: Decimal) -> Result<Decimal, DecimalError> {
        match aggregation {
            Aggregation::Count => exact_add(opening, Decimal::from(self.count)),
            Aggregation::Sum => exact_add(opening, self.sum()?),
            Aggregation::Max => Ok(self.max.unwrap_or_default()),
            Aggregation::Min => Ok(self.min.unwrap_or_default()),
            Aggregation::UniqueCount => {
                let count = u64::try_from(self.members.len()).map_err(|_| DecimalError::TooLarge)?;
                Ok(Decimal::from(count))
            }
            Aggregation::Latest => Ok(self.latest.map_or(opening, |(_, _, value)| value)),
            Aggregation::Average | Aggregation::WeightedSum => Ok(Decimal::ZERO),
        }
    }
}

/// Values times the rest of the period, in microseconds, over the length of the period: `whole + rest / length` in units
/// of the last stored digit.
#[derive(Debug, Clone, Copy, Default)]
struct Weighted {
    whole: i128,
    rest: i128,
}

impl Weighted {
    /// Splits the value into a multiple of the length and a rest, so that no product needs more than 128 bits.
    fn add(&mut self, period: Period, at: Timestamp, value: Decimal) -> Result<(), DecimalError> {
        let (length, left) = (length(period)?, microseconds(at, period.end));
        let digits = stored_digits(value)?;
        let product = digits.div_euclid(length).checked_mul(left).ok_or(DecimalError::TooLarge)?;
        self.rest += digits.rem_euclid(length) * left;
        self.whole = self
            .whole
            .checked_add(product)
            .and_then(|whole| whole.checked_add(self.rest / length))
            .ok_or(DecimalError::TooLarge)?;
        self.rest %= length;
        Ok(())
    }

    fn round(self, rounding: QuantityRounding, period: Period) -> Result<Decimal, DecimalError> {
        round_ratio(rounding, self.whole, self.rest, length(period)?)
    }
}

fn microseconds(start: Timestamp, end: Timestamp) -> i128 {
    i128::from(end.as_microsecond()) - i128::from(start.as_microsecond())
}

fn length(period: Period) -> Result<i128, DecimalError> {
    let length = microseconds(period.start, period.end);
    if length > 0 { Ok(length) } else { Err(DecimalError::DivisionByZero) }
}

/// Rounds `whole + rest / length`, in units of the last stored digit, where the rest is zero or more and below the length.
fn round_ratio(
    rounding: QuantityRounding,
    whole: i128,
    rest: i128,
    length: i128,
) -> Result<Decimal, DecimalError> {
    if !rounding.is_valid() {
        return Err(DecimalError::TooPrecise);
    }
    let dropped = SCALE_MAX.saturating_add_signed(-i32::from(rounding.scale));
    let unit = power_of_ten(dropped);
    let (below, above) = (whole.div_euclid(unit), whole.rem_euclid(unit));
    let too_large = DecimalError::TooLarge;
    let part = above.checked_mul(length).and_then(|part| part.checked_add(rest)).ok_or(too_large)?;
    let full = unit.checked_mul(length).ok_or(too_large)?;
    let is_up = match rounding.mode {
        RoundingMode::HalfUp if below < 0 => part > full - part,
        RoundingMode::HalfUp => part >= full - part,
        RoundingMode::Ceil => part > 0,
        RoundingMode::Floor => false,
    };
    let steps = if is_up { below + 1 } else { below };
    from_stored_digits(steps.checked_mul(unit).ok_or(too_large)?)
}

/// Gives a value as an integer of its last stored digit.
fn stored_digits(value: Decimal) -> Result<i128, DecimalError> {
    let value = value.normalize();
    let missing = SCALE_MAX.checked_sub(value.scale()).ok_or(DecimalError::TooPrecise)?;
    value.mantissa().checked_mul(power_of_ten(missing)).ok_or(DecimalError::TooLarge)
}

fn from_stored_digits(digits: i128) -> Result<Decimal, DecimalError> {
    let (mut digits, mut scale) = (digits, SCALE_MAX);
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    let value = Decimal::try_from_i128_with_scale(digits, scale).map_err(|_| DecimalError::TooLarge)?;
    exact_mul(value, Decimal::ONE)
}
