//! The PostgreSQL of the benchmark: the product's own managed one, with a database for each side.

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};
use std::fs;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;
use usance::postgres::{Durability, ManagedPostgres, PostgresOptions};

/// The database of the product; the managed PostgreSQL makes it.
pub(crate) const PRODUCT: &str = "usance";

/// The database of the baseline.
pub(crate) const BARE: &str = "bare";

/// What decides how fast a commit can be.
const SETTINGS: [&str; 8] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "data_checksums",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "autovacuum",
];

/// A running PostgreSQL in a directory of its own.
#[derive(Debug)]
pub(crate) struct Instance {
    postgres: ManagedPostgres,
    cluster: PathBuf,
    /// A session of the superuser, whom row-level security does not stop.
    admin: PgConnection,
}

impl Instance {
    /// Initialises and starts a durable PostgreSQL in a directory that does not exist yet.
    pub(crate) async fn start(
        data_dir: &Path,
        bin_dir: Option<PathBuf>,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let options =
            PostgresOptions { data_dir: data_dir.to_owned(), bin_dir, durability: Durability::Durable };
        let postgres = ManagedPostgres::start(options, shutdown).await?;
        let mut admin = PgConnection::connect(&admin_url(&postgres, "postgres")).await?;
        sqlx::raw_sql("CREATE DATABASE bare OWNER usance").execute(&mut admin).await?;
        Ok(Self { postgres, cluster: data_dir.join("postgres"), admin })
    }

    /// Returns the address of a database, for the login of the product.
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// Opens a session of the superuser.
    pub(crate) async fn connect_admin(&self, database: &str) -> Result<PgConnection> {
        PgConnection::connect(&admin_url(&self.postgres, database))
            .await
            .context("cannot connect as superuser")
    }

    /// Returns the process id of the first process.
    pub(crate) fn postmaster(&self) -> Result<u32> {
        let path = self.cluster.join("postmaster.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.lines().next().and_then(|line| line.parse().ok()).context("no process id in postmaster.pid")
    }

    /// Does what autovacuum and the checkpointer would do some time after the databases were filled.
    ///
    /// Later checkpoints come when PostgreSQL wants them. One before each run would make every run pay the most that a
    /// page ever costs: its whole image in the log when it first changes after a checkpoint.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        for database in [PRODUCT, BARE] {
            let mut connection = self.connect_admin(database).await?;
            sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut connection).await?;
            connection.close().await?;
        }
        sqlx::raw_sql("CHECKPOINT").execute(&mut self.admin).await?;
        Ok(())
    }

    /// Returns the version and the settings in force.
    pub(crate) async fn settings(&mut self) -> Result<Vec<(String, String)>> {
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut self.admin).await?;
        let sql = "SELECT name, current_setting(name) FROM unnest($1::text[]) AS s (name)";
        let settings: Vec<(String, String)> =
            sqlx::query_as(sql).bind(&SETTINGS[..]).fetch_all(&mut self.admin).await?;
        let version = ("PostgreSQL".to_owned(), version);
        Ok([version].into_iter().chain(settings).collect())
    }

    /// Stops PostgreSQL and waits for its end.
    pub(crate) async fn stop(self) -> Result<()> {
        drop(self.admin);
        Ok(self.postgres.stop().await?)
    }
}

/// The managed PostgreSQL trusts whoever can enter the directory of its socket.
fn admin_url(postgres: &ManagedPostgres, database: &str) -> String {
    postgres.url(database).replacen("usance@", "postgres@", 1)
}
