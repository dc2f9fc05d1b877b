//! The command line.

use crate::plot::PlotOptions;
use crate::report::REFERENCE_BATCH;
use crate::{Load, Side};
use clap::Parser;
use std::path::PathBuf;

/// The baseline's connections are part of its definition.
const BASELINE_CONNECTIONS: usize = 4;

const EVENTS: u64 = 200_000;
const STORED: u64 = 1_000_000;
const RUNS: usize = 5;

const QUICK_EVENTS: u64 = 40_000;
const QUICK_STORED: u64 = 50_000;
const QUICK_RUNS: usize = 1;

/// Measures how fast usage events become durable over HTTP, and bare PostgreSQL beside it.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Events of a run in batches of 1,000; half as many in batches of 100, a tenth one by one [default: 200000]
    #[arg(long)]
    events: Option<u64>,

    /// Events stored on both sides before the first round [default: 1000000]
    #[arg(long)]
    stored: Option<u64>,

    /// Events stored on both sides before a second series of rounds, which shows what history costs, for example 10000000
    #[arg(long)]
    grow: Option<u64>,

    /// Events of one customer whose usage is read [default: 1000000]
    #[arg(long)]
    usage_events: Option<u64>,

    /// Rounds; each runs both sides once with every batch [default: 5]
    #[arg(long)]
    runs: Option<usize>,

    /// A first look: 50,000 stored events and one short round; the figures say little
    #[arg(long)]
    quick: bool,

    /// Runs only these batches, of 1,000, 100 and 1, for example 1000,1; the bare database in batches of 1,000 always runs
    #[arg(long, value_delimiter = ',')]
    batches: Vec<u64>,

    /// Connections of the HTTP client in batches of 1,000
    #[arg(long, default_value_t = 8)]
    connections: usize,

    /// Connections of the HTTP client in batches of 100
    #[arg(long, default_value_t = 32)]
    connections_100: usize,

    /// Connections of the HTTP client one event at a time
    #[arg(long, default_value_t = 128)]
    connections_1: usize,

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
    /// Returns how many events both sides hold before each series of rounds.
    pub(crate) fn stages(&self) -> Vec<u64> {
        let stored = self.stored.unwrap_or(if self.quick { QUICK_STORED } else { STORED });
        [stored].into_iter().chain(self.grow.filter(|grown| *grown > stored)).collect()
    }

    /// Returns how many events the customer has whose usage is read.
    pub(crate) fn usage_events(&self) -> u64 {
        self.usage_events.unwrap_or(if self.quick { QUICK_STORED } else { STORED })
    }

    /// Returns how many rounds there are, at least one.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { QUICK_RUNS } else { RUNS }).max(1)
    }

    /// Returns the runs of a round in their order: the sides take turns.
    pub(crate) fn loads(&self) -> Vec<Load> {
        let events =
            self.events.unwrap_or(if self.quick { QUICK_EVENTS } else { EVENTS }).max(REFERENCE_BATCH);
        let bare =
            |batch, events| Load { side: Side::Postgres, batch, connections: BASELINE_CONNECTIONS, events };
        let http = |batch, events, connections: usize| Load {
            side: Side::Http,
            batch,
            connections: connections.max(1),
            events,
        };
        let all = [
            bare(REFERENCE_BATCH, events),
            http(REFERENCE_BATCH, events, self.connections),
            bare(100, events / 2),
            http(100, events / 2, self.connections_100),
            http(1, events / 10, self.connections_1),
        ];
        let is_wanted = |load: &Load| {
            self.batches.is_empty()
                || self.batches.contains(&load.batch)
                || (load.side == Side::Postgres && load.batch == REFERENCE_BATCH)
        };
        all.into_iter().filter(is_wanted).collect()
    }
}
