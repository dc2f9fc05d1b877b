//! Consuming: exact under concurrency, once per id, and told once per crossing.

use futures_util::future::join_all;
use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestDatabase, TestServer};

use super::{brief, call, check, plan, prepared, subscribe};
use crate::failpoints::Gate;

async fn consume(client: &Client, id: &str, feature: &str, quantity: &str) -> Reply {
    let body = json!({ "id": id, "customer": "ada", "feature": feature, "quantity": quantity });
    client.post("/entitlements/consume", body).await
}

/// The entitlement events that were written, oldest first.
async fn told(server: &TestServer) -> String {
    let sql = "SELECT string_agg(replace(type, 'entitlement.', ''), ' ' ORDER BY sequence) FROM outbox_events
        WHERE type LIKE 'entitlement.%'";
    server.database.text_as_superuser(sql).await
}

#[tokio::test]
async fn a_hard_limit_holds_however_many_consume_at_once() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let grants = json!([{ "feature": "exports", "limit": "20" }, { "feature": "calls", "limit": "7", "reset": "day" }]);
    plan(&client, "pro", grants).await;
    subscribe(&client, "pro").await;

    for (feature, limit) in [("exports", 20), ("calls", 7)] {
        let racers = (0..30).map(|n| {
            let (client, id) = (client.clone(), format!("{feature}-{n}"));
            async move { consume(&client, &id, feature, "1").await.status }
        });
        let statuses = join_all(racers).await;

        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(200), count(429)), (limit, 30 - limit), "{feature}");
        assert_eq!(brief(&client, feature).await, format!(r#"false "{limit}" "0""#));
    }
    // The events of what was refused are not there.
    assert_eq!(server.database.count("SELECT count(*) FROM events").await, 27);
    server.stop().await;
}

#[tokio::test]
async fn features_that_share_a_meter_share_its_usage_also_at_once() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    client.post("/features", json!({ "code": "more-calls", "meter": "calls" })).await.expect(201);
    let grants = ["calls", "more-calls"].map(|feature| json!({ "feature": feature, "limit": "7" }));
    plan(&client, "pro", json!(grants)).await;
    subscribe(&client, "pro").await;

    let racers = (0..30).map(|n| {
        let (client, id) = (client.clone(), format!("call-{n}"));
        let feature = if n % 2 == 0 { "calls" } else { "more-calls" };
        async move { consume(&client, &id, feature, "1").await.status }
    });
    let statuses = join_all(racers).await;

    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
    for feature in ["calls", "more-calls"] {
        assert_eq!(brief(&client, feature).await, r#"false "7" "0""#);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_same_id_consumes_once_and_another_payload_conflicts() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(
        &client,
        "pro",
        json!([{ "feature": "exports", "limit": "3" }, { "feature": "calls", "limit": "3" }]),
    )
    .await;
    subscribe(&client, "pro").await;

    for feature in ["exports", "calls"] {
        let racers = (0..8).map(|_| consume(&client, feature, feature, "1"));
        let answers: Vec<_> = join_all(racers).await.into_iter().map(|reply| reply.expect(200)).collect();

        let fresh = answers.iter().filter(|answer| answer["replayed"] == false).count();
        assert_eq!(fresh, 1, "{feature}: {answers:?}");
        assert_eq!(brief(&client, feature).await, r#"true "1" "2""#);
    }
    consume(&client, "exports", "exports", "2").await.expect_code(409, "event_conflict");
    let sent = call(&client, "calls").await;
    assert_eq!(sent["replayed"], 1);
    server.stop().await;
}

#[tokio::test]
async fn what_came_as_an_event_before_is_acknowledged_when_it_is_durable() {
    // given
    let database = TestDatabase::new().await;
    let gate = Gate::open(&database);
    let server = TestServer::start_with_on(&database, |settings| {
        settings.database_url = Some(gate.url.clone().into());
    })
    .await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "calls", "limit": "3" }])).await;
    subscribe(&client, "pro").await;
    call(&client, "first").await;
    gate.arm(None);

    // when
    let answer = consume(&client, "first", "calls", "1").await.expect(200);

    // then
    assert_eq!(answer["replayed"], true);
    assert!(gate.statements().contains(&"db::flush".to_owned()), "{:?}", gate.statements());
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_the_products_caller_needs_and_leaves_the_id_free() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "trial", json!([{ "feature": "exports", "limit": "2", "reset": "day" }])).await;
    let inactive = consume(&client, "a", "exports", "1").await;
    subscribe(&client, "trial").await;
    consume(&client, "a", "exports", "1.5").await.expect(200);

    let refused = consume(&client, "b", "exports", "0.6").await;
    let not_included = consume(&client, "c", "sso", "1").await;
    client.advance("2024-01-02T00:00:00Z").await;
    let next_day = consume(&client, "b", "exports", "0.6").await.expect(200);

    let body = inactive.expect_code(403, "subscription_inactive");
    assert_eq!((&body["error"], &body["tier"]), (&json!("subscription_inactive"), &Value::Null));
    not_included.expect_code(403, "feature_not_included");
    assert_eq!(refused.header("retry-after"), Some("43200"));
    assert_eq!(refused.header("x-api-calls-remaining"), Some("0.5"));
    let body = refused.expect_code(429, "rate_limit_exceeded");
    assert_eq!(
        (&body["used"], &body["limit"], &body["allowed"]),
        (&json!("1.5"), &json!("2"), &json!(false))
    );
    assert_eq!((&body["tier"], &body["tier_status"]), (&json!("trial"), &json!("active")));
    assert_eq!(body["upgrade_url"], "/billing/upgrade");
    assert_eq!(next_day["used"], "0.6");
    server.stop().await;
}

