//! Webhooks out, seen by those who receive them.

mod config;
mod delivering;
mod endpoints;
mod guard;
mod hostile;
mod kill;
mod receivers;
mod secrets;

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::timeout;
use usance_app::config::Settings;
use usance_core::clock::Clock as _;
use usance_testkit::{Client, MovableClock, Receiver, TestDatabase, TestServer};

use crate::program::DEADLINE;

/// A server that may call this machine, and looks for due deliveries without delay.
fn calls_loopback(settings: &mut Settings) {
    settings.guard.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    settings.work_interval = Duration::from_millis(10);
}

/// Registers a tenant and signs its owner in; returns the answer, a client with the owner's token, and one with the secret
/// key of test mode.
async fn tenant(server: &TestServer, name: &str) -> (Value, Client, Client) {
    let registered = server.client.register(name).await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let key = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
    (registered, owner, key)
}

/// Adds an endpoint; returns the answer.
async fn add_endpoint(client: &Client, url: &str, event_types: &[&str]) -> Value {
    client.post("/webhook-endpoints", json!({ "url": url, "event_types": event_types })).await.expect(201)
}

/// Makes something happen that is told as `meter.created`; returns the id of the meter.
async fn happen(client: &Client, code: &str) -> String {
    let meter = json!({ "code": code, "event_type": "call", "aggregation": "count" });
    id(&client.post("/meters", meter).await.expect(201))
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Asks until an answer has what is waited for.
async fn until(client: &Client, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let asking = async {
        loop {
            last = client.get(path).await.expect(200);
            if holds(&last) {
                return;
            }
        }
    };
    let in_time = timeout(DEADLINE, asking).await.is_ok();
    assert!(in_time, "{path} stays {last:#}");
    last
}

/// Whether no delivery is on its way any more, and there are so many.
fn all_ended(count: usize) -> impl Fn(&Value) -> bool {
    move |list| {
        let data = list["data"].as_array().unwrap();
        data.len() == count && data.iter().all(|delivery| delivery["status"] != "pending")
    }
}

/// A server by a clock that stands still, a tenant, and a receiver that is an endpoint for meters.
struct Scene {
    server: TestServer,
    clock: MovableClock,
    client: Client,
    receiver: Receiver,
    endpoint: Value,
}

impl Scene {
    async fn with(receiver: Receiver) -> Self {
        let clock = MovableClock::default();
        let server = TestServer::start_by(&clock, TestDatabase::new().await, calls_loopback).await;
        let (_, _, client) = tenant(&server, "acme").await;
        let endpoint = add_endpoint(&client, &receiver.url(), &["meter.created"]).await;
        Self { server, clock, client, receiver, endpoint }
    }

    /// Moves the clock when nothing is on its way: a lease that ends while somebody is at it would let another one begin.
    async fn advance(&self, span: SignedDuration) {
        let is_due = format!("leased_until IS NOT NULL OR next_attempt_at <= '{}'", self.clock.now());
        let due =
            ["webhook_deliveries", "mails"].map(|it| format!("(SELECT count(*) FROM {it} WHERE {is_due})"));
        let under_way = format!("SELECT {}", due.join(" + "));
        let ending = async { while self.server.database.number_as_superuser(&under_way).await > 0 {} };
        timeout(DEADLINE, ending).await.expect("everything that is due ends in time");
        self.clock.advance(span);
    }

    fn endpoint_path(&self) -> String {
        format!("/webhook-endpoints/{}", id(&self.endpoint))
    }

    /// The one delivery of the endpoint.
    async fn delivery(&self) -> Value {
        let list = self.client.get(&format!("/deliveries?endpoint={}", id(&self.endpoint))).await.expect(200);
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
        list["data"][0].clone()
    }
}
