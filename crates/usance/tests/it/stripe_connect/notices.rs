//! What Stripe tells by itself of a connected account.

use std::{fs, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;
use usance_app::stripe::ConnectStyle;
use usance_core::webhook::verify_stripe_signature;
use usance_testkit::{PeerAccount, Reply, StripePeer, StripeVice, TestServer, shared_file};

use super::{DISCONNECT, Scene, speaks_with, text};

const PATH: &str = "/inbound/stripe/connect/";
const UPDATED: &str = "account.updated";
const LEFT: &str = "account.application.deauthorized";

/// Sends bytes as Stripe does.
async fn deliver(server: &TestServer, signature: &str, body: &str) -> Reply {
    let request = server.client.request(Method::POST, PATH).header("Stripe-Signature", signature);
    let request = request.header("Content-Type", "application/json; charset=utf-8").body(body.to_owned());
    server.client.send(request).await
}

/// Sends a notice with a good signature.
async fn tell(server: &TestServer, body: &str) -> Reply {
    let signature = StripePeer::signature(StripePeer::CONNECT_WEBHOOK_SECRET, server.app().now(), body);
    deliver(server, &signature, body).await
}

#[tokio::test]
async fn the_connection_follows_what_stripe_tells() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    scene.peer.change("acct_1", |account| {
        account.charges_enabled = true;
        account.payouts_enabled = true;
    });

    // when
    for _ in 0..2 {
        let taken = tell(&scene.server, &StripePeer::notice(UPDATED, "acct_1")).await.expect(200);
        assert_eq!(taken, json!({ "received": true }));
    }

    // then
    assert_eq!(scene.stored(&scene.owner).await, ("active".to_owned(), json!("acct_1")));

    // when it is disconnected at Stripe, which tells so twice and an older change last
    scene.peer.change("acct_1", |account| account.is_connected = false);
    for kind in [LEFT, LEFT, UPDATED] {
        tell(&scene.server, &StripePeer::notice(kind, "acct_1")).await.expect(200);
    }

    // then
    assert_eq!(scene.stored(&scene.owner).await, ("disconnected".to_owned(), Value::Null));
    let told = scene.told().await;
    assert!(told.len() == 2 && told.iter().all(|data| data["stripe_connect_status"] == "disconnected"));
    let entries = scene.audited().await;
    let entry = |entry: &Value| (text(entry, "/action").to_owned(), text(entry, "/actor/type").to_owned());
    let by_stripe =
        ["stripe.status_changed", "stripe.disconnected"].map(|it| (it.to_owned(), "system".to_owned()));
    assert_eq!(entries[2..].iter().map(entry).collect::<Vec<_>>(), by_stripe);
    assert_eq!(entries[3]["reason"], "deauthorized at Stripe");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_notice_that_comes_late_does_not_end_a_new_connection() {
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    scene.peer.change("acct_1", |account| account.is_connected = false);
    tell(&scene.server, &StripePeer::notice(LEFT, "acct_1")).await.expect(200);
    scene.connect(&scene.owner).await.expect(200);

    tell(&scene.server, &StripePeer::notice(LEFT, "acct_1")).await.expect(200);

    assert_eq!(scene.stored(&scene.owner).await, ("restricted".to_owned(), json!("acct_1")));
    scene.server.stop().await;
}

#[tokio::test]
async fn what_stripe_did_not_sign_just_now_changes_nothing() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    scene.peer.change("acct_1", |account| account.is_connected = false);
    let asked = scene.asked().len();
    let body = StripePeer::notice(LEFT, "acct_1");
    let now = scene.server.app().now();
    let own = |at, body: &str| StripePeer::signature(StripePeer::CONNECT_WEBHOOK_SECRET, at, body);
    let good = own(now, &body);
    let seconds = SignedDuration::from_secs;
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&body).unwrap()).unwrap();

    // when, then
    for (signature, body) in [
        (good.clone(), body.replace("evt_1", "evt_2")),
        (good.clone(), spaced),
        (good.clone(), format!("{body} ")),
        (own(now - seconds(301), &body), body.clone()),
        (own(now + seconds(301), &body), body.clone()),
        (StripePeer::signature("whsec_another", now, &body), body.clone()),
        (StripePeer::signature("", now, &body), body.clone()),
        (good.replace("v1=", "v0="), body.clone()),
        (good.split_once(',').unwrap().1.to_owned(), body.clone()),
        (format!("{good},{}", good.split_once(',').unwrap().0), body.clone()),
        (String::new(), body.clone()),
        ("v1=".repeat(20_000), body.clone()),
    ] {
        let refused = deliver(&scene.server, &signature, &body).await;
        let refused = refused.expect_code(400, "signature_invalid");
        assert!(text(&refused, "/detail").starts_with("Stripe-Signature: "), "{refused}");
    }
    let twice = scene.server.client.request(Method::POST, PATH).header("Stripe-Signature", &good);
    let twice = twice.header("Stripe-Signature", &good).body(body.clone());
    scene.server.client.send(twice).await.expect_code(400, "signature_invalid");
    let unsigned = scene.server.client.request(Method::POST, PATH).body(body.clone());
    scene.server.client.send(unsigned).await.expect_code(400, "signature_invalid");
    let large = " ".repeat(256 * 1024 + 1);
    deliver(&scene.server, &own(now, &large), &large).await.expect_code(413, "payload_too_large");
    assert_eq!(scene.asked().len(), asked, "Stripe is not asked");
    assert_eq!(scene.stored(&scene.owner).await, ("connected".to_owned(), json!("acct_1")));
    for at in [now - seconds(300), now + seconds(300)] {
        deliver(&scene.server, &own(at, &body), &body).await.expect(200);
    }
    assert_eq!(scene.stored(&scene.owner).await.0, "disconnected");
    scene.server.stop().await;
}

