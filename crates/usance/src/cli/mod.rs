//! The command line.

mod api;
mod check;
mod demo;
pub mod import;
mod migrate;
mod serve;
mod settings;
mod signals;
mod tenants;

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use check::CheckArgs;
use demo::DemoArgs;
use import::ImportArgs;
use migrate::MigrateArgs;
use serve::ServeArgs;
use tenants::CreateTenantArgs;

/// Open-source billing: usage event in, price, invoice, payment, entitlement out.
///
/// New here? `usance demo` bills a month of usage on this machine and shows the invoice. `usance serve` starts a server
/// that keeps its data; without `DATABASE_URL` it brings a private PostgreSQL along.
#[derive(Debug, Parser)]
#[command(name = "usance", version, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<ServeArgs>),
    Demo(Box<DemoArgs>),
    Import(Box<ImportArgs>),
    Migrate(Box<MigrateArgs>),
    Check(Box<CheckArgs>),
    /// Tenants: the companies that bill their customers with this server
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Prints every setting with its default and a description, as a TOML file to start from
    Settings,
    /// Prints the OpenAPI 3.1 description of the HTTP API as JSON
    Openapi,
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    Create(Box<CreateTenantArgs>),
}

/// Runs a command to its end and gives the exit status of the process.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(*args).await?,
        Command::Demo(args) => demo::run(*args).await?,
        Command::Import(args) => return Ok(import::run(*args, &mut stdout()).await?.exit_code()),
        Command::Migrate(args) => migrate::run(*args).await?,
        Command::Check(args) => return check::run(*args).await,
        Command::Tenants(TenantsCommand::Create(args)) => tenants::create(*args).await?,
        Command::Settings => stdout().write_all(usance_app::config::DEFAULTS.as_bytes())?,
        Command::Openapi => stdout().write_all(usance_http::openapi_json().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
