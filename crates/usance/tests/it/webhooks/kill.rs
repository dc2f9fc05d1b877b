//! kill -9 of the server that delivers, at any of its steps: everything arrives all the same, each time with the same id.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use usance_testkit::{Client, Receiver, TempDir, TestDatabase};

use super::{add_endpoint, all_ended, until};
use crate::{
    failpoints::{COMMIT_AFTER, Gate, Point},
    program::{DEADLINE, Instance},
};

/// What a server does between an event and the note of its delivery.
const STATEMENTS: [&str; 6] = [
    "outbox::insert_many",
    "webhook_deliveries::claim",
    "COMMIT after webhook_endpoints::list_secrets",
    "webhook_deliveries::insert_attempt",
    "webhook_deliveries::settle",
    "COMMIT after webhook_deliveries::settle",
];

#[tokio::test]
async fn what_was_acknowledged_is_told_wherever_the_server_dies() {
    assert!(STATEMENTS[2].starts_with(COMMIT_AFTER));
    // given
    let (dir, database) = (TempDir::new("usance-webhooks").unwrap(), TestDatabase::new().await);
    let settings = [("USANCE_ALLOWED_NETWORKS", "127.0.0.0/8"), ("USANCE_WORK_INTERVAL_MS", "20")];
    let api = [&settings[..], &[("USANCE_ROLE", "api")]].concat();
    let api = Instance::start(dir.path(), "api", database.url(), &api).await;
    let soon_taken_up = [&settings[..], &[("USANCE_WORK_LEASE_MS", "3000")]].concat();
    let client = Client::new(&api.url).tenant("acme").await;
    let receiver = Receiver::start().await;
    add_endpoint(&client, &receiver.url(), &["meter.created"]).await;
    let gate = Gate::open(&database);
    let mut acknowledged = 0;

    for statement in STATEMENTS {
        for is_executed in [false, true] {
            // when the server dies that is told of an event and delivers it
            let victim = Instance::start(dir.path(), "victim", &gate.url, &soon_taken_up).await;
            timeout(DEADLINE, gate.listens()).await.expect("a server listens for news");
            let point = Point { statement: statement.to_owned(), is_executed };
            gate.arm(Some((point.clone(), victim.process.pid())));
            let code = format!("calls-{acknowledged}-{is_executed}");
            let meter = json!({ "code": code, "event_type": "call", "aggregation": "count" });
            let asked = Client::new(&victim.url).with_key(client.key());
            let reply = asked.try_send(asked.request(Method::POST, "/meters").json(&meter)).await;
            assert!(!victim.process.ended().await.success());
            assert!(gate.has_struck(), "never at {point:?}: {:?}", gate.statements());
            acknowledged += usize::from(reply.is_some_and(|reply| reply.status == 201));

            // then another one tells what there is to tell
            let count =
                usize::try_from(database.number_as_superuser("SELECT count(*) FROM meters").await).unwrap();
            assert!(count >= acknowledged);
            let rescuer = Instance::start(dir.path(), "rescuer", database.url(), &settings).await;
            let list = until(&client, "/deliveries", all_ended(count)).await;
            let delivered = |it: &Value| it["status"] == "delivered";
            assert!(list["data"].as_array().unwrap().iter().all(delivered), "{list:#}");
            assert!(rescuer.process.end_by("TERM").await.success());
        }
    }

    let mut told: Vec<String> =
        receiver.rest().await.iter().map(|it| it.header("webhook-id").to_owned()).collect();
    let attempts = told.len();
    told.sort();
    told.dedup();
    assert_eq!(
        told.len(),
        usize::try_from(
            database
                .number_as_superuser("SELECT count(*) FROM outbox_events WHERE type = 'meter.created'")
                .await
        )
        .unwrap()
    );
    assert!(acknowledged >= 8 && attempts > told.len(), "{acknowledged} acknowledged, {attempts} attempts");
    database.check_invariants().await;
    assert!(api.process.end_by("TERM").await.success());
}
