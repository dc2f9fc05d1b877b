use std::io;
use std::path::{Path, PathBuf};

/// Says why the managed PostgreSQL does not run, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// No directory with PostgreSQL's programs was found.
    #[error(
        "PostgreSQL 15 or newer is not installed: install it with `apt-get install postgresql`, or name the directory \
         of its programs with --pg-bin"
    )]
    NotInstalled,
    /// The directory of the programs misses one of them.
    #[error(
        "{} has no program `{program}`: install PostgreSQL with `apt-get install postgresql`, or name another \
         directory with --pg-bin", dir.display()
    )]
    ProgramMissing {
        /// The directory of the programs.
        dir: PathBuf,
        /// The absent program.
        program: &'static str,
    },
    /// The server's reply to `--version` names no version.
    #[error("{} does not tell its version (it says \"{reply}\"): name another directory with --pg-bin", program.display())]
    VersionUnknown {
        /// The server program.
        program: PathBuf,
        /// What it replied.
        reply: String,
    },
    /// The programs are older than the oldest supported version.
    #[error("{} holds PostgreSQL {major}, but 15 or newer is needed: upgrade it, or name a newer one with --pg-bin", dir.display())]
    TooOld {
        /// The directory of the programs.
        dir: PathBuf,
        /// Their major version.
        major: u32,
    },
    /// The cluster was written by another major version.
    #[error(
        "the cluster in {} was written by PostgreSQL {cluster}, but the programs are PostgreSQL {programs}: name the \
         programs of PostgreSQL {cluster} with --pg-bin, or dump the data with them and restore it into a new data \
         directory", dir.display()
    )]
    MajorDiffers {
        /// The directory of the cluster.
        dir: PathBuf,
        /// The major version that wrote the cluster.
        cluster: u32,
        /// The major version of the programs.
        programs: u32,
    },
    /// The cluster's directory is not a cluster.
    #[error("{} is not a PostgreSQL cluster: move it away, or choose another --data-dir", dir.display())]
    NotACluster {
        /// The directory that should be a cluster.
        dir: PathBuf,
    },
    /// Another process runs the server of this data directory.
    #[error("{} is in use by {holder}: stop it, or choose another --data-dir", data_dir.display())]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// Who holds it, such as `process 4711`.
        holder: String,
    },
    /// The account of the server cannot enter a directory above its files.
    #[error(
        "the account of PostgreSQL (user id {uid}; root may not run it) cannot enter {}: choose another {option}, such \
         as one under /var/lib, or allow the entry with `chmod o+x {}`", dir.display(), dir.display()
    )]
    Unreachable {
        /// The directory that refuses entry.
        dir: PathBuf,
        /// The user id of the server's account.
        uid: u32,
        /// The setting that names the path.
        option: &'static str,
    },
    /// The cluster belongs to an account the server cannot run under.
    #[error(
        "the cluster in {} belongs to user id {owner}: start as that user, or give the directory to the right one with \
         `chown -R`", dir.display()
    )]
    WrongOwner {
        /// The directory of the cluster.
        dir: PathBuf,
        /// The user id of its owner.
        owner: u32,
    },
    /// Root cannot lower its rights without `setpriv`.
    #[error(
        "root needs the program `setpriv` to run PostgreSQL as another user: install it with `apt-get install util-linux`"
    )]
    SetprivMissing,
    /// A path cannot be given to PostgreSQL.
    #[error("{} is not valid UTF-8: choose another --data-dir", path.display())]
    PathNotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// Neither the data directory nor the temporary directory allows a short enough socket path.
    #[error("{} is too long for a socket: choose a shorter --data-dir, or set TMPDIR to a short path", path.display())]
    SocketPathTooLong {
        /// The path that exceeds the kernel's limit.
        path: PathBuf,
    },
    /// Something else lies where the socket's directory belongs.
    #[error("{} is not a directory of PostgreSQL's account alone: remove it and start again", dir.display())]
    SocketDirUntrusted {
        /// The suspicious directory.
        dir: PathBuf,
    },
    /// The new cluster could not be initialised.
    #[error("`initdb` does not initialise the cluster ({status}): {detail}")]
    Initdb {
        /// How the program ended.
        status: String,
        /// What it said.
        detail: String,
    },
    /// The role or the database could not be created.
    #[error("`psql` does not create the role and the database ({status}): {detail}")]
    Bootstrap {
        /// How the program ended.
        status: String,
        /// What it said.
        detail: String,
    },
    /// The server ended before it took connections.
    #[error("PostgreSQL ended while it started ({status}); its log {} ends with:\n{tail}", log.display())]
    EndedEarly {
        /// How the server ended.
        status: String,
        /// The path of the log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server takes no connections in time.
    #[error("PostgreSQL takes no connections after {seconds} s; its log {} ends with:\n{tail}", log.display())]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// The path of the log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Processes of an earlier server still use the cluster.
    #[error("processes of an earlier PostgreSQL do not end: end them with `kill` and start again ({pids:?})")]
    Lingering {
        /// Their process ids.
        pids: Vec<u32>,
    },
    /// The server does not end when told to.
    #[error("PostgreSQL (process {pid}) does not stop: end it with `kill -QUIT {pid}`")]
    DoesNotStop {
        /// The process id of the server.
        pid: u32,
    },
    /// The server ended too often and is not started again.
    #[error("PostgreSQL ended {ends} times in {seconds} s and is not started again: see its log {}", log.display())]
    GivenUp {
        /// How often it ended.
        ends: usize,
        /// The length of the time window.
        seconds: u64,
        /// The path of the log.
        log: PathBuf,
    },
    /// A shutdown was requested during the start.
    #[error("the start of PostgreSQL was interrupted by a shutdown")]
    Interrupted,
    /// The task that watches the server is gone, with the runtime or by a panic.
    #[error("the supervisor of PostgreSQL is gone")]
    SupervisorLost,
    /// A program could not be started.
    #[error("cannot start the program {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file or directory could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, such as `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl PostgresError {
    /// Returns the conversion of a failed file operation, for `map_err`.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
