//! The ingest benchmark: `POST /api/v1/events` over HTTP on loopback against bare PostgreSQL, in the same run.
//!
//! Both sides use one PostgreSQL with the product's own settings, `fsync` and `synchronous_commit` on, and hold the same
//! number of stored events when the first run begins. The server is the real binary in a process of its own. Requests
//! and columns are made before the clock of a run starts. The two sides take turns, and the figures that count are
//! medians. At the end everything that was accepted is looked for in the database.
//!
//! `cargo bench -p usance --bench ingest`, or with `-- --quick` for a first look.

mod baseline;
#[path = "../shared/connection.rs"]
mod connection;
#[path = "../shared/cpu.rs"]
mod cpu;
mod events;
#[path = "../shared/figures.rs"]
mod figures;
mod http;
#[path = "../shared/instance.rs"]
mod instance;
#[path = "../shared/latency.rs"]
mod latency;
mod load;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod rounds;
#[path = "../shared/server.rs"]
mod server;
#[path = "../shared/session.rs"]
mod session;
mod stored;
#[path = "../shared/target.rs"]
mod target;
mod tenant;

use crate::options::Options;
use clap::Parser;
use std::process::ExitCode;

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
    let options = Options::parse();
    session::run("ingest", &options.dir, options.pg_bin.clone(), async |dir, instance| {
        rounds::run(&options, dir, instance).await
    })
    .await
}
