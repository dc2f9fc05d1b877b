//! The program `usance`.

use std::{
    io::{Write as _, stderr},
    process::ExitCode,
};

use clap::Parser as _;
use usance::{
    allocator,
    cli::{self, Cli},
};

fn main() -> ExitCode {
    allocator::run(program)
}

#[tokio::main]
async fn program() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            // Without standard error there is nobody to tell.
            drop(writeln!(stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
