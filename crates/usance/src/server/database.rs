//! The database of a server: the one that the settings name, or a private one.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use usance_app::config::Settings;
use usance_db::{Db, DbSettings};

use crate::postgres::{Durability, ManagedPostgres, PostgresOptions};

/// The database of the private PostgreSQL.
const DATABASE: &str = "usance";
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement may run: longer than a request, because closing a period reads a month of usage.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(2);

/// A database that can be reached.
#[derive(Debug)]
pub(crate) struct Database {
    url: SecretString,
    private: Option<ManagedPostgres>,
}

impl Database {
    /// Takes the database of the settings, or starts the private PostgreSQL of the data directory.
    pub(crate) async fn start(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database_url {
            return Ok(Self { url: url.clone(), private: None });
        }
        let options = PostgresOptions {
            data_dir: settings.data_dir.clone(),
            bin_dir: settings.pg_bin.clone(),
            durability: Durability::Durable,
        };
        let postgres = ManagedPostgres::start(options, shutdown)
            .await
            .context("the private PostgreSQL does not start")?;
        Ok(Self { url: postgres.url(DATABASE).into(), private: Some(postgres) })
    }

    /// Brings the schema to that of this binary.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        Ok(usance_db::migrate(self.url.expose_secret()).await?)
    }

    /// Prepares the pool of connections.
    pub(crate) fn connect(&self, settings: &Settings) -> anyhow::Result<Db> {
        let limits = DbSettings {
            connections_max: settings.database_connections,
            writers: u32::try_from(settings.ingest_writers).unwrap_or(u32::MAX),
            acquire_timeout: ACQUIRE_TIMEOUT,
            statement_timeout: STATEMENT_TIMEOUT,
        };
        Db::connect(self.url.expose_secret(), &limits).context("the address of the database cannot be used")
    }

    /// Stops the private PostgreSQL; the error tells if it had been given up before.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.private {
            Some(postgres) => postgres.stop().await.context("the private PostgreSQL did not run to the end"),
            None => Ok(()),
        }
    }
}
