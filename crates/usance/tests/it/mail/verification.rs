//! Members prove that they read what is sent to their address.

use jiff::SignedDuration;
use serde_json::{Value, json};
use usance_testkit::{Client, MovableClock, Reply, TestServer};

use super::{PASSWORD, files, join, mails, server_by, text, token};

const ABOUT: &str = "Confirm your e-mail address";

async fn verify(server: &TestServer, mail: &str) -> Reply {
    server.client.post("/auth/tenants/verify-email", json!({ "token": token(mail, "ve_") })).await
}

async fn verified_at(member: &Client) -> Value {
    member.get("/auth/tenants/me").await.expect(200)["user"]["email_verified_at"].clone()
}

#[tokio::test]
async fn whoever_registers_verifies_the_address_once_and_can_do_without() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    assert_eq!(registered["user"]["email_verified_at"], Value::Null);
    owner.get("/customers").await.expect(200);

    // when
    let mail = mails(&server, "acme@example.com", ABOUT, 1).await.remove(0);
    verify(&server, &mail).await.expect(200);

    // then
    assert_eq!(verified_at(&owner).await, "2026-01-01T00:00:00Z");
    assert_eq!(
        owner.get("/members").await.expect(200)["data"][0]["email_verified_at"],
        "2026-01-01T00:00:00Z"
    );
    verify(&server, &mail).await.expect_code(404, "not_found");
    let again = owner.post("/auth/tenants/verify-email/request", json!({})).await.expect(202);
    assert_eq!(again["message"], "The e-mail address is verified already");
    let log = owner.get("/audit?action=member.email_verified").await.expect(200);
    assert_eq!(
        (log["data"].as_array().unwrap().len(), &log["data"][0]["actor"]["type"]),
        (1, &json!("system"))
    );
    assert!(mail.contains("https://billing.example.com/verify-email#token=ve_ten_"), "{mail}");
    assert_eq!(files(server.mail_dir(), "acme@example.com", ABOUT).len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_token_verifies_for_a_day_and_five_mails_an_hour_can_be_asked_for() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let first = mails(&server, "acme@example.com", ABOUT, 1).await.remove(0);
    clock.advance(SignedDuration::from_hours(24));
    let login = json!({ "email": "acme@example.com", "password": PASSWORD });
    let signed_in = server.client.post("/auth/tenants/login", login).await.expect(200);
    let owner = server.client.with_key(text(&signed_in, "/tokens/access"));
    assert_eq!(signed_in["user"]["id"], registered["user"]["id"]);

    // when
    verify(&server, &first).await.expect_code(404, "not_found");
    for _ in 0..5 {
        owner.post("/auth/tenants/verify-email/request", json!({})).await.expect(202);
    }
    let refused = owner.post("/auth/tenants/verify-email/request", json!({})).await;

    // then: each of them works
    let refused = refused.expect_code(429, "rate_limit_exceeded");
    assert_eq!(refused["retry_after_seconds"], 3601);
    let sent = mails(&server, "acme@example.com", ABOUT, 6).await;
    verify(&server, &sent[2]).await.expect(200);
    assert!(verified_at(&owner).await.is_string());
    for wrong in ["ve_", "ve_ten_x_y", "", "pr_ten_01h455vb4pex5vsknk084sn02q_4sn02q"] {
        let refused = server.client.post("/auth/tenants/verify-email", json!({ "token": wrong })).await;
        refused.expect_code(404, "not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_invitation_proves_the_address_only_if_its_token_came_by_mail() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));

    // when one comes with the token that the inviter was shown, another with the one of the mail
    let (_, shown) = join(&server, &owner, "grace@example.com", "developer").await;
    let invitation = json!({ "email": "alan@example.com", "role": "viewer" });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);
    let mail = mails(&server, "alan@example.com", "You are invited to join acme", 1).await.remove(0);
    let mailed = token(&mail, "inv_");
    assert_ne!(mailed, text(&invitation, "/token"));
    let acceptance = json!({ "token": mailed, "password": PASSWORD });
    let joined = server.client.post("/auth/tenants/invitations/accept", acceptance.clone()).await.expect(201);

    // then
    assert_eq!(joined["user"]["email_verified_at"], "2026-01-01T00:00:00Z");
    assert_eq!(joined["user"]["role"], "viewer");
    server.client.post("/auth/tenants/invitations/accept", acceptance).await.expect_code(404, "not_found");
    assert_eq!(files(server.mail_dir(), "alan@example.com", ABOUT).len(), 0);
    assert_eq!(verified_at(&shown).await, Value::Null);
    let mail = mails(&server, "grace@example.com", ABOUT, 1).await.remove(0);
    verify(&server, &mail).await.expect(200);
    assert!(verified_at(&shown).await.is_string());
    server.stop().await;
}
