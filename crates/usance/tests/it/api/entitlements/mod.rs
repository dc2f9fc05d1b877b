//! Entitlements: what customers may use, and what they used.

mod check;
mod consume;
mod given_back;
mod holds;
mod instances;

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant whose clock stands at noon of 1 January 2024, with the features `calls` (the usage of a meter), `exports`,
/// `sso` and `support`, and a customer `ada`.
pub(super) async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T12:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
    client.post("/features", json!({ "code": "calls", "meter": "calls" })).await.expect(201);
    for code in ["exports", "sso", "support"] {
        client.post("/features", json!({ "code": code })).await.expect(201);
    }
    customer(&client, "ada").await;
    client
}

pub(super) async fn customer(client: &Client, name: &str) {
    let body = json!({ "external_id": name, "name": name, "currency": "USD" });
    client.post("/customers", body).await.expect(201);
}

/// A free plan that grants these entitlements.
pub(super) async fn plan(client: &Client, code: &str, entitlements: Value) {
    let plan = json!({ "code": code, "name": code, "currency": "USD", "interval": "month", "prices": [],
        "entitlements": entitlements });
    client.post("/plans", plan).await.expect(201);
}

/// Subscribes `ada` and returns the subscription's id.
pub(super) async fn subscribe(client: &Client, plan: &str) -> String {
    let body = json!({ "customer": "ada", "plan": plan });
    let subscription = client.post("/subscriptions", body).await.expect(201);
    subscription["id"].as_str().unwrap().to_owned()
}

pub(super) async fn check(client: &Client, feature: &str) -> Value {
    client.get(&format!("/entitlements/check?customer=ada&feature={feature}")).await.expect(200)
}

/// Whether one more is allowed, what is used, and what is left.
pub(super) async fn brief(client: &Client, feature: &str) -> String {
    let answer = check(client, feature).await;
    format!("{} {} {}", answer["allowed"], answer["used"], answer["remaining"])
}

pub(super) async fn call(client: &Client, id: &str) -> Value {
    let event = json!({ "id": id, "type": "call", "customer": "ada", "properties": {} });
    client.post("/events", event).await.expect(200)
}
