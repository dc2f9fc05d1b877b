//! Nobody is bombed with mails, and nobody is kept from a mail by those that others cause.

use jiff::SignedDuration;
use serde_json::json;
use usance_testkit::{MovableClock, TestServer};

use super::{all_ended, ask_reset, files, mails, reset, server_by, text, token};

#[tokio::test]
async fn a_stranger_who_asks_for_resets_neither_floods_a_mailbox_nor_locks_it() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    server.client.register("acme").await;

    // when
    for _ in 0..3 {
        ask_reset(&server.client, "acme@example.com").await;
        all_ended(&server.client, &server.database).await;
        clock.advance(SignedDuration::from_secs(1));
    }
    for _ in 0..10 {
        ask_reset(&server.client, "acme@example.com").await;
    }
    all_ended(&server.client, &server.database).await;

    // then: three mails came, and the newest of them works
    let sent = mails(&server, "acme@example.com", "Reset your password", 3).await;
    clock.advance(SignedDuration::from_mins(29));
    let path = "/auth/tenants/password-reset";
    server.client.post(path, reset(&token(&sent[2], "pr_"))).await.expect(200);
    // The mail that tells of the new password has a lease, which the clock must not leap over.
    all_ended(&server.client, &server.database).await;
    clock.advance(SignedDuration::from_mins(1));
    ask_reset(&server.client, "acme@example.com").await;
    mails(&server, "acme@example.com", "Reset your password", 4).await;
    server.stop().await;
}

#[tokio::test]
async fn an_address_gets_five_invitations_an_hour_from_all_tenants_together() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let mut owners = Vec::new();
    for number in 0..8 {
        let registered = server.client.register(&format!("t{number}")).await;
        owners.push(server.client.with_key(text(&registered, "/tokens/access")));
    }
    let invite = async |number: usize| {
        let invitation = json!({ "email": "grace@example.com", "role": "viewer" });
        owners[number].post("/members/invitations", invitation).await.expect(201)
    };

    // when
    for number in 0..7 {
        invite(number).await;
    }
    all_ended(&server.client, &server.database).await;

    // then
    assert_eq!(files(server.mail_dir(), "grace@example.com", "You are invited").len(), 5);
    let dead = "SELECT string_agg(DISTINCT last_error, ',') || count(*) FROM mails WHERE status = 'dead'";
    let dead = server.database.text_as_superuser(dead).await;
    assert_eq!(dead, "refused: its recipient got too many of the kind2");
    clock.advance(SignedDuration::from_mins(59));
    let other = json!({ "email": "alan@example.com", "role": "viewer" });
    owners[0].post("/members/invitations", other).await.expect(201);
    mails(&server, "alan@example.com", "You are invited", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_mails_few_strangers_before_an_owner_has_verified_an_address() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    let verification = mails(&server, "acme@example.com", "Confirm your e-mail address", 1).await.remove(0);
    let invite = async |number: usize| {
        let invitation = json!({ "email": format!("m{number}@example.com"), "role": "viewer" });
        owner.post("/members/invitations", invitation).await.expect(201);
    };
    let invited = || {
        let to = |number: &usize| !files(server.mail_dir(), &format!("m{number}@example.com"), "").is_empty();
        (0..45).filter(to).count()
    };

    // when
    for number in 0..22 {
        invite(number).await;
    }
    all_ended(&server.client, &server.database).await;

    // then
    assert_eq!(invited(), 20);
    let dead = "SELECT string_agg(DISTINCT last_error, ',') FROM mails WHERE status = 'dead'";
    let dead = server.database.text_as_superuser(dead).await;
    assert!(dead.starts_with("refused: no owner of its tenant has verified an address"), "{dead}");

    // when
    let proof = json!({ "token": token(&verification, "ve_") });
    server.client.post("/auth/tenants/verify-email", proof).await.expect(200);
    for number in 22..44 {
        invite(number).await;
    }
    all_ended(&server.client, &server.database).await;

    // then
    assert_eq!(invited(), 42);
    server.stop().await;
}

#[tokio::test]
async fn a_network_asks_for_few_resets_a_minute_whoever_they_are_for() {
    let server = TestServer::start_with(|settings| settings.rate_limits.loopback = true).await;
    let ask = async |number: usize| {
        let request = json!({ "email": format!("nobody{number}@example.com") });
        server.client.post("/auth/tenants/password-reset/request", request).await
    };

    for number in 0..5 {
        ask(number).await.expect(202);
    }

    ask(5).await.expect_code(429, "rate_limit_exceeded");
    server.stop().await;
}
