//! Runs a command with a private PostgreSQL: `with-postgres cargo nextest run`.
//!
//! The command finds a migrated template database at `USANCE_TEST_DATABASE_URL`; each test clones it.

use std::process::{ExitCode, Stdio};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use usance::postgres::{Durability, ManagedPostgres, PostgresOptions};
use usance_testkit::{DATABASE_URL_VARIABLE, TEMPLATE_DATABASE, TempDir, create_database};

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line tool")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-postgres: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<u8> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("name the command to run")?;
    let dir = TempDir::new("usance-tests")?;
    let options =
        PostgresOptions { data_dir: dir.path().to_owned(), bin_dir: None, durability: Durability::Fast };
    let postgres = ManagedPostgres::start(options, CancellationToken::new()).await?;
    create_database(&postgres.url("postgres"), TEMPLATE_DATABASE, None).await?;
    usance_db::migrate(&postgres.url(TEMPLATE_DATABASE)).await?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env(DATABASE_URL_VARIABLE, postgres.url(TEMPLATE_DATABASE)).stdin(Stdio::null());
    let mut child = command.spawn().context("the command cannot be started")?;
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = tokio::signal::ctrl_c() => child.wait().await?,
    };
    postgres.stop().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
