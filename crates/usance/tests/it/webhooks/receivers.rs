//! A receiver in a process of its own, written with the official library of Standard Webhooks.

use std::{collections::HashSet, fs, path::Path, process::Stdio};

use serde_json::json;
use tokio::{process::Command, time::timeout};
use usance_testkit::{Client, TempDir, TestServer, python};

use super::{add_endpoint, calls_loopback, id};
use crate::program::{DEADLINE, Running};

const EVENTS: usize = 1_000;
const BATCH: usize = 100;

/// A running receiver and where it listens.
struct Process {
    running: Running,
    port: u16,
}

async fn start(python: &Path, dir: &Path, port: u16) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/webhooks/receiver.py");
    let mut command = Command::new(python);
    command.args([script, &port.to_string()]).args([dir.join("secret"), dir.join("ids")]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let mut running = Running::start(command, &dir.join("receiver.log"));
    let line = running.line_with("listening on").await;
    Process { running, port: line.rsplit(' ').next().unwrap().parse().unwrap() }
}

fn ids(dir: &Path) -> Vec<String> {
    fs::read_to_string(dir.join("ids")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Makes a hundred things happen.
async fn happen(client: &Client, batch: usize) {
    for number in 0..BATCH {
        let customer =
            json!({ "external_id": format!("c{batch}-{number}"), "name": "Ada", "currency": "USD" });
        client.post("/customers", customer).await.expect(201);
    }
}

/// Sends by hand what failed twice and would be tried again in minutes.
async fn replay_failed(client: &Client) {
    let pending = client.get("/deliveries?status=pending&limit=100").await.expect(200);
    for delivery in pending["data"].as_array().unwrap().iter().filter(|it| it["attempts"].as_i64() >= Some(2))
    {
        let replayed = client.post(&format!("/deliveries/{}/replay", id(delivery)), json!({})).await;
        // It may be under way by now.
        assert!(matches!(replayed.status, 202 | 409), "{}", replayed.text);
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "why a test is skipped, and figures of a run that passed")]
async fn a_receiver_that_is_killed_and_restarted_gets_each_of_a_thousand_events() {
    let Some(python) = python() else {
        return eprintln!("skipped: USANCE_TEST_PYTHON is not set, see scripts/test");
    };
    // given
    let dir = TempDir::new("usance-receiver").unwrap();
    let server = TestServer::start_with(calls_loopback).await;
    let client = server.client.tenant("acme").await;
    fs::write(dir.path().join("secret"), "").unwrap();
    let mut receiver = start(&python, dir.path(), 0).await;
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    let endpoint = add_endpoint(&client, &url, &["customer.created"]).await;
    fs::write(dir.path().join("secret"), endpoint["secret"].as_str().unwrap()).unwrap();

    // when
    let mut killed_at = Vec::new();
    for batch in 0..EVENTS / BATCH {
        if batch % 3 == 1 {
            killed_at.push(ids(dir.path()).len());
            let port = receiver.port;
            receiver.running.kill().await;
            happen(&client, batch).await;
            receiver = start(&python, dir.path(), port).await;
        } else {
            happen(&client, batch).await;
        }
    }
    let all = server
        .database
        .text_as_superuser(
            "SELECT string_agg(id::text, ' ') FROM outbox_events WHERE type = 'customer.created'",
        )
        .await;
    let expected: HashSet<&str> = all.split(' ').collect();
    let all_arrived = async {
        while ids(dir.path()).iter().collect::<HashSet<_>>().len() < EVENTS {
            replay_failed(&client).await;
        }
    };
    timeout(DEADLINE, all_arrived).await.expect("every event arrives in time");

    // then
    let received = ids(dir.path());
    let uuids: HashSet<String> = received
        .iter()
        .map(|id| id.parse::<usance_core::ids::OutboxEventId>().unwrap().uuid().to_string())
        .collect();
    assert_eq!(uuids.iter().map(String::as_str).collect::<HashSet<_>>(), expected);
    eprintln!(
        "{} events arrived, {} twice; the receiver was killed after {killed_at:?}",
        uuids.len(),
        received.len() - uuids.len()
    );
    assert_eq!(receiver.running.log(), "", "the library verified each");
    let failed = server
        .database
        .number_as_superuser("SELECT count(*) FROM webhook_attempts WHERE status_code IS NULL")
        .await;
    assert!(failed > 0, "no attempt met a receiver that was not there");
    server.stop().await;
}
