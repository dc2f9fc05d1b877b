//! What must not let anybody in.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, Scene, browser, new_provider, refusal, refused};

const OWNER: &str = "acme@example.com";

async fn scene() -> Option<Scene> {
    let scene = Scene::of("members", json!({})).await?;
    scene.provider.add("ada", json!({ "email": OWNER, "email_verified": true })).await;
    Some(scene)
}

fn no_state() -> (u16, String, Value) {
    refused(403, "sign_in_state_invalid", Value::Null)
}

#[tokio::test]
async fn a_state_works_once_in_its_own_browser() {
    // given
    let Some(scene) = scene().await else { return };
    let begun = scene.begin().await;
    assert!(begun.set_cookie.contains("; HttpOnly; SameSite=Lax; Secure"), "{}", begun.set_cookie);
    let back = scene.visit(&begun, "ada").await;

    // when another browser comes back, as the victim of a link would
    let other = scene.begin().await;
    assert_eq!(refusal(scene.come_back(&back, &other.cookie).await), no_state());
    // then the state is used up
    assert_eq!(refusal(scene.come_back(&back, &begun.cookie).await), no_state());

    // when the right one comes twice
    let begun = scene.begin().await;
    let back = scene.visit(&begun, "ada").await;
    let both = format!("theme=dark; {}; {}", other.cookie, begun.cookie);
    assert_eq!(scene.come_back(&back, &both).await.0, 200, "other cookies and other tabs do no harm");
    assert_eq!(refusal(scene.come_back(&back, &begun.cookie).await), no_state());

    // when there is none, or a made-up one
    let callback = scene.trusted["callback_path"].as_str().unwrap();
    for query in ["", "?code=x", "?state=&code=x", "?state=oidc_x_y&code=x", "?state=%00&code=x"] {
        assert_eq!(refusal(scene.come_back(&format!("{callback}{query}"), &begun.cookie).await), no_state());
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn fifty_browsers_with_one_return_open_one_session() {
    let Some(scene) = scene().await else { return };
    let begun = scene.begin().await;
    let back = scene.visit(&begun, "ada").await;

    let racers = (0..50).map(|_| scene.come_back(&back, &begun.cookie));
    let statuses: Vec<u16> =
        futures_util::future::join_all(racers).await.into_iter().map(|it| it.0).collect();

    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 403].contains(status)), "{statuses:?}");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_return_to_another_provider_or_tenant_is_none() {
    let Some(scene) = scene().await else { return };
    let second = new_provider(&scene.provider, "Second", "members");
    let second = scene.owner.post("/identity-providers", second).await.expect(201);
    let begun = scene.begin().await;
    let back = scene.visit(&begun, "ada").await;

    let (_, query) = back.split_once('?').unwrap();
    let elsewhere = format!("{}?{query}", second["callback_path"].as_str().unwrap());
    assert_eq!(refusal(scene.come_back(&elsewhere, &begun.cookie).await), no_state());

    let stranger = scene.server.client.register("stranger").await;
    let stranger = scene.server.client.with_key(stranger["tokens"]["access"].as_str().unwrap());
    let mine = json!({ "name": "Mine", "password": PASSWORD });
    stranger.patch(&scene.path(), mine).await.expect_code(404, "not_found");
    stranger.delete(&scene.path()).await.expect_code(404, "not_found");
    assert_eq!(stranger.get("/identity-providers").await.expect(200)["data"], json!([]));
    scene.server.stop().await;
}

