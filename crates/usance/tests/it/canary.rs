//! What is shown once is nowhere afterwards: not in a dump of the database, not in a log that holds everything, not in an
//! answer.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tokio::time::timeout;
use usance_core::hexadecimal;
use usance_testkit::{Client, TempDir, TestDatabase};

use crate::program::{DEADLINE, Instance};

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
    let members = answer.as_object().into_iter().flatten();
    for (name, value) in members {
        match value.as_str() {
            Some(text) if SHOWN_ONCE.contains(&name.as_str()) => secrets.push(text.to_owned()),
            Some(_) | None => collect(value, secrets),
        }
    }
    for item in answer.as_array().into_iter().flatten() {
        collect(item, secrets);
    }
}

/// A tenant's owner, a key of it, a customer, and all that was shown once to them.
struct Made {
    client: Client,
    owner: Client,
    customer: Client,
    refresh: Value,
    secrets: Vec<String>,
}

/// Makes everything that is secret, and uses it.
async fn make(client: Client) -> Made {
    let mut secrets = vec![PASSWORD.to_owned(), NEW_PASSWORD.to_owned(), CLIENT_SECRET.to_owned()];
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
        ("/auth/tenants/totp", json!({ "password": PASSWORD })),
    ] {
        let reply = owner.post(path, body).await;
        assert!(reply.status < 300, "{path}: {}", reply.text);
        collect(&reply.body, &mut secrets);
    }
    key.post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);
    let token = key.post("/customers/ada/tokens", json!({})).await.expect(201);
    collect(&token, &mut secrets);
    let customer = client.with_key(token["secret"].as_str().unwrap());
    customer.get("/customers/ada").await.expect(200);
    let changed = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    owner.post("/auth/tenants/change-password", changed).await.expect(200);
    client
        .post("/auth/tenants/password-reset/request", json!({ "email": "owner@acme.example" }))
        .await
        .expect(202);
    Made { client, owner, customer, refresh, secrets }
}

/// The tokens that were mailed: the words behind the links.
async fn mailed(dir: &Path, count: usize) -> Vec<String> {
    let search = async {
        loop {
            let files = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
            let mails = files.filter_map(|file| fs::read_to_string(file.path()).ok());
            let words: BTreeSet<String> = mails.flat_map(|mail| tokens(&mail)).collect();
            if words.len() >= count {
                return words.into_iter().collect();
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, search).await.expect("the mails are written in time")
}

fn tokens(mail: &str) -> Vec<String> {
    let mail = mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
    let words = mail.split(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '_');
    words.filter(|word| word.contains("_ten_")).map(str::to_owned).collect()
}

/// What is asked for afterwards, and what is refused: no answer may repeat a secret.
async fn ask(made: &Made) -> String {
    let Made { client, owner, customer, refresh, secrets } = made;
    let mut answers = String::new();
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
        answers.push_str(&reply.text);
    }
    customer.post("/auth/customers/logout", json!({})).await.expect(204);
    let provider = json!({ "name": "SSO", "audience": "members", "issuer": "https://127.0.0.1", "client_id": "x",
        "client_secret": CLIENT_SECRET, "password": NEW_PASSWORD });
    let wrong = json!({ "email": "owner@acme.example", "password": PASSWORD });
    let unreadable = json!({ "email": "owner@acme.example", "password": { "a": PASSWORD } });
    for reply in [
        client.post("/auth/tenants/login", wrong).await,
        client.post("/auth/tenants/login", unreadable).await,
        owner.post("/identity-providers", provider).await,
        // It was used, which ends the session.
        client.post("/auth/tenants/token/refresh", refresh.clone()).await,
        owner.get("/auth/tenants/me").await,
        client.with_key(&format!("{}x", secrets[3])).get("/customers").await,
    ] {
        assert!(reply.status >= 400, "{}", reply.text);
        answers.push_str(&reply.text);
    }
    answers
}

#[tokio::test]
async fn what_is_shown_once_is_nowhere_afterwards() {
    // given a server that logs everything
    let (dir, database) = (TempDir::new("usance-canary").unwrap(), TestDatabase::new().await);
    let mail_dir = dir.path().join("mail");
    let settings = [("USANCE_LOG", "trace"), ("USANCE_MAIL_DIR", mail_dir.to_str().unwrap())];
    let server = Instance::start(dir.path(), "server", database.url(), &settings).await;

    // when
    let mut made = make(Client::new(&server.url)).await;
    made.secrets.extend(mailed(&mail_dir, 3).await);
    let answers = ask(&made).await;
    let secrets = made.secrets;

    // then
    assert_eq!(secrets.len(), 22, "one more place shows a secret, or one less: {secrets:?}");
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
