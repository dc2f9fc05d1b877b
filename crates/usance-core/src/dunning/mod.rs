//! Dunning: when a payment that failed is tried again, and what happens when that does not help.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// The most retries a policy can have.
pub const RETRIES_MAX: usize = 20;

/// The latest retry, in days after the first failure.
pub const RETRY_DAY_MAX: u16 = 365;

/// How failed payments are followed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DunningPolicy {
    /// The days after the first failure on which the payment is tried again, in ascending order; none gives up at once.
    pub retry_days: Vec<u16>,
    /// What happens when the last retry has failed.
    pub final_action: FinalAction,
}

/// What happens to a subscription whose invoice could not be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinalAction {
    /// It is canceled.
    Cancel,
    /// It goes on, and the invoice stays unpaid.
    MarkUnpaid,
}

/// What follows a failed payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DunningStep {
    /// The payment is tried again at that time.
    RetryAt(Timestamp),
    /// There is no retry left.
    Exhausted(FinalAction),
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DunningFault {
    /// There are more than [`RETRIES_MAX`] retries.
    #[error("there are more than {RETRIES_MAX} retries")]
    TooManyRetries,
    /// A retry is on the day of the failure or more than [`RETRY_DAY_MAX`] days after it.
    #[error("retry {place} is not between 1 and {RETRY_DAY_MAX} days after the first failure")]
    DayOutOfRange {
        /// The place of the retry, from 0.
        place: usize,
    },
    /// A retry is not after the one before it.
    #[error("retry {place} is not after the one before it")]
    NotAscending {
        /// The place of the retry, from 0.
        place: usize,
    },
}

impl FinalAction {
    /// Reads `cancel` or `mark_unpaid`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cancel, Self::MarkUnpaid].into_iter().find(|action| action.as_str() == text)
    }

    /// Returns `cancel` or `mark_unpaid`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::MarkUnpaid => "mark_unpaid",
        }
    }
}

impl DunningPolicy {
    /// Refuses retries that are too many, too late or not in ascending order.
    pub fn validate(&self) -> Result<(), DunningFault> {
        if self.retry_days.len() > RETRIES_MAX {
            return Err(DunningFault::TooManyRetries);
        }
        let mut day_before = 0;
        for (place, day) in self.retry_days.iter().copied().enumerate() {
            if !(1..=RETRY_DAY_MAX).contains(&day) {
                return Err(DunningFault::DayOutOfRange { place });
            }
            if day <= day_before {
                return Err(DunningFault::NotAscending { place });
            }
            day_before = day;
        }
        Ok(())
    }

    /// Counts the attempts that the ladder allows up to now: the first, and one for each retry day that has come. A try by
    /// hand between two days uses up none of them.
    pub fn attempts_by(&self, first_failed_at: Timestamp, now: Timestamp) -> usize {
        let since = now.duration_since(first_failed_at);
        let has_come = |days: &&u16| SignedDuration::from_hours(24 * i64::from(**days)) <= since;
        1 + self.retry_days.iter().filter(has_come).count()
    }

    /// Decides what follows when so many attempts have failed, of which the first is no retry.
    ///
    /// Days are 24 hours long and count from the first failure, so a retry that runs late does not delay the next one.
    pub fn next(&self, attempts_failed: usize, first_failed_at: Timestamp) -> DunningStep {
        let Some(retry) = attempts_failed.checked_sub(1) else {
            return DunningStep::RetryAt(first_failed_at);
        };
        match self.retry_days.get(retry) {
            Some(days) => {
                let wait = SignedDuration::from_hours(24 * i64::from(*days));
                DunningStep::RetryAt(first_failed_at.checked_add(wait).unwrap_or(Timestamp::MAX))
            }
            None => DunningStep::Exhausted(self.final_action),
        }
    }
}
