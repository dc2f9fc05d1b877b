//! A worker so slow that others do its work meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use usance_app::config::Role;
use usance_testkit::{Client, TestDatabase, TestServer};

use crate::{failpoints::Gate, program::DEADLINE};

const WAITING: &str = "/events/unbilled?reason=unknown_meter";

/// An event that waits for its meter, and then the meter: the event is looked at again.
async fn call_for_a_meter(client: &Client, code: &str) {
    let event = json!({ "id": code, "type": code, "customer": "ada" });
    assert_eq!(client.post("/events", event).await.expect(200)["unbilled"], 1);
    let meter = json!({ "code": code, "event_type": code, "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
}

#[tokio::test]
async fn what_is_planned_while_a_slow_worker_ends_is_done_too() {
    // given a worker that has looked at an event, and is about to note that this is done
    let database = TestDatabase::new().await;
    let api = TestServer::start_with_on(&database, |settings| settings.role = Role::Api).await;
    let client = api.client.tenant("acme").await;
    let gate = Gate::open(&database);
    gate.keep_back("due_work::complete");
    let slow = TestServer::start_with_on(&database, |settings| {
        settings.database_url = Some(gate.url.clone().into());
        settings.workers = 1;
        settings.work_interval = Duration::from_millis(10);
        settings.work_lease = Duration::from_millis(100);
    })
    .await;
    call_for_a_meter(&client, "first").await;
    timeout(DEADLINE, gate.keeps_back()).await.expect("the worker ends its work");
    let leased = "SELECT count(*) FROM due_work WHERE kind = 'rate_unbilled' AND leased_until IS NOT NULL";
    assert_eq!(database.count(leased).await, 1);

    // when another one does the same work after the lease, and there is new work of the kind
    let other = TestServer::start_with_on(&database, |settings| {
        settings.work_interval = Duration::from_millis(10);
    })
    .await;
    let left = "SELECT count(*) FROM due_work WHERE kind = 'rate_unbilled'";
    let overtaking = async { while database.count(left).await > 0 {} };
    timeout(DEADLINE, overtaking).await.expect("another worker does it after the lease");
    other.stop().await;
    call_for_a_meter(&client, "second").await;
    gate.let_go();

    // then
    let looking = async { while client.get(WAITING).await.expect(200)["data"][0].is_object() {} };
    timeout(DEADLINE, looking).await.expect("the second event is looked at");
    slow.stop().await;
    api.stop().await;
}
