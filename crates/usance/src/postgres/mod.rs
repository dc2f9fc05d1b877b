//! The managed PostgreSQL: a private server that belongs to this process and to one data directory.
//!
//! The server listens on a Unix socket in a directory only its own account can enter, so there is no password and no
//! port. Three rules keep one directory with one server:
//!
//! - The data directory is locked for as long as its [`ManagedPostgres`] runs.
//! - The server dies with this process, even when this process is killed: the kernel sends it `SIGQUIT`, PostgreSQL's
//!   immediate shutdown. `SIGINT` would first write a checkpoint nobody waits for, and `SIGKILL` would leave backends
//!   and shared memory behind; after `SIGQUIT` everything is gone in milliseconds, and the next start replays the log.
//! - A server that ends by itself is started again, a bounded number of times.
//!
//! PostgreSQL refuses to run as root. A root process therefore runs it under an unprivileged account and never writes
//! into a directory which that account controls: what is generated lies beside the cluster, not in it.
//!
//! | in the data directory | what it is |
//! |---|---|
//! | `postgres/` | the cluster |
//! | `postgres.init/` | a cluster being initialised; a leftover is removed |
//! | `postgres.conf` | the settings, generated at every start |
//! | `postgres.local.conf` | settings of the operator, optional; they win |
//! | `postgres.lock` | the lock, with the process id of its holder |
//! | `postgres.log`, `postgres.log.1` | what the server says |
//! | `socket/` | the socket, unless its path would be too long |

mod account;
mod binaries;
mod cluster;
mod error;
mod leftovers;
mod log;
mod process;
mod settings;
mod socket;
mod supervise;
#[cfg(test)]
mod tests;

pub use self::error::PostgresError;
use self::supervise::Supervisor;
use std::path::PathBuf;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Says where a managed PostgreSQL keeps its files and what it promises about them.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The directory of everything the server writes; it is created if it is absent.
    pub data_dir: PathBuf,
    /// The directory of PostgreSQL's programs; without it the newest installed version is taken, or the version that
    /// wrote the cluster if it is installed too.
    pub bin_dir: Option<PathBuf>,
    /// Whether a committed transaction survives a power cut.
    pub durability: Durability,
}

/// Says whether a committed transaction survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on disk before it is acknowledged.
    Durable,
    /// Nothing is flushed: a power cut may destroy the cluster. For tests only.
    Fast,
}

/// A running private PostgreSQL; dropping it stops the server in the background.
#[derive(Debug)]
pub struct ManagedPostgres {
    socket_dir: String,
    task: JoinHandle<Result<(), PostgresError>>,
    stop: DropGuard,
}

impl ManagedPostgres {
    /// Starts the server of a data directory, initialising it first if needed, and returns once it takes connections.
    ///
    /// The role `usance` and its database `usance` exist afterwards. Cancelling `shutdown` interrupts the start but
    /// does not stop a started server, which draining requests still need; the supervisor cancels `shutdown` itself
    /// when the server keeps ending and is given up.
    pub async fn start(options: PostgresOptions, shutdown: CancellationToken) -> Result<Self, PostgresError> {
        let mut supervisor = tokio::select! {
            prepared = Supervisor::prepare(options) => prepared?,
            () = shutdown.cancelled() => return Err(PostgresError::Interrupted),
        };
        let started = tokio::select! {
            started = supervisor.start() => started,
            () = shutdown.cancelled() => Err(PostgresError::Interrupted),
        };
        if let Err(error) = started {
            // The cause of the failed start matters more than a server that also does not stop.
            drop(supervisor.stop().await);
            return Err(error);
        }

        let socket_dir = supervisor.socket_dir().to_owned();
        let stop = CancellationToken::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "`stop` waits for the task; dropping the server must not"
        )]
        let task = tokio::spawn(supervisor.run(stop.clone(), shutdown));
        Ok(Self { socket_dir, task, stop: stop.drop_guard() })
    }

    /// Returns the address of a database, for a login as the role `usance`; it holds no secret.
    pub fn url(&self, database: &str) -> String {
        socket::url(&self.socket_dir, database)
    }

    /// Stops the server in an orderly way and waits until it has ended; open transactions are rolled back.
    pub async fn stop(self) -> Result<(), PostgresError> {
        drop(self.stop);
        self.task.await.unwrap_or(Err(PostgresError::SupervisorLost))
    }
}
