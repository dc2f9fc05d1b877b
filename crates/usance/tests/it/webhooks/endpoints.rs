//! Endpoints as a tenant manages them.

use serde_json::{Value, json};
use usance_testkit::{Receiver, TestServer};

use super::{add_endpoint, calls_loopback, happen, id, tenant};

#[tokio::test]
async fn a_tenant_keeps_a_list_of_endpoints() {
    // given
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(calls_loopback).await;
    let (_, _, client) = tenant(&server, "acme").await;

    // when
    let body = json!({ "url": receiver.url(), "description": "Books", "event_types": ["invoice.paid"] });
    let created = client.post("/webhook-endpoints", body).await.expect(201);
    let path = format!("/webhook-endpoints/{}", id(&created));
    let second = add_endpoint(&client, &receiver.url(), &[]).await;
    let changed =
        client.patch(&path, json!({ "description": "Ledger", "event_types": [] })).await.expect(200);

    // then
    let secret = created["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && second["secret"] != created["secret"]);
    assert!(id(&created).starts_with("whe_"));
    assert_eq!(
        (&changed["description"], &changed["event_types"], &changed["url"]),
        (&json!("Ledger"), &json!([]), &json!(receiver.url()))
    );
    let shown = client.get(&path).await.expect(200);
    assert!(shown.get("secret").is_none() && shown["secret_masked"].as_str().unwrap().len() < 24);
    let listed = client.get("/webhook-endpoints").await.expect(200);
    assert_eq!([&listed["data"][0]["id"], &listed["data"][1]["id"]], [&second["id"], &created["id"]]);
    assert!(!listed.to_string().contains(secret));
    client.delete(&path).await.expect(204);
    client.delete(&path).await.expect_code(404, "not_found");
    assert_eq!(client.get("/webhook-endpoints").await.expect(200)["data"].as_array().unwrap().len(), 1);
    let types = client.get("/webhook-event-types").await.expect(200);
    assert!(types["data"].as_array().unwrap().contains(&json!("invoice.paid")));
    server.stop().await;
}

#[tokio::test]
async fn a_test_event_is_answered_at_once_and_leaves_no_delivery() {
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(calls_loopback).await;
    let (_, _, client) = tenant(&server, "acme").await;
    let endpoint = add_endpoint(&client, &receiver.url(), &[]).await;

    let path = format!("/webhook-endpoints/{}/test", id(&endpoint));
    let tested = client.post(&path, json!({ "event_type": "invoice.paid" })).await.expect(200);

    assert_eq!((&tested["success"], &tested["status_code"]), (&json!(true), &json!(204)));
    assert_eq!(receiver.next().await.json(), tested["event_sent"]);
    assert_eq!(client.get("/deliveries").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_is_refused_field_by_field() {
    let server = TestServer::start().await;
    let (_, _, client) = tenant(&server, "acme").await;

    let body = json!({ "url": "http://10.0.0.1/", "description": "a\u{7}", "event_types": ["invoice.paid", "invoice.payed"] });
    let refused = client.post("/webhook-endpoints", body).await.expect_code(422, "invalid_field");

    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|it| it["pointer"].clone()).collect();
    assert_eq!(pointers, ["/url", "/description", "/event_types/1"]);
    client.get("/webhook-endpoints/nonsense").await.expect_code(404, "not_found");
    client.get("/deliveries?status=lost").await.expect_code(422, "invalid_field");
    client.get("/deliveries?endpoint=nonsense").await.expect_code(422, "invalid_field");
    assert_eq!(client.get("/webhook-endpoints").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn in_live_mode_an_address_needs_tls() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let live = server.client.with_key(registered["tenant"]["api_key_secret"].as_str().unwrap());
    let test = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());

    live.post("/webhook-endpoints", json!({ "url": "http://example.com/" }))
        .await
        .expect_code(422, "invalid_field");
    live.post("/webhook-endpoints", json!({ "url": "https://example.com:8443/" }))
        .await
        .expect_code(422, "invalid_field");
    live.post("/webhook-endpoints", json!({ "url": "https://example.com/" })).await.expect(201);
    test.post("/webhook-endpoints", json!({ "url": "http://example.com/" })).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_mode_has_at_most_twenty_endpoints() {
    let server = TestServer::start().await;
    let (_, _, client) = tenant(&server, "acme").await;
    let body = json!({ "url": "https://example.com/" });
    let mut first = Value::Null;
    for _ in 0..20 {
        first = client.post("/webhook-endpoints", body.clone()).await.expect(201);
    }

    client.post("/webhook-endpoints", body.clone()).await.expect_code(409, "webhook_endpoint_state");
    client.delete(&format!("/webhook-endpoints/{}", id(&first))).await.expect(204);
    client.post("/webhook-endpoints", body).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn what_is_rolled_back_is_told_to_nobody() {
    // given
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(calls_loopback).await;
    let (_, _, client) = tenant(&server, "acme").await;
    add_endpoint(&client, &receiver.url(), &[]).await;
    happen(&client, "calls").await;
    receiver.next().await;

    // when
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect_code(409, "meter_exists");

    // then
    assert_eq!(client.get("/deliveries").await.expect(200)["data"].as_array().unwrap().len(), 1);
    server.stop().await;
    assert!(receiver.rest().await.is_empty());
}
