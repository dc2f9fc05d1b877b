use super::account::{Account, DeathSignal};
use super::binaries::Binaries;
use super::{PostgresError, process, socket};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Backends end by themselves within milliseconds of their postmaster's death; after this they are told to.
const GRACE: Duration = Duration::from_millis(300);

/// When processes that ignore `SIGQUIT` are killed, and when they are given up.
const KILL_AFTER: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

const POLL_PERIOD: Duration = Duration::from_millis(20);

/// Ends what an earlier server of a locked data directory left: processes first, then the files that would stop a new
/// server.
pub(super) async fn clear(
    cluster: &Path,
    socket_dir: &str,
    account: &Account,
    binaries: &Binaries,
) -> Result<(), PostgresError> {
    end_processes(cluster, account, binaries).await?;

    let socket = socket::file(Path::new(socket_dir));
    remove_if_present(&socket)?;
    remove_if_present(&socket.with_file_name(format!(".s.PGSQL.{}.lock", socket::PORT)))?;

    // PostgreSQL trusts a lock file whose process is alive, and after a restart of the machine or the container that
    // may be any process. Without a living process it does its own, sharper check of the shared memory: leave it that.
    let lock = cluster.join("postmaster.pid");
    let names_a_process = fs::read_to_string(&lock).is_ok_and(|text| names_living_process(&text));
    if names_a_process { remove_if_present(&lock) } else { Ok(()) }
}

/// Waits for the processes of a cluster to end, and ends those that do not.
///
/// The caller holds the lock of the data directory, so that these are nobody's.
pub(super) async fn end_processes(
    cluster: &Path,
    account: &Account,
    binaries: &Binaries,
) -> Result<(), PostgresError> {
    let begin = Instant::now();
    let mut signals = [(GRACE, "QUIT"), (KILL_AFTER, "KILL")].into_iter().peekable();
    loop {
        let pids = processes_in(cluster);
        if pids.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > TIMEOUT {
            return Err(PostgresError::Lingering { pids });
        }
        if let Some((_, signal)) = signals.next_if(|(after, _)| begin.elapsed() > *after) {
            warn!(?pids, "Ending processes of an earlier PostgreSQL with SIG{signal}");
            for pid in pids {
                send(signal, pid, account, binaries).await?;
            }
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

/// Sends a signal by its short name; a process that is already gone is no error.
///
/// `pg_ctl` sends it under the server's account, which cannot hit anything else should the number be taken again.
pub(super) async fn send(
    signal: &str,
    pid: u32,
    account: &Account,
    binaries: &Binaries,
) -> Result<(), PostgresError> {
    let mut command = account.command(&binaries.program("pg_ctl"), DeathSignal::Kill);
    command.args(["kill", signal, &pid.to_string()]);
    process::run(command, "").await.map(drop)
}

/// Lists the processes of the server that works in a directory: all of them have it as their working directory.
fn processes_in(cluster: &Path) -> Vec<u32> {
    // The system tells working directories without symbolic links.
    let (Ok(cluster), Ok(entries)) = (fs::canonicalize(cluster), fs::read_dir("/proc")) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let process = Path::new("/proc").join(u32::to_string(pid));
            let is_server =
                || fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("postgres"));
            fs::read_link(process.join("cwd")).is_ok_and(|dir| dir == cluster) && is_server()
        })
        .collect()
}

/// Tells whether the first line of a `postmaster.pid` is the number of a living process or thread.
fn names_living_process(lock: &str) -> bool {
    let pid = lock.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn remove_if_present(path: &Path) -> Result<(), PostgresError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PostgresError::file("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
