//! The ingest benchmark: `POST /api/v1/events` over HTTP on loopback against bare PostgreSQL, in the same run.
//!
//! Both sides use one PostgreSQL with the product's own settings, `fsync` and `synchronous_commit` on, and hold the same
//! number of stored events when the first run begins. The server is the real binary in a process of its own. Requests
//! and columns are made before the clock of a run starts. The two sides take turns, and the figures that count are
//! medians. At the end everything that was accepted is looked for in the database.
//!
//! `cargo bench -p usance --bench ingest`, or with `-- --quick` for a first look.

mod baseline;
#[path = "../shared/cpu.rs"]
mod cpu;
mod events;
#[path = "../shared/figures.rs"]
mod figures;
mod http;
#[path = "../shared/instance.rs"]
mod instance;
mod load;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod rounds;
mod server;

use crate::instance::Instance;
use crate::options::Options;
use anyhow::{Context, Result, anyhow};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which side of the comparison is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The baseline.
    Postgres,
    /// The product.
    Http,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Http => "HTTP",
        }
    }
}

/// What one run stores, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Into what.
    pub(crate) side: Side,
    /// Events per request or statement.
    pub(crate) batch: u64,
    /// Each has one batch in flight.
    pub(crate) connections: usize,
    /// Events of the run.
    pub(crate) events: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark in a directory of its own, which is gone afterwards, however it ends.
async fn run(options: &Options) -> Result<()> {
    let parent = fs::canonicalize(&options.dir).context("cannot open the directory named by --dir")?;
    let dir = parent.join(format!("usance-bench-{}", std::process::id()));
    let outcome = run_in(&dir, options).await;
    if outcome.is_err() {
        say(&server::log_tail(&dir));
    }
    let removed = fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()));
    outcome.and(removed)
}

async fn run_in(dir: &Path, options: &Options) -> Result<()> {
    let shutdown = CancellationToken::new();
    let mut signals = JoinSet::new();
    signals.spawn(cancel_on_signal(shutdown.clone()));

    say("Starting PostgreSQL");
    let mut instance = Instance::start(dir, options.pg_bin.clone(), shutdown.clone()).await?;
    let outcome = tokio::select! {
        outcome = rounds::run(options, dir, &mut instance) => outcome,
        () = shutdown.cancelled() => Err(anyhow!("interrupted")),
    };
    let stopped = instance.stop().await;
    outcome.and(stopped)
}

async fn cancel_on_signal(shutdown: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    Ok(())
}

/// Tells the person who waits what happens; the figures alone go to standard output.
pub(crate) fn say(text: &str) {
    // Nobody reads: nobody misses it.
    drop(writeln!(io::stderr(), "{text}"));
}
