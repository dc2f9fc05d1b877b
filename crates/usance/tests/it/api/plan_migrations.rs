//! Plan migrations: from older versions of a plan to its newest one.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant on 1 January 2024 with a plan of 10 dollars a month.
async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let plan = json!({ "code": "plan", "name": "Plan", "currency": "USD", "interval": "month", "prices": [base("10")] });
    client.post("/plans", plan).await.expect(201);
    client
}

fn base(unit: &str) -> Value {
    json!({ "code": "base", "charge_model": "seat", "unit": unit, "pay": "arrears" })
}

async fn raise(client: &Client, unit: &str) {
    client.patch("/plans/plan", json!({ "prices": [base(unit)] })).await.expect(200);
}

async fn subscribe(client: &Client, customer: &str, more: Value) -> String {
    let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
    client.post("/customers", body).await.expect(201);
    let mut body = json!({ "customer": customer, "plan": "plan" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/subscriptions", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Starts a migration and waits until it has finished.
async fn migrate(client: &Client, body: Value) -> Value {
    let started = client.post("/plans/plan/migrations", body).await.expect(201);
    assert_eq!(started["status"], "running");
    let now = client.get("/test-clock").await.expect(200)["now"].as_str().unwrap().to_owned();
    client.advance(&now).await;
    client.get(&format!("/plans/plan/migrations/{}", started["id"].as_str().unwrap())).await.expect(200)
}

fn usd(minor: i64) -> Value {
    json!({ "amount_minor": minor, "currency": "USD" })
}

async fn version(client: &Client, id: &str) -> Value {
    client.get(&format!("/subscriptions/{id}")).await.expect(200)["plan_version"].clone()
}

#[tokio::test]
async fn a_preview_tells_what_everybody_would_pay_and_changes_nothing() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let one = subscribe(&client, "one", json!({})).await;
    let two = subscribe(&client, "two", json!({ "quantity": 3 })).await;
    let own = subscribe(&client, "own", json!({ "overrides": [{ "price": "base", "unit": "1" }] })).await;
    raise(&client, "12.5").await;
    let newest = subscribe(&client, "newest", json!({})).await;

    let preview = client.post("/plans/plan/migrations?limit=2", json!({ "preview": true })).await.expect(200);
    let cursor = preview["next_cursor"].as_str().unwrap();
    let path = format!("/plans/plan/migrations?limit=2&cursor={cursor}");
    let rest = client.post(&path, json!({ "preview": true })).await.expect(200);

    assert_eq!((&preview["subscriptions"], &preview["skipped"]), (&json!(2), &json!(1)));
    assert_eq!((&preview["to_version"], &preview["difference"]), (&json!(2), &json!([usd(1_000)])));
    let skipped = &preview["data"][0];
    assert_eq!((&skipped["subscription"], &skipped["after"]), (&json!(own), &Value::Null));
    assert_eq!((&skipped["exception"]["outcome"], &skipped["before"]), (&json!("skipped"), &usd(100)));
    let item = &preview["data"][1];
    assert_eq!((&item["subscription"], &item["current_version"]), (&json!(two), &json!(1)));
    assert_eq!((&item["before"], &item["after"], &item["difference"]), (&usd(3_000), &usd(3_750), &usd(750)));
    assert_eq!((&rest["data"][0]["subscription"], &rest["has_more"]), (&json!(one), &json!(false)));
    for (id, number) in [(&one, 1), (&two, 1), (&own, 1), (&newest, 2)] {
        assert_eq!(version(&client, id).await, number);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_migration_at_once_bills_both_versions_for_their_days() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, "one", json!({})).await;
    raise(&client, "31").await;
    client.advance("2024-01-11T00:00:00Z").await;

    let migration = migrate(&client, json!({ "when": "now" })).await;
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!(
        (&migration["status"], &migration["total"], &migration["done"]),
        (&json!("finished"), &json!(1), &json!(1))
    );
    assert_eq!(version(&client, &id).await, 2);
    let mut invoices = client.get("/invoices").await.expect(200)["data"].as_array().unwrap().clone();
    invoices.reverse();
    let totals: Vec<_> =
        invoices.iter().map(|invoice| invoice["total"]["amount_minor"].as_i64().unwrap()).collect();
    // 10 of 31 days at 10 dollars, 21 of 31 at 31.
    assert_eq!(totals, [323, 2_100]);
    server.stop().await;
}

#[tokio::test]
async fn a_migration_at_the_period_end_waits_for_each_subscription() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, "one", json!({})).await;
    raise(&client, "12").await;

    migrate(&client, json!({ "when": "period_end" })).await;
    let before = version(&client, &id).await;
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!((before, version(&client, &id).await), (json!(1), json!(2)));
    let invoices = client.get("/invoices").await.expect(200);
    assert_eq!(invoices["data"][0]["total"], usd(1_000));
    server.stop().await;
}

