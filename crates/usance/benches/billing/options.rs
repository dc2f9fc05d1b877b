//! The command line.

use crate::plot::PlotOptions;
use clap::Parser;
use std::path::PathBuf;

const SIZES: [u64; 2] = [10_000, 100_000];
const QUICK_SIZES: [u64; 2] = [1_000, 10_000];

const RUNS: usize = 3;
const QUICK_RUNS: usize = 1;

/// Measures how fast one billing cycle of many subscriptions is invoiced, and bare PostgreSQL beside it.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Subscriptions of a tenant, one tenant for each number given [default: 10000 100000]
    #[arg(long, num_args = 1..)]
    subscriptions: Vec<u64>,

    /// Rounds; each bills one new tenant of every size [default: 3]
    #[arg(long)]
    runs: Option<usize>,

    /// Quarter-hours with usage, of each subscription and meter in the cycle
    #[arg(long, default_value_t = 8)]
    pub(crate) buckets: u32,

    /// Workers of the server [default: that of the product]
    #[arg(long)]
    pub(crate) workers: Option<u32>,

    /// A first look: 1,000 and 10,000 subscriptions, once
    #[arg(long)]
    quick: bool,

    /// Where a directory for the data is made and removed; it must be on a disk, and PostgreSQL must reach it
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) dir: PathBuf,

    /// The directory of PostgreSQL's programs [default: the newest installed version]
    #[arg(long)]
    pub(crate) pg_bin: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plots: PlotOptions,

    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns how many subscriptions each tenant of a round has, the smallest first.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let default = if self.quick { QUICK_SIZES } else { SIZES };
        let mut sizes =
            if self.subscriptions.is_empty() { default.to_vec() } else { self.subscriptions.clone() };
        sizes.sort_unstable();
        sizes
    }

    /// Returns how many rounds there are, at least one.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { QUICK_RUNS } else { RUNS }).max(1)
    }
}
