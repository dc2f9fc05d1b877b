use super::account::{Account, DeathSignal};
use super::binaries::Binaries;
use super::log::Log;
use super::process::{self, Postmaster};
use super::{Durability, PostgresError, PostgresOptions, cluster, leftovers, settings, socket};
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long a server may take to accept connections; after a crash it first replays up to `max_wal_size`.
const READY_TIMEOUT: Duration = Duration::from_mins(5);

/// How long shared memory of an earlier server may stay in use, and how often it is tried.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_PERIOD: Duration = Duration::from_millis(100);

/// What PostgreSQL says meanwhile ("pre-existing shared memory block (key …, ID …) is still in use").
const BUSY_MESSAGE: &str = "is still in use";

/// How long the orderly stop may take, which writes a checkpoint, and then the immediate one.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the size of the log is checked.
const LOG_PERIOD: Duration = Duration::from_mins(1);

/// Creates the login of the product, then its database; the attributes of existing ones are the operator's business.
///
/// An owner of a database has the schema `public` only by inheritance (`pg_database_owner`), and this role inherits
/// nothing. So the schema becomes its own, in the template of all databases it will create.
const BOOTSTRAP_SQL: &str = "
SELECT 'CREATE ROLE usance LOGIN NOSUPERUSER NOINHERIT CREATEROLE CREATEDB'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'usance') \\gexec
SELECT 'ALTER SCHEMA public OWNER TO usance'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'usance') \\gexec
SELECT 'CREATE DATABASE usance OWNER usance'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'usance') \\gexec
";

/// Owns a data directory and keeps its server running.
#[derive(Debug)]
pub(super) struct Supervisor {
    data_dir: PathBuf,
    durability: Durability,
    account: Account,
    binaries: Binaries,
    log: Log,
    socket_dir: String,
    postmaster: Option<Postmaster>,
    /// Declared last: the lock is released when everything else is gone.
    _lock: File,
}

impl Supervisor {
    /// Locks a data directory, finds the programs and initialises the cluster if there is none.
    pub(super) async fn prepare(options: PostgresOptions) -> Result<Self, PostgresError> {
        let data_dir = cluster::create_data_dir(&options.data_dir)?;
        let lock = cluster::lock(&data_dir)?;
        let cluster = data_dir.join(cluster::CLUSTER);
        let account = Account::choose(&cluster)?;
        account.check_entry(&data_dir, "--data-dir")?;
        let major = cluster::major_of(&cluster)?;
        let binaries = Binaries::find(options.bin_dir.as_deref(), major)?;
        account.check_entry(&binaries.dir, "--pg-bin")?;

        match major {
            None => cluster::initialise(&data_dir, &account, &binaries, options.durability).await?,
            Some(major) if major == binaries.major => {}
            Some(major) => {
                let programs = binaries.major;
                return Err(PostgresError::MajorDiffers { dir: cluster, cluster: major, programs });
            }
        }
        Ok(Self {
            socket_dir: socket::create_dir(&data_dir, &account)?,
            log: Log::of(&data_dir),
            durability: options.durability,
            postmaster: None,
            _lock: lock,
            data_dir,
            account,
            binaries,
        })
    }

    /// Returns the directory of the socket.
    pub(super) fn socket_dir(&self) -> &str {
        &self.socket_dir
    }

    /// Starts the server for the first time and creates the role and the database.
    pub(super) async fn start(&mut self) -> Result<(), PostgresError> {
        self.launch().await?;
        self.bootstrap().await
    }

