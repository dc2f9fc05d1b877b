//! The server of the product, as a process of its own, with a tenant whose customers all have a metered subscription.

use crate::events::{CUSTOMERS, EVENT_TYPE, Tally};
use crate::http::Target;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sqlx::PgConnection;
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

/// The subscriptions begin before the day of the events, and the tenant's time is right after it.
const SUBSCRIBED_AT: &str = "2023-11-01T00:00:00Z";
const NOW: &str = "2023-11-17T00:00:00Z";

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    target: Target,
}

impl Server {
    /// Starts the server on a database and waits until it answers.
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
        Ok(server)
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Registers the tenant and everything its events need, and returns the target with the tenant's key.
    pub(crate) async fn set_up(&self) -> Result<Target> {
        let registration = json!({
            "company_name": "Benchmark", "email": "bench@usance.example", "password": "a long enough passphrase 1",
            "first_name": "Ingest", "last_name": "Benchmark", "domain": "bench.usance.example",
        });
        let registered = self.target.call("POST", "/api/v1/auth/tenants/register/", &registration).await?;
        let key = registered.pointer("/tenant/api_key_test_secret").and_then(Value::as_str);
        let key = key.context("the registration returned no tenant.api_key_test_secret")?.to_owned();
        let target = Target { key, ..self.target.clone() };

        target.call("PUT", "/api/v1/test-clock", &json!({ "now": NOW })).await?;
        let meter = json!({
            "code": "tokens", "event_type": EVENT_TYPE, "aggregation": "sum", "value_property": "tokens",
        });
        target.call("POST", "/api/v1/meters", &meter).await?;
        let plan = json!({
            "code": "metered", "name": "Metered", "currency": "USD", "interval": "month",
            "prices": [{ "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.00002" }],
        });
        target.call("POST", "/api/v1/plans", &plan).await?;
        for index in 0..CUSTOMERS {
            subscribe(&target, index).await?;
        }
        Ok(target)
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

/// Reads what is stored: from the keys and the events, and from the aggregate.
pub(crate) async fn tallies(admin: &mut PgConnection) -> Result<[Tally; 2]> {
    let sql = "SELECT * FROM
        (SELECT count(*), coalesce(sum((properties::jsonb->>'tokens')::bigint), 0)::bigint FROM events) e,
        (SELECT coalesce(sum(event_count), 0)::bigint, coalesce(sum(value_sum), 0)::bigint FROM usage_buckets) b,
        (SELECT count(*) FROM event_keys) k";
    let (events, tokens, counted, summed, keys): (i64, i64, i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(admin).await?;
    anyhow::ensure!(keys == events, "{keys} event keys belong to {events} events");
    let tally =
        |events: i64, tokens: i64| Tally { events: events.cast_unsigned(), tokens: tokens.cast_unsigned() };
    Ok([tally(events, tokens), tally(counted, summed)])
}

/// Reads how large the index of the event keys is, and how much of a database PostgreSQL keeps in memory, in MiB.
pub(crate) async fn key_index_and_buffers_mib(admin: &mut PgConnection) -> Result<(u64, u64)> {
    let sql = "SELECT pg_relation_size('event_keys_pkey') / 1048576, pg_size_bytes(current_setting('shared_buffers')) / 1048576";
    let (index, buffers): (i64, i64) = sqlx::query_as(sql).fetch_one(admin).await?;
    Ok((index.cast_unsigned(), buffers.cast_unsigned()))
}

async fn subscribe(target: &Target, index: u32) -> Result<()> {
    let customer = format!("c{index}");
    let body = json!({
        "external_id": customer, "name": format!("Customer {index}"), "email": format!("{customer}@usance.example"),
        "currency": "USD", "timezone": "UTC",
    });
    target.call("POST", "/api/v1/customers", &body).await?;
    let body = json!({ "customer": customer, "plan": "metered", "start_at": SUBSCRIBED_AT });
    target.call("POST", "/api/v1/subscriptions", &body).await?;
    Ok(())
}

/// Finds a port that nobody uses. Another process could take it before the server does: then the start fails.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