#[tokio::test]
async fn an_id_token_that_is_not_right_in_every_claim_is_not_believed() {
    let Some(scene) = scene().await else { return };
    let now = scene.server.app().now().as_second();
    for (what, claims) in [
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("another audience", json!({ "aud": ["somebody-else"] })),
        ("a further audience", json!({ "aud": [scene.trusted["client_id"], "somebody-else"] })),
        ("another request", json!({ "nonce": "x" })),
        ("no request", json!({ "nonce": null })),
        ("the past", json!({ "exp": now - 61 })),
        ("long ago", json!({ "iat": now - 700 })),
        ("the future", json!({ "iat": now + 120 })),
    ] {
        let mut person = json!({ "email": OWNER, "email_verified": true });
        person.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        scene.provider.add("mallory", person).await;
        assert_eq!(
            refusal(scene.sign_in("mallory").await),
            refused(502, "identity_provider_error", Value::Null),
            "{what}"
        );
    }
    assert_eq!(scene.sign_in("ada").await.0, 200, "the same way without a lie leads in");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_signature_that_only_the_issuer_can_make_is_asked_for() {
    let Some(scene) = scene().await else { return };
    for vice in [json!({ "alg": "none" }), json!({ "alg": "HS256" }), json!({ "stranger": true })] {
        scene.provider.tell("/vices", vice.clone()).await;
        assert_eq!(
            refusal(scene.sign_in("ada").await),
            refused(502, "identity_provider_error", Value::Null),
            "{vice}"
        );
    }
    scene.provider.tell("/vices", json!({})).await;
    assert_eq!(scene.sign_in("ada").await.0, 200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_provider_that_fails_lets_nobody_in_and_is_not_repeated() {
    let Some(scene) = scene().await else { return };
    for vice in [
        json!({ "token": 500 }),
        json!({ "token": 400 }),
        json!({ "token": "huge" }),
        json!({ "issuer": "https://evil.example" }),
    ] {
        let begun = scene.begin().await;
        let back = scene.visit(&begun, "ada").await;
        scene.provider.tell("/vices", vice.clone()).await;
        let (status, body) = scene.come_back(&back, &begun.cookie).await;
        assert_eq!((status, &body["code"]), (502, &json!("identity_provider_error")), "{vice}");
        assert!(!body.to_string().contains("server_error") && !body.to_string().contains("evil"), "{body}");
        scene.provider.tell("/vices", json!({})).await;
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn the_code_is_bound_to_its_sign_in_by_pkce() {
    let Some(scene) = scene().await else { return };
    let (mine, victims) = (scene.begin().await, scene.begin().await);
    assert_eq!(mine.parameter("code_challenge_method"), "S256");
    assert_ne!(mine.parameter("code_challenge"), victims.parameter("code_challenge"));
    assert_ne!(mine.parameter("nonce"), victims.parameter("nonce"));

    // The code of a victim in the sign-in of a thief.
    let stolen = scene.visit(&victims, "ada").await;
    let code = stolen.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let callback = scene.trusted["callback_path"].as_str().unwrap();
    let injected = format!("{callback}?state={}&code={code}", mine.parameter("state"));
    assert_eq!(
        refusal(scene.come_back(&injected, &mine.cookie).await),
        refused(502, "identity_provider_error", Value::Null)
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn who_refuses_at_the_provider_is_not_signed_in() {
    let Some(scene) = scene().await else { return };
    let begun = scene.begin().await;
    let callback = scene.trusted["callback_path"].as_str().unwrap();
    let back =
        format!("{callback}?state={}&error=access_denied&error_description=No", begun.parameter("state"));
    assert_eq!(
        refusal(scene.come_back(&back, &begun.cookie).await),
        refused(403, "sign_in_denied", json!("access_denied"))
    );
    let begun = scene.begin().await;
    let back = format!("{callback}?state={}", begun.parameter("state"));
    assert_eq!(refusal(scene.come_back(&back, &begun.cookie).await).1, "invalid_field");
    scene.server.stop().await;
}

#[tokio::test]
async fn an_open_session_alone_decides_nothing() {
    let Some(scene) = scene().await else { return };
    for password in ["", "wrong horse battery"] {
        let mut body = new_provider(&scene.provider, "Mine", "members");
        body["password"] = json!(password);
        let refused = scene.owner.post("/identity-providers", body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], "/password");
        let body = json!({ "client_id": "mine", "password": password });
        scene.owner.patch(&scene.path(), body).await.expect_code(422, "invalid_field");
    }
    assert_eq!(scene.owner.get("/identity-providers").await.expect(200)["data"], json!([scene.trusted]));
    scene.server.stop().await;
}

#[tokio::test]
async fn looking_whether_the_addresses_are_there_uses_nothing_up() {
    let Some(scene) = scene().await else { return };
    let begun = scene.begin().await;
    let back = scene.visit(&begun, "ada").await;
    for path in [&back, scene.trusted["login_path"].as_str().unwrap()] {
        let reply = browser().request(Method::HEAD, scene.page(path)).send().await.unwrap();
        assert_eq!(reply.status(), 405, "{path}");
    }
    assert_eq!(scene.come_back(&back, &begun.cookie).await.0, 200);
    for id in ["idp_01h455vb4pex5vsknk084sn02q", "google", "%00"] {
        let reply = browser().get(scene.page(&format!("/auth/{id}/login"))).send().await.unwrap();
        assert_eq!(reply.status(), 404, "{id}");
    }
    scene.server.stop().await;
}
