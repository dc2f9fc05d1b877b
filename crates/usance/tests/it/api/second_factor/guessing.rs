//! Codes cannot be guessed.

use serde_json::json;

use super::{CONFIRM, DISABLE, PASSWORD, RECOVERY_CODES, STEP, Scene, TOTP};

#[tokio::test]
async fn ten_codes_are_tried_in_a_quarter_of_an_hour() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);
    let wrong = scene.wrong_code(&secret).await;

    // when
    for attempt in 0_u8..10 {
        let stranger = format!("198.51.100.{attempt}");
        scene.login_from(&stranger, PASSWORD, Some(&wrong)).await.expect_code(401, "second_factor_invalid");
    }

    // then: the log tells that somebody knows the password
    let told = scene.owner.get("/audit?action=member.second_factor_refused").await.expect(200);
    assert_eq!(told["data"].as_array().unwrap().len(), 10);
    assert_eq!(told["data"][0]["address"], "198.51.100.9");
    // And not even the right one is looked at, and the attempt uses nothing up
    let right = scene.code(&secret, 0).await;
    let refused = scene.login_from("198.51.100.99", PASSWORD, Some(&right)).await;
    assert_eq!(refused.header("retry-after"), Some("901"));
    refused.expect_code(429, "rate_limit_exceeded");
    // The owner signs in from where it did before.
    scene.login(Some(&right)).await.expect(200);
    scene.clock.advance(STEP * 30);
    let right = scene.code(&secret, 0).await;
    scene.login_from("198.51.100.99", PASSWORD, Some(&right)).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn whoever_has_session_and_password_gets_no_more_guesses_by_proving_the_password_again() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);
    let wrong = scene.wrong_code(&secret).await;
    let mut password = PASSWORD;

    // when each guess is followed by a change of the password, which forgets attempts at the password
    for (attempt, next) in
        (0..10).zip(["gravel tulip nine bone", "seven brown bears sing"].into_iter().cycle())
    {
        let guess = json!({ "password": password, "code": wrong });
        let guessed = scene.owner.post(DISABLE, guess).await;
        assert_eq!(guessed.status, 400, "{attempt}: {}", guessed.text);
        let change = json!({ "old_password": password, "new_password": next });
        scene.owner.post("/auth/tenants/change-password", change).await.expect(200);
        password = next;
    }

    // then
    let right = scene.code(&secret, 0).await;
    let guess = json!({ "password": password, "code": right });
    scene.owner.post(DISABLE, guess).await.expect_code(429, "rate_limit_exceeded");
    scene.owner.post(RECOVERY_CODES, json!({ "code": right })).await.expect_code(429, "rate_limit_exceeded");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_password_is_not_guessed_by_enrolling() {
    let Some(scene) = Scene::new().await else { return };

    for _ in 0..10 {
        scene.owner.post(TOTP, json!({ "password": "wrong horse battery" })).await.expect(400);
    }

    scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect_code(429, "rate_limit_exceeded");
    scene.server.stop().await;
}

#[tokio::test]
async fn an_enrolment_is_not_confirmed_by_guessing() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let begun = scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect(201);
    let secret = begun["secret"].as_str().unwrap();
    let wrong = scene.wrong_code(secret).await;

    // when
    for _ in 0..10 {
        scene.owner.post(CONFIRM, json!({ "code": wrong })).await.expect_code(400, "invalid_field");
    }

    // then
    let right = json!({ "code": scene.code(secret, 0).await });
    scene.owner.post(CONFIRM, right).await.expect_code(429, "rate_limit_exceeded");
    scene.server.stop().await;
}
