//! Voids and amendments: what was stored stays, what counts changes.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A customer whose meters cover every aggregation; only calls at 10.00 and tokens at 1.00 are priced.
async fn subscribed(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    for (code, aggregation, property) in [
        ("calls", "count", None),
        ("tokens", "sum", Some("tokens")),
        ("peak", "max", Some("tokens")),
        ("low", "min", Some("tokens")),
        ("last", "latest", Some("tokens")),
        ("users", "unique_count", Some("user")),
    ] {
        let mut meter = json!({ "code": code, "event_type": "call", "aggregation": aggregation });
        if let Some(property) = property {
            meter["value_property"] = json!(property);
        }
        client.post("/meters", meter).await.expect(201);
    }
    let price = |code: &str, unit: &str| json!({ "code": code, "meter": code, "charge_model": "per_unit", "unit": unit });
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month",
        "prices": [price("calls", "10"), price("tokens", "1")] });
    client.post("/plans", plan).await.expect(201);
    for name in ["ada", "bob"] {
        client
            .post("/customers", json!({ "external_id": name, "name": name, "currency": "USD" }))
            .await
            .expect(201);
        let body = json!({ "customer": name, "plan": "p", "start_at": "2024-01-01T00:00:00Z" });
        client.post("/subscriptions", body).await.expect(201);
    }
    client
}

async fn call(client: &Client, id: &str, time: &str, tokens: i64, user: &str) {
    let event = json!({ "id": id, "type": "call", "customer": "ada", "time": time,
        "properties": { "tokens": tokens, "user": user } });
    client.post("/events", event).await.expect(200);
}

/// What the meters say about January, in the order in which they were made.
async fn january(client: &Client, customer: &str) -> Vec<String> {
    let mut quantities = Vec::new();
    for meter in ["calls", "tokens", "peak", "low", "last", "users"] {
        let path = format!(
            "/usage?customer={customer}&meter={meter}&from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z"
        );
        let usage = client.get(&path).await.expect(200);
        let window = &usage["data"][0];
        quantities.push(window["quantity"].as_str().unwrap_or("-").to_owned());
    }
    quantities
}

async fn three_calls(client: &Client) {
    call(client, "a", "2024-01-05T10:01:00Z", 10, "u1").await;
    call(client, "b", "2024-01-05T10:02:00Z", 70, "u2").await;
    call(client, "c", "2024-01-05T10:03:00Z", 2, "u1").await;
}

/// Kind, quantity and amount of each line of each invoice of a customer, oldest first.
async fn lines(client: &Client, customer: &str) -> Vec<Vec<String>> {
    let page = client.get(&format!("/invoices?customer={customer}&limit=100")).await.expect(200);
    let line = |line: &Value| {
        format!(
            "{} {} {}",
            line["kind"].as_str().unwrap(),
            line["quantity"].as_str().unwrap(),
            line["amount"]["amount_minor"]
        )
    };
    let invoices = page["data"].as_array().unwrap().iter().rev();
    invoices.map(|invoice| invoice["lines"].as_array().unwrap().iter().map(line).collect()).collect()
}

#[tokio::test]
async fn a_voided_event_leaves_every_aggregate_and_stays_in_the_list() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    assert_eq!(january(&client, "ada").await, ["3", "82", "70", "2", "2", "2"]);

    let voided = client.post("/events/b/void", json!({ "reason": "a test" })).await.expect(200);
    let again = client.post("/events/b/void", json!({})).await.expect(200);

    assert_eq!((&voided["status"], &voided["revision"], &again), (&json!("voided"), &json!(0), &voided));
    assert_eq!(january(&client, "ada").await, ["2", "12", "10", "2", "2", "1"]);
    client.post("/events/c/void", json!({})).await.expect(200);
    client.post("/events/a/void", json!({})).await.expect(200);
    assert_eq!(january(&client, "ada").await, ["-"; 6]);
    let list = client.get("/events?customer=ada").await.expect(200);
    let statuses: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|event| event["status"].clone()).collect();
    assert_eq!(statuses, ["voided"; 3]);
    // The id stays taken.
    let replay = json!({ "id": "b", "type": "call", "customer": "ada", "time": "2024-01-05T10:02:00Z",
        "properties": { "tokens": 70, "user": "u2" } });
    assert_eq!(client.post("/events", replay).await.expect(200)["replayed"], 1);
    client.advance("2024-02-01T00:00:00Z").await;
    assert_eq!(lines(&client, "ada").await, [["usage 0 0", "usage 0 0"]]);
    server.stop().await;
}

