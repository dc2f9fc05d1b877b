//! The command line.

use crate::plot::PlotOptions;
use clap::Parser;
use std::path::PathBuf;

const REQUESTS: usize = 400_000;
const QUICK_REQUESTS: usize = 20_000;
const RUNS: usize = 5;
const QUICK_RUNS: usize = 1;

/// Measures how fast checks are answered, and constant answers beside them.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Requests of a run at full load; half as many at half load [default: 400000]
    #[arg(long)]
    requests: Option<usize>,

    /// Rounds; each drives every side once [default: 5]
    #[arg(long)]
    runs: Option<usize>,

    /// A first look: one short round; the figures say little
    #[arg(long)]
    quick: bool,

    /// Connections of the client, each with one request in flight
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,

    /// Customers that are asked about in turn
    #[arg(long, default_value_t = 100)]
    pub(crate) customers: usize,

    /// Where a directory for the data is made and removed
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) plots: PlotOptions,

    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns how many requests a run at full load makes, at least two.
    pub(crate) fn requests(&self) -> usize {
        self.requests.unwrap_or(if self.quick { QUICK_REQUESTS } else { REQUESTS }).max(2)
    }

    /// Returns how many rounds there are, at least one.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { QUICK_RUNS } else { RUNS }).max(1)
    }
}
