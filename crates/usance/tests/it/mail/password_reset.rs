//! A member who has forgotten its password gets a token by mail.

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::timeout;
use usance_testkit::{Client, MovableClock, Reply, TempDir, TestDatabase, TestServer};

use super::{
    NEW_PASSWORD, PASSWORD, all_ended, ask_reset, files, join, mails, reset, server_by, sink::Sink, text,
    token,
};

use crate::{
    failpoints::Gate,
    program::{DEADLINE, Instance},
};

const RESET: &str = "/auth/tenants/password-reset";
const ABOUT: &str = "Reset your password";

async fn login(server: &TestServer, email: &str, password: &str) -> Reply {
    server.client.post("/auth/tenants/login", json!({ "email": email, "password": password })).await
}

#[tokio::test]
async fn a_member_resets_its_password_with_the_token_of_the_mail() {
    let Some(sink) = Sink::start().await else { return };
    // given
    let server = TestServer::start_with(sink.settings()).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));

    // when
    ask_reset(&server.client, "ACME@example.com").await;
    let mail = sink.mail(&server.client, "acme@example.com", ABOUT).await;
    let token = token(text(&mail, "/text"), "pr_");
    let weak = json!({ "token": token, "password": "short" });
    let refused = server.client.post(RESET, weak).await.expect_code(400, "invalid_field");
    assert_eq!(refused["errors"][0]["pointer"], "/password");
    server.client.post(RESET, reset(&token)).await.expect(200);

    // then
    assert!(
        text(&mail, "/text").contains(&format!("https://billing.example.com/reset-password#token={token}"))
    );
    owner.get("/auth/tenants/me").await.expect_code(401, "unauthorized");
    let refresh = json!({ "refresh": registered["tokens"]["refresh"] });
    server.client.post("/auth/tenants/token/refresh", refresh).await.expect_code(401, "token_not_valid");
    login(&server, "acme@example.com", PASSWORD).await.expect_code(401, "invalid_credentials");
    let signed_in = login(&server, "acme@example.com", NEW_PASSWORD).await.expect(200);
    assert!(signed_in["user"]["email_verified_at"].is_string(), "the token came by mail");
    server.client.post(RESET, reset(&token)).await.expect_code(404, "not_found");
    sink.mail(&server.client, "acme@example.com", "Your password at acme was changed").await;
    let owner = server.client.with_key(text(&signed_in, "/tokens/access"));
    for action in ["member.password_reset_requested", "member.password_reset"] {
        let log = owner.get(&format!("/audit?action={action}")).await.expect(200);
        assert_eq!(log["data"].as_array().unwrap().len(), 1, "{action}");
        assert_eq!(log["data"][0]["subject"]["id"], registered["user"]["id"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn of_fifty_who_redeem_one_token_one_does() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    server.client.register("acme").await;
    ask_reset(&server.client, "acme@example.com").await;
    let token = token(&mails(&server, "acme@example.com", ABOUT, 1).await[0], "pr_");

    // when
    let racers = (0..50).map(|number| {
        let body = json!({ "token": token, "password": format!("gravel tulip nine bone {number}") });
        server.client.post(RESET, body)
    });
    let replies = join_all(racers).await;

    // then
    let winners: Vec<_> = (0..50).filter(|number: &usize| replies[*number].status == 200).collect();
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    assert!(replies.iter().enumerate().all(|(number, reply)| number == *winner || reply.status == 404));
    login(&server, "acme@example.com", &format!("gravel tulip nine bone {winner}")).await.expect(200);
    mails(&server, "acme@example.com", "Your password at acme was changed", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_token_ends_with_its_time_with_a_newer_one_and_with_the_password() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    let mut tokens = Vec::new();
    for count in 1..=2 {
        ask_reset(&server.client, "acme@example.com").await;
        let sent = mails(&server, "acme@example.com", ABOUT, count).await;
        // Of those that came at the same moment, the one that was not seen yet.
        let new = sent.iter().map(|mail| token(mail, "pr_")).find(|it| !tokens.contains(it));
        tokens.push(new.unwrap());
    }

    // when, then
    server.client.post(RESET, reset(&tokens[0])).await.expect_code(404, "not_found");
    let change = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    owner.post("/auth/tenants/change-password", change).await.expect(200);
    server.client.post(RESET, reset(&tokens[1])).await.expect_code(404, "not_found");
    mails(&server, "acme@example.com", "Your password at acme was changed", 1).await;

    clock.advance(SignedDuration::from_mins(30));
    ask_reset(&server.client, "acme@example.com").await;
    let sent = mails(&server, "acme@example.com", ABOUT, 3).await;
    clock.advance(SignedDuration::from_mins(30));
    server.client.post(RESET, reset(&token(&sent[2], "pr_"))).await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_no_active_member_of_an_active_tenant_gets_nothing() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    let (grace, _) = join(&server, &owner, "grace@example.com", "developer").await;
    ask_reset(&server.client, "grace@example.com").await;
    let before = token(&mails(&server, "grace@example.com", ABOUT, 1).await[0], "pr_");

    // when
    let path = format!("/members/{}", text(&grace, "/user/id"));
    owner.patch(&path, json!({ "is_active": false })).await.expect(200);
    ask_reset(&server.client, "grace@example.com").await;
    all_ended(&server.client, &server.database).await;

    // then: nor does the token of before work, though she be let in again
    assert_eq!(files(server.mail_dir(), "grace@example.com", ABOUT).len(), 1);
    server.client.post(RESET, reset(&before)).await.expect_code(404, "not_found");
    owner.patch(&path, json!({ "is_active": true })).await.expect(200);
    server.client.post(RESET, reset(&before)).await.expect_code(404, "not_found");

    // when
    ask_reset(&server.client, "acme@example.com").await;
    let token = token(&mails(&server, "acme@example.com", ABOUT, 1).await[0], "pr_");
    let mut superuser = server.database.connect_as_superuser().await;
    sqlx::query("UPDATE tenants SET is_active = false").execute(&mut superuser).await.unwrap();
    ask_reset(&server.client, "acme@example.com").await;
    all_ended(&server.client, &server.database).await;

    // then
    assert_eq!(files(server.mail_dir(), "acme@example.com", ABOUT).len(), 1);
    server.client.post(RESET, reset(&token)).await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn an_address_of_several_accounts_gets_a_mail_for_each_or_for_the_named_one() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    for name in ["acme", "globex"] {
        let registered = server.client.register(name).await;
        let owner = server.client.with_key(text(&registered, "/tokens/access"));
        join(&server, &owner, "grace@example.com", "developer").await;
    }

    // when
    ask_reset(&server.client, "grace@example.com").await;

    // then
    mails(&server, "grace@example.com", "Reset your password at acme", 1).await;
    let sent = mails(&server, "grace@example.com", "Reset your password at globex", 1).await;
    server.client.post(RESET, reset(&token(&sent[0], "pr_"))).await.expect(200);
    let at = |tenant: &str, password: &str| {
        let body = json!({ "email": "grace@example.com", "password": password, "tenant": tenant });
        let client = server.client.clone();
        async move { client.post("/auth/tenants/login", body).await }
    };
    at("globex", NEW_PASSWORD).await.expect(200);
    at("acme", PASSWORD).await.expect(200);

    // when
    let request = json!({ "email": "grace@example.com", "tenant": "acme" });
    server.client.post(&format!("{RESET}/request"), request).await.expect(202);

    // then
    mails(&server, "grace@example.com", "Reset your password at acme", 2).await;
    assert_eq!(files(server.mail_dir(), "grace@example.com", "Reset your password at globex").len(), 1);
    server.stop().await;
}

/// All of an answer but what differs from request to request.
fn fixed(reply: &Reply) -> (u16, String, Vec<Option<&str>>) {
    let headers = ["content-type", "content-length", "cache-control", "retry-after"];
    (reply.status, reply.text.clone(), headers.iter().map(|name| reply.header(name)).collect())
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_an_address_is_known() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    let (grace, _) = join(&server, &owner, "grace@example.com", "developer").await;
    let path = format!("/members/{}", text(&grace, "/user/id"));
    owner.patch(&path, json!({ "is_active": false })).await.expect(200);

    // when: also when nobody gets anything any more
    let mut answers = Vec::new();
    for _ in 0..5 {
        for email in ["acme@example.com", "nobody@example.com", "grace@example.com"] {
            let request = json!({ "email": email });
            answers.push(server.client.post(&format!("{RESET}/request"), request).await);
        }
    }

    // then
    assert_eq!(answers[0].status, 202);
    let first = fixed(&answers[0]);
    assert!(answers.iter().all(|reply| fixed(reply) == first), "{answers:#?}");
    all_ended(&server.client, &server.database).await;
    let left = "SELECT count(*)::text FROM mails WHERE kind = 'reset_request'";
    assert_eq!(
        server.database.text_as_superuser(left).await,
        "0",
        "nothing is kept of those whom nobody knows"
    );
    let malformed = server.client.post(&format!("{RESET}/request"), json!({ "email": "nobody" })).await;
    assert_eq!(malformed.expect_code(400, "invalid_field")["errors"][0]["pointer"], "/email");
    assert_eq!(registered["user"]["email_verified_at"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_request_costs_the_same_statements_whether_or_not_its_address_is_known() {
    // given
    let (dir, database) = (TempDir::new("usance-mail").unwrap(), TestDatabase::new().await);
    let gate = Gate::open(&database);
    let server = Instance::start(dir.path(), "server", &gate.url, &[("USANCE_ROLE", "api")]).await;
    timeout(DEADLINE, gate.listens()).await.expect("the server listens for news");
    let client = Client::new(&server.url);
    client.register("acme").await;

    for email in ["acme@example.com", "nobody@example.com", "acme@example.com"] {
        // when
        gate.arm(None);
        ask_reset(&client, email).await;

        // then
        assert_eq!(gate.statements(), ["mails::insert", "COMMIT after mails::insert"], "{email}");
    }
    assert!(server.process.end_by("TERM").await.success());
}