#[tokio::test]
async fn an_amended_event_counts_as_if_it_had_been_sent_like_that() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;

    let body = json!({ "properties": { "tokens": 5, "user": "u3" } });
    let amended = client.post("/events/b/amend", body.clone()).await.expect(200);
    let again = client.post("/events/b/amend", body).await.expect(200);

    assert_eq!((&amended["status"], &amended["revision"], &again), (&json!("counted"), &json!(1), &amended));
    assert_eq!(january(&client, "ada").await, ["3", "17", "10", "2", "2", "2"]);
    let body = json!({ "customer": "bob", "time": "2024-01-06T00:00:00Z" });
    assert_eq!(client.post("/events/b/amend", body).await.expect(200)["revision"], 2);
    assert_eq!(january(&client, "ada").await, ["2", "12", "10", "2", "2", "1"]);
    assert_eq!(january(&client, "bob").await, ["1", "5", "5", "5", "5", "1"]);
    client.advance("2024-02-01T00:00:00Z").await;
    assert_eq!(lines(&client, "ada").await, [["usage 2 2000", "usage 12 1200"]]);
    assert_eq!(lines(&client, "bob").await, [["usage 1 1000", "usage 5 500"]]);
    server.stop().await;
}

#[tokio::test]
async fn a_correction_of_a_billed_month_is_booked_on_the_next_invoice() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    client.advance("2024-02-01T00:00:00Z").await;
    let issued = client.get("/invoices?customer=ada").await.expect(200)["data"][0].clone();

    client.post("/events/a/void", json!({})).await.expect(200);
    client
        .post("/events/b/amend", json!({ "properties": { "tokens": 100, "user": "u2" } }))
        .await
        .expect(200);
    client.advance("2024-03-01T00:00:00Z").await;

    let expected = [
        vec!["usage 3 3000", "usage 82 8200"],
        // One call less; 102 tokens instead of 82.
        vec!["usage 0 0", "usage 0 0", "adjustment -1 -1000", "adjustment 20 2000"],
    ];
    assert_eq!(lines(&client, "ada").await, expected);
    let path = format!("/invoices/{}", issued["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.expect(200)["lines"], issued["lines"]);
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_does_not_count_or_would_not_is_not_corrected() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    let waiting = json!({ "id": "w", "type": "call", "customer": "nobody", "properties": { "tokens": 1, "user": "u" } });
    client.post("/events", waiting).await.expect(200);

    client.post("/events/unheard-of/void", json!({})).await.expect_code(404, "not_found");
    client.post("/events/w/void", json!({})).await.expect_code(404, "not_found");
    client.post("/events/a/amend", json!({})).await.expect(200);
    let stranger = json!({ "customer": "nobody" });
    client.post("/events/a/amend", stranger).await.expect_code(409, "event_not_correctable");
    let lacking = json!({ "properties": { "user": "u1" } });
    client.post("/events/a/amend", lacking).await.expect_code(422, "event_rejected");
    let ahead = json!({ "time": "2099-01-01T00:00:00Z" });
    client.post("/events/a/amend", ahead).await.expect_code(422, "event_rejected");
    client.post("/events/b/void", json!({})).await.expect(200);
    let voided = json!({ "properties": { "tokens": 1, "user": "u1" } });
    client.post("/events/b/amend", voided).await.expect_code(409, "event_not_correctable");

    assert_eq!(january(&client, "ada").await, ["2", "12", "10", "2", "2", "1"]);
    server.stop().await;
}

async fn session(client: &Client, corrections: Value) -> String {
    let body = json!({ "description": "A probe", "corrections": corrections });
    let session = client.post("/correction-sessions", body).await.expect(201);
    assert_eq!(session["status"], "draft");
    format!("/correction-sessions/{}", session["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_session_counts_when_it_is_applied_and_not_when_it_is_previewed() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    client.advance("2024-02-01T00:00:00Z").await;
    call(&client, "d", "2024-02-01T00:00:00Z", 4, "u1").await;
    let corrections = json!([
        { "event": "b", "action": "void" },
        { "event": "d", "action": "amend", "properties": { "tokens": 9, "user": "u1" } },
    ]);
    let path = session(&client, corrections.clone()).await;

    let preview = client.get(&format!("{path}/preview")).await.expect(200);

    // January: one call and 70 tokens less. February: 14.00 become 19.00, less what January gives back.
    let settled = &preview["settled"];
    assert_eq!(
        (settled.as_array().unwrap().len(), &settled[0]["difference"]["amount_minor"]),
        (1, &json!(-8_000))
    );
    let invoice = client.get("/invoices?customer=ada").await.expect(200)["data"][0]["id"].clone();
    assert_eq!(settled[0]["invoice"], invoice);
    let upcoming = &preview["upcoming"][0];
    assert_eq!(
        (&upcoming["before"]["amount_minor"], &upcoming["after"]["amount_minor"]),
        (&json!(1_400), &json!(-6_100))
    );
    assert_eq!(january(&client, "ada").await, ["3", "82", "70", "2", "2", "2"]);

    let applied = client.post(&format!("{path}/apply"), json!({})).await.expect(200);
    assert_eq!((&applied["status"], &applied["corrections"]), (&json!("applied"), &corrections));
    assert_eq!(january(&client, "ada").await, ["2", "12", "10", "2", "2", "1"]);
    client.post(&format!("{path}/apply"), json!({})).await.expect(200);
    client.get(&format!("{path}/preview")).await.expect_code(409, "correction_session_state");
    client.advance("2024-03-01T00:00:00Z").await;
    let totals =
        client.get("/invoices?customer=ada").await.expect(200)["data"][0]["total"]["amount_minor"].clone();
    assert_eq!(totals, -6_100);
    server.stop().await;
}

#[tokio::test]
async fn an_undone_session_leaves_everything_as_it_was() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    let corrections = json!([
        { "event": "b", "action": "void" },
        { "event": "c", "action": "amend", "customer": "bob", "properties": { "tokens": 900, "user": "u9" } },
    ]);
    let path = session(&client, corrections).await;
    client.post(&format!("{path}/undo"), json!({})).await.expect_code(409, "correction_session_state");
    client.post(&format!("{path}/apply"), json!({})).await.expect(200);
    assert_eq!(january(&client, "ada").await, ["1", "10", "10", "10", "10", "1"]);
    assert_eq!(january(&client, "bob").await, ["1", "900", "900", "900", "900", "1"]);

    let undone = client.post(&format!("{path}/undo"), json!({})).await.expect(200);
    let again = client.post(&format!("{path}/undo"), json!({})).await.expect(200);

    assert_eq!((&undone["status"], &again), (&json!("undone"), &undone));
    assert_eq!(january(&client, "ada").await, ["3", "82", "70", "2", "2", "2"]);
    assert_eq!(january(&client, "bob").await, ["-"; 6]);
    client.post(&format!("{path}/apply"), json!({})).await.expect_code(409, "correction_session_state");
    // What was undone can be corrected again, one by one.
    client.post("/events/c/void", json!({})).await.expect(200);
    assert_eq!(january(&client, "ada").await, ["2", "80", "70", "10", "70", "2"]);
    server.stop().await;
}

#[tokio::test]
async fn a_session_whose_event_was_corrected_since_is_not_undone() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    let amend = json!([{ "event": "b", "action": "amend", "properties": { "tokens": 1, "user": "u1" } }]);
    let path = session(&client, amend).await;
    client.post(&format!("{path}/apply"), json!({})).await.expect(200);
    client.post("/events/b/void", json!({})).await.expect(200);

    let refused = client.post(&format!("{path}/undo"), json!({})).await;

    refused.expect_code(409, "event_not_correctable");
    assert_eq!(january(&client, "ada").await, ["2", "12", "10", "2", "2", "1"]);
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_applied_as_a_whole_or_not_at_all() {
    let server = TestServer::start().await;
    let client = subscribed(&server).await;
    three_calls(&client).await;
    let corrections = json!([{ "event": "a", "action": "void" }, { "event": "nowhere", "action": "void" }]);
    let path = session(&client, corrections).await;

    let refused = client.post(&format!("{path}/apply"), json!({})).await.expect_code(422, "invalid_field");

    assert_eq!(refused["errors"][0]["pointer"], "/corrections/1");
    assert_eq!(january(&client, "ada").await, ["3", "82", "70", "2", "2", "2"]);
    assert_eq!(client.get(&path).await.expect(200)["status"], "draft");
    for faulty in [
        json!([]),
        json!([{ "event": "a", "action": "forget" }]),
        json!([{ "event": "a", "action": "amend" }]),
        json!([{ "event": "a", "action": "void" }, { "event": "a", "action": "void" }]),
    ] {
        let body = json!({ "corrections": faulty });
        client.post("/correction-sessions", body).await.expect_code(422, "invalid_field");
    }
    server.stop().await;
}
