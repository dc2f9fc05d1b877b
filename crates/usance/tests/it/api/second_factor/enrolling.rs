//! Turning the second factor on and off.

use jiff::SignedDuration;
use serde_json::json;

use super::{CONFIRM, DISABLE, PASSWORD, RECOVERY_CODES, STEP, Scene, TOTP, login, run, text, words};

#[tokio::test]
async fn an_authenticator_is_enrolled_by_its_address_and_confirmed_by_its_first_code() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let other = scene.login(None).await.expect(200);
    let other = scene.server.client.with_key(text(&other, "/tokens/access"));

    // when
    let begun = scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect(201);
    let before = scene.login(None).await;
    let script = "import sys, pyotp; totp = pyotp.parse_uri(sys.argv[1])
print(totp.secret, totp.issuer, totp.name, totp.digits, totp.interval, totp.digest().name, sep='|')";
    let read = run(&scene.python, script, &[text(&begun, "/otpauth_url")]).await;
    let code = scene.code(text(&begun, "/secret"), 0).await;
    let confirmed = scene.owner.post(CONFIRM, json!({ "code": code })).await.expect(200);

    // then
    before.expect(200);
    assert_eq!(begun["expires_at"], "2026-01-01T01:00:00Z");
    assert_eq!(read, format!("{}|Usance|acme@example.com (acme)|6|30|sha1", text(&begun, "/secret")));
    let codes = words(&confirmed["recovery_codes"]);
    assert_eq!(codes.iter().collect::<std::collections::HashSet<_>>().len(), 10, "{codes:?}");
    let me = scene.owner.get("/auth/tenants/me").await.expect(200);
    assert_eq!(
        (&scene.registered["user"]["second_factor"], &me["user"]["second_factor"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(scene.owner.get("/members").await.expect(200)["data"][0]["second_factor"], true);
    // The sessions that began with a password alone have ended.
    other.get("/auth/tenants/me").await.expect_code(401, "unauthorized");
    scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect_code(409, "second_factor_state");
    scene.owner.post(CONFIRM, json!({ "code": code })).await.expect_code(409, "second_factor_state");
    let actions = scene.actions(&scene.owner).await;
    assert!(
        actions.ends_with(
            &["member.second_factor_begun", "member.signed_in", "member.second_factor_enabled"]
                .map(str::to_owned)
        ),
        "{actions:?}"
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn an_open_session_alone_turns_nothing_on_or_off() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let wrong = json!({ "password": "wrong horse battery", "code": "123456" });

    // when, then
    let refused = scene.owner.post(TOTP, json!({ "password": "wrong horse battery" })).await;
    assert_eq!(refused.expect_code(400, "invalid_field")["password"], json!(["Password is incorrect."]));
    scene.owner.post(DISABLE, wrong.clone()).await.expect_code(400, "invalid_field");
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);
    let code = scene.code(&secret, 0).await;
    scene.owner.post(DISABLE, json!({ "password": "wrong horse battery", "code": code })).await.expect(400);
    let without = scene.owner.post(DISABLE, json!({ "password": PASSWORD })).await;
    let without = without.expect_code(400, "invalid_field");
    assert_eq!(
        without["errors"][0],
        json!({ "pointer": "/code", "code": "required", "detail": "must be given" })
    );
    let guess = json!({ "password": PASSWORD, "code": scene.wrong_code(&secret).await });
    let guessed = scene.owner.post(DISABLE, guess).await.expect_code(400, "invalid_field");
    assert_eq!(
        (&guessed["errors"][0]["pointer"], &guessed["errors"][0]["code"]),
        (&json!("/code"), &json!("incorrect"))
    );
    scene.login(None).await.expect_code(401, "second_factor_required");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_member_turns_it_off_with_password_and_code_and_on_with_another_secret() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (first, codes) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);

    // when
    let off = json!({ "password": PASSWORD, "code": scene.code(&first, 0).await });
    scene.owner.post(DISABLE, off.clone()).await.expect(200);

    // then
    scene.login(None).await.expect(200);
    let me = scene.owner.get("/auth/tenants/me").await.expect(200);
    assert_eq!(me["user"]["second_factor"], false);
    scene.owner.post(DISABLE, off).await.expect_code(409, "second_factor_state");
    scene
        .owner
        .post(RECOVERY_CODES, json!({ "code": codes[0] }))
        .await
        .expect_code(409, "second_factor_state");
    let (second, _) = scene.enrol(&scene.owner, PASSWORD).await;
    assert_ne!(first, second);
    scene.clock.advance(STEP);
    for dead in [scene.code(&first, 0).await, codes[0].clone()] {
        scene.login(Some(&dead)).await.expect_code(401, "second_factor_invalid");
    }
    scene.login(Some(&scene.code(&second, 0).await)).await.expect(200);
    let actions = scene.actions(&scene.owner).await;
    assert!(actions.contains(&"member.second_factor_disabled".to_owned()), "{actions:?}");
    scene.server.stop().await;
}

#[tokio::test]
async fn an_enrolment_ends_after_an_hour_and_when_another_one_begins() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let begin = async || {
        let begun = scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect(201);
        text(&begun, "/secret").to_owned()
    };
    scene.owner.post(CONFIRM, json!({ "code": "123456" })).await.expect_code(409, "second_factor_state");
    let (first, second) = (begin().await, begin().await);

    // when, then
    let of_the_first = scene.code(&first, 0).await;
    scene.owner.post(CONFIRM, json!({ "code": of_the_first })).await.expect_code(400, "invalid_field");
    // Its access token ends with the hour as well.
    scene.clock.advance(SignedDuration::from_hours(1));
    let signed_in = scene.login(None).await.expect(200);
    let owner = scene.server.client.with_key(text(&signed_in, "/tokens/access"));
    let late = json!({ "code": scene.code(&second, 0).await });
    owner.post(CONFIRM, late).await.expect_code(409, "second_factor_state");
    scene.enrol(&owner, PASSWORD).await;
    scene.server.stop().await;
}

#[tokio::test]
async fn a_changed_password_leaves_it_on() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);

    // when
    let change = json!({ "old_password": PASSWORD, "new_password": "gravel tulip nine bone" });
    scene.owner.post("/auth/tenants/change-password", change).await.expect(200);

    // then
    let login = |code| login(&scene.server, "127.0.0.1", "acme@example.com", "gravel tulip nine bone", code);
    login(None).await.expect_code(401, "second_factor_required");
    login(Some(&scene.code(&secret, 0).await)).await.expect(200);
    scene.server.stop().await;
}
