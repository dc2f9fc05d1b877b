//! What processes and the machine have used, from `/proc` (proc(5)).

use anyhow::{Context, Result};
use std::fs;
use std::ops::Sub;

/// `/proc` counts in `USER_HZ`, which is 100 on every architecture that Rust's Linux targets share with PostgreSQL's
/// packages (time(7)): a tick is 10 ms.
const MICROSECONDS_PER_TICK: u64 = 10_000;

/// The processes whose time is measured; the client is this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    /// The server of the product.
    pub(crate) server: u32,
    /// The first process of PostgreSQL, parent of all others.
    pub(crate) postmaster: u32,
}

/// Microseconds of CPU, user and system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CpuTime {
    /// The server of the product.
    pub(crate) server: u64,
    /// All processes of PostgreSQL.
    pub(crate) postgres: u64,
    /// This process.
    pub(crate) client: u64,
    /// Everything else on the machine, what the hypervisor took away included.
    pub(crate) others: u64,
}

impl Processes {
    /// Returns what was used since the processes and the machine started.
    ///
    /// The time of PostgreSQL is that of its living processes and of those that ended, which the kernel adds to their
    /// parent. A process that ends while this is read may be missed or counted twice: connections outlive a run, so
    /// that only autovacuum's workers can.
    pub(crate) fn sample(self) -> Result<CpuTime> {
        let server = used(&read_stat(self.server)?)?.own;
        let postmaster = used(&read_stat(self.postmaster)?)?;
        let mut postgres = postmaster.own + postmaster.of_ended_children;
        for stat in children_of(self.postmaster)? {
            postgres += used(&stat)?.own;
        }
        let client = used(&read_stat(std::process::id())?)?.own;
        let all = busy(&read("/proc/stat")?)?;
        Ok(CpuTime { server, postgres, client, others: all.saturating_sub(server + postgres + client) })
    }

    /// Returns the memory that the server holds, in KiB, and the most that it ever held.
    pub(crate) fn server_memory_kib(self) -> Result<(u64, u64)> {
        Ok((memory_kib(self.server, "VmRSS:")?, memory_kib(self.server, "VmHWM:")?))
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            client: self.client.saturating_sub(earlier.client),
            others: self.others.saturating_sub(earlier.others),
        }
    }
}

struct Used {
    own: u64,
    of_ended_children: u64,
}

/// Reads a line of a `/proc/<pid>/status` that is in KiB.
pub(crate) fn memory_kib(pid: u32, name: &str) -> Result<u64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.with_context(|| format!("no {name} in the status of process {pid}"))
}

/// Reads the four counters of a `/proc/<pid>/stat`.
fn used(stat: &str) -> Result<Used> {
    let ticks = |field| {
        let ticks: Option<u64> = stat_field(stat, field)?.parse().ok();
        ticks.map(|ticks| ticks * MICROSECONDS_PER_TICK)
    };
    let sum = |user, system| Some(ticks(user)? + ticks(system)?);
    let counters = sum(14, 15).zip(sum(16, 17));
    let (own, of_ended_children) = counters.context("a stat without counters")?;
    Ok(Used { own, of_ended_children })
}

/// Returns a field by its number in proc(5); the second, the name, may itself hold spaces and parentheses.
fn stat_field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)
}

/// Reads the stat of each living child.
fn children_of(parent: u32) -> Result<Vec<String>> {
    let parent = parent.to_string();
    let pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    // A process that has ended meanwhile is no error.
    let stats = pids.filter_map(|pid| read_stat(pid).ok());
    Ok(stats.filter(|stat| stat_field(stat, 4) == Some(&parent)).collect())
}

/// Sums what all CPUs were busy with: the first line of `/proc/stat` without `idle` and `iowait`, and without the time
/// of guests, which is already part of the first two.
fn busy(stat: &str) -> Result<u64> {
    const IDLE: usize = 3;
    const IOWAIT: usize = 4;
    const FIELDS: usize = 8;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).context("no CPU in /proc/stat")?;
    let ticks = line.split_whitespace().take(FIELDS).enumerate();
    let busy = ticks.filter(|(field, _)| ![IDLE, IOWAIT].contains(field));
    let sum: u64 = busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum();
    Ok(sum * MICROSECONDS_PER_TICK)
}

fn read_stat(pid: u32) -> Result<String> {
    read(&format!("/proc/{pid}/stat"))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}
