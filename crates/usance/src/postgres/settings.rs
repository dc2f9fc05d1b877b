use super::{Durability, PostgresError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Assumed where the system does not tell its memory.
const MEMORY_MB_DEFAULT: u64 = 1024;

const KB_PER_MB: u64 = 1024;
const BYTES_PER_MB: u64 = 1024 * 1024;

/// Writes the generated settings of a data directory and returns their path.
pub(super) fn write(data_dir: &Path, durability: Durability, lz4: bool) -> Result<PathBuf, PostgresError> {
    let path = data_dir.join("postgres.conf");
    let text = settings(memory_mb(), durability, lz4);
    fs::write(&path, text).map_err(PostgresError::file("write", &path))?;
    // The server reads it under its own account, whatever the umask of this process.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
        .map_err(PostgresError::file("open up", &path))?;
    Ok(path)
}

/// Returns the settings the supervisor relies on; given as arguments, no file overrides them.
pub(super) fn fixed(socket_dir: &str, durability: Durability) -> Vec<String> {
    let flush = match durability {
        Durability::Durable => "on",
        Durability::Fast => "off",
    };
    vec![
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories=\"{socket_dir}\""),
        "unix_socket_permissions=0700".to_owned(),
        format!("port={}", super::socket::PORT),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
        "lc_messages=C".to_owned(),
        format!("fsync={flush}"),
        format!("synchronous_commit={flush}"),
        format!("full_page_writes={flush}"),
    ]
}

/// Returns the text of the settings file for a machine's memory.
///
/// The shares of memory follow the advice of PostgreSQL's manual (chapter "Resource Consumption": a quarter for shared
/// buffers, half to three quarters expected in caches), capped because the machine runs more than the database.
pub(super) fn settings(memory_mb: u64, durability: Durability, lz4: bool) -> String {
    let (shared_buffers_mb_max, max_wal_mb, connections) = match durability {
        Durability::Durable => (2048, 2048, 100),
        // Tests run beside each other and their data is small.
        Durability::Fast => (128, 1024, 300),
    };
    let shared_buffers_mb = (memory_mb / 4).clamp(32, shared_buffers_mb_max);
    let effective_cache_mb = (memory_mb / 2).max(64);
    let maintenance_mb = (memory_mb / 16).clamp(16, 512);
    let compression = if lz4 { "lz4" } else { "off" };
    let work_mb = (memory_mb / 1024).clamp(4, 32);
    format!(
        "\
# Generated at every start. Put settings of your own into postgres.local.conf beside this file; they win.
include_if_exists = 'postgres/postgresql.conf'

max_connections = {connections}
# A list of events locks every month that has any.
max_locks_per_transaction = 512
shared_buffers = {shared_buffers_mb}MB
effective_cache_size = {effective_cache_mb}MB
maintenance_work_mem = {maintenance_mb}MB
work_mem = {work_mb}MB
huge_pages = try

max_wal_size = {max_wal_mb}MB
min_wal_size = 256MB
wal_compression = {compression}
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9

# Flash storage reads a random page almost as fast as the next one.
random_page_cost = 1.1
# Compiling a query costs more than the short queries of this product take.
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off

include_if_exists = 'postgres.local.conf'
"
    )
}

/// Returns the memory this process may use: the machine's, or the limit of its container if that is lower.
fn memory_mb() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mb_in_meminfo(&text));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| mb_in_cgroup(&text));
    machine.into_iter().chain(container).min().unwrap_or(MEMORY_MB_DEFAULT)
}

/// Finds the machine's memory in the text of `/proc/meminfo`.
pub(super) fn mb_in_meminfo(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total_kb: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(total_kb / KB_PER_MB)
}

/// Reads the limit in a control group's `memory.max`, whose value is bytes or `max` for none.
pub(super) fn mb_in_cgroup(memory_max: &str) -> Option<u64> {
    let limit_bytes: u64 = memory_max.trim().parse().ok()?;
    Some(limit_bytes / BYTES_PER_MB)
}
