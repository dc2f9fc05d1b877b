//! `usance check` as a shell sees it.

use serde_json::{Value, json};
use usance_testkit::{TempDir, TestServer};

use crate::program::{Finished, finish, usance};

async fn check(server: &TestServer, arguments: &[&str]) -> Finished {
    let dir = TempDir::new("usance-check").unwrap();
    let mut command = usance(dir.path(), &[&["check"], arguments].concat());
    command.env("DATABASE_URL", server.database.url());
    finish(command).await
}

#[tokio::test]
async fn a_sound_database_is_called_sound_while_a_server_runs_on_it() {
    let server = TestServer::start().await;
    super::furnish(&server).await;

    let text = check(&server, &[]).await.expect(0).stdout;
    let json: Value = serde_json::from_str(&check(&server, &["--json"]).await.expect(0).stdout).unwrap();

    assert!(text.ends_with("All invariants hold for 1 tenant.\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 12, "{text}");
    assert_eq!((&json["ok"], &json["violations"]), (&json!(true), &json!([])));
    assert_eq!(json["heads"][0]["hash"].as_str().unwrap().len(), 64);
    server.stop().await;
}

#[tokio::test]
async fn a_broken_row_is_named_and_the_command_fails() {
    let server = TestServer::start().await;
    super::furnish(&server).await;
    let broken =
        "UPDATE ledger_accounts SET debits_posted = debits_posted + 1 WHERE code = 'clearing' RETURNING code";
    server.database.text_as_superuser(broken).await;

    let text = check(&server, &[]).await.expect(1).stdout;
    let json: Value = serde_json::from_str(&check(&server, &["--json"]).await.expect(1).stdout).unwrap();

    assert!(text.contains("BROKEN I2") && text.contains("ledger account clearing of"), "{text}");
    assert!(text.contains("Do not mend them by hand"), "{text}");
    let named = json["violations"].as_array().unwrap();
    assert!(named.iter().any(|found| found["invariant"] == "I2"), "{json}");
    assert_eq!((&json["ok"], &named[0]["livemode"]), (&json!(false), &json!(false)));
    server.stop_unchecked().await;
}
