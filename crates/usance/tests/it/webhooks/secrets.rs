//! Which secrets sign, and for how long.

use jiff::SignedDuration;
use serde_json::{Value, json};
use usance_core::webhook::{SigningSecret, signatures};
use usance_testkit::{Received, Receiver};

use super::{Scene, happen, id};

/// Whether a message is signed with exactly these secrets, in their order.
fn is_signed_with(received: &Received, secrets: &[&Value]) -> bool {
    let secrets: Vec<_> =
        secrets.iter().map(|secret| SigningSecret::parse(secret.as_str().unwrap()).unwrap()).collect();
    let at = jiff::Timestamp::from_second(received.header("webhook-timestamp").parse().unwrap()).unwrap();
    let expected = signatures(&secrets, received.header("webhook-id"), at, &received.body);
    received.header("webhook-signature") == expected
}

#[tokio::test]
async fn an_old_secret_signs_beside_the_new_one_until_its_grace_is_over() {
    // given
    let scene = Scene::with(Receiver::start().await).await;
    let first = scene.endpoint["secret"].clone();
    let path = format!("{}/rotate-secret", scene.endpoint_path());

    // when
    let second = scene.client.post(&path, json!({ "grace_seconds": 60 })).await.expect(200)["secret"].clone();
    happen(&scene.client, "in-grace").await;
    let in_grace = scene.receiver.next().await;
    scene.advance(SignedDuration::from_secs(59)).await;
    happen(&scene.client, "at-its-end").await;
    let at_its_end = scene.receiver.next().await;
    scene.advance(SignedDuration::from_secs(1)).await;
    happen(&scene.client, "after").await;
    let after = scene.receiver.next().await;

    // then
    assert!(is_signed_with(&in_grace, &[&second, &first]) && is_signed_with(&at_its_end, &[&second, &first]));
    assert!(is_signed_with(&after, &[&second]));
    scene.server.stop().await;
}

#[tokio::test]
async fn a_rotation_without_grace_ends_the_old_secret_at_once_and_removes_it() {
    // given
    let scene = Scene::with(Receiver::start().await).await;
    let path = format!("{}/rotate-secret", scene.endpoint_path());

    // when
    scene.client.post(&path, json!({ "grace_seconds": 0 })).await.expect(200);
    let last = scene.client.post(&path, json!({ "grace_seconds": 0 })).await.expect(200)["secret"].clone();
    happen(&scene.client, "calls").await;

    // then
    assert!(is_signed_with(&scene.receiver.next().await, &[&last]));
    let count = "SELECT count(*) FROM webhook_secrets WHERE endpoint_id IN (SELECT id FROM webhook_endpoints WHERE NOT is_default)";
    assert_eq!(scene.server.database.number_as_superuser(count).await, 1, "an expired secret is removed");
    for grace in [-1, 604_801] {
        scene.client.post(&path, json!({ "grace_seconds": grace })).await.expect_code(422, "invalid_field");
    }
    let kept = scene
        .server
        .database
        .text_as_superuser("SELECT string_agg(encode(sealed, 'escape'), ' ') FROM webhook_secrets");
    assert!(!kept.await.contains("whsec_"), "secrets are encrypted at rest");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_day_is_the_grace_unless_another_is_asked_for() {
    let scene = Scene::with(Receiver::start().await).await;
    let first = scene.endpoint["secret"].clone();

    let path = format!("/webhook-endpoints/{}/rotate-secret", id(&scene.endpoint));
    let second = scene.client.post(&path, json!({})).await.expect(200)["secret"].clone();
    scene.advance(SignedDuration::from_secs(86_399)).await;
    happen(&scene.client, "within").await;
    let within = scene.receiver.next().await;
    scene.advance(SignedDuration::from_secs(1)).await;
    happen(&scene.client, "after").await;

    assert!(is_signed_with(&within, &[&second, &first]));
    assert!(is_signed_with(&scene.receiver.next().await, &[&second]));
    scene.server.stop().await;
}
