//! The state: the only credential of a return.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CALLBACK, CONNECT, Scene, join, tenant, text};

fn refused_state(refused: &Value) {
    assert_eq!(
        (&refused["error"], &refused["description"]),
        (&json!("Invalid state parameter"), &json!("Security verification failed"))
    );
}

#[tokio::test]
async fn a_state_works_once() {
    // given
    let scene = Scene::new().await;
    let back = scene.browse(&scene.begin(&scene.owner).await).await;

    // when two browsers come back at once
    let (one, two) = tokio::join!(scene.server.client.get(&back), scene.server.client.get(&back));
    let third = scene.server.client.get(&back).await;

    // then
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
    refused_state(&third.expect_code(403, "stripe_state_invalid"));
    assert_eq!(scene.asked(), ["POST /oauth/token"]);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_state_expires_after_ten_minutes() {
    // given
    let scene = Scene::new().await;
    let (in_time, late) = (scene.begin(&scene.owner).await, scene.begin(&scene.owner).await);
    let late = scene.browse(&late).await;

    // when
    scene.clock.advance(SignedDuration::from_secs(599));
    let in_time = scene.browse(&in_time).await;
    scene.server.client.get(&in_time).await.expect(200);
    scene.clock.advance(SignedDuration::from_secs(1));
    let refused = scene.server.client.get(&late).await.expect_code(400, "stripe_connect_expired");

    // then
    assert_eq!(refused["error"], "Session expired");
    let entry = scene.audited().await.pop().unwrap();
    assert_eq!(
        (text(&entry, "/action"), text(&entry, "/reason")),
        ("stripe.connect_failed", "stripe_connect_expired")
    );
    assert_eq!(scene.asked(), ["POST /oauth/token"]);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_state_that_nobody_was_given_is_refused() {
    // given
    let scene = Scene::new().await;
    let (stranger, other) = tenant(&scene.server, "stranger").await;
    let begun = scene.begin(&other).await;
    let state = text(&begun, "/state");
    let (own, foreign) = (text(&scene.registered, "/tenant/id"), text(&stranger, "/tenant/id"));
    assert!(state.starts_with(&format!("scs_{foreign}_")));

    for forged in [
        state.replace(foreign, own),
        state[..state.len() - 1].to_owned(),
        format!("{state}x"),
        state.replace("scs_", "rt_"),
        format!("scs_{own}_"),
        "scs".to_owned(),
        String::new(),
        "%00".to_owned(),
        text(&scene.registered, "/tokens/refresh").to_owned(),
    ] {
        // when
        let path = format!("{CALLBACK}?code=ac_1&state={forged}");
        let refused = scene.server.client.get(&path).await.expect_code(403, "stripe_state_invalid");

        // then
        refused_state(&refused);
    }
    let without = scene.server.client.get(&format!("{CALLBACK}?code=ac_1")).await;
    refused_state(&without.expect_code(403, "stripe_state_invalid"));
    assert!(scene.asked().is_empty());
    // The other tenant's own way is still open, and connects the other tenant.
    scene.server.client.get(&scene.browse(&begun).await).await.expect(200);
    assert_eq!(scene.stored(&scene.owner).await, ("pending".to_owned(), Value::Null));
    assert_eq!(scene.stored(&other).await, ("connected".to_owned(), json!("acct_1")));
    scene.server.stop().await;
}

#[tokio::test]
async fn a_return_without_a_code_is_refused() {
    let scene = Scene::new().await;
    let begun = scene.begin(&scene.owner).await;

    for query in [String::new(), "?code=".to_owned(), format!("?state={}", text(&begun, "/state"))] {
        let refused = scene.server.client.get(&format!("{CALLBACK}{query}")).await;
        let refused = refused.expect_code(400, "invalid_field");
        assert_eq!(refused["error"], "Missing authorization code", "{query}");
    }
    assert!(scene.asked().is_empty());
    scene.server.stop().await;
}

#[tokio::test]
async fn a_way_is_worth_what_the_member_who_began_may_still_do() {
    for change in [json!({ "role": "admin" }), json!({ "is_active": false })] {
        // given
        let scene = Scene::new().await;
        let (id, second) = join(&scene.server, &scene.owner, "second@example.com", "owner").await;
        let begun = second.post(CONNECT, json!({})).await.expect(200);
        let back = scene.browse(&begun).await;

        // when
        scene.owner.patch(&format!("/members/{id}"), change).await.expect(200);
        let refused = scene.server.client.get(&back).await.expect_code(403, "stripe_state_invalid");

        // then
        refused_state(&refused);
        assert!(scene.asked().is_empty(), "the code is not exchanged");
        let entry = scene.audited().await.pop().unwrap();
        assert_eq!(
            (text(&entry, "/reason"), text(&entry, "/actor/id")),
            ("stripe_state_invalid", id.as_str())
        );
        assert_eq!(scene.stored(&scene.owner).await, ("pending".to_owned(), Value::Null));
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn a_state_ends_with_the_session_that_began_it() {
    // given
    let scene = Scene::new().await;
    let back = scene.browse(&scene.begin(&scene.owner).await).await;

    // when
    scene.owner.post("/auth/tenants/logout/", json!({})).await;

    // then
    refused_state(&scene.server.client.get(&back).await.expect_code(403, "stripe_state_invalid"));
    assert!(scene.asked().is_empty());
    scene.server.stop().await;
}

#[tokio::test]
async fn a_look_at_the_address_does_not_use_the_state_up() {
    let scene = Scene::new().await;
    let back = scene.browse(&scene.begin(&scene.owner).await).await;

    let looked = scene.server.client.send(scene.server.client.request(Method::HEAD, &back)).await;

    assert_eq!(looked.status, 405);
    scene.server.client.get(&back).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_way_that_began_before_the_account_was_disconnected_leads_nowhere() {
    // given
    let scene = Scene::new().await;
    let (first, second) = (scene.begin(&scene.owner).await, scene.begin(&scene.owner).await);
    let (first, second) = (scene.browse(&first).await, scene.browse(&second).await);
    scene.server.client.get(&first).await.expect(200);

    // when
    scene.owner.delete(super::DISCONNECT).await.expect(200);

    // then
    refused_state(&scene.server.client.get(&second).await.expect_code(403, "stripe_state_invalid"));
    scene.connect(&scene.owner).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn states_that_ended_long_ago_are_forgotten() {
    // given
    let scene = Scene::new().await;
    scene.begin(&scene.owner).await;
    let login = json!({ "email": "acme@example.com", "password": "correct horse battery" });
    let count = "SELECT count(*)::text FROM stripe_connect_states";

    // when
    scene.clock.advance(SignedDuration::from_hours(25));
    let signed_in = scene.server.client.post("/auth/tenants/login", login).await.expect(200);
    let owner = scene.server.client.with_key(text(&signed_in, "/tokens/access"));
    for _ in 0..2 {
        scene.begin(&owner).await;
    }

    // then
    assert_eq!(scene.server.database.text_as_superuser(count).await, "2");
    scene.server.stop().await;
}
