//! Signing in with a code.

use futures_util::future::join_all;
use serde_json::json;

use super::{DISABLE, PASSWORD, STEP, Scene, TOTP, login, text};

#[tokio::test]
async fn a_sign_in_needs_password_and_code() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);

    // when
    let without = scene.login(None).await.expect_code(401, "second_factor_required");
    let wrong =
        scene.login(Some(&scene.wrong_code(&secret).await)).await.expect_code(401, "second_factor_invalid");
    let nonsense = scene.login(Some("nonsense")).await.expect_code(401, "second_factor_invalid");
    let right = scene.login(Some(&scene.code(&secret, 0).await)).await.expect(200);

    // then
    assert_eq!(
        (&without["error"], &wrong["error"]),
        (&json!("Second factor required"), &json!("Invalid second factor"))
    );
    assert_eq!(wrong["detail"], nonsense["detail"]);
    assert_eq!(text(&right, "/message"), "Login successful");
    assert_eq!(right["user"]["second_factor"], true);
    assert!(right["tenant"]["api_keys"]["public"].is_string());
    let member = scene.server.client.with_key(text(&right, "/tokens/access"));
    member.get("/auth/tenants/me").await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn nothing_is_told_of_a_second_factor_without_the_right_password() {
    // given
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    scene.clock.advance(STEP);
    let code = scene.code(&secret, 0).await;
    let mut answers = Vec::new();

    // when
    for email in ["acme@example.com", "nobody@example.com"] {
        for code in [None, Some(code.as_str()), Some("000000")] {
            let reply = login(&scene.server, "127.0.0.1", email, "wrong horse battery", code).await;
            let mut refused = reply.expect_code(401, "invalid_credentials");
            refused["request_id"].take();
            answers.push(refused.to_string());
        }
    }

    // then
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    // A code that came with a wrong password is not used up.
    scene.login(Some(&code)).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_code_is_accepted_one_step_early_and_late_and_each_step_once() {
    // given: the step that confirmed is used up
    let Some(scene) = Scene::new().await else { return };
    let (secret, _) = scene.enrol(&scene.owner, PASSWORD).await;
    let confirmed = scene.code(&secret, 0).await;
    scene.login(Some(&confirmed)).await.expect_code(401, "second_factor_invalid");

    // when, then: one early
    let early = scene.code(&secret, 1).await;
    scene.login(Some(&early)).await.expect(200);
    scene.login(Some(&early)).await.expect_code(401, "second_factor_invalid");
    scene.login(Some(&confirmed)).await.expect_code(401, "second_factor_invalid");
    // one late, two early, two late
    scene.clock.advance(STEP * 3);
    for (steps, accepted) in [(2, false), (-2, false), (-1, true), (-1, false), (0, true), (-1, false)] {
        let reply = scene.login(Some(&scene.code(&secret, steps).await)).await;
        assert_eq!(reply.status == 200, accepted, "{steps}: {}", reply.text);
    }
    // What was used to sign in turns nothing off either.
    let used = json!({ "password": PASSWORD, "code": scene.code(&secret, 0).await });
    scene.owner.post(DISABLE, used).await.expect_code(400, "invalid_field");
    scene.server.stop().await;
}

#[tokio::test]
async fn of_fifty_at_once_with_one_code_one_signs_in() {
    // given five networks that are known, each of which has ten attempts
    let Some(scene) = Scene::new().await else { return };
    let (secret, codes) = scene.enrol(&scene.owner, PASSWORD).await;
    let networks = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
    for network in networks {
        scene.clock.advance(STEP);
        scene.login_from(network, PASSWORD, Some(&scene.code(&secret, 0).await)).await.expect(200);
    }
    scene.clock.advance(STEP);

    for code in [scene.code(&secret, 0).await, codes[0].clone()] {
        // when
        let racers = (0..50).map(|racer| scene.login_from(networks[racer % 5], PASSWORD, Some(&code)));
        let replies = join_all(racers).await;

        // then
        let mut codes: Vec<_> =
            replies.iter().map(|reply| reply.body["code"].as_str().unwrap_or("signed in")).collect();
        codes.sort_unstable();
        let mut expected = vec!["second_factor_invalid"; 49];
        expected.push("signed in");
        assert_eq!(codes, expected);
        // A quarter of an hour later all networks have their attempts again.
        scene.clock.advance(STEP * 30);
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn an_enrolment_that_is_not_confirmed_locks_nobody_out() {
    let Some(scene) = Scene::new().await else { return };
    scene.owner.post(TOTP, json!({ "password": PASSWORD })).await.expect(201);

    scene.login(None).await.expect(200);
    scene.login(Some("whatever")).await.expect(200);

    // It is given up without a code.
    scene.owner.post(DISABLE, json!({ "password": PASSWORD })).await.expect(200);
    scene.owner.post(DISABLE, json!({ "password": PASSWORD })).await.expect_code(409, "second_factor_state");
    scene.server.stop().await;
}
