//! Wallets of a tenant, reserved of over HTTP.

use crate::connection::{Connection, excerpt};
use crate::options::Load;
use crate::target::Target;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The longest a drive may take, so that a server which does not answer ends the benchmark.
const DRIVE_TIMEOUT: Duration = Duration::from_mins(30);

/// How many were reserved, and how many refused because of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Answers {
    /// Reserved.
    pub(crate) accepted: u64,
    /// Refused.
    pub(crate) refused: u64,
}

/// Makes a customer with a wallet of which so much may be reserved, and returns the wallet's id.
pub(crate) async fn make(target: &Target, customer: &str, limit: u64) -> Result<String> {
    let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
    target.call("POST", "/api/v1/customers", &body).await?;
    let path = format!("/api/v1/customers/{customer}/wallet");
    let wallet = target.call("GET", &path, &Value::Null).await?;
    let id = wallet["id"].as_str().context("a wallet has no id")?.to_owned();
    let limit = json!({ "debt_limit": { "amount_minor": limit, "currency": "USD" } });
    target.call("PATCH", &format!("/api/v1/wallets/{id}"), &limit).await?;
    Ok(id)
}

/// Reserves 1 of a wallet, so many times.
pub(crate) async fn reserve(
    target: &Target,
    wallet: &str,
    load: Load,
    connections: usize,
) -> Result<Answers> {
    let body = format!(r#"{{"wallet":"{wallet}","amount":{{"amount_minor":1,"currency":"USD"}}}}"#);
    let request: Arc<[u8]> = target.request("POST", "/api/v1/holds", &body).into();
    let left = Arc::new(AtomicU64::new(load.requests));
    let mut workers = JoinSet::new();
    for connection in Connection::open_many(target.address, connections).await? {
        workers.spawn(work(connection, Arc::clone(&request), Arc::clone(&left)));
    }
    let finished = timeout(DRIVE_TIMEOUT, workers.join_all()).await;
    let mut all = Answers::default();
    for worker in finished.map_err(|_| anyhow!("not finished after {} s", DRIVE_TIMEOUT.as_secs()))? {
        let Answers { accepted, refused } = worker?;
        all.accepted += accepted;
        all.refused += refused;
    }
    Ok(all)
}

async fn work(mut connection: Connection, request: Arc<[u8]>, left: Arc<AtomicU64>) -> Result<Answers> {
    let mut answers = Answers::default();
    while take_one(&left) {
        match connection.exchange(&request).await? {
            (201, _) => answers.accepted += 1,
            (402, _) => answers.refused += 1,
            (status, body) => bail!("answer {status}: {}", excerpt(body)),
        }
    }
    Ok(answers)
}

/// Takes one of what is left to do, if there is any.
pub(crate) fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