#[tokio::test]
async fn subscriptions_that_cannot_or_must_not_move_are_listed_with_the_reason() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let add_on = json!({ "code": "support", "name": "S", "currency": "USD", "interval": "month", "prices": [
        { "code": "support", "charge_model": "flat", "amount": "1" },
    ] });
    client.post("/add-ons", add_on).await.expect(201);
    let moved = subscribe(&client, "moved", json!({})).await;
    let own = subscribe(&client, "own", json!({ "overrides": [{ "price": "base", "unit": "1" }] })).await;
    let paused = subscribe(&client, "paused", json!({})).await;
    client.post(&format!("/subscriptions/{paused}/pause"), json!({})).await.expect(200);
    let planned = subscribe(&client, "planned", json!({})).await;
    let change = json!({ "quantity": 2, "when": "period_end" });
    client.post(&format!("/subscriptions/{planned}/change"), change).await.expect(200);
    let tied = subscribe(&client, "tied", json!({ "add_ons": [{ "code": "support" }] })).await;
    client.patch("/plans/plan", json!({ "interval": "quarter" })).await.expect(200);

    let migration = migrate(&client, json!({ "when": "now" })).await;

    let counts = ["total", "done", "skipped", "failed"].map(|name| migration[name].as_i64().unwrap());
    assert_eq!(counts, [5, 1, 3, 1]);
    let exceptions: Vec<_> = migration["exceptions"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["subscription"].as_str().unwrap(), it["outcome"].as_str().unwrap()))
        .collect();
    let expected = [(&tied, "failed"), (&planned, "skipped"), (&paused, "skipped"), (&own, "skipped")];
    assert_eq!(exceptions, expected.map(|(id, outcome)| (id.as_str(), outcome)));
    assert!(migration["exceptions"]["data"][0]["reason"].as_str().unwrap().contains("`support`"));
    assert_eq!((version(&client, &moved).await, version(&client, &tied).await), (json!(2), json!(1)));
    server.stop().await;
}

#[tokio::test]
async fn a_migration_of_many_subscriptions_goes_on_until_all_have_moved() {
    // More than one turn of the worker.
    const MANY: usize = 25;
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    for index in 0..MANY {
        subscribe(&client, &format!("c{index}"), json!({})).await;
    }
    raise(&client, "12").await;

    let migration = migrate(&client, json!({ "when": "now" })).await;

    assert_eq!((&migration["done"], &migration["failed"]), (&json!(MANY), &json!(0)));
    let subscriptions = client.get("/subscriptions").await.expect(200)["data"].clone();
    let moved = subscriptions.as_array().unwrap().iter().filter(|it| it["plan_version"] == 2).count();
    assert_eq!(moved, MANY);
    server.stop().await;
}

#[tokio::test]
async fn only_older_versions_can_be_migrated_from_and_only_the_named_ones_are() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let first = subscribe(&client, "first", json!({})).await;
    raise(&client, "12").await;
    let second = subscribe(&client, "second", json!({})).await;
    raise(&client, "14").await;

    for versions in [json!([3]), json!([0]), json!([1, 9])] {
        let body = json!({ "from_versions": versions, "preview": true });
        let refused = client.post("/plans/plan/migrations", body).await.expect_code(422, "invalid_field");
        assert!(refused["errors"][0]["pointer"].as_str().unwrap().starts_with("/from_versions/"));
    }
    client.post("/plans/plan/migrations", json!({ "when": "later" })).await.expect_code(422, "invalid_field");
    client.post("/plans/nothing/migrations", json!({})).await.expect_code(404, "not_found");
    migrate(&client, json!({ "from_versions": [2], "when": "now" })).await;

    assert_eq!((version(&client, &first).await, version(&client, &second).await), (json!(1), json!(3)));
    server.stop().await;
}
