//! Events that wait, and what resolves them.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

fn event(id: &str, customer: &str, time: &str) -> Value {
    json!({ "id": id, "type": "llm_call", "customer": customer, "time": time, "properties": { "tokens": 100 } })
}

async fn reasons(client: &Client) -> Vec<String> {
    let list = client.get("/events/unbilled").await.expect(200);
    list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_event_waits_for_meter_customer_and_subscription_and_is_then_billed() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2023-11-01T00:00:00Z" })).await.expect(200);

    let first = client.post("/events", event("e1", "code", "2023-11-02T00:00:00Z")).await.expect(200);
    assert_eq!(first["results"][0]["reason"], "unknown_meter");
    client.prepare_starter_plan().await;
    client.advance("2023-11-01T00:00:00Z").await;
    assert_eq!(reasons(&client).await, ["unknown_customer"]);
    client.subscribe_to_starter("code").await;
    client.advance("2023-11-01T00:00:00Z").await;
    assert_eq!(reasons(&client).await, Vec::<String>::new());
    assert_eq!(
        client.post("/events", event("e1", "code", "2023-11-02T00:00:00Z")).await.expect(200)["replayed"],
        1
    );
    client.advance("2023-12-01T00:00:00Z").await;

    assert_eq!(client.get("/invoices").await.expect(200)["data"][0]["lines"][2]["quantity"], "100");
    server.stop().await;
}

#[tokio::test]
async fn many_waiting_events_are_counted_exactly() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let events: Vec<_> =
        (0..2_500).map(|index| event(&format!("e{index}"), "later", "2023-11-10T00:00:00Z")).collect();
    let answer = client.post("/events?results=failures", json!({ "events": events })).await.expect(200);
    assert_eq!(answer["unbilled"], 2_500);

    client.subscribe_to_starter("later").await;
    client.advance("2023-12-01T00:00:00Z").await;

    let lines = client.get("/invoices").await.expect(200)["data"][0]["lines"].clone();
    assert_eq!((&lines[1]["quantity"], &lines[2]["quantity"]), (&json!("2500"), &json!("250000")));
    server.stop().await;
}

#[tokio::test]
async fn an_event_of_an_invoiced_period_counts_and_changes_no_issued_invoice() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("code").await;
    client.advance("2023-12-01T00:00:00Z").await;
    let before = client.get("/invoices").await.expect(200);

    let late = client.post("/events", event("late", "code", "2023-11-30T23:59:59.999999Z")).await.expect(200);
    let in_time = client.post("/events", event("in-time", "code", "2023-12-01T00:00:00Z")).await.expect(200);

    assert_eq!(late["results"][0]["status"], "accepted");
    assert_eq!(in_time["results"][0]["status"], "accepted");
    assert!(reasons(&client).await.is_empty());
    assert_eq!(client.get("/invoices").await.expect(200), before);
    server.stop().await;
}

#[tokio::test]
async fn waiting_events_are_filtered_by_reason() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client
        .post("/customers", json!({ "external_id": "idle", "name": "I", "currency": "USD" }))
        .await
        .expect(201);
    for (id, customer) in [("a", "nobody"), ("b", "idle"), ("c", "nobody")] {
        client.post("/events", event(id, customer, "2023-11-10T00:00:00Z")).await.expect(200);
    }

    let waiting = client.get("/events/unbilled?reason=no_subscription").await.expect(200);

    assert_eq!(
        (waiting["data"].as_array().unwrap().len(), waiting["data"][0]["id"].as_str()),
        (1, Some("b"))
    );
    client.get("/events/unbilled?reason=boredom").await.expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_no_subscription_prices_waits_instead_of_being_billed_zero() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let flat = json!([{ "code": "fee", "charge_model": "flat", "amount": "99" }]);
    let plan =
        json!({ "code": "yearly", "name": "Y", "currency": "USD", "interval": "year", "prices": flat });
    client.post("/plans", plan).await.expect(201);
    client
        .post("/customers", json!({ "external_id": "acme", "name": "A", "currency": "USD" }))
        .await
        .expect(201);
    let yearly = json!({ "customer": "acme", "plan": "yearly", "start_at": "2023-11-01T00:00:00Z" });
    client.post("/subscriptions", yearly).await.expect(201);

    let unpriced = client.post("/events", event("a", "acme", "2023-11-10T00:00:00Z")).await.expect(200);
    assert_eq!(unpriced["results"][0]["reason"], "no_subscription");
    let usage = json!({ "customer": "acme", "plan": "starter", "start_at": "2023-11-01T00:00:00Z" });
    client.post("/subscriptions", usage).await.expect(201);
    client.advance("2023-12-01T00:00:00Z").await;

    // The yearly period is open, but the month that the event belongs to is invoiced.
    let late = client.post("/events", event("b", "acme", "2023-11-20T00:00:00Z")).await.expect(200);
    assert_eq!(late["results"][0]["status"], "accepted");
    let invoices = client.get("/invoices").await.expect(200);
    let monthly = invoices["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|invoice| invoice["lines"].as_array().unwrap().len() == 3)
        .unwrap();
    assert_eq!(monthly["lines"][1]["quantity"], "1");
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_was_counted_is_a_replay_also_after_a_stricter_meter_was_added() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    client.post("/events", event("a", "acme", "2023-11-10T00:00:00Z")).await.expect(200);
    let stricter = json!({ "code": "seconds", "event_type": "llm_call", "aggregation": "sum", "value_property": "seconds" });
    client.post("/meters", stricter).await.expect(201);

    let again = client.post("/events", event("a", "acme", "2023-11-10T00:00:00Z")).await.expect(200);
    let other = client.post("/events", event("a", "acme", "2023-11-11T00:00:00Z")).await;

    assert_eq!(again["replayed"], 1);
    other.expect_code(409, "event_conflict");
    server.stop().await;
}
