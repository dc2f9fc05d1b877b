//! Holds: reserved, settled, released, extended, expired.

use futures_util::future::join_all;
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
async fn the_limit_of_500_is_500_holds_however_many_ask_at_once() {
    let server = TestServer::start().await;
    let other = TestServer::start_on(&server.database).await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 0, 500).await;
    let second = Client::new(other.client.base()).with_key(client.key());

    let asked = (0..50).map(|task| {
        let (client, wallet) = (if task % 2 == 0 { &client } else { &second }.clone(), wallet.clone());
        async move {
            let mut statuses = Vec::new();
            for _ in 0..16 {
                statuses.push(hold(&client, &wallet, 1).await.status);
            }
            statuses
        }
    });
    let statuses = join_all(asked).await.concat();

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 500);
    assert_eq!(statuses.iter().filter(|status| **status == 402).count(), 300);
    assert_eq!(state(&client, &wallet).await, [0, 500, 0]);
    other.stop_unchecked().await;
    server.stop().await;
}

#[tokio::test]
async fn of_several_who_resolve_one_hold_one_wins() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 10_000, 0).await;
    let mut spent = 0;

    for round in 0..40 {
        let held = hold(&client, &wallet, 100).await.expect(201);
        let racers = join_all((0..4).map(|racer| {
            let (client, held) = (client.clone(), held.clone());
            async move {
                if (round + racer) % 2 == 0 {
                    settle(&client, &held, 70).await
                } else {
                    release(&client, &held).await
                }
            }
        }))
        .await;
        let won: Vec<_> = racers.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(won.len(), 1);
        spent += minor(&won[0].body["settled"]);
        for lost in racers.into_iter().filter(|reply| reply.status != 200) {
            lost.expect_code(409, "hold_not_open");
        }
    }

    assert_eq!(state(&client, &wallet).await, [10_000 - spent, 0, 10_000 - spent]);
    server.stop().await;
}

#[tokio::test]
async fn a_hold_ends_when_its_time_is_over_whoever_looks() {
    let server = TestServer::start_with(|settings| settings.role = usance_app::config::Role::Api).await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;
    let held = hold(&client, &wallet, 100).await.expect(201);
    let kept =
        client.post(&format!("/holds/{}/extend", id(&held)), json!({ "expires_in": 60 })).await.expect(200);
    assert_eq!(kept["expires_at"], held["expires_at"]);

    // The clock moves without the work that is due: nobody sweeps.
    let moved = "UPDATE test_clocks SET frozen_at = '2024-01-01T00:10:00Z' RETURNING 'moved'";
    server.database.text_as_superuser(moved).await;
    assert_eq!(state(&client, &wallet).await, [100, 0, 100]);
    settle(&client, &held, 1).await.expect_code(409, "hold_not_open");
    hold(&client, &wallet, 100).await.expect(201);
    hold(&client, &wallet, 1).await.expect_code(402, "debt_limit_exceeded");

    let expired = client.get(&format!("/holds/{}", id(&held))).await.expect(200);
    assert_eq!(
        (&expired["status"], &expired["resolved_at"]),
        (&json!("expired"), &json!("2024-01-01T00:10:00Z"))
    );
    let back = "UPDATE test_clocks SET frozen_at = '2024-01-01T00:05:00Z' RETURNING 'moved'";
    server.database.text_as_superuser(back).await;
    assert_eq!(client.get(&format!("/holds/{}", id(&held))).await.expect(200)["status"], "expired");
    assert_eq!(state(&client, &wallet).await, [100, 100, 0]);
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
