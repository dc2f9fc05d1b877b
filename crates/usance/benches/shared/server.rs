//! The server of the product, as a process of its own.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The binary of the same build.
const PROGRAM: &str = env!("CARGO_BIN_EXE_usance");

/// What the servers write, in the benchmark's directory.
const LOG: &str = "server.log";
const LOG_LINES_SHOWN: usize = 20;

/// 32 bytes in base64; they protect nothing here.
const SECRET_KEY: &str = "aW5nZXN0IGJlbmNobWFyaywgbm90IGEgc2VjcmV0ISE=";

const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    /// The process.
    pub(crate) child: Child,
    /// The line by which it says that it is ready.
    greeting: String,
}

impl Server {
    /// Starts a server on a database, with further settings, and waits until it is ready.
    pub(crate) async fn start(database_url: &str, dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let log = File::options().create(true).append(true).open(dir.join(LOG))?;
        let mut command = Command::new(PROGRAM);
        // Whatever the caller's environment sets, the server runs with its defaults.
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("USANCE_DATA_DIR", dir.join("server"))
            .env("USANCE_SECRET_KEY", SECRET_KEY)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {PROGRAM}"))?;
        let mut lines = BufReader::new(child.stdout.take().context("the server has no output")?).lines();
        let Some(greeting) = timeout(READY_TIMEOUT, lines.next_line()).await?? else {
            bail!("the server ended before it was ready")
        };
        Ok(Self { child, greeting })
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Returns the address of its API.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let address = self.greeting.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        Ok(address.context("the server names no address")?.parse()?)
    }
}

/// Returns the end of what the servers wrote.
pub(crate) fn log_tail(dir: &Path) -> String {
    let log = fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
    log.lines().skip(skipped).flat_map(|line| [line, "\n"]).collect()
}
