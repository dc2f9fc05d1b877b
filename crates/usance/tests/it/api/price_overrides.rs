//! Price overrides: what one subscription pays otherwise than its plan says.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    client
        .post("/meters", json!({ "code": "calls", "event_type": "call", "aggregation": "count" }))
        .await
        .expect(201);
    client.post("/features", json!({ "code": "chat" })).await.expect(201);
    let plan = json!({ "code": "plan", "name": "Plan", "currency": "USD", "interval": "month", "prices": [
        { "code": "base", "charge_model": "flat", "amount": "10", "pay": "arrears" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1", "minimum_amount": "2" },
    ], "entitlements": [{ "feature": "chat" }] });
    client.post("/plans", plan).await.expect(201);
    for customer in ["one", "two"] {
        let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
        client.post("/customers", body).await.expect(201);
    }
    client
}

async fn subscribe(client: &Client, customer: &str, overrides: Value) -> Value {
    let body = json!({ "customer": customer, "plan": "plan", "overrides": overrides });
    client.post("/subscriptions", body).await.expect(201)
}

async fn amounts(client: &Client, customer: &str) -> Vec<i64> {
    let invoices = client.get(&format!("/customers/{customer}/invoices")).await.expect(200);
    let lines = invoices["data"][0]["lines"].as_array().unwrap().clone();
    lines.iter().map(|line| line["amount"]["amount_minor"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_subscription_with_prices_of_its_own_pays_those_and_others_pay_the_plans() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    let own = json!([{ "price": "base", "amount": "7" }, { "price": "calls", "charge_model": "graduated", "tiers": [
        { "up_to": "1", "unit": "5" }, { "up_to": null, "unit": "3" },
    ] }]);
    let one = subscribe(&client, "one", own).await;
    let two = subscribe(&client, "two", json!([])).await;
    for (id, customer) in [("a", "one"), ("b", "one"), ("c", "two")] {
        let event = json!({ "id": id, "type": "call", "customer": customer, "time": "2024-01-01T00:00:00Z" });
        client.post("/events", event).await.expect(200);
    }
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!((&one["overrides"], &two["overrides"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&one["prices"][0]["amount"], &one["prices"][1]["charge_model"]),
        (&json!("7"), &json!("graduated"))
    );
    assert_eq!(two["prices"][0]["amount"], "10");
    assert_eq!(amounts(&client, "one").await, [700, 800]);
    // One call is below the minimum of 2.
    assert_eq!(amounts(&client, "two").await, [1_000, 200]);
    let versions = client.get("/plans/plan/versions").await.expect(200);
    assert_eq!(versions["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn the_explanation_of_an_invoice_names_the_prices_that_were_overridden() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    subscribe(&client, "one", json!([{ "price": "base", "amount": "7" }])).await;

    client.advance("2024-02-01T00:00:00Z").await;

    let invoice = client.get("/invoices").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let explained = client.get(&format!("/invoices/{invoice}/explain")).await.expect(200);
    assert_eq!(explained["plan"], json!({ "code": "plan", "version": 1, "overrides": true }));
    let public = json!({ "charge_model": "flat", "parameters": { "amount": "10" } });
    assert_eq!(explained["lines"][0]["overridden_price"], public);
    assert_eq!(explained["lines"][0]["parameters"], json!({ "amount": "7" }));
    assert_eq!(explained["lines"][1]["overridden_price"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn overrides_stay_until_they_are_replaced_taken_away_or_the_plan_changes() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let created = subscribe(&client, "one", json!([{ "price": "base", "amount": "7" }])).await;
    let path = format!("/subscriptions/{}/change", created["id"].as_str().unwrap());
    let base = async |body: Value| {
        let changed = client.post(&path, body).await.expect(200);
        (changed["prices"][0]["amount"].clone(), changed["overrides"].clone())
    };

    assert_eq!(base(json!({ "quantity": 2 })).await, (json!("7"), json!(true)));
    assert_eq!(
        base(json!({ "overrides": [{ "price": "calls", "unit": "9" }] })).await,
        (json!("10"), json!(true))
    );
    let kept = client.get("/subscriptions").await.expect(200)["data"][0]["prices"][1].clone();
    assert_eq!((&kept["unit"], &kept["minimum_amount"]), (&json!("9"), &json!("2")));
    assert_eq!(base(json!({ "overrides": [] })).await, (json!("10"), json!(false)));
    assert_eq!(
        base(json!({ "overrides": [{ "price": "base", "amount": "8" }] })).await,
        (json!("8"), json!(true))
    );
    assert_eq!(base(json!({ "plan": "plan" })).await, (json!("10"), json!(false)));
    server.stop().await;
}

#[tokio::test]
async fn an_override_that_does_not_fit_its_price_names_the_field() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    for (wanted, pointer, code) in [
        (json!([{ "price": "nothing", "amount": "7" }]), "/overrides/0/price", "unknown_price"),
        (
            json!([{ "price": "base", "amount": "7" }, { "price": "base", "amount": "8" }]),
            "/overrides/1/price",
            "repeated",
        ),
        (json!([{ "price": "base", "unit": "7" }]), "/overrides/0/unit", "unknown_field"),
        (json!([{ "price": "base", "amount": "seven" }]), "/overrides/0/amount", "malformed_decimal"),
        (
            json!([{ "price": "calls", "charge_model": "flat", "amount": "7" }]),
            "/overrides/0/meter",
            "not_allowed",
        ),
    ] {
        let body = json!({ "customer": "one", "plan": "plan", "overrides": wanted });
        let refused = client.post("/subscriptions", body).await.expect_code(422, "invalid_field");
        let fault = &refused["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!(pointer), &json!(code)), "{refused}");
    }
    assert_eq!(client.get("/subscriptions").await.expect(200)["data"], json!([]));
    server.stop().await;
}
