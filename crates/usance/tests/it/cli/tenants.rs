//! `usance tenants create`.

use std::fs;

use serde_json::{Value, json};
use usance_testkit::{SECRET_KEY, TempDir, TestServer};

use crate::program::{finish, usance};

const CREATE: [&str; 6] = ["tenants", "create", "--company-name", "Acme", "--email", "ada@acme.example"];

/// Both secret keys of the printed answer open the server.
async fn check_keys(server: &TestServer, registered: &Value) {
    for (name, start) in [("api_key_test_secret", "sk_test_"), ("api_key_secret", "sk_live_")] {
        let key = registered["tenant"][name].as_str().unwrap();
        assert!(key.starts_with(start), "{name}");
        assert_eq!(server.client.with_key(key).get("/meters").await.expect(200)["data"], json!([]));
    }
}

#[tokio::test]
async fn a_tenant_made_in_the_database_is_known_to_the_server_on_it() {
    // given
    let server = TestServer::start().await;
    let dir = TempDir::new("usance-tenants").unwrap();
    let mut command = usance(dir.path(), &CREATE);
    command.arg("--json").env("DATABASE_URL", server.database.url()).env("USANCE_SECRET_KEY", SECRET_KEY);

    // when
    let created = finish(command).await.expect(0);

    // then
    let registered: Value = serde_json::from_str(&created.stdout).unwrap();
    assert_eq!(registered["tenant"]["company_name"], "Acme");
    assert!(registered["password"].as_str().unwrap().len() >= 12);
    check_keys(&server, &registered).await;
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_made_through_a_server_may_bring_its_password_in_a_file() {
    // given
    let server = TestServer::start().await;
    let dir = TempDir::new("usance-tenants").unwrap();
    fs::write(dir.path().join("password"), "correct horse battery\n").unwrap();
    fs::write(dir.path().join("too-short"), "eleven-char\n").unwrap();
    let create = |password_file: &str| {
        let mut command = usance(dir.path(), &CREATE);
        command.args(["--url", server.client.base(), "--password-file", password_file, "--json"]);
        finish(command)
    };

    // when
    let refused = create("too-short").await.expect(1);
    let created = create("password").await.expect(0);

    // then
    assert!(
        refused.stderr.contains("must have at least 12 characters")
            && !refused.stderr.contains("eleven-char"),
        "{}",
        refused.stderr
    );
    let registered: Value = serde_json::from_str(&created.stdout).unwrap();
    assert_eq!(registered.get("password"), None, "only a generated password is shown");
    assert!(!created.stdout.contains("correct horse battery"));
    check_keys(&server, &registered).await;
    server.stop().await;
}

#[tokio::test]
async fn the_table_shows_every_secret_once() {
    // given
    let server = TestServer::start().await;
    let dir = TempDir::new("usance-tenants").unwrap();
    let mut command = usance(dir.path(), &CREATE);
    command.args(["--url", server.client.base()]);

    // when
    let created = finish(command).await.expect(0);

    // then
    for start in ["sk_test_", "pk_test_", "sk_live_", "pk_live_", "whsec_"] {
        assert_eq!(created.stdout.matches(start).count(), 1, "{start}\n{}", created.stdout);
    }
    assert_eq!(created.stderr, "");
    let password = created.stdout.lines().find(|line| line.trim_start().starts_with("Password")).unwrap();
    assert!(password.split_whitespace().last().unwrap().len() >= 12, "{password}");
    server.stop().await;
}

#[tokio::test]
async fn a_second_tenant_of_the_same_address_is_refused_in_words() {
    // given
    let server = TestServer::start().await;
    let dir = TempDir::new("usance-tenants").unwrap();
    let create = || {
        let mut command = usance(dir.path(), &CREATE);
        command.args(["--url", server.client.base()]);
        finish(command)
    };
    create().await.expect(0);

    // when
    let refused = create().await.expect(1);

    // then
    assert!(
        refused.stderr.contains("email_taken: a tenant with this email already exists"),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stdout, "");
    server.stop().await;
}
