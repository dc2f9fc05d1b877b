//! The holds benchmark: reservations of one hot wallet over HTTP on loopback, beside the same SQL without a server, and
//! beside single conditional updates, in the same run.
//!
//! All sides use one PostgreSQL with the product's own settings, `fsync` and `synchronous_commit` on. Over HTTP every
//! connection reserves 1 of one wallet, again and again, until more was asked for than its limit. *Batched SQL* drives the
//! product's statements, in batches as large as the server's were in the same round, on one connection, because a second one
//! would only wait for the wallet. *Single updates* is what a first draft would do: a row with a limit, and a transaction for
//! each reservation, on as many connections as over HTTP. After every run exactly the limit must have been reserved.
//!
//! `cargo bench -p usance --bench holds`, or with `-- --quick` for a first look.

#[path = "../shared/cpu.rs"]
mod cpu;
#[path = "../shared/figures.rs"]
mod figures;
mod http;
#[path = "../shared/instance.rs"]
mod instance;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod rounds;
mod server;
mod sql;

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

/// What reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The product.
    Http,
    /// The product's statements without the product.
    Batched,
    /// One update and one commit for each.
    Single,
}

impl Side {
    /// Returns what the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Batched => "batched SQL",
            Self::Single => "single updates",
        }
    }
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
    let dir = parent.join(format!("usance-holds-{}", std::process::id()));
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
