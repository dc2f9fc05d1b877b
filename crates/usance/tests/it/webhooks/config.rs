//! The routes of the one default endpoint.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use usance_testkit::{Receiver, ReceiverReply, TestServer};

use super::{calls_loopback, happen, tenant};

const CONFIG: &str = "/auth/tenants/webhooks/config/";
const TEST: &str = "/auth/tenants/webhooks/test/";

/// What `openssl dgst -sha256 -hmac` gives.
fn hex_hmac(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = hmac::sign(&key, body);
    signed.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test]
async fn a_tenant_configures_tests_and_removes_its_webhook() {
    // given
    let receiver = Receiver::answering(|_| ReceiverReply::status(200).saying("x".repeat(600))).await;
    let server = TestServer::start_with(calls_loopback).await;
    let (registered, owner, _) = tenant(&server, "acme").await;
    let secret = registered["tenant"]["webhook_secret"].as_str().unwrap();

    // when nothing is configured
    let empty = owner.get(CONFIG).await.expect(200);
    let refused = owner.post(TEST, json!({})).await.expect_code(400, "invalid_field");

    // then
    assert_eq!((&empty["configured"], &empty["webhook_url"]), (&json!(false), &Value::Null));
    assert_eq!(empty["instructions"]["signature_header"], "X-Webhook-Signature");
    assert_eq!(refused["error"], "No webhook URL configured");

    // when it is configured and tested
    let configured = owner.post(CONFIG, json!({ "webhook_url": receiver.url() })).await.expect(200);
    let shown = owner.get(CONFIG).await.expect(200);
    let body = json!({ "event_type": "test.webhook", "test_data": { "hello": "world" } });
    let tested = owner.post(TEST, body).await.expect(200);

    // then
    assert_eq!(configured["webhook_url"], receiver.url());
    assert_eq!(configured["test_url"], format!("/api/v1{TEST}"));
    assert!(configured.get("webhook_secret").is_none(), "the secret of the registration stays");
    assert_eq!((&shown["configured"], &shown["webhook_url"]), (&json!(true), &json!(receiver.url())));
    let masked = shown["webhook_secret"].as_str().unwrap();
    assert!(masked.starts_with("whsec_") && masked.contains("****...") && masked.len() < 24, "{masked}");
    assert_eq!((&tested["status_code"], &tested["success"]), (&json!(200), &json!(true)));
    assert_eq!(tested["response_body"].as_str().unwrap().len(), 500);
    assert!(tested["response_time_ms"].is_i64() && tested["webhook_url"] == receiver.url());
    let received = receiver.next().await;
    assert_eq!(received.json(), tested["event_sent"]);
    let event = &tested["event_sent"];
    assert!(event["id"].as_str().unwrap().starts_with("evt_test_"));
    assert_eq!((&event["object"], &event["type"]), (&json!("event"), &json!("test.webhook")));
    assert_eq!(event["data"]["object"], json!({ "hello": "world" }));
    assert_eq!((&event["livemode"], &event["tenant"]["company_name"]), (&json!(false), &json!("acme")));
    assert_eq!(event["tenant"]["id"], registered["tenant"]["id"]);
    assert!(event["created"].is_i64());
    assert!(received.header("user-agent").starts_with("BillingPlatform-Webhooks/1.0"));
    assert_eq!(received.header("x-webhook-signature"), hex_hmac(secret, &received.body));
    assert!(!format!("{:?}", received.headers).contains(secret), "the secret itself is never sent");

    // when the secret is replaced
    let body = json!({ "webhook_url": receiver.url(), "regenerate_secret": true });
    let replaced = owner.post(CONFIG, body).await.expect(200);
    owner.post(TEST, json!({})).await.expect(200);

    // then
    let new_secret = replaced["webhook_secret"].as_str().unwrap();
    assert!(new_secret != secret && replaced["warning"].is_string());
    let received = receiver.next().await;
    assert_eq!(received.header("x-webhook-signature"), hex_hmac(new_secret, &received.body));

    // when it is removed, and configured again
    let removed = owner.delete(CONFIG).await.expect(200);
    owner.delete(CONFIG).await.expect(200);
    owner.post(TEST, json!({})).await.expect_code(400, "invalid_field");
    let again = owner.post(CONFIG, json!({ "webhook_url": receiver.url() })).await.expect(200);
    owner.post(TEST, json!({})).await.expect(200);

    // then
    assert_eq!(removed["message"], "Webhook configuration removed");
    assert!(removed["note"].as_str().unwrap().contains("secret"));
    assert!(again.get("webhook_secret").is_none());
    let received = receiver.next().await;
    assert_eq!(received.header("x-webhook-signature"), hex_hmac(new_secret, &received.body));
    let audit = owner.get("/audit-log").await.expect(200).to_string();
    assert!(audit.contains("webhook_endpoint.secret_rotated") && !audit.contains(new_secret));
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_is_told_what_happens_in_the_mode_that_it_is_configured_for() {
    // given
    let (test, live) = (Receiver::start().await, Receiver::start().await);
    let server = TestServer::start_with(calls_loopback).await;
    let (registered, owner, client) = tenant(&server, "acme").await;
    owner.post(CONFIG, json!({ "webhook_url": test.url() })).await.expect(200);
    let request = owner.request(reqwest::Method::POST, CONFIG).header("usance-mode", "live");
    owner.send(request.json(&json!({ "webhook_url": live.url() }))).await.expect(200);

    // when
    let meter = happen(&client, "test-calls").await;
    let live_key = registered["tenant"]["api_key_secret"].as_str().unwrap();
    let live_meter = happen(&server.client.with_key(live_key), "live-calls").await;

    // then
    let (in_test, in_live) = (test.next().await.json(), live.next().await.json());
    assert_eq!((&in_test["data"]["object"]["id"], &in_test["livemode"]), (&json!(meter), &json!(false)));
    assert_eq!((&in_live["data"]["object"]["id"], &in_live["livemode"]), (&json!(live_meter), &json!(true)));
    assert_eq!(owner.get("/auth/tenants/me").await.expect(200)["tenant"]["webhook_url"], test.url());
    server.stop().await;
    assert!(test.rest().await.is_empty() && live.rest().await.is_empty());
}

#[tokio::test]
async fn a_webhook_of_the_registration_works_at_once() {
    // given
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(calls_loopback).await;
    let body = json!({ "company_name": "acme", "email": "acme@example.com", "password": "correct horse battery",
        "webhook_url": receiver.url() });

    // when
    let registered = server.client.post("/auth/tenants/register/", body).await.expect(201);
    let key = registered["tenant"]["api_key_test_secret"].as_str().unwrap();
    happen(&server.client.with_key(key), "calls").await;

    // then
    assert_eq!(registered["tenant"]["webhook_url"], receiver.url());
    let received = receiver.next().await;
    let secret = registered["tenant"]["webhook_secret"].as_str().unwrap();
    assert_eq!(received.header("x-webhook-signature"), hex_hmac(secret, &received.body));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused_with_its_reason() {
    // given a server that may call nothing but the public internet
    let server = TestServer::start().await;
    let (_, owner, _) = tenant(&server, "acme").await;

    for (url, error) in [
        ("", "webhook_url is required"),
        ("nonsense", "Invalid webhook URL"),
        ("ftp://example.com/", "Invalid webhook URL"),
        ("http://169.254.169.254/latest/meta-data", "Invalid webhook URL"),
        ("http://localhost/", "Invalid webhook URL"),
        ("https://user:word@example.com/", "Invalid webhook URL"),
    ] {
        let refused =
            owner.post(CONFIG, json!({ "webhook_url": url })).await.expect_code(400, "invalid_field");
        assert_eq!(refused["error"], error, "{url}");
        assert!(refused["webhook_url"][0].is_string(), "{refused}");
    }
    assert_eq!(owner.get(CONFIG).await.expect(200)["configured"], false);
    server.stop().await;
}

#[tokio::test]
async fn a_test_says_when_nobody_listens() {
    // given
    let server = TestServer::start_with(calls_loopback).await;
    let (_, owner, _) = tenant(&server, "acme").await;
    let gone = Receiver::start().await.url();
    owner.post(CONFIG, json!({ "webhook_url": gone })).await.expect(200);

    // when
    let refused = owner.post(TEST, json!({})).await.expect_code(502, "webhook_unreachable");

    // then
    assert_eq!((&refused["webhook_url"], &refused["success"]), (&json!(gone), &json!(false)));
    assert!(refused["detail"].as_str().unwrap().contains("refused"), "{refused}");
    let wrong = json!({ "event_type": "nonsense", "test_data": { "a": "b".repeat(20_001) } });
    let refused = owner.post(TEST, wrong).await.expect_code(400, "invalid_field");
    assert!(refused["event_type"].is_array() && refused["test_data"].is_array(), "{refused}");
    server.stop().await;
}
