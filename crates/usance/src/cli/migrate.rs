//! `usance migrate`.

use std::io::{Write as _, stdout};

use super::{settings::SettingsFlags, signals};
use crate::{server::Database, telemetry};

/// Brings the database to the schema of this version, and ends
///
/// `usance serve` does the same at its start; this is for those who migrate in a step of its own. Several may run at once:
/// one works, the others wait.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    flags: SettingsFlags,
}

/// Migrates the database of the settings, or that of the private PostgreSQL.
pub(super) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let settings = args.flags.load(Vec::new())?;
    telemetry::start_log(&settings)?;
    let database = Database::start(&settings, signals::watch()?).await?;
    let migrated = database.migrate().await;
    let stopped = database.stop().await;
    migrated?;
    stopped?;
    writeln!(stdout(), "The database has the schema of version {}.", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
