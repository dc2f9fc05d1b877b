//! Latencies.

use std::time::Duration;

/// Returns the smallest latency that at least so many of 100 do not exceed; zero of none. The smallest stands first.
pub(crate) fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let rank = (latencies.len() * percent).div_ceil(100);
    latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
