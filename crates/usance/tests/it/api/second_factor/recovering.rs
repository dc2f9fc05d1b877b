//! The day on which the authenticator is lost.

use serde_json::{Value, json};

use super::{DISABLE, PASSWORD, RECOVERY_CODES, STEP, Scene, join, login, text, words};

#[tokio::test]
async fn each_recovery_code_signs_in_once_and_new_ones_end_the_old() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, codes) = scene.enrol(&scene.owner, PASSWORD).await;

    // when
    let typed = codes[0].to_uppercase().replace('-', " ");
    scene.login(Some(&typed)).await.expect(200);
    scene.login(Some(&codes[0])).await.expect_code(401, "second_factor_invalid");
    scene.login(Some(&codes[1])).await.expect(200);
    let log = scene.owner.get("/audit?action=member.recovery_code_used").await.expect(200);
    let left: Vec<_> = log["data"].as_array().unwrap().iter().map(|entry| entry["after"].clone()).collect();
    scene.clock.advance(STEP);
    let renewed = json!({ "code": scene.code(&secret, 0).await });
    let renewed = scene.owner.post(RECOVERY_CODES, renewed).await.expect(200);

    // then
    assert_eq!(left, [json!({ "left": 8 }), json!({ "left": 9 })]);
    let renewed = words(&renewed["recovery_codes"]);
    assert!(renewed.len() == 10 && renewed.iter().all(|code| !codes.contains(code)));
    scene.login(Some(&codes[2])).await.expect_code(401, "second_factor_invalid");
    scene.login(Some(&renewed[0])).await.expect(200);
    scene.owner.post(DISABLE, json!({ "password": PASSWORD, "code": renewed[1] })).await.expect(200);
    scene.login(None).await.expect(200);
    let actions = scene.actions(&scene.owner).await;
    assert!(actions.contains(&"member.recovery_codes_made".to_owned()), "{actions:?}");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_recovery_code_of_another_member_is_none() {
    let Some(scene) = Scene::new().await else { return };
    let (_, grace) = join(&scene.server, &scene.owner, "grace@example.com", "admin").await;
    scene.enrol(&scene.owner, PASSWORD).await;
    let (secret, codes) = scene.enrol(&grace, PASSWORD).await;
    scene.clock.advance(STEP);

    scene.login(Some(&codes[0])).await.expect_code(401, "second_factor_invalid");
    scene.login(Some(&scene.code(&secret, 0).await)).await.expect_code(401, "second_factor_invalid");
    login(&scene.server, "127.0.0.1", "grace@example.com", PASSWORD, Some(&codes[0])).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_member_of_no_lesser_role_takes_a_lost_second_factor_away() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (_, admin) = join(&scene.server, &scene.owner, "admin@example.com", "admin").await;
    let (viewer, viewer_client) = join(&scene.server, &scene.owner, "viewer@example.com", "viewer").await;
    scene.enrol(&scene.owner, PASSWORD).await;
    scene.enrol(&viewer_client, PASSWORD).await;
    let path = |member: &Value| format!("/members/{}/second-factor", text(member, "/user/id"));

    // when, then
    viewer_client.delete(&path(&viewer)).await.expect_code(403, "forbidden");
    admin.delete(&path(&scene.registered)).await.expect_code(403, "forbidden");
    // Not even an owner's open session is enough for the own one.
    scene.owner.delete(&path(&scene.registered)).await.expect_code(403, "forbidden");
    admin.delete("/members/mem_x/second-factor").await.expect_code(404, "not_found");
    assert_eq!(admin.delete(&path(&viewer)).await.status, 204);
    assert_eq!(admin.delete(&path(&viewer)).await.status, 204);

    viewer_client.get("/auth/tenants/me").await.expect_code(401, "unauthorized");
    login(&scene.server, "127.0.0.1", "viewer@example.com", PASSWORD, None).await.expect(200);
    scene.login(None).await.expect_code(401, "second_factor_required");
    let log = admin.get("/audit?action=member.second_factor_reset").await.expect(200);
    let entries = log["data"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["subject"]["id"], &entries[0]["after"]),
        (&viewer["user"]["id"], &json!({ "sessions_ended": 1 }))
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn a_member_of_another_tenant_is_nobody() {
    let Some(scene) = Scene::new().await else { return };
    let stranger = scene.server.client.register("stranger").await;
    let stranger = scene.server.client.with_key(text(&stranger, "/tokens/access"));
    scene.enrol(&scene.owner, PASSWORD).await;

    let path = format!("/members/{}/second-factor", text(&scene.registered, "/user/id"));
    stranger.delete(&path).await.expect_code(404, "not_found");

    scene.login(None).await.expect_code(401, "second_factor_required");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_secret_that_was_moved_to_another_member_opens_nothing() {
    // given a database in which somebody gave the owner the own secret
    let Some(scene) = Scene::new().await else { return };
    let (_, viewer) = join(&scene.server, &scene.owner, "viewer@example.com", "viewer").await;
    scene.enrol(&scene.owner, PASSWORD).await;
    let (own, _) = scene.enrol(&viewer, PASSWORD).await;
    let moved = "WITH moved AS (
            UPDATE members m SET totp_secret_sealed = v.totp_secret_sealed FROM members v
            WHERE m.role = 'owner' AND v.role = 'viewer' RETURNING m.id
        ) SELECT count(*)::text FROM moved";
    assert_eq!(scene.server.database.text_as_superuser(moved).await, "1");
    scene.clock.advance(STEP);

    // when
    let refused = scene.login(Some(&scene.code(&own, 0).await)).await;

    // then
    refused.expect_code(500, "internal_error");
    scene.server.stop().await;
}
