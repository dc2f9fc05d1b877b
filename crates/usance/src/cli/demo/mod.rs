//! `usance demo`: from nothing to an invoice and its explanation, all through the public API.

mod answers;
mod figures;
mod invoice;
mod sample;
mod story;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use usance_app::config::Settings;
use usance_core::{clock::Random, hexadecimal};

use super::{import::Mapping, settings::SettingsFlags, signals};
use crate::{
    server::{self, Outside, RunningServer},
    system::SystemRandom,
    telemetry,
};
use story::{Story, Usage};

const DATA_DIR: &str = "usance-data/demo";
const SAMPLE_FILE: &str = "sample-usage.csv";
const SAMPLE_MAPPING: &str = "tokens=ContextTokens+GeneratedTokens";
const RUN_ID_BYTES: usize = 5;

/// Bills a month of usage on this machine and shows the invoice and how it came about
///
/// One command from nothing to an invoice, all through the public HTTP API: it starts a private PostgreSQL and a server,
/// registers a tenant in test mode, sets its clock to November 2023, creates meters, a plan, a customer and a
/// subscription, imports usage, lets the month pass, and prints the invoice. The server stays up until Ctrl-C. Every run
/// makes a new tenant in the same data directory, so that the second run starts faster.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// CSV or NDJSON file with usage of November 2023 [default: 5,000 generated rows]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// How the property `tokens` is computed from the columns of the file; see `usance import --help`
    #[arg(long = "map", value_name = "NAME=EXPR", default_value = SAMPLE_MAPPING)]
    mappings: Vec<Mapping>,

    /// Address and port of the HTTP API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,

    /// Stops after the invoice instead of leaving the server up
    #[arg(long)]
    exit: bool,

    #[command(flatten)]
    flags: SettingsFlags,
}

/// Starts a server, tells the story, and leaves the server up unless told otherwise.
pub(super) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let settings = settings(&args)?;
    telemetry::start_log(&settings)?;
    let usage = usage(&args, &settings.data_dir)?;
    let metrics = telemetry::start_metrics()?;
    let shutdown = signals::watch()?;
    writeln!(stdout(), "Starting PostgreSQL and the server in {} …", settings.data_dir.display())?;
    let server = server::start(&settings, Outside::system(Some(metrics)), shutdown.clone()).await?;
    let told = tell(&server, usage, args.exit, &shutdown).await;
    let stopped = server.stop().await;
    told?;
    stopped
}

/// The demo is the same on every machine: whatever the environment says, its database is the private one.
fn settings(args: &DemoArgs) -> anyhow::Result<Settings> {
    let mut more = vec![
        ("listen", args.listen.clone()),
        ("role", "all".to_owned()),
        // A large file of one's own may take a while to bill.
        ("request_timeout_seconds", "900".to_owned()),
    ];
    if args.flags.data_dir.is_none() {
        more.push(("data_dir", DATA_DIR.to_owned()));
    }
    if args.flags.log.is_none() {
        more.push(("log", "error".to_owned()));
    }
    let settings = args.flags.clone().load(more)?;
    Ok(Settings { database_url: None, secret_key: None, ..settings })
}

fn usage(args: &DemoArgs, data_dir: &Path) -> anyhow::Result<Usage> {
    let mappings = args.mappings.clone();
    if let Some(file) = &args.file {
        return Ok(Usage { file: file.clone(), mappings });
    }
    let file = data_dir.join(SAMPLE_FILE);
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    fs::write(&file, sample::csv()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Usage { file, mappings })
}

async fn tell(
    server: &RunningServer,
    usage: Usage,
    exit: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let url = server.base_url().context("the server has no address")?;
    let story = Story { url: &url, usage, run_id: run_id(&SystemRandom) };
    let mut out = stdout();
    let tenant = tokio::select! {
        told = story.tell(&mut out) => told?,
        () = shutdown.cancelled() => return Ok(()),
    };
    if !exit {
        writeln!(out, "\nThe server is up; Ctrl-C stops it.\n")?;
        writeln!(out, "  API        {url}\n  Reference  {url}/docs\n")?;
        writeln!(out, "  curl -H 'Authorization: Bearer {}' {url}/api/v1/invoices", tenant.key_text())?;
        shutdown.cancelled().await;
    }
    Ok(())
}

/// Tells the tenants of several runs apart.
fn run_id(random: &dyn Random) -> String {
    let mut bytes = [0; RUN_ID_BYTES];
    random.fill(&mut bytes);
    hexadecimal(&bytes)
}
