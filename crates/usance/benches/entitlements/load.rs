//! Drives requests through a few connections: as fast as they are answered, or at a steady rate.

use anyhow::{Context, Result, anyhow, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest a drive may take, so that a server which does not answer ends the benchmark.
const DRIVE_TIMEOUT: Duration = Duration::from_mins(10);
const OK: &[u8] = b"HTTP/1.1 200 ";

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
    let began = Instant::now();
    let plan = Arc::new(Plan { requests: requests.to_vec(), count, next: AtomicUsize::new(0), began, gap });
    let mut workers = JoinSet::new();
    for _ in 0..connections.max(1) {
        workers.spawn(work(address, Arc::clone(&plan)));
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

async fn work(address: SocketAddr, plan: Arc<Plan>) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await.context("the server takes no connection")?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut received) = (Vec::new(), Vec::new());
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
        exchange(&mut stream, &plan.requests[place % plan.requests.len()], &mut received).await?;
        latencies.push(began.elapsed());
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8], received: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request).await?;
    received.clear();
    loop {
        ensure!(stream.read_buf(received).await? > 0, "the server closed the connection");
        let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = str::from_utf8(&received[..head]).context("the head is not text")?;
        let length = text.split("\r\n").filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if received.len() >= head + 4 + length.context("an answer without content-length")? {
            ensure!(received.starts_with(OK), "{}", String::from_utf8_lossy(received));
            return Ok(());
        }
    }
}

/// Returns the smallest latency that at least so many of 100 do not exceed; zero of none. The smallest stands first.
fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let rank = (latencies.len() * percent).div_ceil(100);
    latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
