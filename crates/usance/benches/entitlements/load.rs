//! Drives requests through a few connections: as fast as they are answered, or at a steady rate.

use crate::connection::{Connection, excerpt};
use crate::latency::percentile;
use anyhow::{Result, anyhow, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest a drive may take, so that a server which does not answer ends the benchmark.
const DRIVE_TIMEOUT: Duration = Duration::from_mins(10);

/// What a drive took.
#[derive(Debug)]
pub(crate) struct Drive {
    requests: usize,
    elapsed: Duration,
    /// What half of the requests exceed.
    pub(crate) p50: Duration,
    /// What one request in a hundred exceeds.
    pub(crate) p99: Duration,
}

impl Drive {
    /// Returns the requests that were answered in a second.
    pub(crate) fn per_second(&self) -> u64 {
        let micros = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        u64::try_from(self.requests).unwrap_or(u64::MAX).saturating_mul(1_000_000) / micros
    }
}

/// Which requests are made when.
struct Plan {
    requests: Vec<Vec<u8>>,
    count: usize,
    next: AtomicUsize,
    began: Instant,
    /// Between two requests, if they are not made as fast as possible.
    gap: Option<Duration>,
}

/// Makes a number of requests, the given ones in turn, at a rate per second if one is given.
pub(crate) async fn drive(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    count: usize,
    rate: Option<u64>,
) -> Result<Drive> {
    let gap = rate.map(|rate| Duration::from_nanos(1_000_000_000 / rate.max(1)));
    let connections = Connection::open_many(address, connections).await?;
    let began = Instant::now();
    let plan = Arc::new(Plan { requests: requests.to_vec(), count, next: AtomicUsize::new(0), began, gap });
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(connection, Arc::clone(&plan)));
    }
    let finished = timeout(DRIVE_TIMEOUT, workers.join_all()).await;
    let elapsed = began.elapsed();
    let mut latencies = Vec::with_capacity(count);
    for worker in finished.map_err(|_| anyhow!("not finished after {} s", DRIVE_TIMEOUT.as_secs()))? {
        latencies.extend(worker?);
    }
    ensure!(latencies.len() == count, "{} of {count} requests were answered", latencies.len());
    latencies.sort_unstable();
    let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
    Ok(Drive { requests: count, elapsed, p50, p99 })
}

async fn work(mut connection: Connection, plan: Arc<Plan>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let place = plan.next.fetch_add(1, Ordering::Relaxed);
        if place >= plan.count {
            return Ok(latencies);
        }
        if let Some(gap) = plan.gap {
            let wait = gap.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            sleep_until(plan.began + wait).await;
        }
        let began = Instant::now();
        let (status, body) = connection.exchange(&plan.requests[place % plan.requests.len()]).await?;
        ensure!(status == 200, "answer {status}: {}", excerpt(body));
        latencies.push(began.elapsed());
    }
}
