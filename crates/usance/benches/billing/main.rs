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
#[path = "../shared/server.rs"]
mod server;
#[path = "../shared/session.rs"]
mod session;

use crate::options::Options;
use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    session::run("billing", &options.dir, options.pg_bin.clone(), async |dir, instance| {
        rounds::run(&options, dir, instance).await
    })
    .await
}
