//! Registering a tenant.

use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn registration_answers_with_every_key_once_and_each_works_in_its_mode() {
    let server = TestServer::start().await;

    let registered = server.client.register("acme").await;

    assert_eq!(registered["message"], "Tenant registered successfully");
    let tenant = &registered["tenant"];
    for (name, prefix) in [
        ("api_key_secret", "sk_live_"),
        ("api_key_public", "pk_live_"),
        ("api_key_test_secret", "sk_test_"),
        ("api_key_test_public", "pk_test_"),
        ("webhook_secret", "whsec_"),
    ] {
        assert!(tenant[name].as_str().unwrap().starts_with(prefix), "{name}");
    }
    assert_eq!((tenant["slug"].as_str(), tenant["is_test_mode"].as_bool()), (Some("acme"), Some(true)));
    assert_eq!(
        (tenant["platform_fee_percentage"].as_str(), tenant["subscription_tier"].as_str()),
        (Some("15"), Some("free"))
    );
    let user = &registered["user"];
    assert_eq!(
        (user["role"].as_str(), &user["tenant"], &user["tenant_name"]),
        (Some("owner"), &tenant["id"], &json!("acme"))
    );
    for name in ["api_key_secret", "api_key_test_secret"] {
        server.client.with_key(tenant[name].as_str().unwrap()).get("/customers").await.expect(200);
    }
    server
        .client
        .with_key(registered["tokens"]["access"].as_str().unwrap())
        .get("/customers")
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn no_secret_is_stored_in_the_open() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let mut secrets = vec!["correct horse battery"];
    secrets.extend(
        ["api_key_secret", "api_key_test_secret", "webhook_secret"]
            .map(|name| registered["tenant"][name].as_str().unwrap()),
    );
    secrets.extend(["access", "refresh"].map(|name| registered["tokens"][name].as_str().unwrap()));

    let rows = "SELECT string_agg(t::text, '') FROM (
        SELECT to_jsonb(t) FROM tenants t UNION ALL SELECT to_jsonb(m) FROM members m UNION ALL SELECT to_jsonb(k) FROM api_keys k
        UNION ALL SELECT to_jsonb(r) FROM refresh_tokens r UNION ALL SELECT to_jsonb(o) FROM outbox_events o) t";
    let stored = server.database.text_as_superuser(rows).await;

    assert!(stored.contains("acme@example.com") && stored.contains("$argon2id$"));
    for secret in secrets {
        assert!(!stored.contains(secret), "{secret} is stored");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_taken_address_and_every_wrong_field_are_named() {
    let server = TestServer::start().await;
    server.client.register("acme").await;

    let again =
        json!({ "company_name": "Acme", "email": "ACME@example.com", "password": "correct horse battery" });
    let refused = server.client.post("/auth/tenants/register", again).await.expect_code(400, "email_taken");
    assert_eq!(refused["email"], json!(["A tenant with this email already exists."]));

    let wrong =
        json!({ "company_name": " ", "email": "nobody", "password": "short", "webhook_url": "ftp://x" });
    let refused = server.client.post("/auth/tenants/register", wrong).await.expect_code(400, "invalid_field");
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/company_name", "/email", "/password", "/webhook_url"]);
    assert!(refused["password"][0].as_str().unwrap().contains("12 characters"));
    server.stop().await;
}

#[tokio::test]
async fn tenants_of_one_name_get_different_slugs() {
    let server = TestServer::start().await;
    let register = |email: &str| json!({ "company_name": "Ümlaut & Söhne", "email": email, "password": "correct horse battery" });

    let one = server.client.post("/auth/tenants/register", register("a@example.com")).await.expect(201);
    let two = server.client.post("/auth/tenants/register", register("b@example.com")).await.expect(201);

    assert_eq!(one["tenant"]["slug"], "mlaut-s-hne");
    assert!(two["tenant"]["slug"].as_str().unwrap().starts_with("mlaut-s-hne-"));
    server.stop().await;
}

#[tokio::test]
async fn tenants_of_one_name_that_register_at_once_all_get_a_slug() {
    let server = TestServer::start().await;
    let register = |number: usize| {
        let email = format!("{number}@example.com");
        let body = json!({ "company_name": "Acme", "email": email, "password": "correct horse battery" });
        let client = server.client.clone();
        async move { client.post("/auth/tenants/register", body).await.expect(201) }
    };

    let registered = futures_util::future::join_all((0..8).map(register)).await;

    let slugs: std::collections::BTreeSet<_> =
        registered.iter().map(|registered| registered["tenant"]["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs.len(), 8);
    assert!(slugs.contains("acme") && slugs.iter().all(|slug| slug.starts_with("acme")), "{slugs:?}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_as_clients_of_these_routes_know_it() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());

    for (path, body, field) in [
        ("/auth/tenants/register", json!({}), "company_name"),
        ("/auth/tenants/login", json!({ "email": "acme@example.com" }), "password"),
        ("/auth/tenants/login", json!({ "email": "\u{0}", "password": "x", "tenant": "\u{0}" }), ""),
        ("/auth/tenants/token/refresh", json!({}), "refresh"),
        ("/auth/tenants/change-password", json!({ "old_password": "x" }), "new_password"),
        ("/auth/tenants/api-keys/revoke", json!({ "confirm": true, "reason": 5 }), "reason"),
        ("/auth/tenants/api-keys/revoke", json!({ "confirm": true, "reason": "\u{0}" }), "reason"),
        ("/auth/tenants/api-keys/revoke", json!({ "confirm": true, "reason": "x".repeat(1_000) }), "reason"),
    ] {
        let refused = owner.post(path, body.clone()).await;
        assert!(matches!(refused.status, 400 | 401), "{path} {body}: {}", refused.text);
        if !field.is_empty() {
            let refused = refused.expect_code(400, "invalid_field");
            assert!(refused[field][0].is_string(), "{path}: {refused}");
            assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"), "{path}");
        }
    }
    for (path, error) in [
        ("/auth/tenants/api-keys/regenerate", "Confirmation required"),
        ("/auth/tenants/api-keys/revoke", "Confirmation required"),
    ] {
        let empty = owner.send(owner.request(reqwest::Method::POST, path)).await;
        assert_eq!(empty.expect(400)["error"], error, "{path}");
    }
    server.stop().await;
}
