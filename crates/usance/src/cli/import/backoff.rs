//! How long to wait before a request is tried again.

use std::time::Duration;

const DELAY_FIRST: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(5);
const DOUBLINGS_MAX: u32 = 10;

/// The delays of one request: 200 ms, 400 ms, … 5 s, each shortened at random by up to a half.
#[derive(Debug)]
pub(super) struct Backoff {
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// Starts with the first delay; the seed decides the random part.
    pub(super) fn new(seed: u64) -> Self {
        Self { attempt: 0, state: seed }
    }

    /// The next delay, longer than the one before until the maximum.
    pub(super) fn next_delay(&mut self) -> Duration {
        let full = DELAY_FIRST.saturating_mul(1 << self.attempt.min(DOUBLINGS_MAX)).min(DELAY_MAX);
        self.attempt += 1;
        let half_ms = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
        full.saturating_sub(Duration::from_millis(self.next_random() % (half_ms + 1)))
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014): enough to spread retries.
    fn next_random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
