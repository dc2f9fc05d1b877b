//! Fifteen-minute buckets: the unit in which usage is kept. Every fold is commutative and associative.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{
    catalog::meter::Aggregation,
    decimal::{DecimalError, exact_add},
};

/// The width of a bucket. No time zone is off UTC by less than a quarter of an hour.
pub const BUCKET: SignedDuration = SignedDuration::from_mins(15);

/// The start of the bucket that holds an instant.
pub fn bucket_start(at: Timestamp) -> Timestamp {
    let width = BUCKET.as_secs();
    let seconds = at.as_microsecond().div_euclid(width * 1_000_000) * width;
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
}

/// What one event means to one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterValue {
    /// The event itself counts.
    One,
    /// A decimal that is summed, compared or kept.
    Decimal(Decimal),
    /// A value of which only the identity matters.
    Hash(Uuid),
}

impl MeterValue {
    /// What a meter adds to its quantity for the event, if it adds at all.
    pub const fn addend(self, aggregation: Aggregation) -> Option<Decimal> {
        match (aggregation, self) {
            (Aggregation::Count, _) => Some(Decimal::ONE),
            (Aggregation::Sum, Self::Decimal(value)) => Some(value),
            (
                Aggregation::Sum
                | Aggregation::Average
                | Aggregation::WeightedSum
                | Aggregation::UniqueCount
                | Aggregation::Max
                | Aggregation::Min
                | Aggregation::Latest,
                _,
            ) => None,
        }
    }
}

/// The folded events of one customer, meter and bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFold {
    /// How many events.
    pub event_count: i64,
    /// The sum of the values; zero unless the aggregation is a sum, an average or a weighted sum.
    pub value_sum: Decimal,
    /// The smallest value; only for a minimum.
    pub value_min: Option<Decimal>,
    /// The greatest value; only for a maximum.
    pub value_max: Option<Decimal>,
    /// Time, id hash and value of the latest event, only for `latest`; ties go to the greater hash.
    pub latest: Option<(Timestamp, Uuid, Decimal)>,
    /// The earliest event's time.
    pub first_at: Timestamp,
    /// The latest event's time.
    pub last_at: Timestamp,
    /// Exclusive or over the id hashes: the same set of events gives the same digest in any order.
    pub digest: Uuid,
}

impl BucketFold {
    /// The fold of a single event. Only what the aggregation reads is filled.
    pub fn of(aggregation: Aggregation, at: Timestamp, id_hash: Uuid, value: MeterValue) -> Self {
        let decimal = match value {
            MeterValue::One | MeterValue::Hash(_) => None,
            MeterValue::Decimal(decimal) => Some(decimal),
        };
        let only = |wanted: Aggregation| decimal.filter(|_| aggregation == wanted);
        Self {
            event_count: 1,
            value_sum: decimal.filter(|_| is_summed(aggregation)).unwrap_or(Decimal::ZERO),
            value_min: only(Aggregation::Min),
            value_max: only(Aggregation::Max),
            latest: only(Aggregation::Latest).map(|decimal| (at, id_hash, decimal)),
            first_at: at,
            last_at: at,
            digest: id_hash,
        }
    }

    /// Adds other events of the same customer, meter and bucket.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecimalError> {
        self.value_sum = exact_add(self.value_sum, other.value_sum)?;
        self.event_count += other.event_count;
        self.value_min = self.value_min.into_iter().chain(other.value_min).min();
        self.value_max = self.value_max.max(other.value_max);
        self.latest = self.latest.max(other.latest);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.digest = Uuid::from_u128(self.digest.as_u128() ^ other.digest.as_u128());
        Ok(())
    }
}

const fn is_summed(aggregation: Aggregation) -> bool {
    match aggregation {
        Aggregation::Sum | Aggregation::Average | Aggregation::WeightedSum => true,
        Aggregation::Count
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::UniqueCount
        | Aggregation::Latest => false,
    }
}
