//! What is shown once is nowhere afterwards: not in a dump of the database, not in a log that holds everything, not in an
//! answer.

use std::fmt::Write as _;

use serde_json::{Value, json};
use usance_core::hexadecimal;
use usance_testkit::{Client, TempDir, TestDatabase};

use crate::program::Instance;

const PASSWORD: &str = "canary of the first password";
const NEW_PASSWORD: &str = "canary of the second password";
const CLIENT_SECRET: &str = "canary0of0the0client0secret";

/// Where secrets stand in answers that show one.
const SHOWN_ONCE: [&str; 10] = [
    "api_key_secret",
    "api_key_test_secret",
    "access",
    "refresh",
    "key",
    "secret",
    "token",
    "live_secret",
    "test_secret",
    "webhook_secret",
];

/// Every text of an answer that stands where secrets stand.
fn collect(answer: &Value, secrets: &mut Vec<String>) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if SHOWN_ONCE.contains(&name.as_str()) => secrets.push(text.clone()),
                    value => collect(value, secrets),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes everything that is secret, uses it, and ends it; returns the secrets and the answers that must not hold them.
async fn live(client: &Client) -> (Vec<String>, String) {
    let mut secrets = vec![PASSWORD.to_owned(), NEW_PASSWORD.to_owned(), CLIENT_SECRET.to_owned()];
    let mut answers = String::new();
    let register = json!({ "company_name": "Acme", "email": "owner@acme.example", "password": PASSWORD });
    let registered = client.post("/auth/tenants/register", register).await.expect(201);
    collect(&registered, &mut secrets);
    let login = json!({ "email": "owner@acme.example", "password": PASSWORD });
    let signed_in = client.post("/auth/tenants/login", login).await.expect(200);
    collect(&signed_in, &mut secrets);
    let refresh = json!({ "refresh": signed_in["tokens"]["refresh"] });
    let renewed = client.post("/auth/tenants/token/refresh", refresh.clone()).await.expect(200);
    collect(&renewed, &mut secrets);
    let owner = client.with_key(renewed["access"].as_str().unwrap());
    let key = client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
    for (path, body) in [
        ("/api-keys", json!({ "name": "import", "scopes": ["usage:write"] })),
        (
            "/auth/tenants/api-keys/regenerate",
            json!({ "key_type": "all", "confirm": true, "grace_seconds": 600 }),
        ),
        ("/members/invitations", json!({ "email": "ada@acme.example", "role": "viewer" })),
        ("/webhook-endpoints", json!({ "url": "https://example.com/hooks" })),
        ("/auth/tenants/webhooks/config", json!({ "webhook_url": "https://example.com/hooks" })),
    ] {
        let reply = owner.post(path, body).await;
        assert!(reply.status < 300, "{path}: {}", reply.text);
        collect(&reply.body, &mut secrets);
    }
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    key.post("/customers", customer).await.expect(201);
    let token = key.post("/customers/ada/tokens", json!({})).await.expect(201);
    collect(&token, &mut secrets);
    let customer = client.with_key(token["secret"].as_str().unwrap());
    customer.get("/customers/ada").await.expect(200);
    let changed = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    owner.post("/auth/tenants/change-password", changed).await.expect(200);
    for path in [
        "/api-keys",
        "/auth/tenants/api-keys",
        "/auth/tenants/me",
        "/auth/tenants/sessions",
        "/auth/tenants/webhooks/config",
        "/members/invitations",
        "/webhook-endpoints",
        "/customers/ada/tokens",
        "/audit?limit=100",
    ] {
        let reply = owner.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        writeln!(answers, "{}", reply.text).unwrap();
    }
    customer.post("/auth/customers/logout", json!({})).await.expect(204);
    // Refusals must not repeat what they refuse.
    let provider = json!({ "name": "SSO", "audience": "members", "issuer": "https://127.0.0.1", "client_id": "x", "client_secret": CLIENT_SECRET });
    for reply in [
        client
            .post("/auth/tenants/login", json!({ "email": "owner@acme.example", "password": PASSWORD }))
            .await,
        client
            .post(
                "/auth/tenants/login",
                json!({ "email": "owner@acme.example", "password": { "a": PASSWORD } }),
            )
            .await,
        owner.post("/identity-providers", provider).await,
        client.post("/auth/tenants/token/refresh", refresh).await,
        client.with_key(&format!("{}x", secrets[3])).get("/customers").await,
    ] {
        assert!(reply.status >= 400, "{}", reply.text);
        answers.push_str(&reply.text);
    }
    owner.post("/auth/tenants/logout", json!({})).await.expect_code(401, "unauthorized");
    (secrets, answers)
}

#[tokio::test]
async fn what_is_shown_once_is_nowhere_afterwards() {
    // given a server that logs everything
    let (dir, database) = (TempDir::new("usance-canary").unwrap(), TestDatabase::new().await);
    let server = Instance::start(dir.path(), "server", database.url(), &[("USANCE_LOG", "trace")]).await;

    // when
    let (secrets, answers) = live(&Client::new(&server.url)).await;

    // then
    assert_eq!(secrets.len(), 18, "one more place shows a secret, or one less");
    let log = server.process.log();
    let stored = database.dump().await;
    let bytes_stored = stored.to_lowercase();
    assert!(log.contains("TRACE") && stored.contains("member.password_changed"), "both hold something");
    for secret in &secrets {
        assert!(secret.len() > 20, "{secret} could be there by chance");
        for (place, text) in [("answers", &answers), ("log", &log), ("rows", &stored)] {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
        let bytes = hexadecimal(secret.as_bytes());
        assert!(!bytes_stored.contains(&bytes), "{secret} is in the rows as bytes");
    }
    assert!(server.process.end_by("TERM").await.success());
}
