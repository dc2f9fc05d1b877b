//! What is secret stays so: the authenticator's secret, and the codes.

use reqwest::Method;
use serde_json::{Value, json};
use usance_testkit::{Client, TempDir, TestDatabase, python};

use super::{CONFIRM, PASSWORD, RECOVERY_CODES, SKIPPED, TOTP, run, text, words};
use crate::program::Instance;

/// The same request with an `Idempotency-Key`, which must keep nothing.
async fn post(client: &Client, path: &str, body: Value) -> Value {
    let request = client.request(Method::POST, path).header("idempotency-key", format!("key of {path}"));
    let reply = client.send(request.json(&body)).await;
    assert!(reply.status < 300, "{path}: {}", reply.text);
    reply.body
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "why a test is skipped")]
async fn no_log_no_entry_and_no_row_holds_a_secret() {
    let Some(python) = python() else { return eprintln!("{SKIPPED}") };
    // given a server that logs everything
    let (dir, database) = (TempDir::new("usance-totp").unwrap(), TestDatabase::new().await);
    let server = Instance::start(dir.path(), "server", database.url(), &[("USANCE_LOG", "trace")]).await;
    let client = Client::new(&server.url);
    let owner = client.with_key(text(&client.register("acme").await, "/tokens/access"));
    let code = async |secret: &str, shift: &str| {
        let script = "import sys, time, pyotp
print(pyotp.TOTP(sys.argv[1]).at(int(time.time()) + int(sys.argv[2])))";
        run(&python, script, &[secret, shift]).await
    };

    // when everything is done once; the second code is the next one, which is accepted early
    let begun = post(&owner, TOTP, json!({ "password": PASSWORD })).await;
    let secret = text(&begun, "/secret").to_owned();
    let confirmed = post(&owner, CONFIRM, json!({ "code": code(&secret, "0").await })).await;
    let renewed = post(&owner, RECOVERY_CODES, json!({ "code": code(&secret, "30").await })).await;
    let codes = words(&renewed["recovery_codes"]);
    let login = json!({ "email": "acme@example.com", "password": PASSWORD, "code": codes[0] });
    post(&client, "/auth/tenants/login", login.clone()).await;
    client.post("/auth/tenants/login", login).await.expect_code(401, "second_factor_invalid");
    let entries = owner.get("/audit?limit=100").await.text;

    // then
    let log = server.process.log();
    let stored = database.dump().await;
    assert!(stored.contains("recovery_code_used") && log.contains("/auth/tenants/totp"), "{log}");
    let kept = database.text_as_superuser("SELECT count(*)::text FROM idempotency_keys").await;
    assert_eq!(kept, "0");
    let mut secrets = vec![secret, text(&begun, "/otpauth_url").to_owned(), PASSWORD.to_owned()];
    secrets.extend(words(&confirmed["recovery_codes"]).into_iter().chain(codes));
    let plain: Vec<_> = secrets.iter().map(|secret| secret.replace('-', "")).collect();
    for secret in secrets.into_iter().chain(plain) {
        for (place, text) in [("entries", &entries), ("log", &log), ("rows", &stored)] {
            assert!(!text.contains(&secret), "{secret} is in the {place}");
        }
    }
    let sealed = "SELECT encode(totp_secret_sealed, 'escape') FROM members";
    assert!(!database.text_as_superuser(sealed).await.is_empty());
    assert!(server.process.end_by("TERM").await.success());
}
