//! The entitlements benchmark: `GET /api/v1/entitlements/check` beside constant answers, over HTTP on loopback.
//!
//! Three servers run in this process on the same code: the product; the product's middleware and authentication before a
//! constant answer; and a constant answer alone. Each is first driven as fast as it answers, then at half of that rate,
//! where its latencies are measured. The sides take turns, and the figures that count are medians.
//!
//! `cargo bench -p usance --bench entitlements`, or with `-- --quick` for a first look.

#[path = "../shared/connection.rs"]
mod connection;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/latency.rs"]
mod latency;
mod load;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod sides;

use crate::figures::{facts, say};
use crate::options::Options;
use crate::report::Figures;
use crate::sides::{Side, Sides};
use anyhow::{Context, Result};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

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
    let dir = parent.join(format!("usance-entitlements-{}", std::process::id()));
    let outcome = run_in(&dir, options).await;
    let removed = fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()));
    outcome.and(removed)
}

async fn run_in(dir: &Path, options: &Options) -> Result<()> {
    say("Starting the servers, a tenant and its customers");
    let sides = Sides::start(dir, options).await?;
    let mut output = io::stdout();
    writeln!(output, "{}", facts(dir, &[]))?;
    let mut rounds = Vec::new();
    for number in 1..=options.runs() {
        say(&format!("Round {number} of {}", options.runs()));
        let mut round = Vec::new();
        for side in Side::ALL {
            round.push(measure(&sides, side, options).await?);
        }
        report::set_ratios(&mut round);
        rounds.push(round);
    }
    writeln!(output, "{}", report::rounds(&rounds))?;
    writeln!(output, "{}", report::summary(&report::medians(&rounds)))?;
    let title = "Entitlements: GET /entitlements/check beside constant answers";
    let plot = options.plots.draw("entitlements", title, &report::panels(&rounds))?;
    writeln!(output, "Plot: {}", plot.display())?;
    sides.stop().await
}

async fn measure(sides: &Sides, side: Side, options: &Options) -> Result<Figures> {
    let (address, requests) = (sides.address(side), sides.requests(side));
    let full = load::drive(address, &requests, options.connections, options.requests(), None).await?;
    let half = full.per_second() / 2;
    let paced =
        load::drive(address, &requests, options.connections, options.requests() / 2, Some(half)).await?;
    Ok(Figures::new(side, &full, &paced))
}
