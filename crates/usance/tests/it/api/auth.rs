//! Who may call.

use usance_testkit::{Client, TestServer};

#[tokio::test]
async fn without_a_valid_key_every_answer_is_the_same() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let key = registered["tenant"]["api_key_test_secret"].as_str().unwrap();
    let mistyped = key.replace(&key[20..21], if &key[20..21] == "x" { "y" } else { "x" });

    server.client.get("/customers").await.expect_code(401, "unauthorized");
    let mut details = Vec::new();
    for wrong in
        [mistyped.as_str(), &key[..key.len() - 1], "sk_test_", "sk_live_nothing", "a.b.c", "Bearer x", "€"]
    {
        let refused = server.client.with_key(wrong).get("/customers").await.expect_code(401, "unauthorized");
        details.push(refused["detail"].clone());
    }
    assert!(details.windows(2).all(|pair| pair[0] == pair[1]), "{details:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_header_that_names_a_tenant_opens_nothing() {
    let server = TestServer::start().await;
    let acme = server.client.register("acme").await;
    let other = server.client.register("other").await;
    let named = |client: &Client, path: &str| {
        let id = acme["tenant"]["id"].as_str().unwrap();
        client.request(reqwest::Method::GET, path).header("x-tenant-id", id)
    };

    for path in ["/auth/tenants/api-keys/", "/auth/tenants/me/", "/auth/tenants/details/", "/customers"] {
        let request = named(&server.client, path);
        server.client.send(request).await.expect_code(401, "unauthorized");
    }
    let client = server.client.with_key(other["tokens"]["access"].as_str().unwrap());
    let me = client.send(named(&client, "/auth/tenants/me/")).await.expect(200);
    assert_eq!(me["tenant"]["id"], other["tenant"]["id"]);
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_and_two_keys_from_none() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let key = registered["tenant"]["api_key_test_secret"].as_str().unwrap();

    let request = server.client.request(reqwest::Method::GET, "/customers").header("x-api-key", key);

    server.client.send(request).await.expect(200);
    let both = |other: &str| {
        server.client.with_key(key).request(reqwest::Method::GET, "/customers").header("x-api-key", other)
    };
    server.client.send(both(key)).await.expect(200);
    server.client.send(both("sk_test_another")).await.expect_code(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn a_publishable_key_reaches_nothing_that_is_not_public() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let publishable = server.client.with_key(registered["tenant"]["api_key_test_public"].as_str().unwrap());

    for path in ["/customers", "/meters", "/plans", "/invoices", "/test-clock", "/events?customer=x"] {
        publishable.get(path).await.expect_code(403, "forbidden");
    }
    publishable.post("/events", serde_json::json!({})).await.expect_code(403, "forbidden");
    server.stop().await;
}

#[tokio::test]
async fn no_cache_keeps_an_answer_of_the_api() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let login = serde_json::json!({ "email": "acme@example.com", "password": "correct horse battery" });

    for reply in [
        server.client.post("/auth/tenants/login", login).await,
        client.get("/customers").await,
        client.get("/customers/nobody").await,
        server.client.get("/customers").await,
    ] {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{}", reply.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_member_chooses_the_mode_with_a_header() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let member = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    member
        .post("/customers", serde_json::json!({ "external_id": "c", "name": "Test", "currency": "USD" }))
        .await
        .expect(201);
    let in_mode =
        |mode: &'static str| member.request(reqwest::Method::GET, "/customers").header("usance-mode", mode);

    let test = member.send(in_mode("test")).await.expect(200);
    let live = member.send(in_mode("live")).await.expect(200);
    member.send(in_mode("both")).await.expect_code(422, "invalid_field");

    assert_eq!((test["data"].as_array().unwrap().len(), live["data"].as_array().unwrap().len()), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn authentication_comes_before_validation() {
    let server = TestServer::start().await;

    for path in ["/customers", "/meters", "/events", "/test-clock/advance", "/invoices/x/pay"] {
        server.client.post(path, serde_json::json!("nonsense")).await.expect_code(401, "unauthorized");
    }
    server.stop().await;
}
