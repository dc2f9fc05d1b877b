//! Tokens are seen by those who read the mail and by nobody else; and names do not write mails.

use serde_json::json;
use usance_testkit::{Client, TempDir, TestDatabase, TestServer};

use super::{
    all_ended, ask_reset, reset,
    sink::{Sink, header},
    text, token, until,
};
use crate::program::Instance;

#[tokio::test]
async fn no_token_is_in_the_log_or_in_a_row_while_its_mail_waits_or_afterwards() {
    let Some(sink) = Sink::start().await else { return };
    // given a server that logs everything, and mails that cannot be sent yet
    let (dir, database) = (TempDir::new("usance-mail").unwrap(), TestDatabase::new().await);
    let url = sink.url();
    let settings = [
        ("USANCE_SMTP_URL", url.as_str()),
        ("USANCE_MAIL_FROM", "billing@example.com"),
        ("USANCE_WORK_INTERVAL_MS", "20"),
        ("USANCE_LOG", "trace"),
    ];
    let server = Instance::start(dir.path(), "server", database.url(), &settings).await;
    let client = Client::new(&server.url);
    sink.feel("451 not now");

    // when
    let registered = client.register("acme").await;
    let owner = client.with_key(text(&registered, "/tokens/access"));
    let invitation = json!({ "email": "grace@example.com", "role": "viewer" });
    owner.post("/members/invitations", invitation).await.expect(201);
    ask_reset(&client, "acme@example.com").await;
    until(&client, &database, "SELECT count(*) FROM mails WHERE attempts >= 1 AND leased_until IS NULL", 3)
        .await;
    let waiting = database.dump().await;
    sink.feel("");
    // The wall clock of this server cannot be moved: what waits becomes due by hand.
    let mut superuser = database.connect_as_superuser().await;
    let due = "UPDATE mails SET next_attempt_at = created_at WHERE status = 'pending'";
    sqlx::query(due).execute(&mut superuser).await.unwrap();
    let verification = sink.mail(&client, "acme@example.com", "Confirm").await;
    let invitation = sink.mail(&client, "grace@example.com", "invited").await;
    let reset_mail = sink.mail(&client, "acme@example.com", "Reset").await;
    let tokens = [(verification, "ve_"), (invitation, "inv_"), (reset_mail, "pr_")];
    let tokens = tokens.map(|(mail, prefix)| token(text(&mail, "/text"), prefix));
    client.post("/auth/tenants/verify-email", json!({ "token": tokens[0] })).await.expect(200);
    client.post("/auth/tenants/password-reset", reset(&tokens[2])).await.expect(200);
    all_ended(&client, &database).await;

    // then
    let log = server.process.log();
    let stored = database.dump().await;
    assert!(log.contains("A mail was not sent") && stored.contains("member.password_reset"));
    for token in &tokens {
        // Its random part alone would do.
        let random = token.rsplit('_').next().unwrap();
        for (place, text) in [("log", &log), ("rows that wait", &waiting), ("rows", &stored)] {
            assert!(!text.contains(random), "{token} is in the {place}");
        }
    }
    assert_eq!(database.number_as_superuser("SELECT count(*) FROM mails WHERE sealed IS NOT NULL").await, 0);
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn a_name_cannot_write_a_header_or_an_element() {
    let Some(sink) = Sink::start().await else { return };
    // given
    let server = TestServer::start_with(sink.settings()).await;
    let injected = "Acme\r\nBcc: eve@example.com";
    let body =
        json!({ "company_name": injected, "email": "eve@example.com", "password": "seven brown bears" });
    server.client.post("/auth/tenants/register", body).await.expect_code(400, "invalid_field");
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));

    // when one gets past the checks
    let mut superuser = server.database.connect_as_superuser().await;
    let name = r"UPDATE tenants SET company_name = E'Acme\r\nBcc: eve@example.com\r\n\r\n<img src=x>'";
    sqlx::query(name).execute(&mut superuser).await.unwrap();
    for address in
        ["a@example.com\r\nBcc: eve@example.com", "a@example.com, eve@example.com", "a@example.com>\u{0}"]
    {
        let invitation = json!({ "email": address, "role": "viewer" });
        owner.post("/members/invitations", invitation).await.expect_code(422, "invalid_field");
    }
    let invitation = json!({ "email": "grace@example.com", "role": "viewer" });
    owner.post("/members/invitations", invitation).await.expect(201);
    let mail = sink.mail(&server.client, "grace@example.com", "You are invited").await;

    // then
    assert_eq!(mail["envelope_to"], json!(["grace@example.com"]));
    let names: Vec<_> = mail["headers"].as_array().unwrap().iter().map(|it| text(it, "/0")).collect();
    assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{names:?}");
    assert!(header(&mail, "Subject").contains("Bcc: eve@example.com"), "{mail}");
    assert!(!text(&mail, "/html").contains("<img"), "{mail}");
    server.stop().await;
}
