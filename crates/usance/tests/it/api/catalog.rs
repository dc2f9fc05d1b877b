//! Meters, features and plans.

use serde_json::{Value, json};
use usance_testkit::TestServer;

fn pointers(problem: &Value) -> Vec<String> {
    problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_meter_is_created_listed_renamed_and_archived() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({ "code": "tokens", "event_type": "llm_call", "aggregation": "sum", "value_property": "tokens" });

    let created = client.post("/meters", body.clone()).await.expect(201);
    assert!(created["id"].as_str().unwrap().starts_with("mtr_"));
    client.post("/meters", body).await.expect_code(409, "meter_exists");
    assert_eq!(
        client.patch("/meters/tokens", json!({ "name": "Tokens" })).await.expect(200)["name"],
        "Tokens"
    );
    assert_eq!(client.get("/meters").await.expect(200)["data"][0]["code"], "tokens");
    assert_eq!(client.delete("/meters/tokens").await.status, 204);
    client.get("/meters/tokens").await.expect_code(404, "not_found");
    assert_eq!(client.get("/meters").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_meter_that_a_plan_prices_cannot_be_archived() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;

    client.delete("/meters/tokens").await.expect_code(409, "meter_in_use");
    client.delete("/plans/starter").await;

    assert_eq!(client.delete("/meters/tokens").await.status, 204);
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_meter_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for (body, expected) in [
        (
            json!({ "code": "a b", "event_type": "", "aggregation": "median" }),
            vec!["/code", "/event_type", "/aggregation"],
        ),
        (
            json!({ "code": "a", "event_type": "x", "aggregation": "count", "value_property": "v" }),
            vec!["/value_property"],
        ),
        (json!({ "code": "a", "event_type": "x", "aggregation": "sum" }), vec!["/value_property"]),
    ] {
        let refused = client.post("/meters", body).await.expect_code(422, "invalid_field");
        assert_eq!(pointers(&refused), expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_change_of_money_makes_a_version_and_a_change_of_words_does_not() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;

    let renamed = client.patch("/plans/starter", json!({ "name": "Renamed" })).await.expect(200);
    let priced = client
        .patch(
            "/plans/starter",
            json!({ "prices": [{ "code": "base", "charge_model": "flat", "amount": "12" }] }),
        )
        .await
        .expect(200);

    assert_eq!((renamed["version"].as_i64(), priced["version"].as_i64()), (Some(1), Some(2)));
    assert_eq!((priced["interval"].as_str(), priced["prices"].as_array().unwrap().len()), (Some("month"), 1));
    let versions = client.get("/plans/starter/versions").await.expect(200);
    assert_eq!(versions["data"].as_array().unwrap().len(), 2);
    assert_eq!(versions["data"][1]["prices"].as_array().unwrap().len(), 3);
    let subscription = &client.get("/subscriptions").await.expect(200)["data"][0];
    assert_eq!(subscription["plan_version"], 1);
    server.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_plan_is_named_at_once() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client
        .post("/meters", json!({ "code": "m", "event_type": "e", "aggregation": "count" }))
        .await
        .expect(201);
    let plan = json!({ "code": "p", "name": "P", "currency": "usd", "interval": "fortnight", "interval_count": 0, "alignment": "lunar", "prices": [
        { "code": "flat", "charge_model": "flat", "amount": 10 },
        { "code": "flat", "charge_model": "per_unit", "meter": "missing", "unit": "1" },
        { "code": "b", "charge_model": "per_unit", "meter": "m", "unit": "1e-30" },
        { "code": "c", "charge_model": "graduated", "meter": "m", "tiers": [{ "up_to": "5", "unit": "1" }, { "up_to": "4", "unit": "1" }] },
        { "code": "d", "charge_model": "per_unit", "meter": "m", "unit": "1", "pay": "advance", "extra": true },
        { "code": "e", "charge_model": "teleport" },
        { "code": "f", "charge_model": "flat", "amount": "-1" },
    ], "entitlements": [{ "feature": "missing" }] });

    let refused = client.post("/plans", plan).await.expect_code(422, "invalid_field");

    let pointers = pointers(&refused);
    for expected in [
        "/currency",
        "/interval",
        "/interval_count",
        "/alignment",
        "/prices/0/amount",
        "/prices/1/code",
        "/prices/1/meter",
        "/prices/2/unit",
        "/prices/3/tiers/1/up_to",
        "/prices/4/pay",
        "/prices/4/extra",
        "/prices/5/charge_model",
        "/prices/6/amount",
        "/entitlements/0/feature",
    ] {
        assert!(pointers.iter().any(|pointer| pointer == expected), "{expected} is missing in {pointers:?}");
    }
    client.get("/plans/p").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn entitlements_are_stored_with_their_plan_version() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for code in ["chat", "seats", "calls"] {
        client.post("/features", json!({ "code": code })).await.expect(201);
    }
    let entitlements = json!([
        { "feature": "calls", "value": null, "limit": "1000", "reset": "hour", "window": "sliding", "hard": false },
        { "feature": "chat", "value": null, "limit": null, "reset": "period", "window": "fixed", "hard": true },
        { "feature": "seats", "value": "10", "limit": null, "reset": "never", "window": "fixed", "hard": true },
    ]);

    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [], "entitlements": entitlements });
    client.post("/plans", plan).await.expect(201);

    assert_eq!(client.get("/plans/p").await.expect(200)["entitlements"], entitlements);
    server.stop().await;
}
