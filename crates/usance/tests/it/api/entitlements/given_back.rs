//! Corrections of what was consumed of features without a meter: the counter follows the events that count.

use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestServer};

use super::{brief, customer, plan, prepared, subscribe};

async fn consume(client: &Client, id: &str, quantity: &str) -> Reply {
    let body = json!({ "id": id, "customer": "ada", "feature": "exports", "quantity": quantity });
    client.post("/entitlements/consume", body).await
}

async fn void(client: &Client, id: &str) -> Value {
    client.post(&format!("/events/{id}/void"), json!({})).await.expect(200)
}

async fn amend(client: &Client, id: &str, body: Value) -> Reply {
    client.post(&format!("/events/{id}/amend"), body).await
}

async fn told(server: &TestServer) -> String {
    let sql = "SELECT string_agg(replace(type, 'entitlement.', ''), ' ' ORDER BY sequence) FROM outbox_events
        WHERE type LIKE 'entitlement.%'";
    server.database.text_as_superuser(sql).await
}

async fn limited(server: &TestServer, limit: &str, reset: &str, window: &str) -> Client {
    let client = prepared(server).await;
    let grants = json!([{ "feature": "exports", "limit": limit, "reset": reset, "window": window }]);
    plan(&client, "pro", grants).await;
    subscribe(&client, "pro").await;
    client
}

#[tokio::test]
async fn a_voided_consumption_is_free_again_and_that_is_told_once() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    consume(&client, "a", "3").await.expect(200);
    consume(&client, "b", "2").await.expect(200);
    consume(&client, "c", "1").await.expect_code(429, "rate_limit_exceeded");

    // when
    let voided = void(&client, "a").await;
    let after = brief(&client, "exports").await;
    let again = void(&client, "a").await;

    // then
    assert_eq!((&voided["status"], &again), (&json!("voided"), &voided));
    assert_eq!(
        (after.as_str(), brief(&client, "exports").await.as_str()),
        (r#"true "2" "3""#, r#"true "2" "3""#)
    );
    client.advance("2024-01-01T12:00:01Z").await;
    assert_eq!(told(&server).await, "exhausted restored");
    consume(&client, "c", "4").await.expect_code(429, "rate_limit_exceeded");
    consume(&client, "c", "3").await.expect(200);
    assert_eq!(told(&server).await, "exhausted restored exhausted");
    server.stop().await;
}

#[tokio::test]
async fn what_was_consumed_in_an_earlier_window_gives_nothing_back() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    consume(&client, "yesterday", "3").await.expect(200);
    client.advance("2024-01-02T00:00:00Z").await;
    consume(&client, "today", "4").await.expect(200);

    // when
    void(&client, "yesterday").await;

    // then
    assert_eq!(brief(&client, "exports").await, r#"true "4" "1""#);
    server.stop().await;
}