#[tokio::test]
async fn stripe_is_not_told_that_a_notice_was_taken_until_it_was_asked() {
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    scene.peer.change("acct_1", |account| account.is_connected = false);
    let body = StripePeer::notice(LEFT, "acct_1");

    for vice in [StripeVice::Fault, StripeVice::Garbage, StripeVice::Gossip] {
        scene.peer.misbehave(Some(vice));
        tell(&scene.server, &body).await.expect_code(500, "stripe_error");
        assert_eq!(scene.stored(&scene.owner).await.0, "connected");
    }
    scene.peer.misbehave(None);
    tell(&scene.server, &body).await.expect(200);

    assert_eq!(scene.stored(&scene.owner).await.0, "disconnected");
    scene.server.stop().await;
}

#[tokio::test]
async fn what_does_not_concern_a_connected_account_is_taken_and_forgotten() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    let asked = scene.asked().len();
    let of_the_platform =
        json!({ "object": "event", "type": UPDATED, "data": { "object": { "id": "acct_1" } } });
    let thin = json!({ "object": "v2.core.event", "type": "v2.core.account.updated", "context": "acct_1" });

    // when
    for body in [
        StripePeer::notice(UPDATED, "acct_2"),
        StripePeer::notice("payout.paid", "acct_1"),
        of_the_platform.to_string(),
        thin.to_string(),
    ] {
        tell(&scene.server, &body).await.expect(200);
    }

    // then
    assert_eq!(scene.asked().len(), asked);
    for body in ["", "[]", "{}", "{\"type\":1}", "\u{0}"] {
        tell(&scene.server, body).await.expect_code(400, "malformed_json");
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn stripe_may_tell_as_much_as_it_likes() {
    let peer = StripePeer::start().await;
    let speaks = speaks_with(&peer, ConnectStyle::Express);
    let server = TestServer::start_with(|settings| {
        speaks(settings);
        settings.rate_limits.loopback = true;
        settings.rate_limits.anonymous_per_hour = 1;
    })
    .await;

    for _ in 0..3 {
        tell(&server, &StripePeer::notice(UPDATED, "acct_1")).await.expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_the_secret_says_which_setting_is_missing() {
    let server = TestServer::start().await;
    let refused = tell(&server, &StripePeer::notice(UPDATED, "acct_1")).await;

    let refused = refused.expect_code(503, "stripe_not_configured");
    assert_eq!(refused["setting"], "STRIPE_CONNECT_WEBHOOK_SECRET");
    server.stop().await;
}

#[test]
fn signatures_are_judged_as_by_the_official_library() {
    let Some(file) = shared_file("stripe/webhook_vectors.json") else { return };
    let file: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    for vector in vectors {
        let seconds = |name: &str| vector[name].as_i64().unwrap();
        // Where the age is not looked at, it is looked at from when it was fresh.
        let now = if seconds("tolerance") == 0 { seconds("timestamp") } else { seconds("now") };
        let verdict = verify_stripe_signature(
            text(vector, "/header"),
            text(vector, "/payload").as_bytes(),
            &text(vector, "/secret").into(),
            Timestamp::from_second(now).unwrap(),
        );
        assert_eq!(verdict.is_ok(), vector["expected"] == "valid", "{vector}");
    }
    assert_eq!(vectors.len(), 14);
}

#[tokio::test]
async fn the_published_notices_are_understood() {
    // given
    let files = ["stripe/events/account.updated.json", "stripe/events/account.application.deauthorized.json"];
    let Some(files) = files.map(shared_file).into_iter().collect::<Option<Vec<_>>>() else { return };
    let scene = Scene::new().await;
    let bodies: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let account = serde_json::from_str::<Value>(&bodies[1]).unwrap()["account"].clone();
    scene.peer.consent(account.as_str().unwrap());
    scene.connect(&scene.owner).await.expect(200);
    let asked = scene.asked().len();

    // when
    tell(&scene.server, &bodies[0]).await.expect(200);
    scene.peer.change(account.as_str().unwrap(), |account| account.is_connected = false);
    tell(&scene.server, &bodies[1]).await.expect(200);

    // then
    assert_eq!(scene.asked()[asked..], ["GET /v1/accounts/{id}", "GET /v1/accounts/{id}"]);
    assert_eq!(scene.stored(&scene.owner).await.0, "disconnected");
    scene.server.stop().await;
}

/// Sends a notice, whose question to Stripe is answered as things are now, but not yet.
async fn tell_slowly(scene: &Scene) -> impl Future<Output = Reply> {
    let (gate, asked) = (Arc::new(Notify::new()), scene.asked().len());
    scene.peer.hold_back(&gate);
    let body = StripePeer::notice(UPDATED, "acct_1");
    let server = &scene.server;
    let mut answer = Box::pin(async move { tell(server, &body).await });
    while scene.asked().len() == asked {
        assert!(futures_util::poll!(&mut answer).is_pending());
        tokio::task::yield_now().await;
    }
    async move {
        gate.notify_one();
        answer.await
    }
}

#[tokio::test]
async fn an_answer_of_stripe_that_was_overtaken_does_not_count() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    let activate = |account: &mut PeerAccount| {
        account.charges_enabled = true;
        account.payouts_enabled = true;
    };

    // when an account is restricted at the first question and active at the second, which is answered first
    let slow = tell_slowly(&scene).await;
    scene.peer.change("acct_1", activate);
    tell(&scene.server, &StripePeer::notice(UPDATED, "acct_1")).await.expect(200);
    slow.await.expect(200);

    // then
    assert_eq!(scene.stored(&scene.owner).await, ("active".to_owned(), json!("acct_1")));

    // when the newer answer says what was known already
    scene.peer.change("acct_1", |account| account.payouts_enabled = false);
    let slow = tell_slowly(&scene).await;
    scene.peer.change("acct_1", activate);
    tell(&scene.server, &StripePeer::notice(UPDATED, "acct_1")).await.expect(200);
    slow.await.expect(200);

    // then
    assert_eq!(scene.stored(&scene.owner).await, ("active".to_owned(), json!("acct_1")));

    // when it was disconnected at the question, and is connected anew before the answer
    scene.peer.change("acct_1", |account| account.is_connected = false);
    let slow = tell_slowly(&scene).await;
    scene.owner.delete(DISCONNECT).await.expect(200);
    scene.connect(&scene.owner).await.expect(200);
    slow.await.expect(200);

    // then
    assert_eq!(scene.stored(&scene.owner).await, ("active".to_owned(), json!("acct_1")));
    scene.server.stop().await;
}
