//! Drives batches through a few connections and measures: the same loop for PostgreSQL and for HTTP.

use crate::latency::percentile;
use anyhow::{Result, anyhow, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The longest a drive may take, so that a server which does not answer ends the benchmark.
const DRIVE_TIMEOUT: Duration = Duration::from_mins(30);

/// A connection that stores one batch at a time, or answers one question, which counts as one event.
pub(crate) trait Driven: Send + 'static {
    /// A batch as it is sent, made before the clock starts.
    type Batch: Send + Sync + 'static;

    /// Stores a batch and returns how many events are durable and counted when it returns.
    fn store(&mut self, batch: &Self::Batch) -> impl Future<Output = Result<u64>> + Send;
}

/// What a drive took.
#[derive(Debug)]
pub(crate) struct Drive {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// What half of the batches exceed.
    pub(crate) p50: Duration,
    /// What one batch in a hundred exceeds.
    pub(crate) p99: Duration,
}

/// Stores all batches, each on the connection that is free first, and checks that every event was accepted.
pub(crate) async fn drive<C: Driven>(
    connections: &mut Vec<C>,
    batches: Vec<C::Batch>,
    events: u64,
) -> Result<Drive> {
    let batches = Arc::new(batches);
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for connection in connections.drain(..) {
        workers.spawn(work(connection, Arc::clone(&batches), Arc::clone(&next)));
    }
    let finished = timeout(DRIVE_TIMEOUT, workers.join_all()).await;
    let elapsed = began.elapsed();

    let mut stored = 0;
    let mut latencies = Vec::with_capacity(batches.len());
    for worker in finished.map_err(|_| anyhow!("not finished after {} s", DRIVE_TIMEOUT.as_secs()))? {
        let worker = worker?;
        stored += worker.stored;
        latencies.extend(worker.latencies);
        connections.push(worker.connection);
    }
    ensure!(stored == events, "{stored} of {events} events were accepted");
    latencies.sort_unstable();
    Ok(Drive { elapsed, p50: percentile(&latencies, 50), p99: percentile(&latencies, 99) })
}

struct Worker<C> {
    connection: C,
    stored: u64,
    latencies: Vec<Duration>,
}

async fn work<C: Driven>(
    mut connection: C,
    batches: Arc<Vec<C::Batch>>,
    next: Arc<AtomicUsize>,
) -> Result<Worker<C>> {
    let mut stored = 0;
    let mut latencies = Vec::with_capacity(batches.len());
    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
        let began = Instant::now();
        stored += connection.store(batch).await?;
        latencies.push(began.elapsed());
    }
    Ok(Worker { connection, stored, latencies })
}
