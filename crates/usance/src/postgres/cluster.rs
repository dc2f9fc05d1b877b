use super::account::{Account, DeathSignal};
use super::binaries::Binaries;
use super::{Durability, PostgresError, leftovers, process};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tracing::info;

/// The directory of the cluster in the data directory.
pub(super) const CLUSTER: &str = "postgres";

/// The directory of a cluster that `initdb` has not finished; it takes the name [`CLUSTER`] when it is complete.
const UNFINISHED: &str = "postgres.init";

/// Creates the data directory if it is absent and returns its absolute path.
pub(super) fn create_data_dir(data_dir: &Path) -> Result<PathBuf, PostgresError> {
    if !data_dir.exists() {
        DirBuilder::new()
            .recursive(true)
            .create(data_dir)
            .map_err(PostgresError::file("create", data_dir))?;
        // The server's account has to pass through, but need not list what is there; the cluster itself is 0700.
        let mode = fs::Permissions::from_mode(0o711);
        fs::set_permissions(data_dir, mode).map_err(PostgresError::file("open up", data_dir))?;
    }
    fs::canonicalize(data_dir).map_err(PostgresError::file("open", data_dir))
}

/// Locks a data directory for as long as the returned file is open.
pub(super) fn lock(data_dir: &Path) -> Result<File, PostgresError> {
    let path = data_dir.join("postgres.lock");
    let mut options = File::options();
    // Whoever can open the file can lock it.
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(&path).map_err(PostgresError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            noted.map_err(PostgresError::file("write", &path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let data_dir = data_dir.to_owned();
            Err(PostgresError::InUse { data_dir, holder: holder(&mut file) })
        }
        Err(TryLockError::Error(error)) => Err(PostgresError::file("lock", &path)(error)),
    }
}

/// Returns the major version that wrote a cluster, or `None` where there is no cluster yet.
pub(super) fn major_of(cluster: &Path) -> Result<Option<u32>, PostgresError> {
    let not_a_cluster = || PostgresError::NotACluster { dir: cluster.to_owned() };
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| not_a_cluster()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !cluster.exists() => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_a_cluster()),
        Err(error) => Err(PostgresError::file("read", cluster)(error)),
    }
}

/// Initialises the cluster of a locked data directory, all or nothing.
///
/// `initdb` works in a directory beside the cluster's place, and the complete cluster is moved there in one step: what
/// a killed `initdb` leaves is never taken for a cluster.
pub(super) async fn initialise(
    data_dir: &Path,
    account: &Account,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), PostgresError> {
    let unfinished = data_dir.join(UNFINISHED);
    remove_unfinished(&unfinished, account, binaries).await?;
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(PostgresError::file("create", &unfinished))?;
    account.give(&unfinished)?;

    info!(dir = %data_dir.display(), "Initialising a cluster of PostgreSQL {}", binaries.major);
    let mut command = account.command(&binaries.program("initdb"), DeathSignal::Kill);
    command.arg("--pgdata").arg(&unfinished);
    command.args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]);
    command.args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"]);
    if durability == Durability::Fast {
        command.arg("--no-sync");
    }
    let output = process::run(command, "").await?;
    if !output.status.success() {
        let (status, detail) = (output.status.to_string(), process::said(&output));
        return Err(PostgresError::Initdb { status, detail });
    }

    fs::rename(&unfinished, data_dir.join(CLUSTER)).map_err(PostgresError::file("rename", &unfinished))?;
    // The new name itself must survive a power cut, too.
    File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(PostgresError::file("flush", data_dir))
}

/// Removes what an interrupted initialisation left, after its last process has ended.
async fn remove_unfinished(dir: &Path, account: &Account, binaries: &Binaries) -> Result<(), PostgresError> {
    if !dir.exists() {
        return Ok(());
    }
    info!(dir = %dir.display(), "Removing an unfinished cluster");
    leftovers::end_processes(dir, account, binaries).await?;
    fs::remove_dir_all(dir).map_err(PostgresError::file("remove", dir))
}

fn holder(lock: &mut File) -> String {
    let mut pid = String::new();
    match lock.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}
