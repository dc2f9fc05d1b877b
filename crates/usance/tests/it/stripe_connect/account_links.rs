//! Connecting by a page of Stripe that completes an account which the platform has made.

use serde_json::{Value, json};
use usance_app::stripe::ConnectStyle;

use super::{CALLBACK, DISCONNECT, REDIRECT_URI, STATUS, Scene, parameter, text};

#[tokio::test]
async fn an_owner_completes_an_account_on_a_page_of_stripe() {
    // given
    let scene = Scene::with(ConnectStyle::AccountLinks).await;

    // when
    let begun = scene.begin(&scene.owner).await;
    let back = scene.browse(&begun).await;
    let connected = scene.server.client.get(&back).await.expect(200);

    // then
    assert_eq!(parameter(&back, "state").as_deref(), Some(text(&begun, "/state")));
    assert_eq!(begun["redirect_uri"], REDIRECT_URI);
    let account = text(&connected, "/account_id").to_owned();
    assert_eq!(
        (&connected["tenant"]["stripe_connect_status"], &connected["tenant"]["stripe_connect_account_id"]),
        (&json!("active"), &json!(account))
    );
    assert_eq!(scene.asked(), ["POST /v1/accounts", "POST /v1/account_links", "GET /v1/accounts/{id}"]);
    let calls = scene.peer.calls();
    assert_eq!(calls[0].fields["type"], "express");
    assert_eq!(calls[0].fields["capabilities[transfers][requested]"], "true");
    assert_eq!(calls[0].fields["metadata[usance_tenant]"], text(&scene.registered, "/tenant/id"));
    assert_eq!(calls[1].fields["type"], "account_onboarding");
    assert_eq!(calls[1].fields["account"], account);
    for call in &calls[..2] {
        assert!(call.headers["idempotency-key"].to_str().unwrap().starts_with("usance-account"));
    }
    assert_eq!(scene.owner.get(STATUS).await.expect(200)["status"], "active");
    scene.server.client.get(&back).await.expect_code(403, "stripe_state_invalid");
    scene.server.stop().await;
}

#[tokio::test]
async fn whoever_leaves_the_page_early_goes_on_with_the_same_account() {
    // given
    let scene = Scene::with(ConnectStyle::AccountLinks).await;
    let begun = scene.begin(&scene.owner).await;

    // when the owner comes back without having answered
    let path = format!("{CALLBACK}?state={}", text(&begun, "/state"));
    let refused = scene.server.client.get(&path).await.expect_code(400, "stripe_connect_denied");

    // then
    assert_eq!(refused["error"], "onboarding_incomplete");
    assert_eq!(scene.stored(&scene.owner).await, ("pending".to_owned(), Value::Null));

    // when the page cannot be shown any more
    scene.begin(&scene.owner).await;
    let refresh_url = scene.peer.calls().pop().unwrap().fields["refresh_url"].clone();
    let path = refresh_url.replace(REDIRECT_URI, CALLBACK);
    let refused = scene.server.client.get(&path).await.expect_code(400, "stripe_connect_denied");

    // then
    assert_eq!(refused["error"], "link_expired");

    // when
    let back = scene.browse(&scene.begin(&scene.owner).await).await;
    scene.server.client.get(&back).await.expect(200);

    // then there is no second account
    assert_eq!(scene.asked().iter().filter(|route| *route == "POST /v1/accounts").count(), 1);
    scene.server.stop().await;
}

#[tokio::test]
async fn an_account_that_is_gone_is_made_anew() {
    // given
    let scene = Scene::with(ConnectStyle::AccountLinks).await;
    let first = scene.connect(&scene.owner).await.expect(200);
    scene.owner.delete(DISCONNECT).await.expect(200);

    // when
    let second = scene.connect(&scene.owner).await.expect(200);

    // then
    assert_ne!(first["account_id"], second["account_id"]);
    // The double has one account from the beginning.
    assert_eq!(scene.peer.count_accounts(), 3);
    scene.server.stop().await;
}
