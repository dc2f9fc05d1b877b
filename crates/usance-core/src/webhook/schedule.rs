//! When a delivery is tried again, and when an endpoint is given up.
//!
//! The schedule is the example of the Standard Webhooks specification; a fifth of each delay is left to chance, so that
//! what failed together is not tried again together.

use jiff::{SignedDuration, Timestamp};

/// The delays after the first attempt, the second one, and so on: 75 hours in all.
const DELAYS: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
    SignedDuration::from_hours(20),
    SignedDuration::from_hours(24),
];
/// Attempts at one delivery, with the first.
pub const ATTEMPTS_MAX: usize = DELAYS.len() + 1;
/// The least delay after an answer that asks for patience, or after none.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// Thousandths of a delay that chance adds or takes away at most.
const JITTER: i32 = 200;

/// How an endpoint that must be tried again answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedAttempt {
    /// It refused, or could not be reached.
    Refused,
    /// It asked for patience (429, 502, 503 or 504), or did not answer in time.
    Busy {
        /// What it asked for.
        retry_after: Option<SignedDuration>,
    },
}

/// Returns when a delivery is tried again after so many attempts; none when it is given up. `chance` is any number that
/// nobody can foresee.
///
/// What an endpoint asks for counts up to twice the delay of the schedule.
pub fn next_attempt(
    attempts: usize,
    failed: FailedAttempt,
    now: Timestamp,
    chance: u32,
) -> Option<Timestamp> {
    let planned = *DELAYS.get(attempts.checked_sub(1)?)?;
    let thousandths = 1_000 - JITTER + i32::try_from(chance % 401).unwrap_or(JITTER);
    let jittered = planned * thousandths / 1_000;
    let delay = match failed {
        FailedAttempt::Refused => jittered,
        FailedAttempt::Busy { retry_after } => {
            let asked = retry_after.unwrap_or(SignedDuration::ZERO).min(planned.max(PATIENCE) * 2);
            jittered.max(PATIENCE).max(asked)
        }
    };
    now.checked_add(delay).ok()
}

/// Two failures this far apart show that an endpoint does not merely restart.
const APART: SignedDuration = SignedDuration::from_hours(12);
/// Within this time they must lie.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// How long an endpoint may fail before it is disabled.
const PATIENCE_WITH_ENDPOINT: SignedDuration = SignedDuration::from_hours(5 * 24);

/// How an endpoint has been doing since its last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointHealth {
    /// The failure from which others are measured.
    pub failed_at: Option<Timestamp>,
    /// Since when it is known to fail all the time.
    pub failing_since: Option<Timestamp>,
}

impl EndpointHealth {
    /// Notes a failure.
    #[must_use]
    pub fn after_failure(self, at: Timestamp) -> Self {
        let Some(failed_at) = self.failed_at else { return Self { failed_at: Some(at), ..self } };
        if self.failing_since.is_some() {
            return self;
        }
        let passed = at.duration_since(failed_at);
        if passed > WINDOW {
            Self { failed_at: Some(at), failing_since: None }
        } else if passed >= APART {
            Self { failing_since: Some(at), ..self }
        } else {
            self
        }
    }

    /// Whether it has failed for so long that it is disabled. One success makes it well again: the default.
    pub fn is_given_up(self, now: Timestamp) -> bool {
        self.failing_since.is_some_and(|since| now.duration_since(since) >= PATIENCE_WITH_ENDPOINT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn delay(attempts: usize, failed: FailedAttempt, chance: u32) -> Option<SignedDuration> {
        next_attempt(attempts, failed, at(0), chance).map(|next| next.duration_since(at(0)))
    }

    #[test]
    fn ten_attempts_take_three_days_and_then_it_is_given_up() {
        let delays: Vec<_> =
            (1..).map_while(|attempts| delay(attempts, FailedAttempt::Refused, 200)).collect();

        assert_eq!(delays, DELAYS);
        assert_eq!(delays.len() + 1, ATTEMPTS_MAX);
        assert_eq!(delays.into_iter().sum::<SignedDuration>().as_mins(), 75 * 60 + 35);
        assert_eq!(delay(0, FailedAttempt::Refused, 0), None);
        assert_eq!(delay(usize::MAX, FailedAttempt::Refused, 0), None);
    }

    #[test]
    fn who_asks_for_patience_gets_a_minute_and_at_most_twice_the_delay() {
        let busy = |seconds: Option<i64>| FailedAttempt::Busy {
            retry_after: seconds.map(SignedDuration::from_secs),
        };
        for (attempts, asked, expected) in [
            (1, None, 60),
            (1, Some(0), 60),
            (1, Some(90), 90),
            (1, Some(3_600), 120),
            (2, None, 300),
            (2, Some(10), 300),
            (2, Some(450), 450),
            (2, Some(86_400), 600),
        ] {
            assert_eq!(
                delay(attempts, busy(asked), 200).unwrap().as_secs(),
                expected,
                "{attempts} {asked:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_given_up_after_five_days_of_failures_that_lie_apart() {
        let failures = |hours: &[i64]| {
            hours.iter().fold(EndpointHealth::default(), |health, hour| health.after_failure(at(*hour)))
        };
        // A burst of failures starts no clock, nor do two that lie too far apart.
        assert!(!failures(&[0, 1, 2, 11]).is_given_up(at(10_000)));
        assert!(!failures(&[0, 25]).is_given_up(at(10_000)));
        let failing = failures(&[0, 5, 12, 13, 100]);
        assert_eq!(failing.failing_since, Some(at(12)));
        assert!(!failing.is_given_up(at(12 + 119)));
        assert!(failing.is_given_up(at(12 + 120)));
        assert!(!EndpointHealth::default().is_given_up(at(10_000)));
    }

    proptest! {
        #[test]
        fn chance_moves_an_attempt_by_a_fifth_at_most(attempts in 1..ATTEMPTS_MAX, chance: u32) {
            let planned = DELAYS[attempts - 1];
            let delay = delay(attempts, FailedAttempt::Refused, chance).unwrap();
            prop_assert!(planned * 4 / 5 <= delay && delay <= planned * 6 / 5);
        }
    }
}
