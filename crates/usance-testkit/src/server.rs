//! A server per test: the product's own, in this process, on a free port of loopback.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use usance::server::{Outside, RunningServer, start};
use usance_app::{
    App,
    config::{Settings, Sources},
};

use crate::{Client, MovableClock, TempDir, TestDatabase};

/// 32 bytes in base64, for installations that only exist in a test.
pub const SECRET_KEY: &str = "dGVzdHMgb25seTogMzIgYnl0ZXMgb2Ygc2VjcmV0ISE=";

/// A process has one recorder, however many servers run in it.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// A running server with a database of its own.
pub struct TestServer {
    /// A client without a key.
    pub client: Client,
    /// The server's database.
    pub database: TestDatabase,
    server: RunningServer,
    mails: TempDir,
}

impl TestServer {
    /// Starts a server with the default settings.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with changed settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(TestDatabase::new().await, None, change).await
    }

    /// Starts another server on a database that has one.
    pub async fn start_on(database: &TestDatabase) -> Self {
        Self::start_at(database.clone(), None, |_| {}).await
    }

    /// Starts another server with changed settings on a database that has one.
    pub async fn start_with_on(database: &TestDatabase, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(database.clone(), None, change).await
    }

    /// Starts a server on a database, whose wall clock the test moves.
    pub async fn start_by(
        clock: &MovableClock,
        database: TestDatabase,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::start_at(database, Some(clock.clone()), change).await
    }

    async fn start_at(
        database: TestDatabase,
        clock: Option<MovableClock>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mails = TempDir::new("usance-mails").unwrap();
        let flags = vec![
            ("mail_dir", mails.path().to_str().unwrap().to_owned()),
            ("listen", "127.0.0.1:0".to_owned()),
            ("database_url", database.url().to_owned()),
            ("secret_key", SECRET_KEY.to_owned()),
        ];
        let mut settings = Settings::load(Sources { flags, file: None, environment: &|_| None }).unwrap();
        change(&mut settings);
        let metrics = METRICS.get_or_init(|| usance::telemetry::start_metrics().unwrap());
        let mut outside = Outside::system(Some(metrics.clone()));
        if let Some(clock) = clock {
            outside.clock = Arc::new(clock);
        }
        let server = start(&settings, outside, CancellationToken::new()).await.unwrap();
        let client = Client::new(&server.base_url().unwrap());
        Self { client, database, server, mails }
    }

    /// Where it writes its mails unless it has a mail server.
    pub fn mail_dir(&self) -> &Path {
        self.mails.path()
    }

    /// What the server's use cases run on.
    pub fn app(&self) -> &App {
        self.server.app()
    }

    /// Stops the server and checks what must hold in every database.
    pub async fn stop(self) {
        self.database.check_invariants().await;
        self.stop_unchecked().await;
    }

    /// Stops the server.
    pub async fn stop_unchecked(self) {
        self.server.stop().await.unwrap();
    }
}