    /// Watches the server until it is told to stop, and starts it again when it ends by itself.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
        shutdown: CancellationToken,
    ) -> Result<(), PostgresError> {
        let mut restarts = Restarts::default();
        loop {
            let Some(status) = self.watch(&stop).await else { return self.stop().await };
            let Some(delay) = restarts.next_delay(Instant::now()) else {
                let error = restarts.given_up(self.log.path.clone());
                error!("{error}");
                shutdown.cancel();
                return Err(error);
            };
            warn!(%status, "PostgreSQL does not run ({status}) and is started again in {} ms", delay.as_millis());
            tokio::select! {
                () = stop.cancelled() => return self.stop().await,
                () = self.relaunch(delay) => {}
            }
        }
    }

    /// Stops the server: first in an orderly way, then at once.
    pub(super) async fn stop(mut self) -> Result<(), PostgresError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        for (signal, limit) in [("INT", STOP_TIMEOUT), ("QUIT", QUIT_TIMEOUT)] {
            leftovers::send(signal, postmaster.pid, &self.account, &self.binaries).await?;
            if let Ok(status) = timeout(limit, postmaster.exited()).await {
                info!(%status, "Stopped PostgreSQL");
                return Ok(());
            }
            warn!("PostgreSQL did not stop in {} s after SIG{signal}", limit.as_secs());
        }
        Err(PostgresError::DoesNotStop { pid: postmaster.pid })
    }

    /// Waits for the end of the server, or returns `None` when it is to be stopped.
    async fn watch(&mut self, stop: &CancellationToken) -> Option<String> {
        let Some(postmaster) = &mut self.postmaster else { return Some("not started".to_owned()) };
        let status = loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                status = postmaster.exited() => break status,
                () = sleep(LOG_PERIOD) => self.log.rotate(),
            }
        };
        self.postmaster = None;
        Some(status)
    }

    /// Starts the server after a delay; a failure is logged and counts as the next end.
    async fn relaunch(&mut self, delay: Duration) {
        sleep(delay).await;
        if let Err(error) = self.launch().await {
            warn!(cause = ?error.source(), "{error}");
        }
    }

    /// Starts the server and waits until it takes connections.
    async fn launch(&mut self) -> Result<(), PostgresError> {
        let begin = Instant::now();
        loop {
            let mark = self.spawn().await?;
            let Some(status) = self.ready(mark).await? else {
                let pid = self.postmaster.as_ref().map(|postmaster| postmaster.pid);
                info!(
                    pid,
                    "Started PostgreSQL {} in {} ms",
                    self.binaries.major,
                    begin.elapsed().as_millis()
                );
                return Ok(());
            };
            let tail = self.log.tail(mark);
            if !tail.contains(BUSY_MESSAGE) || begin.elapsed() > BUSY_TIMEOUT {
                return Err(PostgresError::EndedEarly { status, log: self.log.path.clone(), tail });
            }
            sleep(BUSY_PERIOD).await;
        }
    }

    /// Spawns the server after clearing away an earlier one, and returns where its log begins.
    async fn spawn(&mut self) -> Result<u64, PostgresError> {
        let cluster = self.data_dir.join(cluster::CLUSTER);
        leftovers::clear(&cluster, &self.socket_dir, &self.account, &self.binaries).await?;
        self.log.rotate();
        let mark = self.log.len();
        let command = self.server_command()?;
        self.postmaster = Some(Postmaster::spawn(command, &self.log)?);
        Ok(mark)
    }

    /// Waits until the server takes connections; returns how it ended if it ended instead.
    async fn ready(&mut self, mark: u64) -> Result<Option<String>, PostgresError> {
        let Some(postmaster) = &mut self.postmaster else { return Ok(None) };
        let status = tokio::select! {
            () = socket::ready(&self.socket_dir) => return Ok(None),
            status = postmaster.exited() => status,
            () = sleep(READY_TIMEOUT) => {
                let (log, tail) = (self.log.path.clone(), self.log.tail(mark));
                return Err(PostgresError::NotReady { seconds: READY_TIMEOUT.as_secs(), log, tail });
            }
        };
        self.postmaster = None;
        Ok(Some(status))
    }

    fn server_command(&self) -> Result<Command, PostgresError> {
        let config = settings::write(&self.data_dir, self.durability, self.binaries.have_lz4())?;
        let mut command = self.account.command(&self.binaries.program("postgres"), DeathSignal::Quit);
        command.arg("-D").arg(self.data_dir.join(cluster::CLUSTER));
        let mut config_file = OsString::from("config_file=");
        config_file.push(config);
        command.arg("-c").arg(config_file);
        for setting in settings::fixed(&self.socket_dir, self.durability) {
            command.arg("-c").arg(setting);
        }
        Ok(command)
    }

    async fn bootstrap(&self) -> Result<(), PostgresError> {
        let mut command = self.account.command(&self.binaries.program("psql"), DeathSignal::Kill);
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--username=postgres",
            "--dbname=template1",
        ]);
        command.args(["--host", &self.socket_dir, "--port", &socket::PORT.to_string()]);
        let output = process::run(command, BOOTSTRAP_SQL).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(PostgresError::Bootstrap { status: output.status.to_string(), detail: process::said(&output) })
    }
}

/// Decides whether a server that ended is started again, and when.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    ends: Vec<Instant>,
}

impl Restarts {
    /// How many ends are forgiven within the window.
    pub(super) const ENDS_MAX: usize = 24;
    /// The length of the window.
    pub(super) const WINDOW: Duration = Duration::from_mins(5);
    /// The delay after an end that comes alone; it doubles with every other one shortly before.
    pub(super) const DELAY_FIRST: Duration = Duration::from_millis(50);
    /// What is shortly before: a server that ran for longer is started again without delay.
    pub(super) const SHORTLY: Duration = Duration::from_secs(10);
    /// The longest delay; a server that cannot start at all is given up within a minute.
    pub(super) const DELAY_MAX: Duration = Duration::from_secs(2);

    /// Notes an end and returns the delay before the next start, or `None` when the server is given up.
    pub(super) fn next_delay(&mut self, now: Instant) -> Option<Duration> {
        self.ends.retain(|end| now.duration_since(*end) <= Self::WINDOW);
        let recent = self.ends.iter().filter(|end| now.duration_since(**end) <= Self::SHORTLY);
        let doubled = recent.fold(Self::DELAY_FIRST, |delay, _| delay.saturating_mul(2));
        let is_forgiven = self.ends.len() < Self::ENDS_MAX;
        self.ends.push(now);
        is_forgiven.then_some(doubled.min(Self::DELAY_MAX))
    }

    fn given_up(&self, log: PathBuf) -> PostgresError {
        PostgresError::GivenUp { ends: self.ends.len(), seconds: Self::WINDOW.as_secs(), log }
    }
}
