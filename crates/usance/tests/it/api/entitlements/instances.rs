//! Several instances on one database: what one commits, the others answer by.

use std::time::{Duration, Instant};

use serde_json::json;
use usance_testkit::{Client, TestServer};

use super::{brief, check, plan, prepared, subscribe};
use crate::program::DEADLINE;

/// How long a change may take to be seen everywhere, with room for a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Asks until the answer is the expected one.
async fn becomes(client: &Client, feature: &str, expected: &str) {
    let started = Instant::now();
    loop {
        let answer = brief(client, feature).await;
        if answer == expected {
            return;
        }
        assert!(started.elapsed() < SEEN_WITHIN, "{answer} and not {expected}");
    }
}

#[tokio::test]
async fn another_instance_sees_a_right_end_and_what_was_used_within_a_second() {
    let here = TestServer::start().await;
    let there = TestServer::start_on(&here.database).await;
    let client = prepared(&here).await;
    let other = there.client.with_key(client.key());
    plan(&client, "pro", json!([{ "feature": "exports", "limit": "3" }])).await;
    let subscription = subscribe(&client, "pro").await;
    assert_eq!(brief(&other, "exports").await, r#"true "0" "3""#);

    let body = json!({ "id": "a", "customer": "ada", "feature": "exports", "quantity": "2" });
    client.post("/entitlements/consume", body).await.expect(200);
    becomes(&other, "exports", r#"true "2" "1""#).await;
    client.post(&format!("/subscriptions/{subscription}/pause"), json!({})).await.expect(200);
    becomes(&other, "exports", r#"false "0" "0""#).await;

    let refused = other
        .post("/entitlements/consume", json!({ "id": "b", "customer": "ada", "feature": "exports" }))
        .await;
    refused.expect_code(403, "subscription_inactive");
    there.stop().await;
    here.stop().await;
}

#[tokio::test]
async fn another_instance_sees_a_correction_within_a_second() {
    // given
    let here = TestServer::start().await;
    let there = TestServer::start_on(&here.database).await;
    let client = prepared(&here).await;
    let other = there.client.with_key(client.key());
    let grants = json!([{ "feature": "exports", "limit": "3" }, { "feature": "calls", "limit": "3" }]);
    plan(&client, "pro", grants).await;
    subscribe(&client, "pro").await;
    for feature in ["exports", "calls"] {
        for n in 0..3 {
            let body = json!({ "id": format!("{feature}-{n}"), "customer": "ada", "feature": feature });
            other.post("/entitlements/consume", body).await.expect(200);
        }
        assert_eq!(brief(&other, feature).await, r#"false "3" "0""#);
    }

    // when
    for feature in ["exports", "calls"] {
        client.post(&format!("/events/{feature}-0/void"), json!({})).await.expect(200);
    }

    // then
    for feature in ["exports", "calls"] {
        assert_eq!(brief(&client, feature).await, r#"true "2" "1""#);
        becomes(&other, feature, r#"true "2" "1""#).await;
    }
    there.stop().await;
    here.stop().await;
}

#[tokio::test]
async fn an_instance_that_lost_its_connections_answers_by_what_changed_meanwhile() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "sso" }])).await;
    subscribe(&client, "pro").await;
    assert_eq!(check(&client, "sso").await["allowed"], true);

    // Past row-level security and past NOTIFY, as a change is that was missed.
    let mut admin = server.database.connect_as_superuser().await;
    sqlx::raw_sql("UPDATE subscriptions SET status = 'paused'").execute(&mut admin).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    sqlx::raw_sql(cut).execute(&mut admin).await.unwrap();

    let started = Instant::now();
    while check(&client, "sso").await["allowed"] == true {
        assert!(started.elapsed() < DEADLINE, "the change that was missed stays unseen");
    }
    server.stop_unchecked().await;
}
