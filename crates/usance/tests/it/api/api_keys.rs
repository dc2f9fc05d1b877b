//! The life of API keys: listed masked, regenerated, revoked, held to scopes, expired.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use usance_testkit::{Client, MovableClock, TestDatabase, TestServer};

/// A tenant with a client of its owner.
struct Tenant {
    registered: Value,
    owner: Client,
}

impl Tenant {
    async fn register(client: &Client) -> Self {
        let registered = client.register("acme").await;
        let owner = client.with_key(registered["tokens"]["access"].as_str().unwrap());
        Self { registered, owner }
    }

    fn key(&self, name: &str) -> &str {
        self.registered["tenant"][name].as_str().unwrap()
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

fn types(listed: &Value) -> Vec<&str> {
    listed["keys"].as_array().unwrap().iter().map(|key| text(key, "/type")).collect()
}

async fn verify(client: &Client, key: &str) -> u16 {
    client.with_key(key).get("/auth/tenants/verify/").await.status
}

#[tokio::test]
async fn a_key_is_verified_with_its_tenant_and_mode() {
    // given
    let server = TestServer::start().await;
    let tenant = Tenant::register(&server.client).await;

    // when
    let secret = server.client.with_key(tenant.key("api_key_secret"));
    let live = secret.get("/auth/tenants/verify/").await.expect(200);
    let publishable = server.client.with_key(tenant.key("api_key_test_public"));
    let test = publishable.get("/auth/tenants/verify").await.expect(200);
    let details = secret.get("/auth/tenants/details/").await.expect(200);
    let of_member = tenant.owner.get("/auth/tenants/details/").await.expect(200);

    // then
    assert_eq!(
        (live["valid"].clone(), text(&live, "/mode"), text(&test, "/mode")),
        (json!(true), "live", "test")
    );
    assert_eq!(text(&live, "/tenant/email"), "acme@example.com");
    assert_eq!(text(&live, "/tenant/api_keys/public"), tenant.key("api_key_public"));
    assert_eq!((&test["tenant"]["email"], &test["tenant"]["webhook_url"]), (&Value::Null, &Value::Null));
    assert_eq!(details, json!({ "tenant": live["tenant"], "mode": "live" }));
    assert_eq!(text(&of_member, "/mode"), "test");
    tenant.owner.get("/auth/tenants/verify/").await.expect_code(403, "forbidden");
    server.client.get("/auth/tenants/verify/").await.expect_code(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn listed_keys_are_masked() {
    // given
    let server = TestServer::start().await;
    let tenant = Tenant::register(&server.client).await;

    // when
    let listed = tenant.owner.get("/auth/tenants/api-keys/").await.expect(200);

    // then
    assert_eq!(types(&listed), ["live_secret", "live_public", "test_secret", "test_public"]);
    let secret = tenant.key("api_key_secret");
    let masked = format!("{}****...{}", &secret[..8], &secret[secret.len() - 4..]);
    assert_eq!(
        (text(&listed, "/keys/0/key"), text(&listed, "/keys/0/masked")),
        (masked.as_str(), masked.as_str())
    );
    assert_eq!(text(&listed, "/keys/1/key"), tenant.key("api_key_public"));
    assert!(listed["warning"].is_string());
    server.stop().await;
}

#[tokio::test]
async fn keys_are_replaced_only_when_that_is_confirmed() {
    // given
    let server = TestServer::start().await;
    let tenant = Tenant::register(&server.client).await;
    let path = "/auth/tenants/api-keys/regenerate/";

    // when
    let unconfirmed = tenant.owner.post(path, json!({ "key_type": "test" })).await.expect(400);
    let unknown = tenant.owner.post(path, json!({ "key_type": "x", "confirm": true })).await.expect(400);
    let far = json!({ "key_type": "test", "confirm": true, "grace_seconds": 2_592_001 });
    tenant.owner.post(path, far).await.expect_code(400, "invalid_field");
    assert_eq!(verify(&server.client, tenant.key("api_key_test_secret")).await, 200);
    let made = tenant.owner.post(path, json!({ "key_type": "test", "confirm": true })).await.expect(200);

    // then
    assert_eq!(unconfirmed["error"], "Confirmation required");
    assert!(unconfirmed["message"].is_string());
    assert_eq!(unknown["error"], "Invalid key_type");
    assert_eq!(made["keys"].as_object().unwrap().keys().collect::<Vec<_>>(), ["test_public", "test_secret"]);
    for name in ["api_key_test_secret", "api_key_test_public"] {
        assert_eq!(verify(&server.client, tenant.key(name)).await, 401, "{name}");
    }
    assert_eq!(verify(&server.client, tenant.key("api_key_secret")).await, 200);
    assert_eq!(verify(&server.client, text(&made, "/keys/test_secret")).await, 200);
    let all = tenant.owner.post(path, json!({ "confirm": true })).await.expect(200);
    assert_eq!(all["keys"].as_object().unwrap().len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_key_works_to_the_end_of_its_grace_and_no_longer() {
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |_| {}).await;
    let tenant = Tenant::register(&server.client).await;
    let old = tenant.key("api_key_test_secret");
    let regenerate = |grace: i64| {
        let body = json!({ "key_type": "test", "confirm": true, "grace_seconds": grace });
        let owner = tenant.owner.clone();
        async move { owner.post("/auth/tenants/api-keys/regenerate/", body).await.expect(200) }
    };

    // when
    let second = regenerate(600).await;
    // A longer grace for its successor gives the first key no more time.
    let third = regenerate(1_200).await;

    // then
    clock.advance(SignedDuration::from_secs(599));
    assert_eq!(verify(&server.client, old).await, 200);
    clock.advance(SignedDuration::from_micros(999_999));
    assert_eq!(verify(&server.client, old).await, 200);
    clock.advance(SignedDuration::from_micros(1));
    assert_eq!(verify(&server.client, old).await, 401);
    assert_eq!(verify(&server.client, text(&second, "/keys/test_secret")).await, 200);
    clock.advance(SignedDuration::from_secs(600));
    assert_eq!(verify(&server.client, text(&second, "/keys/test_secret")).await, 401);
    assert_eq!(verify(&server.client, text(&third, "/keys/test_secret")).await, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_every_server_within_a_second() {
    // given
    let clock = MovableClock::default();
    let one = TestServer::start_by(&clock, TestDatabase::new().await, |_| {}).await;
    let two = TestServer::start_by(&clock, one.database.clone(), |_| {}).await;
    let tenant = Tenant::register(&one.client).await;
    let keys = ["api_key_secret", "api_key_public"].map(|name| tenant.key(name));
    for key in keys {
        assert_eq!((verify(&one.client, key).await, verify(&two.client, key).await), (200, 200));
    }
    let path = "/auth/tenants/api-keys/revoke/";
    let body = json!({ "key_type": "live", "reason": "it was in a log", "confirm": true });

    // when
    tenant.owner.post(path, json!({ "key_type": "live" })).await.expect(400);
    let revoked = tenant.owner.post_once(path, "r1", body.clone()).await.expect(200);

    // then: at once where it was revoked, a second later everywhere
    assert_eq!(revoked["revoked_keys"], json!(["live_secret", "live_public"]));
    assert_eq!(revoked["reason"], "it was in a log");
    for key in keys {
        assert_eq!(verify(&one.client, key).await, 401);
    }
    clock.advance(SignedDuration::from_secs(1));
    for key in keys {
        assert_eq!(verify(&two.client, key).await, 401);
    }
    assert_eq!(verify(&two.client, tenant.key("api_key_test_secret")).await, 200);
    assert_eq!(tenant.owner.post_once(path, "r1", body.clone()).await.expect(200), revoked);
    assert_eq!(tenant.owner.post(path, body).await.expect(200)["revoked_keys"], json!([]));
    let listed = tenant.owner.get("/auth/tenants/api-keys/").await.expect(200);
    assert_eq!(types(&listed), ["test_secret", "test_public"]);
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_key_with_scopes_does_no_more_than_they_say() {
    // given
    let server = TestServer::start().await;
    let tenant = Tenant::register(&server.client).await;
    let body = json!({ "name": "Shop", "scopes": ["catalog:write", "customers:read"] });

    // when
    let created = tenant.owner.post("/api-keys", body).await.expect(201);
    let wrong = json!({ "name": "", "scopes": ["usage", "all"], "expires_at": "2020-01-01T00:00:00Z" });
    let refused = tenant.owner.post("/api-keys", wrong).await.expect_code(422, "invalid_field");
    tenant
        .owner
        .post("/api-keys", json!({ "name": "x", "scopes": [] }))
        .await
        .expect_code(422, "invalid_field");

    // then
    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|it| text(it, "/pointer")).collect();
    assert_eq!(pointers, ["/name", "/scopes/0", "/expires_at"]);
    let key = server.client.with_key(text(&created, "/key"));
    key.post("/features", json!({ "code": "chat" })).await.expect(201);
    key.get("/features").await.expect(200);
    key.get("/customers").await.expect(200);
    let customer = json!({ "external_id": "c", "name": "C", "currency": "USD" });
    let refused = key.post("/customers", customer).await.expect_code(403, "forbidden");
    assert!(text(&refused, "/detail").contains("customers:write"), "{refused}");
    key.get("/invoices").await.expect_code(403, "forbidden");
    key.post("/api-keys", json!({ "name": "x", "scopes": ["all"] })).await.expect_code(403, "forbidden");

    // and regenerating the tenant's own pair leaves it alone, until it is revoked itself
    let regenerate = json!({ "key_type": "test", "confirm": true });
    tenant.owner.post("/auth/tenants/api-keys/regenerate/", regenerate).await.expect(200);
    key.get("/features").await.expect(200);
    let path = format!("/api-keys/{}/revoke", text(&created, "/id"));
    let revoked = tenant.owner.post(&path, json!({ "reason": "over" })).await.expect(200);
    key.get("/features").await.expect_code(401, "unauthorized");
    assert_eq!(tenant.owner.post(&path, json!({ "reason": "again" })).await.expect(200), revoked);
    let in_live = tenant.owner.request(Method::POST, &path).header("usance-mode", "live");
    tenant.owner.send(in_live.json(&json!({}))).await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn the_list_of_keys_tells_when_each_was_used_and_why_it_ended() {
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |_| {}).await;
    let tenant = Tenant::register(&server.client).await;
    let key = server.client.with_key(tenant.key("api_key_test_secret"));
    let expires = json!({ "name": "Short", "scopes": ["all"], "expires_at": "2026-01-01T00:10:00Z" });
    let short = tenant.owner.post("/api-keys", expires).await.expect(201);

    // when
    clock.advance(SignedDuration::from_secs(59));
    key.get("/plans").await.expect(200);
    clock.advance(SignedDuration::from_secs(30));
    key.get("/plans").await.expect(200);
    let first = tenant.owner.get("/api-keys?limit=2").await.expect(200);
    let cursor = text(&first, "/next_cursor");
    let second = tenant.owner.get(&format!("/api-keys?limit=2&cursor={cursor}")).await.expect(200);

    // then
    assert_eq!((text(&first, "/data/0/name"), text(&first, "/data/1/kind")), ("Short", "publishable"));
    assert_eq!(first["data"][1]["last_used_at"], Value::Null);
    assert_eq!(text(&second, "/data/0/last_used_at"), "2026-01-01T00:00:59Z");
    assert_eq!(verify(&server.client, text(&short, "/key")).await, 200);
    clock.advance(SignedDuration::from_secs(600 - 89));
    assert_eq!(verify(&server.client, text(&short, "/key")).await, 401);
    server.stop().await;
}
