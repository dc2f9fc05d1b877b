//! Holds: reserved, settled, released, extended, expired.

use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestServer};

use super::credit_notes::{id, minor, tenant};
use super::wallets::{funded, state, usd};

async fn hold(client: &Client, wallet: &str, amount_minor: i64) -> Reply {
    let wallet = wallet.rsplit('/').next().unwrap();
    let body = json!({ "wallet": wallet, "amount": usd(amount_minor), "expires_in": 600 });
    client.post("/holds", body).await
}

async fn settle(client: &Client, hold: &Value, amount_minor: i64) -> Reply {
    client.post(&format!("/holds/{}/settle", id(hold)), json!({ "amount": usd(amount_minor) })).await
}

async fn release(client: &Client, hold: &Value) -> Reply {
    client.post(&format!("/holds/{}/release", id(hold)), json!({})).await
}

#[tokio::test]
async fn what_was_used_of_a_hold_is_taken_and_the_rest_is_free() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 1_000, 0).await;

    let held = hold(&client, &wallet, 600).await.expect(201);
    assert_eq!(state(&client, &wallet).await, [1_000, 600, 400]);
    settle(&client, &held, 601).await.expect_code(422, "invalid_field");
    let settled = settle(&client, &held, 250).await.expect(200);

    assert_eq!((&settled["status"], minor(&settled["settled"])), (&json!("settled"), 250));
    assert_eq!(state(&client, &wallet).await, [750, 0, 750]);
    let again = settle(&client, &held, 250).await.expect_code(409, "hold_not_open");
    assert_eq!(again["status"], 409);
    let entries = client.get(&format!("{wallet}/entries?limit=1")).await.expect(200);
    assert_eq!((&entries["data"][0]["type"], minor(&entries["data"][0]["amount"])), (&json!("hold"), -250));
    server.stop().await;
}

#[tokio::test]
async fn holds_are_swept_in_the_tenants_time_and_an_extension_keeps_them() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;
    let short = hold(&client, &wallet, 40).await.expect(201);
    let long = hold(&client, &wallet, 60).await.expect(201);
    client.post(&format!("/holds/{}/extend", id(&long)), json!({ "expires_in": 7_200 })).await.expect(200);

    client.advance("2024-01-01T01:00:00Z").await;

    let stored = "SELECT string_agg(status, ' ' ORDER BY amount) FROM holds";
    assert_eq!(server.database.text_as_superuser(stored).await, "expired open");
    release(&client, &short).await.expect_code(409, "hold_not_open");
    client.advance("2024-01-01T03:00:00Z").await;
    assert_eq!(server.database.text_as_superuser(stored).await, "expired expired");
    assert_eq!(state(&client, &wallet).await, [100, 0, 100]);
    server.stop().await;
}

#[tokio::test]
async fn a_named_hold_is_made_once_and_its_refusal_stays() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;
    let named = |id: &str, amount: i64| json!({ "id": id, "customer": "acme", "amount": usd(amount) });

    let first = client.post("/holds", named("job", 80)).await.expect(201);
    let refused = client.post("/holds", named("next", 30)).await.expect_code(402, "debt_limit_exceeded");
    release(&client, &first).await.expect(200);
    let again = client.post("/holds", named("job", 80)).await.expect(201);
    let still = client.post("/holds", named("next", 30)).await.expect_code(402, "debt_limit_exceeded");

    assert_eq!(first, again);
    assert_eq!((minor(&refused["held"]), &refused["held"]), (80, &still["held"]));
    client.post("/holds", named("job", 81)).await.expect_code(422, "idempotency_key_reused");
    let keyed = json!({ "customer": "acme", "amount": usd(10) });
    let made = client.post_once("/holds", "key", keyed.clone()).await.expect(201);
    assert_eq!(client.post_once("/holds", "key", keyed).await.expect(201), made);
    assert_eq!(state(&client, &wallet).await, [100, 10, 90]);
    server.stop().await;
}

#[tokio::test]
async fn a_hold_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;
    let wallet = wallet.rsplit('/').next().unwrap();

    for (body, pointer) in [
        (json!({ "amount": usd(1) }), "/wallet"),
        (json!({ "wallet": wallet, "customer": "acme", "amount": usd(1) }), "/wallet"),
        (json!({ "wallet": wallet, "amount": usd(0) }), "/amount"),
        (json!({ "wallet": wallet, "amount": usd(1), "expires_in": 0 }), "/expires_in"),
        (json!({ "wallet": wallet, "amount": usd(1), "expires_in": 2_592_001 }), "/expires_in"),
        (json!({ "wallet": wallet, "amount": usd(1), "id": "" }), "/id"),
    ] {
        let refused = client.post("/holds", body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    let euros = json!({ "wallet": wallet, "amount": { "amount_minor": 1, "currency": "EUR" } });
    client.post("/holds", euros).await.expect_code(422, "currency_mismatch");
    client.post("/holds/hold_x/release", json!({})).await.expect_code(404, "not_found");
    client
        .post("/holds/hold_01kajh6q3we0x9s7v5tqgm3f4h/release", json!({}))
        .await
        .expect_code(404, "not_found");
    server.stop().await;
}
