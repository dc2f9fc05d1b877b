//! The program `usance`.

use std::{
    io::{Write as _, stderr},
    process::ExitCode,
};

use clap::Parser as _;
use usance::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
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
