//! From the command line to the exit code: a directory and a PostgreSQL, both gone afterwards, however it ends.

use crate::figures::say;
use crate::instance::Instance;
use crate::server;
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs a benchmark in a directory of its own below `parent`, beside a PostgreSQL of these programs, or the newest ones.
pub(crate) async fn run(
    name: &str,
    parent: &Path,
    pg_bin: Option<PathBuf>,
    bench: impl AsyncFnOnce(&Path, &mut Instance) -> Result<()>,
) -> ExitCode {
    match run_below(name, parent, pg_bin, bench).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run_below(
    name: &str,
    parent: &Path,
    pg_bin: Option<PathBuf>,
    bench: impl AsyncFnOnce(&Path, &mut Instance) -> Result<()>,
) -> Result<()> {
    let parent = fs::canonicalize(parent).context("cannot open the directory named by --dir")?;
    let dir = parent.join(format!("usance-{name}-{}", std::process::id()));
    let outcome = run_in(&dir, pg_bin, bench).await;
    if outcome.is_err() {
        say(&server::log_tail(&dir));
    }
    let removed = fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()));
    outcome.and(removed)
}

async fn run_in(
    dir: &Path,
    pg_bin: Option<PathBuf>,
    bench: impl AsyncFnOnce(&Path, &mut Instance) -> Result<()>,
) -> Result<()> {
    let shutdown = CancellationToken::new();
    let mut signals = JoinSet::new();
    signals.spawn(cancel_on_signal(shutdown.clone()));
    say("Starting PostgreSQL");
    let mut instance = Instance::start(dir, pg_bin, shutdown.clone()).await?;
    let outcome = tokio::select! {
        outcome = bench(dir, &mut instance) => outcome,
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
