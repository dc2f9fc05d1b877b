//! Disconnecting.

use reqwest::Method;
use serde_json::{Value, json};
use usance_testkit::StripeVice;

use super::{DISCONNECT, STATUS, Scene, text};

#[tokio::test]
async fn an_owner_disconnects_the_account_here_and_at_stripe() {
    for method in [Method::DELETE, Method::POST] {
        // given
        let scene = Scene::new().await;
        scene.connect(&scene.owner).await.expect(200);

        // when
        let request = || scene.owner.request(method.clone(), DISCONNECT);
        let gone = scene.owner.send(request()).await.expect(200);
        let again = scene.owner.send(request()).await.expect_code(400, "stripe_not_connected");

        // then
        assert_eq!(gone["message"], "Stripe account disconnected successfully");
        assert_eq!(
            (&gone["tenant"]["stripe_connect_status"], &gone["tenant"]["stripe_connect_account_id"]),
            (&json!("disconnected"), &Value::Null)
        );
        assert_eq!(again["error"], "No Stripe account connected");
        assert!(!scene.peer.account("acct_1").is_connected);
        assert_eq!(scene.asked(), ["POST /oauth/token", "POST /oauth/deauthorize"]);
        let entries = scene.audited().await;
        let [.., entry, at_stripe] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!(
            (text(entry, "/action"), text(entry, "/reason")),
            ("stripe.disconnected", "disconnected by an owner")
        );
        assert_eq!(entry["after"], json!({ "account_id": null, "status": "disconnected" }));
        assert_eq!(text(at_stripe, "/action"), "stripe.deauthorized");
        assert_eq!(at_stripe["after"], json!({ "account_id": "acct_1", "deauthorized": true }));
        assert!(scene.told().await.iter().all(|data| data["stripe_connect_status"] == "disconnected"));
        assert_eq!(scene.owner.get(STATUS).await.expect(200)["connected"], false);
        scene.connect(&scene.owner).await.expect(200);
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn an_account_is_disconnected_here_even_without_stripe() {
    for (vice, error) in [
        (Some(StripeVice::Fault), json!("Stripe failed")),
        (Some(StripeVice::Garbage), json!("Stripe answered something that cannot be read")),
        // It was disconnected there before.
        (None, json!("invalid_client")),
    ] {
        // given
        let scene = Scene::new().await;
        scene.connect(&scene.owner).await.expect(200);
        scene.peer.change("acct_1", |account| account.is_connected = vice.is_some());
        scene.peer.misbehave(vice);

        // when
        let gone = scene.owner.delete(DISCONNECT).await.expect(200);

        // then
        assert_eq!(gone["tenant"]["stripe_connect_status"], "disconnected");
        assert_eq!(scene.stored(&scene.owner).await, ("disconnected".to_owned(), Value::Null));
        let entry = scene.audited().await.pop().unwrap();
        assert_eq!((&entry["after"]["deauthorized"], &entry["after"]["error"]), (&json!(false), &error));
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn a_disconnection_that_is_repeated_with_its_key_is_carried_out_once() {
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);

    let first = scene.owner.post_once(DISCONNECT, "once", json!({})).await.expect(200);
    let second = scene.owner.post_once(DISCONNECT, "once", json!({})).await.expect(200);

    assert_eq!(first, second);
    assert_eq!(scene.asked(), ["POST /oauth/token", "POST /oauth/deauthorize"]);
    scene.server.stop().await;
}
