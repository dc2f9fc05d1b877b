//! New ids: `UUIDv7`, ascending within this process.

use std::sync::{Arc, Mutex, PoisonError};

use usance_core::{
    clock::{Clock, Random},
    ids::uuid_v7,
};
use uuid::Uuid;

/// Makes ids that sort by the time at which they were made.
pub struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    last: Mutex<Uuid>,
}

impl Ids {
    /// Takes time and randomness from outside.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, last: Mutex::new(Uuid::nil()) }
    }

    /// A new id. Within one millisecond, or if the clock goes back, it follows the last one.
    pub fn next(&self) -> Uuid {
        let unix_ms = u64::try_from(self.clock.now().as_millisecond()).unwrap_or_default();
        let mut random = [0; 10];
        self.random.fill(&mut random);
        let fresh = uuid_v7(unix_ms, random);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // The low 32 bits count on: version and variant stay as they are, and the rest stays random.
        *last = if fresh > *last {
            fresh
        } else {
            Uuid::from_u128(last.as_u128().wrapping_add(1 + u128::from(random[9])))
        };
        *last
    }
}
