//! What Stripe says of the connected account.

use serde_json::{Value, json};
use usance_testkit::StripeVice;

use super::{STATUS, Scene, text};

#[tokio::test]
async fn the_status_follows_the_account() {
    // given
    let scene = Scene::new().await;
    let none = scene.owner.get(STATUS).await.expect(200);
    scene.connect(&scene.owner).await.expect(200);

    // when
    let restricted = scene.owner.get(STATUS).await.expect(200);
    scene.peer.change("acct_1", |account| {
        account.charges_enabled = true;
        account.details_submitted = true;
    });
    let half = scene.owner.get(STATUS).await.expect(200);
    scene.peer.change("acct_1", |account| account.payouts_enabled = true);
    let active = scene.owner.get(STATUS).await.expect(200);

    // then
    let not_connected =
        json!({ "connected": false, "status": "not_connected", "message": "No Stripe account connected" });
    assert_eq!(none, not_connected);
    assert_eq!(
        restricted,
        json!({
            "connected": true, "account_id": "acct_1", "status": "restricted", "charges_enabled": false, "payouts_enabled": false,
            "requirements": { "currently_due": ["external_account"], "eventually_due": ["external_account"], "past_due": [],
                "disabled_reason": "requirements.past_due" },
            "account_details": { "email": "ada@acme.example", "business_type": "company", "country": "US",
                "default_currency": "usd", "details_submitted": false },
        })
    );
    assert_eq!(half["status"], "restricted");
    assert_eq!(
        (&active["status"], &active["requirements"]["disabled_reason"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(scene.stored(&scene.owner).await, ("active".to_owned(), json!("acct_1")));
    assert!(scene.told().await.iter().all(|data| data["stripe_connect_status"] == "active"));
    let entries = scene.audited().await;
    let changes: Vec<_> = entries
        .iter()
        .filter(|entry| text(entry, "/action") == "stripe.status_changed")
        .map(|entry| (text(entry, "/before/status"), text(entry, "/after/status")))
        .collect();
    assert_eq!(changes, [("connected", "restricted"), ("restricted", "active")]);
    scene.server.stop().await;
}

#[tokio::test]
async fn an_account_that_was_disconnected_at_stripe_is_disconnected_here() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    scene.peer.change("acct_1", |account| account.is_connected = false);

    // when
    let first = scene.owner.get(STATUS).await.expect(200);
    let second = scene.owner.get(STATUS).await.expect(200);

    // then
    assert_eq!((&first["connected"], &first["status"]), (&json!(false), &json!("not_connected")));
    assert_eq!(first, second);
    assert_eq!(scene.stored(&scene.owner).await, ("disconnected".to_owned(), Value::Null));
    let entries = scene.audited().await;
    assert_eq!(entries.len(), 3);
    assert_eq!(
        (text(&entries[2], "/action"), text(&entries[2], "/reason")),
        ("stripe.disconnected", "deauthorized at Stripe")
    );
    assert_eq!(entries[2]["before"], json!({ "account_id": "acct_1", "status": "connected" }));
    scene.connect(&scene.owner).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_fault_of_stripe_ends_no_connection() {
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    for vice in [StripeVice::Fault, StripeVice::Garbage, StripeVice::Gossip] {
        scene.peer.misbehave(Some(vice));
        scene.owner.get(STATUS).await.expect_code(500, "stripe_error");
    }
    assert_eq!(scene.stored(&scene.owner).await, ("connected".to_owned(), json!("acct_1")));
    scene.server.stop().await;
}
