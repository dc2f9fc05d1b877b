//! The holds benchmark: reservations of one hot wallet over HTTP on loopback, beside the same SQL without a server, and
//! beside single conditional updates, in the same run.
//!
//! All sides use one PostgreSQL with the product's own settings, `fsync` and `synchronous_commit` on. Over HTTP every
//! connection reserves 1 of one wallet, again and again, until more was asked for than its limit. *Batched SQL* drives the
//! product's statements, in batches as large as the server's were in the same round, on one connection, because a second one
//! would only wait for the wallet. *Single updates* is what a first draft would do: a row with a limit, and a transaction for
//! each reservation, on as many connections as PostgreSQL takes. After every run exactly the limit must have been reserved.
//!
//! `cargo bench -p usance --bench holds`, or with `-- --quick` for a first look.

#[path = "../shared/connection.rs"]
mod connection;
#[path = "../shared/cpu.rs"]
mod cpu;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/instance.rs"]
mod instance;
mod options;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod rounds;
#[path = "../shared/server.rs"]
mod server;
#[path = "../shared/session.rs"]
mod session;
mod sql;
#[path = "../shared/target.rs"]
mod target;
mod wallets;

use crate::options::Options;
use clap::Parser;
use std::process::ExitCode;

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
    let options = Options::parse();
    session::run("holds", &options.dir, options.pg_bin.clone(), async |dir, instance| {
        rounds::run(&options, dir, instance).await
    })
    .await
}
