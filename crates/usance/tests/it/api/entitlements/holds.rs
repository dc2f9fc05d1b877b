//! Holds of units: they count against the limit until they are settled, released or expired.

use futures_util::future::join_all;
use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestServer};

use super::{brief, check, plan, prepared, subscribe};
use crate::api::credit_notes::id;

async fn hold(client: &Client, feature: &str, quantity: &str) -> Reply {
    let body = json!({ "customer": "ada", "feature": feature, "quantity": quantity, "expires_in": 600 });
    client.post("/holds", body).await
}

async fn settle(client: &Client, hold: &Value, quantity: &str) -> Reply {
    client.post(&format!("/holds/{}/settle", id(hold)), json!({ "quantity": quantity })).await
}

async fn release(client: &Client, hold: &Value) -> Reply {
    client.post(&format!("/holds/{}/release", id(hold)), json!({})).await
}

async fn consume(client: &Client, event: &str, feature: &str, quantity: &str) -> Reply {
    let body = json!({ "id": event, "customer": "ada", "feature": feature, "quantity": quantity });
    client.post("/entitlements/consume", body).await
}

/// A tenant whose customer may use so much of `exports` in a day.
async fn limited(server: &TestServer, limit: &str) -> Client {
    let client = prepared(server).await;
    plan(&client, "pro", json!([{ "feature": "exports", "limit": limit, "reset": "day" }])).await;
    subscribe(&client, "pro").await;
    client
}

