//! Live usage: windows, groups, and what a customer has used so far.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A customer in Berlin with a meter of tokens, told apart by model.
async fn subscribed(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let tokens = json!({ "code": "tokens", "event_type": "call", "aggregation": "sum", "value_property": "tokens",
        "group_by": ["model"] });
    client.post("/meters", tokens).await.expect(201);
    let users = json!({ "code": "users", "event_type": "call", "aggregation": "unique_count", "value_property": "user" });
    client.post("/meters", users).await.expect(201);
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [
        { "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.5" },
    ] });
    client.post("/plans", plan).await.expect(201);
    let ada = json!({ "external_id": "ada", "name": "Ada", "currency": "USD", "timezone": "Europe/Berlin" });
    client.post("/customers", ada).await.expect(201);
    let body = json!({ "customer": "ada", "plan": "p", "start_at": "2024-01-01T00:00:00Z" });
    client.post("/subscriptions", body).await.expect(201);
    client.advance("2024-01-10T00:00:00Z").await;
    let event = |id: &str, time: &str, tokens: i64, user: &str, model: Option<&str>| {
        let mut event = json!({ "id": id, "type": "call", "customer": "ada", "time": time,
            "properties": { "tokens": tokens, "user": user } });
        if let Some(model) = model {
            event["properties"]["model"] = json!(model);
        }
        event
    };
    // In Berlin the third of January begins at 23:00 UTC.
    let events = json!({ "events": [
        event("a", "2024-01-02T22:58:00Z", 1, "u1", Some("large")),
        event("b", "2024-01-02T23:00:00Z", 2, "u1", Some("large")),
        event("c", "2024-01-02T23:20:00Z", 4, "u2", Some("small")),
        event("d", "2024-01-03T12:00:00Z", 8, "u2", None),
        event("e", "2024-01-05T12:00:00Z", 16, "u1", Some("large")),
    ] });
    assert_eq!(client.post("/events", events).await.expect(200)["accepted"], 5);
    client
}

/// Start, quantity and number of events of each window.
async fn windows(client: &Client, query: &str) -> Vec<String> {
    let usage = client.get(&format!("/usage?customer=ada&{query}")).await.expect(200);
    let window = |window: &Value| {
        format!(
            "{} {} {}",
            window["start"].as_str().unwrap(),
            window["quantity"].as_str().unwrap(),
            window["event_count"]
        )
    };
    usage["data"].as_array().unwrap().iter().map(window).collect()
}

#[tokio::test]
async fn usage_is_told_by_the_days_and_hours_of_the_customer() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;

    let whole = windows(&client, "meter=tokens&from=2024-01-01T00:00:00Z").await;
    let days = windows(&client, "meter=tokens&from=2024-01-01T00:00:00Z&window=day").await;
    let hours =
        windows(&client, "meter=tokens&from=2024-01-02T22:00:00Z&to=2024-01-03T00:00:00Z&window=hour").await;
    let users = windows(&client, "meter=users&from=2024-01-01T00:00:00Z&window=day").await;

    assert_eq!(whole, ["2024-01-01T00:00:00Z 31 5"]);
    assert_eq!(days, ["2024-01-01T23:00:00Z 1 1", "2024-01-02T23:00:00Z 14 3", "2024-01-04T23:00:00Z 16 1"]);
    assert_eq!(hours, ["2024-01-02T22:00:00Z 1 1", "2024-01-02T23:00:00Z 6 2"]);
    assert_eq!(users, ["2024-01-01T23:00:00Z 1 1", "2024-01-02T23:00:00Z 2 3", "2024-01-04T23:00:00Z 1 1"]);
    server.stop().await;
}

#[tokio::test]
async fn a_span_that_cuts_quarters_of_an_hour_counts_the_events_in_it() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;

    let cut = windows(&client, "meter=tokens&from=2024-01-02T22:59:00Z&to=2024-01-02T23:21:00Z").await;
    let narrow = windows(&client, "meter=users&from=2024-01-02T23:19:00Z&to=2024-01-02T23:21:00Z").await;
    let hours =
        windows(&client, "meter=users&from=2024-01-02T22:57:30Z&to=2024-01-02T23:20:30Z&window=hour").await;

    assert_eq!(cut, ["2024-01-02T22:59:00Z 6 2"]);
    assert_eq!(narrow, ["2024-01-02T23:19:00Z 1 1"]);
    assert_eq!(hours, ["2024-01-02T22:57:30Z 1 1", "2024-01-02T23:00:00Z 2 2"]);
    server.stop().await;
}

#[tokio::test]
async fn groups_add_up_to_the_whole() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;

    let path = "/usage?customer=ada&meter=tokens&from=2024-01-01T00:00:00Z&group_by=model";
    let usage = client.get(path).await.expect(200);

    let group = |window: &Value| (window["group"][0].clone(), window["quantity"].clone());
    let groups: Vec<_> = usage["data"].as_array().unwrap().iter().map(group).collect();
    assert_eq!(
        groups,
        [(Value::Null, json!("8")), (json!("large"), json!("19")), (json!("small"), json!("4"))]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_names_its_parameter() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    let from = "from=2024-01-01T00:00:00Z";

    for (query, pointer) in [
        (format!("customer=ada&{from}"), "?meter"),
        ("customer=ada&meter=tokens".to_owned(), "?from"),
        (format!("customer=ada&meter=tokens&{from}&to=2023-01-01T00:00:00Z"), "?from"),
        (format!("customer=ada&meter=tokens&{from}&window=year"), "?window"),
        ("customer=ada&meter=tokens&from=2020-01-01T00:00:00Z&window=hour".to_owned(), "?window"),
        (format!("customer=ada&meter=tokens&{from}&group_by=colour"), "?group_by"),
    ] {
        let refused = client.get(&format!("/usage?{query}")).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}");
    }
    client.get(&format!("/usage?customer=ada&meter=none&{from}")).await.expect_code(404, "not_found");
    client.get(&format!("/usage?customer=none&meter=tokens&{from}")).await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_customer_sees_what_the_open_period_costs_so_far() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;

    let usage = client.get("/customers/ada/usage").await.expect(200);

    let price = &usage["data"][0];
    assert_eq!(
        (&price["meter"], &price["quantity"], &price["amount"]["amount_minor"], &price["period"]["end"]),
        (&json!("tokens"), &json!("31"), &json!(1_550), &json!("2024-01-10T00:00:00Z"))
    );
    server.stop().await;
}