#[tokio::test]
async fn a_sliding_window_gives_back_what_still_lies_in_it() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "10", "hour", "sliding").await;
    consume(&client, "noon", "2").await.expect(200);
    client.advance("2024-01-01T12:30:00Z").await;
    consume(&client, "half past", "3").await.expect(200);
    consume(&client, "the same minute", "5").await.expect(200);

    // when
    void(&client, "half%20past").await;
    let within = brief(&client, "exports").await;
    client.advance("2024-01-01T13:00:00Z").await;
    void(&client, "noon").await;
    let left = brief(&client, "exports").await;
    client.advance("2024-01-01T13:30:00Z").await;

    // then
    assert_eq!((within.as_str(), left.as_str()), (r#"true "7" "3""#, r#"true "5" "5""#));
    assert_eq!(brief(&client, "exports").await, r#"true "0" "10""#);
    assert_eq!(told(&server).await, "exhausted restored");
    server.stop().await;
}

#[tokio::test]
async fn an_amended_consumption_counts_as_what_it_says_now() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    customer(&client, "bob").await;
    client.post("/subscriptions", json!({ "customer": "bob", "plan": "pro" })).await.expect(201);
    consume(&client, "a", "3").await.expect(200);
    let said = |quantity: &str| json!({ "properties": { "feature": "exports", "quantity": quantity } });

    // when
    amend(&client, "a", said("1.5")).await.expect(200);
    let less = brief(&client, "exports").await;
    // A correction says what happened, whatever the limit.
    amend(&client, "a", said("7")).await.expect(200);
    let more = brief(&client, "exports").await;
    amend(&client, "a", json!({ "customer": "bob" })).await.expect(200);
    let of_bob = client.get("/entitlements/check?customer=bob&feature=exports").await.expect(200);

    // then
    assert_eq!((less.as_str(), more.as_str()), (r#"true "1.5" "3.5""#, r#"false "7" "0""#));
    assert_eq!(brief(&client, "exports").await, r#"true "0" "5""#);
    assert_eq!((&of_bob["used"], &of_bob["allowed"]), (&json!("7"), &json!(false)));
    for properties in [
        json!({ "feature": "exports" }),
        json!({ "feature": "exports", "quantity": "-1" }),
        json!({ "feature": "sso", "quantity": "1" }),
    ] {
        amend(&client, "a", json!({ "properties": properties })).await.expect_code(422, "event_rejected");
    }
    amend(&client, "a", json!({ "customer": "nobody" })).await.expect_code(409, "event_not_correctable");
    server.stop().await;
}

#[tokio::test]
async fn an_undone_session_counts_what_was_consumed_again() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    for (id, quantity) in [("a", "1"), ("b", "4")] {
        consume(&client, id, quantity).await.expect(200);
    }
    let corrections = json!([{ "event": "a", "action": "void" }, { "event": "b", "action": "void" }]);
    let session =
        client.post("/correction-sessions", json!({ "corrections": corrections })).await.expect(201);
    let path = format!("/correction-sessions/{}", session["id"].as_str().unwrap());

    // when
    client.get(&format!("{path}/preview")).await.expect(200);
    let previewed = brief(&client, "exports").await;
    client.post(&format!("{path}/apply"), json!({})).await.expect(200);
    let applied = brief(&client, "exports").await;
    client.post(&format!("{path}/undo"), json!({})).await.expect(200);

    // then
    assert_eq!((previewed.as_str(), applied.as_str()), (r#"false "5" "0""#, r#"true "0" "5""#));
    assert_eq!(brief(&client, "exports").await, r#"false "5" "0""#);
    assert_eq!(told(&server).await, "exhausted restored exhausted");
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_only_looks_like_a_consumption_gives_nothing_back() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    consume(&client, "a", "3").await.expect(200);
    let plan = json!({ "code": "calling", "name": "Calling", "currency": "USD", "interval": "month",
        "prices": [{ "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" }] });
    client.post("/plans", plan).await.expect(201);
    subscribe(&client, "calling").await;
    let event = json!({ "id": "counted", "type": "call", "customer": "ada",
        "properties": { "feature": "exports", "quantity": "2" } });
    client.post("/events", event).await.expect(200);

    // when
    void(&client, "counted").await;

    // then
    assert_eq!(brief(&client, "exports").await, r#"true "3" "2""#);
    server.stop().await;
}

#[tokio::test]
async fn a_paused_subscription_has_back_what_was_voided_when_it_is_resumed() {
    // given
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "exports", "limit": "5" }])).await;
    let subscription = subscribe(&client, "pro").await;
    consume(&client, "a", "3").await.expect(200);
    client.post(&format!("/subscriptions/{subscription}/pause"), json!({})).await.expect(200);

    // when
    void(&client, "a").await;
    client.post(&format!("/subscriptions/{subscription}/resume"), json!({})).await.expect(200);

    // then
    assert_eq!(brief(&client, "exports").await, r#"true "0" "5""#);
    server.stop().await;
}

#[tokio::test]
async fn what_was_settled_of_a_hold_is_given_back_like_what_was_consumed() {
    // given
    let server = TestServer::start().await;
    let client = limited(&server, "5", "day", "fixed").await;
    let body = json!({ "customer": "ada", "feature": "exports", "quantity": "4", "expires_in": 600 });
    let hold = client.post("/holds", body).await.expect(201)["id"].as_str().unwrap().to_owned();
    client.post(&format!("/holds/{hold}/settle"), json!({ "quantity": "3" })).await.expect(200);
    consume(&client, "a", "2").await.expect(200);

    // when
    void(&client, &hold).await;

    // then
    assert_eq!(brief(&client, "exports").await, r#"true "2" "3""#);
    server.stop().await;
}
