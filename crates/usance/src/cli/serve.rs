//! `usance serve`.

use std::io::{Write, stdout};

use usance_db::tenants;

use super::{settings::SettingsFlags, signals};
use crate::{
    server::{self, Outside, RunningServer},
    telemetry,
};

/// Starts the server, and stops it in order on Ctrl-C or SIGTERM
///
/// Without `DATABASE_URL` it keeps a private PostgreSQL in the data directory. `usance settings` describes all settings
/// with their variables and defaults; a flag wins over the environment, the environment over the file of --config.
#[expect(clippy::doc_markdown, reason = "clap shows the text on a terminal, where backticks are noise")]
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Address and port of the HTTP API; port 0 takes a free one [env: USANCE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// What this process does: api answers requests, worker does due work and listens nowhere, all does both
    /// [env: USANCE_ROLE] [default: all]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    #[command(flatten)]
    flags: SettingsFlags,
}

/// Serves until a signal comes, or until the private PostgreSQL is given up, which is an error.
pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let own = [("listen", args.listen), ("role", args.role)];
    let settings = args.flags.load(own.into_iter().filter_map(|(key, text)| Some((key, text?))).collect())?;
    telemetry::start_log(&settings)?;
    let metrics = telemetry::start_metrics()?;
    let shutdown = signals::watch()?;
    let server = server::start(&settings, Outside::system(Some(metrics)), shutdown.clone()).await?;
    if let Err(error) = announce(&server, &mut stdout()).await {
        // A closed standard output is no reason to stop serving.
        tracing::debug!("The greeting cannot be shown: {error:#}");
    }
    shutdown.cancelled().await;
    tracing::info!("Stopping");
    server.stop().await
}

async fn announce(server: &RunningServer, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(url) = server.base_url() else {
        writeln!(out, "Usance does due work and listens nowhere.")?;
        return Ok(());
    };
    writeln!(out, "Usance serves {url} (API reference: {url}/docs)")?;
    let mut tx = server.app().db.system().await?;
    if !tenants::any_exists(&mut tx).await? {
        writeln!(
            out,
            "There is no tenant yet: usance tenants create --url {url} --company-name \"Acme\" --email you@acme.example"
        )?;
    }
    Ok(out.flush()?)
}