#[tokio::test]
async fn a_sliding_window_lets_the_thousandth_through_and_frees_what_leaves_it() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let grants = json!([{ "feature": "exports", "limit": "1000", "reset": "hour", "window": "sliding" }]);
    plan(&client, "free", grants).await;
    subscribe(&client, "free").await;

    consume(&client, "a", "exports", "600").await.expect(200);
    client.advance("2024-01-01T12:30:00Z").await;
    consume(&client, "b", "exports", "399").await.expect(200);
    consume(&client, "thousandth", "exports", "1").await.expect(200);
    let refused = consume(&client, "next", "exports", "1").await.expect_code(429, "rate_limit_exceeded");
    client.advance("2024-01-01T12:59:59Z").await;
    consume(&client, "next", "exports", "1").await.expect_code(429, "rate_limit_exceeded");
    client.advance("2024-01-01T13:00:00Z").await;
    let freed = consume(&client, "next", "exports", "600").await.expect(200);

    assert_eq!(refused["reset_at"], "2024-01-01T13:00:00Z");
    assert_eq!((&freed["used"], &freed["remaining"]), (&json!("1000"), &json!("0")));
    server.stop().await;
}

#[tokio::test]
async fn a_crossing_is_told_once_and_its_end_once() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "exports", "limit": "2", "reset": "day", "hard": false }]))
        .await;
    let subscription = subscribe(&client, "pro").await;

    for id in ["a", "b", "c", "c"] {
        consume(&client, id, "exports", "1").await.expect(200);
    }
    let over = check(&client, "exports").await;
    assert_eq!(told(&server).await, "exhausted");
    client.advance("2024-01-02T12:00:00Z").await;
    assert_eq!(told(&server).await, "exhausted restored");
    consume(&client, "d", "exports", "2").await.expect(200);
    let more = json!({ "entitlements": [{ "feature": "exports", "limit": "5", "reset": "day" }] });
    client.put(&format!("/subscriptions/{subscription}/entitlements"), more).await.expect(200);
    client.advance("2024-01-02T12:00:01Z").await;

    assert_eq!((&over["allowed"], &over["overage"]), (&json!(true), &json!("1")));
    assert_eq!(told(&server).await, "exhausted restored exhausted restored");
    server.stop().await;
}

#[tokio::test]
async fn a_voided_event_gives_back_what_it_used_at_once_and_that_is_told() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "calls", "limit": "2", "reset": "day" }])).await;
    subscribe(&client, "pro").await;
    call(&client, "sent").await;
    consume(&client, "consumed", "calls", "1").await.expect(200);
    consume(&client, "more", "calls", "1").await.expect_code(429, "rate_limit_exceeded");
    assert_eq!(brief(&client, "calls").await, r#"false "2" "0""#);

    client.post("/events/sent/void", json!({})).await.expect(200);
    let voided = brief(&client, "calls").await;
    client.advance("2024-01-01T12:00:01Z").await;

    assert_eq!(voided, r#"true "1" "1""#);
    assert_eq!(told(&server).await, "exhausted restored");
    consume(&client, "more", "calls", "1").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn what_is_consumed_of_a_meter_is_billed_and_counts_with_the_events_sent() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let meter = json!({ "code": "tokens", "event_type": "llm", "aggregation": "sum", "value_property": "n",
        "filters": { "kind": ["chat"] } });
    client.post("/meters", meter).await.expect(201);
    client.post("/features", json!({ "code": "tokens", "meter": "tokens" })).await.expect(201);
    let plan = json!({ "code": "pro", "name": "Pro", "currency": "USD", "interval": "month",
        "prices": [{ "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.1" }],
        "entitlements": [{ "feature": "tokens", "limit": "100" }] });
    client.post("/plans", plan).await.expect(201);
    subscribe(&client, "pro").await;
    let event =
        json!({ "id": "sent", "type": "llm", "customer": "ada", "properties": { "n": 30, "kind": "chat" } });
    client.post("/events", event).await.expect(200);

    let body = |id: &str, quantity: &str, kind: &str| json!({ "id": id, "customer": "ada", "feature": "tokens", "quantity": quantity, "properties": { "kind": kind } });
    let taken = client.post("/entitlements/consume", body("a", "69.5", "chat")).await.expect(200);
    client
        .post("/entitlements/consume", body("b", "1", "chat"))
        .await
        .expect_code(429, "rate_limit_exceeded");
    client.post("/entitlements/consume", body("c", "0.1", "image")).await.expect_code(422, "invalid_field");
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!((&taken["used"], &taken["remaining"]), (&json!("99.5"), &json!("0.5")));
    let invoices = client.get("/invoices").await.expect(200);
    assert_eq!(invoices["data"][0]["subtotal"]["amount_minor"], 995);
    server.stop().await;
}

#[tokio::test]
async fn quantities_that_are_none_are_refused_and_change_nothing() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "exports" }, { "feature": "calls" }])).await;
    subscribe(&client, "pro").await;

    for quantity in ["0", "-1", "NaN", "1e400", "1.0000000000001", "99999999999999999"] {
        let refused = consume(&client, "a", "exports", quantity).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], "/quantity");
    }
    consume(&client, "a", "calls", "2").await.expect_code(422, "invalid_field");
    consume(&client, "", "exports", "1").await.expect_code(422, "invalid_field");
    consume(&client, "a", "nothing", "1").await.expect_code(404, "not_found");
    let body = json!({ "id": "a", "customer": "ada", "feature": "exports", "properties": [1] });
    client.post("/entitlements/consume", body).await.expect_code(422, "invalid_field");

    assert_eq!(brief(&client, "exports").await, r#"true "0" null"#);
    consume(&client, "a", "exports", "9999999999999999").await.expect(200);
    server.stop().await;
}
