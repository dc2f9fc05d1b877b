//! The billing benchmark: one cycle of many subscriptions, invoiced by the product's own workers.
//!
//! Each subscription has three prices: a flat fee and two meters with usage. Tenant, meters and plan are made through the
//! API; customers, subscriptions and the sums of their usage are written by SQL, as if the month had passed. Then a
//! server with the role `worker` is started on what is due. The limit is bare PostgreSQL in the same run, storing the
//! very rows that were made into tables with the same columns, checks and indexes, in as large transactions. At the end
//! of each run everything that was billed is compared with what was used.
//!
//! `cargo bench -p usance --bench billing`, or with `-- --quick` for a first look.

#[path = "../shared/cpu.rs"]
mod cpu;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/instance.rs"]
mod instance;
mod limit;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod rounds;
mod seed;
mod server;

use crate::instance::Instance;
use crate::options::Options;
use anyhow::{Context, Result, anyhow};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::ctrl_c;
use tokio_util::sync::CancellationToken;

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
    let dir = parent.join(format!("usance-billing-{}", std::process::id()));
    let outcome = run_in(&dir, options).await;
    if outcome.is_err() {
        say(&server::log_tail(&dir));
    }
    let removed = fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()));
    outcome.and(removed)
}

async fn run_in(dir: &Path, options: &Options) -> Result<()> {
    say("Starting PostgreSQL");
    let mut instance = Instance::start(dir, options.pg_bin.clone(), CancellationToken::new()).await?;
    let outcome = tokio::select! {
        outcome = rounds::run(options, dir, &mut instance) => outcome,
        _ = ctrl_c() => Err(anyhow!("interrupted")),
    };
    let stopped = instance.stop().await;
    outcome.and(stopped)
}

/// Tells the person who waits what happens; the figures alone go to standard output.
pub(crate) fn say(text: &str) {
    // Nobody reads: nobody misses it.
    drop(writeln!(io::stderr(), "{text}"));
}
