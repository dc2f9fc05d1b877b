//! Add-ons: bought with a plan, for all or a part of its periods.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant on 1 January 2024 with a plan of 10 dollars in arrears, three add-ons and a customer.
async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "tokens", "event_type": "llm", "aggregation": "sum", "value_property": "n" });
    client.post("/meters", meter).await.expect(201);
    let priced = |code: &str, price: Value| json!({ "code": code, "name": code, "currency": "USD", "interval": "month", "prices": [price] });
    let base = json!({ "code": "base", "charge_model": "flat", "amount": "10", "pay": "arrears" });
    client.post("/plans", priced("plan", base)).await.expect(201);
    for (code, price) in [
        ("support", json!({ "code": "support", "charge_model": "flat", "amount": "31" })),
        ("seats", json!({ "code": "seats", "charge_model": "seat", "unit": "31" })),
        ("tokens", json!({ "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.5" })),
    ] {
        client.post("/add-ons", priced(code, price)).await.expect(201);
    }
    let customer = json!({ "external_id": "c", "name": "C", "currency": "USD" });
    client.post("/customers", customer).await.expect(201);
    client
}

async fn subscribe(client: &Client, add_ons: Value) -> String {
    let body = json!({ "customer": "c", "plan": "plan", "add_ons": add_ons });
    client.post("/subscriptions", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn change(client: &Client, id: &str, add_ons: Value) {
    let path = format!("/subscriptions/{id}/change");
    client.post(&path, json!({ "add_ons": add_ons })).await.expect(200);
}

/// The lines of all invoices, oldest first: price, kind, minor units.
async fn lines(client: &Client) -> Vec<(String, String, i64)> {
    let mut invoices = client.get("/invoices").await.expect(200)["data"].as_array().unwrap().clone();
    invoices.reverse();
    let line = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("price"), text("kind"), line["amount"]["amount_minor"].as_i64().unwrap())
    };
    invoices.iter().flat_map(|invoice| invoice["lines"].as_array().unwrap().iter().map(line)).collect()
}

fn expected(lines: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    lines.iter().map(|(price, kind, minor)| ((*price).to_owned(), (*kind).to_owned(), *minor)).collect()
}

#[tokio::test]
async fn an_add_on_is_a_resource_beside_plans() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    let changed = client
        .patch(
            "/add-ons/support",
            json!({ "name": "Help", "prices": [
        { "code": "support", "charge_model": "flat", "amount": "40" },
    ] }),
        )
        .await
        .expect(200);
    client.delete("/add-ons/tokens").await.expect(204);

    assert_eq!((&changed["name"], &changed["version"]), (&json!("Help"), &json!(2)));
    assert_eq!(client.get("/add-ons/support").await.expect(200), changed);
    let listed = client.get("/add-ons").await.expect(200)["data"].clone();
    let codes: Vec<_> = listed.as_array().unwrap().iter().map(|add_on| &add_on["code"]).collect();
    assert_eq!(codes, ["seats", "support"]);
    assert_eq!(client.get("/plans").await.expect(200)["data"].as_array().unwrap().len(), 1);
    for path in ["/plans/support", "/plans/support/versions", "/add-ons/plan", "/add-ons/tokens"] {
        client.get(path).await.expect_code(404, "not_found");
    }
    client.delete("/plans/support").await.expect_code(404, "not_found");
    client.patch("/add-ons/plan", json!({ "name": "Mine" })).await.expect_code(404, "not_found");
    let taken = json!({ "code": "plan", "name": "P", "currency": "USD", "interval": "month", "prices": [] });
    client.post("/add-ons", taken).await.expect_code(409, "plan_exists");
    server.stop().await;
}

#[tokio::test]
async fn an_add_on_that_is_bought_with_the_plan_is_billed_on_its_invoices() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    subscribe(&client, json!([{ "code": "support" }])).await;
    client.advance("2024-02-01T00:00:00Z").await;

    let billed = [("support", "fee", 3_100), ("base", "fee", 1_000), ("support", "fee", 3_100)];
    assert_eq!(lines(&client).await, expected(&billed));
    server.stop().await;
}

