//! A tenant that wants its members to have a second factor.

use serde_json::{Value, json};

use super::{CONFIRM, DISABLE, PASSWORD, STEP, Scene, TOTP, join, login, text};

#[tokio::test]
async fn who_has_none_may_only_enrol_one() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (_, viewer) = join(&scene.server, &scene.owner, "viewer@example.com", "viewer").await;
    let key = scene.server.client.with_key(text(&scene.registered, "/tenant/api_key_test_secret"));
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    viewer.get("/plans").await.expect(200);

    // when
    let changed = scene.owner.patch("/tenant", json!({ "require_second_factor": true })).await.expect(200);

    // then: from the next request on, in sessions that have begun and new ones
    assert_eq!(changed["require_second_factor"], true);
    let signed_in = login(&scene.server, "127.0.0.1", "viewer@example.com", PASSWORD, None).await.expect(200);
    let again = scene.server.client.with_key(text(&signed_in, "/tokens/access"));
    for member in [&viewer, &again] {
        for path in ["/plans", "/tenant", "/customers"] {
            member.get(path).await.expect_code(403, "second_factor_enrolment_required");
        }
        member.get("/auth/tenants/me").await.expect(200);
        member.get("/auth/tenants/sessions").await.expect(200);
    }
    scene.owner.get("/plans").await.expect(200);
    key.get("/plans").await.expect(200);
    // and once it is enrolled, all is open
    let (own, _) = scene.enrol(&again, PASSWORD).await;
    again.get("/plans").await.expect(200);
    scene.clock.advance(STEP);
    let off = json!({ "password": PASSWORD, "code": scene.code(&own, 0).await });
    again.post(DISABLE, off).await.expect(200);
    again.get("/plans").await.expect_code(403, "second_factor_enrolment_required");
    again.post("/auth/tenants/logout", json!({})).await.expect(200);
    scene.login(Some(&scene.code(&secret, 0).await)).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn only_an_owner_decides_it_and_the_log_says_who() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (_, admin) = join(&scene.server, &scene.owner, "admin@example.com", "admin").await;
    let key = scene.server.client.with_key(text(&scene.registered, "/tenant/api_key_test_secret"));
    let required = json!({ "require_second_factor": true, "legal_name": "Acme" });

    // when
    admin.patch("/tenant", required.clone()).await.expect_code(403, "forbidden");
    key.patch("/tenant", required.clone()).await.expect_code(403, "forbidden");
    let before = scene.owner.get("/tenant").await.expect(200);
    for _ in 0..2 {
        // What is so already leaves no entry.
        scene.owner.patch("/tenant", json!({ "require_second_factor": false })).await.expect(200);
    }
    scene.owner.patch("/tenant", required).await.expect(200);

    // then
    assert_eq!((&before["require_second_factor"], &before["legal_name"]), (&json!(false), &json!("acme")));
    scene.owner.patch("/tenant", json!({})).await.expect_code(403, "second_factor_enrolment_required");
    let begun = scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect(201);
    let code = scene.code(text(&begun, "/secret"), 0).await;
    scene.owner.post(CONFIRM, json!({ "code": code })).await.expect(200);
    let log = scene.owner.get("/audit?action=tenant.second_factor_policy_changed").await.expect(200);
    let entries: &Vec<Value> = log["data"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["actor"]["id"], &entries[0]["after"]),
        (&scene.registered["user"]["id"], &json!({ "require_second_factor": true }))
    );
    scene.server.stop().await;
}
