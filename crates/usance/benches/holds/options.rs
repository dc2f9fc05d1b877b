//! The command line.

use crate::plot::PlotOptions;
use clap::Parser;
use std::path::PathBuf;

const LIMIT: u64 = 100_000;
const QUICK_LIMIT: u64 = 2_000;
const RUNS: usize = 5;
const QUICK_RUNS: usize = 1;

/// Single updates are so much slower that fewer show their rate.
const SINGLE_SHARE: u64 = 10;
/// One request in so many comes after the limit.
const EXCESS_SHARE: u64 = 20;

/// Measures how fast a hot wallet is reserved of, and PostgreSQL alone beside it.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What may be reserved of the wallet of a run, 1 by each request; single updates get a tenth [default: 100000]
    #[arg(long)]
    limit: Option<u64>,

    /// Rounds; each drives every side once [default: 5]
    #[arg(long)]
    runs: Option<usize>,

    /// A first look: one short round; the figures say little
    #[arg(long)]
    quick: bool,

    /// Connections to the server, each with one reservation in flight
    #[arg(long, default_value_t = 256)]
    pub(crate) connections: usize,

    /// Connections to PostgreSQL that make single updates, each with one in flight; PostgreSQL takes a hundred in all
    #[arg(long, default_value_t = 50)]
    pub(crate) sql_connections: usize,

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

/// What is reserved in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Reservations that succeed.
    pub(crate) limit: u64,
    /// Reservations that are tried.
    pub(crate) requests: u64,
}

impl Options {
    /// Returns what is reserved over HTTP and by batched SQL.
    pub(crate) fn load(&self) -> Load {
        load(self.limit.unwrap_or(if self.quick { QUICK_LIMIT } else { LIMIT }).max(1))
    }

    /// Returns what is reserved by single updates.
    pub(crate) fn single_load(&self) -> Load {
        load((self.load().limit / SINGLE_SHARE).max(1))
    }

    /// Returns how many rounds there are, at least one.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { QUICK_RUNS } else { RUNS }).max(1)
    }
}

fn load(limit: u64) -> Load {
    Load { limit, requests: limit.saturating_add(limit / EXCESS_SHARE).saturating_add(1) }
}
