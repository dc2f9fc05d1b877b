//! The audit log.

use serde_json::{Value, json};
use usance_testkit::TestServer;

#[tokio::test]
async fn each_step_of_keys_and_members_leaves_an_entry_and_no_secret() {
    // given
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let mut secrets = vec!["correct horse battery".to_owned(), "gravel tulip nine bone".to_owned()];
    let mut keep = |value: &Value| secrets.push(value.as_str().unwrap().to_owned());
    for name in ["api_key_secret", "api_key_test_secret", "webhook_secret"] {
        keep(&registered["tenant"][name]);
    }

    // when
    let login = json!({ "email": "acme@example.com", "password": "correct horse battery" });
    let other = server.client.post("/auth/tenants/login/", login).await.expect(200);
    let renewed = json!({ "refresh": other["tokens"]["refresh"] });
    let renewed = server.client.post("/auth/tenants/token/refresh/", renewed).await.expect(200);
    let member = server.client.with_key(renewed["access"].as_str().unwrap());
    member.post("/auth/tenants/logout/", json!({})).await.expect(200);
    let change = json!({ "old_password": "correct horse battery", "new_password": "gravel tulip nine bone" });
    owner.post("/auth/tenants/change-password/", change).await.expect(200);
    let created =
        owner.post("/api-keys", json!({ "name": "Shop", "scopes": ["usage:write"] })).await.expect(201);
    let regenerate = json!({ "key_type": "live", "confirm": true, "grace_seconds": 60 });
    let regenerated = owner.post("/auth/tenants/api-keys/regenerate/", regenerate).await.expect(200);
    let revoke = json!({ "key_type": "test", "reason": "leaked", "confirm": true });
    owner.post("/auth/tenants/api-keys/revoke/", revoke).await.expect(200);

    // then
    let log = owner.get("/audit?limit=100").await.expect(200);
    let entries = log["data"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = [
        vec!["tenant.registered", "api_key.created", "api_key.created", "api_key.created", "api_key.created"],
        vec!["member.signed_in", "member.signed_out", "member.password_changed"],
        vec!["api_key.created"],
        vec!["api_key.rotated", "api_key.rotated", "api_key.created", "api_key.created"],
        vec!["api_key.revoked", "api_key.revoked", "api_key.revoked"],
    ];
    assert_eq!(actions, expected.concat());
    let first: Vec<_> = entries
        .iter()
        .rev()
        .skip(1)
        .take(4)
        .map(|entry| (entry["mode"].as_str().unwrap(), entry["after"]["kind"].as_str().unwrap()))
        .collect();
    let of = |mode| [(mode, "secret"), (mode, "publishable")];
    assert_eq!(first, [of("test"), of("live")].concat());
    let newest = &entries[0];
    assert_eq!((&newest["reason"], &newest["mode"]), (&json!("leaked"), &json!("test")));
    assert_eq!(
        (&newest["before"]["revoked_at"], newest["after"]["revoked_at"].is_string()),
        (&Value::Null, true)
    );
    assert_eq!(newest["actor"], json!({ "type": "member", "id": registered["user"]["id"] }));
    assert_eq!(newest["address"], "127.0.0.1");
    assert!(newest["request_id"].as_str().unwrap().starts_with("req_"));
    for answer in [&registered["tokens"], &other["tokens"], &renewed] {
        keep(&answer["refresh"]);
        keep(&answer["access"]);
    }
    keep(&created["key"]);
    keep(&regenerated["keys"]["live_secret"]);
    let stored = server.database.dump().await;
    assert!(stored.contains("api_key.rotated") && stored.contains("acme@example.com"));
    for secret in secrets {
        assert!(!stored.contains(&secret) && !log.to_string().contains(&secret), "{secret} is stored");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_log_is_filtered_and_belongs_to_one_tenant() {
    // given
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let stranger = server.client.register("stranger").await;
    let key = owner.post("/api-keys", json!({ "name": "Shop", "scopes": ["all"] })).await.expect(201);
    let id = key["id"].as_str().unwrap();
    owner.post(&format!("/api-keys/{id}/revoke"), json!({})).await.expect(200);

    // when
    let count = |filter: String| {
        let owner = owner.clone();
        async move { owner.get(&filter).await.expect(200)["data"].as_array().unwrap().len() }
    };

    // then
    // The registration with its four keys, and what was done since.
    assert_eq!(count("/audit".to_owned()).await, 7);
    assert_eq!(count("/audit-log?action=api_key.revoked".to_owned()).await, 1);
    assert_eq!(count(format!("/audit?subject={id}")).await, 2);
    assert_eq!(count(format!("/audit?actor={}", registered["user"]["id"].as_str().unwrap())).await, 7);
    assert_eq!(count(format!("/audit?actor={}", stranger["user"]["id"].as_str().unwrap())).await, 0);
    owner.get("/audit?nothing=x").await.expect_code(422, "invalid_field");
    server.stop().await;
}