#[tokio::test]
async fn what_is_held_counts_for_everybody_until_what_was_used_of_it_is_recorded_once() {
    let server = TestServer::start().await;
    let client = limited(&server, "10").await;

    let held = hold(&client, "exports", "6.5").await.expect(201);
    let beyond = hold(&client, "exports", "4").await;
    consume(&client, "a", "exports", "3.6").await.expect_code(429, "rate_limit_exceeded");
    consume(&client, "a", "exports", "3.5").await.expect(200);
    let while_held = check(&client, "exports").await;
    settle(&client, &held, "6.6").await.expect_code(422, "invalid_field");
    let settled = settle(&client, &held, "2.25").await.expect(200);
    settle(&client, &held, "2.25").await.expect_code(409, "hold_not_open");

    assert_eq!(
        (&held["feature"], &held["quantity"], &held["status"]),
        (&json!("exports"), &json!("6.5"), &json!("open"))
    );
    assert_eq!(beyond.header("retry-after"), Some("43200"));
    let refused = beyond.expect_code(429, "rate_limit_exceeded");
    assert_eq!(
        (&refused["held"], &refused["remaining"], &refused["used"]),
        (&json!("6.5"), &json!("3.5"), &json!("0"))
    );
    assert_eq!(
        (&while_held["used"], &while_held["held"], &while_held["remaining"], &while_held["allowed"]),
        (&json!("3.5"), &json!("6.5"), &json!("0"), &json!(false))
    );
    assert_eq!((&settled["status"], &settled["settled_quantity"]), (&json!("settled"), &json!("2.25")));
    assert_eq!(brief(&client, "exports").await, r#"true "5.75" "4.25""#);
    let recorded = format!(
        "SELECT count(*) FROM events WHERE properties::jsonb->>'quantity' = '2.25' AND id = '{}'",
        id(&held)
    );
    assert_eq!(server.database.count(&recorded).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_hard_limit_holds_however_many_hold_and_consume_at_once() {
    let server = TestServer::start().await;
    let other = TestServer::start_on(&server.database).await;
    let client = limited(&server, "20").await;
    let second = other.client.with_key(client.key());

    let racers = (0..40).map(|n| {
        let client = if n % 2 == 0 { client.clone() } else { second.clone() };
        async move {
            if n % 4 < 2 {
                hold(&client, "exports", "1").await.status
            } else {
                consume(&client, &format!("event-{n}"), "exports", "1").await.status
            }
        }
    });
    let statuses = join_all(racers).await;

    assert_eq!(statuses.iter().filter(|status| **status < 300).count(), 20);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 20);
    let taken = "SELECT (used + held)::text FROM entitlement_counters";
    assert_eq!(server.database.text_as_superuser(taken).await, "20");
    other.stop_unchecked().await;
    server.stop().await;
}

#[tokio::test]
async fn a_hold_whose_time_is_over_is_free_whoever_looks_and_is_swept() {
    let server = TestServer::start().await;
    let client = limited(&server, "10").await;
    let short = hold(&client, "exports", "6").await.expect(201);
    let long = hold(&client, "exports", "4").await.expect(201);
    client.post(&format!("/holds/{}/extend", id(&long)), json!({ "expires_in": 86_400 })).await.expect(200);

    client.advance("2024-01-01T12:10:00Z").await;
    assert_eq!(brief(&client, "exports").await, r#"true "0" "6""#);
    let stored = "SELECT string_agg(status, ' ' ORDER BY quantity) FROM feature_holds";
    assert_eq!(server.database.text_as_superuser(stored).await, "open expired");
    settle(&client, &short, "1").await.expect_code(409, "hold_not_open");
    // A day later the window is a new one, and what is held counts there.
    client.advance("2024-01-02T00:00:00Z").await;
    assert_eq!(brief(&client, "exports").await, r#"true "0" "6""#);
    client.advance("2024-01-02T12:00:00Z").await;

    assert_eq!(server.database.text_as_superuser(stored).await, "expired expired");
    assert_eq!(brief(&client, "exports").await, r#"true "0" "10""#);
    assert_eq!(client.get(&format!("/holds/{}", id(&long))).await.expect(200)["status"], "expired");
    server.stop().await;
}

#[tokio::test]
async fn a_named_hold_is_made_once_and_a_refused_name_stays_free() {
    let server = TestServer::start().await;
    let client = limited(&server, "10").await;
    let named = |id: &str, quantity: &str| json!({ "id": id, "customer": "ada", "feature": "exports", "quantity": quantity });

    let racers = join_all((0..6).map(|_| client.post("/holds", named("job", "8")))).await;
    let made: Vec<Value> = racers.into_iter().map(|reply| reply.expect(201)).collect();
    client.post("/holds", named("next", "3")).await.expect_code(429, "rate_limit_exceeded");
    release(&client, &made[0]).await.expect(200);
    let again = client.post("/holds", named("job", "8")).await.expect(201);
    client.post("/holds", named("next", "3")).await.expect(201);

    assert!(made.iter().all(|hold| hold == &again), "{made:?}");
    client.post("/holds", named("job", "7")).await.expect_code(422, "idempotency_key_reused");
    let keyed = json!({ "customer": "ada", "feature": "exports" });
    let first = client.post_once("/holds", "key", keyed.clone()).await.expect(201);
    assert_eq!(client.post_once("/holds", "key", keyed).await.expect(201), first);
    assert_eq!(brief(&client, "exports").await, r#"true "0" "6""#);
    server.stop().await;
}

#[tokio::test]
async fn a_hold_is_settled_whatever_became_of_the_limit_and_the_subscription() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "exports", "limit": "10" }])).await;
    let subscription = subscribe(&client, "pro").await;
    let first = hold(&client, "exports", "6").await.expect(201);
    let second = hold(&client, "exports", "3").await.expect(201);

    let less = json!({ "entitlements": [{ "feature": "exports", "limit": "2" }] });
    client.put(&format!("/subscriptions/{subscription}/entitlements"), less).await.expect(200);
    settle(&client, &first, "5").await.expect(200);
    let over = check(&client, "exports").await;
    client
        .post(&format!("/subscriptions/{subscription}/cancel"), json!({ "at_period_end": false }))
        .await
        .expect(200);
    settle(&client, &second, "3").await.expect(200);

    assert_eq!((&over["used"], &over["held"], &over["remaining"]), (&json!("5"), &json!("3"), &json!("0")));
    hold(&client, "exports", "1").await.expect_code(403, "subscription_inactive");
    assert_eq!(server.database.count("SELECT count(*) FROM events").await, 2);
    server.stop().await;
}

#[tokio::test]
async fn what_is_settled_of_a_meter_is_billed() {
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

    let held = hold(&client, "tokens", "99.5").await.expect(201);
    let path = format!("/holds/{}/settle", id(&held));
    client.post(&path, json!({ "quantity": "40" })).await.expect_code(422, "invalid_field");
    let used = json!({ "quantity": "40", "properties": { "kind": "chat" } });
    client.post(&path, used).await.expect(200);
    assert_eq!(brief(&client, "tokens").await, r#"true "40" "60""#);
    client.advance("2024-02-01T00:00:00Z").await;

    let invoices = client.get("/invoices").await.expect(200);
    assert_eq!(invoices["data"][0]["subtotal"]["amount_minor"], 400);
    server.stop().await;
}

#[tokio::test]
async fn the_database_itself_counts_what_is_held_and_keeps_what_is_resolved() {
    let server = TestServer::start().await;
    let client = limited(&server, "10").await;
    let held = hold(&client, "exports", "6").await.expect(201);
    settle(&client, &held, "0").await.expect(200);
    hold(&client, "exports", "2").await.expect(201);

    let mut owner = server.database.connect_as_superuser().await;
    for (sql, constraint) in [
        (
            "UPDATE feature_holds SET status = 'open', resolved_at = NULL WHERE status = 'settled'",
            "holds_open_check",
        ),
        (
            "UPDATE feature_holds SET settled = 3, status = 'settled', resolved_at = now() WHERE status = 'open'",
            "feature_holds_quantity_check",
        ),
        ("UPDATE entitlement_counters SET held = -1", "entitlement_counters_held_check"),
    ] {
        let error = sqlx::query(sql).execute(&mut owner).await.unwrap_err();
        let refused = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(refused, Some(constraint), "{sql}: {error}");
    }
    let held = "SELECT held::text FROM entitlement_counters";
    assert_eq!(server.database.text_as_superuser(held).await, "2");

    sqlx::query("UPDATE entitlement_counters SET held = 1").execute(&mut owner).await.unwrap();
    let report = usance_app::check::check(&server.app().db).await.unwrap();
    assert_eq!(report.violations.len(), 1);
    assert_eq!(report.violations[0].finding.detail, "1 is held, and its open holds hold 2.000000000000");
    server.stop_unchecked().await;
}

#[tokio::test]
async fn a_hold_of_units_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let client = limited(&server, "10").await;
    let money = json!({ "amount_minor": 1, "currency": "USD" });

    for (body, pointer) in [
        (json!({ "customer": "ada" }), "/amount"),
        (json!({ "customer": "ada", "quantity": "1" }), "/amount"),
        (json!({ "feature": "exports" }), "/customer"),
        (json!({ "wallet": "wal_x", "feature": "exports" }), "/customer"),
        (json!({ "customer": "ada", "feature": "exports", "amount": money }), "/feature"),
        (json!({ "customer": "ada", "quantity": "1", "amount": money }), "/feature"),
        (json!({ "customer": "ada", "feature": "exports", "id": "" }), "/id"),
        (json!({ "customer": "ada", "feature": "exports", "expires_in": 0 }), "/expires_in"),
    ] {
        let refused = client.post("/holds", body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    hold(&client, "sso", "1").await.expect_code(403, "feature_not_included");
    hold(&client, "nothing", "1").await.expect_code(404, "not_found");
    client
        .post("/holds", json!({ "customer": "bob", "feature": "exports" }))
        .await
        .expect_code(404, "not_found");
    let held = hold(&client, "exports", "1").await.expect(201);
    let path = format!("/holds/{}/settle", id(&held));
    for (body, pointer) in [
        (json!({ "amount": money }), "/amount"),
        (json!({}), "/amount"),
        (json!({ "quantity": "1", "description": "x" }), "/description"),
        (json!({ "amount": money, "type": "x" }), "/type"),
    ] {
        let refused = client.post(&path, body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    assert_eq!(brief(&client, "exports").await, r#"true "0" "9""#);
    server.stop().await;
}