#[tokio::test]
async fn an_add_on_is_charged_for_the_days_that_are_left_and_given_back_for_those_that_were_not_used() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, json!([])).await;

    client.advance("2024-01-11T00:00:00Z").await;
    change(&client, &id, json!([{ "code": "support" }])).await;
    client.advance("2024-01-21T00:00:00Z").await;
    change(&client, &id, json!([])).await;
    client.advance("2024-02-01T00:00:00Z").await;

    // 21 and 11 of 31 days; the plan itself goes on undisturbed.
    let billed = [("support", "fee", 2_100), ("support", "credit", -1_100), ("base", "fee", 1_000)];
    assert_eq!(lines(&client).await, expected(&billed));
    server.stop().await;
}

#[tokio::test]
async fn another_quantity_of_an_add_on_is_charged_for_the_rest_of_the_period() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, json!([{ "code": "seats", "quantity": 1 }])).await;

    client.advance("2024-01-11T00:00:00Z").await;
    change(&client, &id, json!([{ "code": "seats", "quantity": 3 }])).await;

    let billed = [("seats", "fee", 3_100), ("seats", "credit", -2_100), ("seats", "fee", 6_300)];
    assert_eq!(lines(&client).await, expected(&billed));
    let items = client.get(&format!("/subscriptions/{id}")).await.expect(200)["items"].clone();
    assert_eq!((&items[1]["plan"], &items[1]["quantity"]), (&json!("seats"), &json!(3)));
    server.stop().await;
}

#[tokio::test]
async fn an_add_on_by_usage_bills_what_is_used_while_it_is_bought() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, json!([])).await;
    let use_ten = async |id: &str, time: &str| {
        let event =
            json!({ "id": id, "type": "llm", "customer": "c", "time": time, "properties": { "n": 10 } });
        client.post("/events", event).await.expect(200)
    };

    let before = use_ten("a", "2024-01-01T00:00:00Z").await;
    client.advance("2024-01-11T00:00:00Z").await;
    change(&client, &id, json!([{ "code": "tokens" }])).await;
    let during = use_ten("b", "2024-01-15T00:00:00Z").await;
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!((&before["unbilled"], &during["accepted"]), (&json!(1), &json!(1)));
    let billed = [("base", "fee", 1_000), ("tokens", "usage", 500)];
    assert_eq!(lines(&client).await, expected(&billed));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_bought_together_is_refused() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let metered = json!({ "code": "metered", "name": "M", "currency": "USD", "interval": "month", "prices": [
        { "code": "t", "meter": "tokens", "charge_model": "per_unit", "unit": "1" },
    ] });
    client.post("/plans", metered).await.expect(201);
    let yearly =
        json!({ "code": "yearly", "name": "Y", "currency": "USD", "interval": "year", "prices": [] });
    client.post("/plans", yearly).await.expect(201);
    let buy = |plan: &str, add_ons: Value| json!({ "customer": "c", "plan": plan, "add_ons": add_ons });

    for (body, pointer, code) in [
        (buy("support", json!([])), "/plan", "not_a_plan"),
        (buy("plan", json!([{ "code": "yearly" }])), "/add_ons/0/code", "not_an_add_on"),
        (buy("plan", json!([{ "code": "nothing" }])), "/add_ons/0/code", "unknown_add_on"),
        (buy("plan", json!([{ "code": "seats" }, { "code": "seats" }])), "/add_ons/1/code", "repeated"),
        (buy("metered", json!([{ "code": "tokens" }])), "/add_ons/0/code", "meter_priced_twice"),
        (buy("yearly", json!([{ "code": "support" }])), "/add_ons/0/code", "other_interval"),
    ] {
        let refused = client.post("/subscriptions", body).await.expect_code(422, "invalid_field");
        let fault = &refused["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!(pointer), &json!(code)));
    }
    let id = subscribe(&client, json!([{ "code": "tokens" }])).await;
    let path = format!("/subscriptions/{id}/change");
    for (plan, code) in [("metered", "meter_priced_twice"), ("yearly", "other_interval")] {
        let refused = client.post(&path, json!({ "plan": plan })).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["code"], code);
    }
    client.post(&path, json!({ "plan": "metered", "add_ons": [] })).await.expect(200);
    server.stop().await;
}
