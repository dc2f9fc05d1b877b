//! Requests that are sent again.

use serde_json::{Value, json};
use usance_testkit::TestServer;

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_and_run_nothing() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({ "name": "Acme", "currency": "USD" });

    let first = client.post_once("/customers", "key-1", body.clone()).await.expect(201);
    let again = client.post_once("/customers", "key-1", body.clone()).await.expect(201);
    let other = client.post_once("/customers", "key-2", body.clone()).await.expect(201);

    assert_eq!(first, again);
    assert_ne!(first["id"], other["id"]);
    assert_eq!(client.get("/customers").await.expect(200)["data"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.post_once("/customers", "key", json!({ "name": "A", "currency": "USD" })).await.expect(201);

    client
        .post_once("/customers", "key", json!({ "name": "B", "currency": "USD" }))
        .await
        .expect_code(422, "idempotency_key_reused");

    assert_eq!(client.get("/customers").await.expect(200)["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_is_kept_too() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let subscription = json!({ "customer": "later", "plan": "p" });
    let first = client
        .post_once("/subscriptions", "key", subscription.clone())
        .await
        .expect_code(422, "invalid_field");
    client
        .post("/customers", json!({ "external_id": "later", "name": "L", "currency": "USD" }))
        .await
        .expect(201);
    client
        .post(
            "/plans",
            json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [] }),
        )
        .await
        .expect(201);

    let again = client
        .post_once("/subscriptions", "key", subscription.clone())
        .await
        .expect_code(422, "invalid_field");
    client.post_once("/subscriptions", "new-key", subscription).await.expect(201);

    assert_eq!((&first["detail"], &first["errors"]), (&again["detail"], &again["errors"]));
    assert_ne!(first["request_id"], again["request_id"]);
    server.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_a_tenant_a_mode_and_a_route() {
    let server = TestServer::start().await;
    let registered = server.client.register("one").await;
    let key = |name: &str| registered["tenant"][name].as_str().unwrap();
    let (test, live) =
        (server.client.with_key(key("api_key_test_secret")), server.client.with_key(key("api_key_secret")));
    let other = server.client.tenant("two").await;
    let body = json!({ "code": "same", "name": "Same" });

    for client in [&test, &live, &other] {
        client.post_once("/features", "key", body.clone()).await.expect(201);
    }
    let reply = test
        .post_once(
            "/plans",
            "key",
            json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [] }),
        )
        .await;

    assert_eq!(reply.status, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_requests_at_once_with_one_key_have_one_effect_and_one_answer() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    let requests: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            async move {
                client.post_once("/customers", "key", json!({ "name": "Once", "currency": "USD" })).await
            }
        })
        .collect();
    let replies = futures_util::future::join_all(requests).await;

    assert!(replies.iter().all(|reply| reply.status == 201 && reply.text == replies[0].text));
    assert_eq!(client.get("/customers").await.expect(200)["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_too_long_is_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    let long = "k".repeat(256);

    client
        .post_once("/customers", &long, json!({ "name": "A", "currency": "USD" }))
        .await
        .expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn a_path_longer_than_an_index_entry_takes_a_key() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let path = format!("/customers/{}/payment-methods", "c".repeat(6_000));

    client
        .post_once(&path, "key", json!({ "type": "card", "token": "tok_success" }))
        .await
        .expect_code(404, "not_found");

    server.stop().await;
}

#[tokio::test]
async fn a_key_of_what_concerns_the_caller_belongs_to_the_callers_session() {
    // given two sessions of one member and one of another
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let with = |answer: &Value| server.client.with_key(answer["tokens"]["access"].as_str().unwrap());
    let owner = with(&registered);
    let login = json!({ "email": "acme@example.com", "password": "correct horse battery" });
    let second = with(&server.client.post("/auth/tenants/login", login).await.expect(200));
    let invitation = json!({ "email": "grace@example.com", "role": "viewer" });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);
    let acceptance = json!({ "token": invitation["token"], "password": "gravel tulip nine bone" });
    let accept = server.client.post("/auth/tenants/invitations/accept", acceptance);
    let grace = with(&accept.await.expect(201));

    for member in [&second, &grace, &owner] {
        // when
        member.post_once("/auth/tenants/logout", "key", json!({})).await.expect(200);

        // then
        member.get("/auth/tenants/me").await.expect_code(401, "unauthorized");
    }
    server.stop().await;
}
