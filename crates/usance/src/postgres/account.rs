use super::PostgresError;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracing::warn;

/// The user and group `nobody` of a system without an account `postgres`.
const NOBODY: (u32, u32) = (65_534, 65_534);

/// The programs are found by their directory; this is for what they run themselves, such as the shell.
const PATH_OF_CHILDREN: &str = "/usr/local/bin:/usr/bin:/bin";

/// The account the server runs under, and the way to run programs under it.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether this process is root and lowers its rights to the account.
    pub(super) is_lowered: bool,
    setpriv: Option<PathBuf>,
}

/// What a program receives when this process dies.
#[derive(Debug, Clone, Copy)]
pub(super) enum DeathSignal {
    /// PostgreSQL's immediate shutdown.
    Quit,
    /// The end without a clean-up, for programs whose work is thrown away.
    Kill,
}

impl Account {
    /// Chooses the account for a cluster directory, which may be absent.
    ///
    /// An existing cluster is run by its owner. For a new one, root takes the user `postgres`, else `nobody`.
    pub(super) fn choose(cluster: &Path) -> Result<Self, PostgresError> {
        let (uid, gid) = own_ids()?;
        let owner = fs::metadata(cluster).ok().map(|metadata| (metadata.uid(), metadata.gid()));
        if let Some((owner, _)) = owner
            && (owner == 0 || uid != 0 && owner != uid)
        {
            return Err(PostgresError::WrongOwner { dir: cluster.to_owned(), owner });
        }
        let setpriv = find_in_path("setpriv").map(|dir| dir.join("setpriv"));
        if uid == 0 { Self::lowered(owner, setpriv) } else { Ok(Self::own((uid, gid), setpriv)) }
    }

    fn lowered(owner: Option<(u32, u32)>, setpriv: Option<PathBuf>) -> Result<Self, PostgresError> {
        if setpriv.is_none() {
            return Err(PostgresError::SetprivMissing);
        }
        let of_name = || ids_in_passwd(&fs::read_to_string("/etc/passwd").unwrap_or_default(), "postgres");
        let (uid, gid) = owner.or_else(of_name).unwrap_or(NOBODY);
        Ok(Self { uid, gid, is_lowered: true, setpriv })
    }

    fn own((uid, gid): (u32, u32), setpriv: Option<PathBuf>) -> Self {
        if setpriv.is_none() {
            warn!("Found no `setpriv`: PostgreSQL will outlive this process if it is killed");
        }
        Self { uid, gid, is_lowered: false, setpriv }
    }

    /// Prepares a program that runs under the account, in an environment of its own, and that dies with the thread
    /// which spawns it.
    pub(super) fn command(&self, program: &Path, signal: DeathSignal) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.arg("--pdeathsig").arg(signal.name());
                if self.is_lowered {
                    command.args(["--reuid", &self.uid.to_string(), "--regid", &self.gid.to_string()]);
                    command.arg("--clear-groups");
                }
                command.arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        // English messages, because one of them is recognised. No PG* variable of the caller gets through.
        command.env_clear().env("PATH", PATH_OF_CHILDREN).env("LC_ALL", "C");
        // The caller's working directory may be closed to the account, and PostgreSQL returns to the one it began in.
        command.current_dir("/");
        // A Ctrl-C in the terminal is for this process alone, which stops the server when its requests are done.
        command.process_group(0);
        command
    }

    /// Checks that a lowered account can enter a directory, and names the first closed one on the way.
    pub(super) fn check_entry(&self, dir: &Path, option: &'static str) -> Result<(), PostgresError> {
        if !self.is_lowered {
            return Ok(());
        }
        let mut way: Vec<&Path> = dir.ancestors().collect();
        way.reverse();
        for dir in way {
            let metadata = fs::metadata(dir).map_err(PostgresError::file("read", dir))?;
            if !may_enter((self.uid, self.gid), (metadata.uid(), metadata.gid()), metadata.mode()) {
                return Err(PostgresError::Unreachable { dir: dir.to_owned(), uid: self.uid, option });
            }
        }
        Ok(())
    }

    /// Gives a directory or file that this process has just created to the account.
    pub(super) fn give(&self, path: &Path) -> Result<(), PostgresError> {
        if !self.is_lowered {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .map_err(PostgresError::file("change the owner of", path))
    }
}

impl DeathSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
        }
    }
}

/// Returns the first directory of `PATH` that holds a program.
pub(super) fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|dir| dir.is_absolute() && dir.join(program).is_file())
}

/// Tells from the mode bits whether a user and group may enter a directory of an owner and group.
pub(super) fn may_enter(account: (u32, u32), owner: (u32, u32), mode: u32) -> bool {
    let bit = if account.0 == owner.0 {
        0o100
    } else if account.1 == owner.1 {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// Finds the user and group id of a name in the text of `/etc/passwd`.
pub(super) fn ids_in_passwd(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut ids = fields.skip(1).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    })
}

/// Finds the effective user and group id in the text of `/proc/self/status`.
pub(super) fn ids_in_status(status: &str) -> Option<(u32, u32)> {
    let effective = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

fn own_ids() -> Result<(u32, u32), PostgresError> {
    let path = Path::new("/proc/self/status");
    let status = fs::read_to_string(path).map_err(PostgresError::file("read", path))?;
    ids_in_status(&status)
        .ok_or_else(|| PostgresError::file("understand", path)(std::io::ErrorKind::InvalidData.into()))
}
