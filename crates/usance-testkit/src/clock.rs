//! A wall clock that a test moves.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use usance_core::clock::Clock;

/// 2026-01-01T00:00:00Z.
const START_SECOND: i64 = 1_767_225_600;

/// Stands still until it is advanced; its clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct MovableClock(Arc<AtomicI64>);

impl MovableClock {
    /// Moves the clock forward.
    pub fn advance(&self, span: SignedDuration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(START_SECOND).unwrap();
        start + SignedDuration::from_micros(self.0.load(Ordering::SeqCst))
    }
}
