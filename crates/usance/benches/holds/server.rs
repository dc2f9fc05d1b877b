//! The server of the product, as a process of its own, with a tenant whose customers have a wallet each.

use crate::http::Target;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The binary of the same build.
const PROGRAM: &str = env!("CARGO_BIN_EXE_usance");

/// What the server writes, in the benchmark's directory.
const LOG: &str = "server.log";
const LOG_LINES_SHOWN: usize = 20;

/// 32 bytes in base64; they protect nothing here.
const SECRET_KEY: &str = "aW5nZXN0IGJlbmNobWFyaywgbm90IGEgc2VjcmV0ISE=";

const READY_TIMEOUT: Duration = Duration::from_mins(1);
const READY_PERIOD: Duration = Duration::from_millis(50);

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// In the name of the tenant.
    pub(crate) target: Target,
}

impl Server {
    /// Starts the server on a database, waits until it answers, and registers a tenant.
    pub(crate) async fn start(database_url: &str, dir: &Path) -> Result<Self> {
        let address = free_address()?;
        let log = File::create(dir.join(LOG))?;
        // Whatever the caller's environment sets, the server runs with its defaults.
        let child = Command::new(PROGRAM)
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("USANCE_DATA_DIR", dir.join("server"))
            .env("USANCE_LISTEN", address.to_string())
            .env("USANCE_SECRET_KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {PROGRAM}"))?;
        let mut server = Self { child, target: Target { address, key: String::new() } };
        server.wait_until_ready().await?;
        server.register().await?;
        Ok(server)
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Makes a customer with a wallet of which so much may be reserved, and returns the wallet's id.
    pub(crate) async fn make_wallet(&self, customer: &str, limit: u64) -> Result<String> {
        let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
        self.target.call("POST", "/api/v1/customers", &body).await?;
        let path = format!("/api/v1/customers/{customer}/wallet");
        let wallet = self.target.call("GET", &path, &Value::Null).await?;
        let id = wallet["id"].as_str().context("a wallet has no id")?.to_owned();
        let limit = json!({ "debt_limit": { "amount_minor": limit, "currency": "USD" } });
        self.target.call("PATCH", &format!("/api/v1/wallets/{id}"), &limit).await?;
        Ok(id)
    }

    async fn register(&mut self) -> Result<()> {
        let registration = json!({ "company_name": "Benchmark", "email": "bench@usance.example",
            "password": "a long enough passphrase 1" });
        let registered = self.target.call("POST", "/api/v1/auth/tenants/register/", &registration).await?;
        let key = registered.pointer("/tenant/api_key_test_secret").and_then(Value::as_str);
        key.context("the registration returned no tenant.api_key_test_secret")?
            .clone_into(&mut self.target.key);
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while self.target.call("GET", "/readyz", &Value::Null).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended before it was ready: {status}");
            }
            if Instant::now() > deadline {
                bail!("the server was not ready after {} s", READY_TIMEOUT.as_secs());
            }
            sleep(READY_PERIOD).await;
        }
        Ok(())
    }
}

/// Returns the end of what the server wrote.
pub(crate) fn log_tail(dir: &Path) -> String {
    let log = fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
    log.lines().skip(skipped).flat_map(|line| [line, "\n"]).collect()
}

/// Finds a port that nobody uses. Another process could take it before the server does: then the start fails.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
