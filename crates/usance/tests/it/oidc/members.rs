//! Members who sign in by an identity provider.

use reqwest::Url;
use serde_json::{Value, json};

use super::{PASSWORD, PUBLIC_URL, Scene, VERIFIED, new_provider, refusal, refused, set_members};

/// The owner that the scene registers.
const OWNER: &str = "acme@example.com";

fn verified(email: &str) -> Value {
    json!({ "email": email, "email_verified": true, "name": "Ada" })
}

#[tokio::test]
async fn a_member_is_known_by_a_verified_address_first_and_by_the_subject_from_then_on() {
    // given
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified("ACME@example.com")).await;

    // when
    let (status, signed_in) = scene.sign_in("ada").await;

    // then
    assert_eq!((status, &signed_in["user"]["email"]), (200, &json!(OWNER)), "{signed_in}");
    let member = scene.server.client.with_key(signed_in["tokens"]["access"].as_str().unwrap());
    let me = member.get("/auth/tenants/me").await.expect(200);
    assert_eq!(me["user"]["role"], "owner");
    let refresh = json!({ "refresh": signed_in["tokens"]["refresh"] });
    scene.server.client.post("/auth/tenants/token/refresh", refresh).await.expect(200);

    // when the address is another one there, and not verified any more
    scene.provider.add("ada", json!({ "email": "ada@elsewhere.example" })).await;
    let (status, again) = scene.sign_in("ada").await;

    // then
    assert_eq!((status, &again["user"]["email"]), (200, &json!(OWNER)));
    let audit = scene.owner.get("/audit").await.expect(200);
    let actions: Vec<_> =
        audit["data"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "member.identity_linked").count(), 1);
    assert_eq!(actions.iter().filter(|action| **action == "member.signed_in").count(), 2, "{actions:?}");
    scene.server.stop().await;
}

#[tokio::test]
async fn nobody_is_signed_in_whom_the_tenant_does_not_know() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    for (subject, claims, reason) in [
        ("stranger", verified("stranger@example.com"), "unknown_identity"),
        ("unverified", json!({ "email": OWNER, "email_verified": false }), "email_not_verified"),
        ("silent", json!({ "email": OWNER }), "email_not_verified"),
        ("texts", json!({ "email": OWNER, "email_verified": "true" }), ""),
        ("nameless", json!({}), "email_not_verified"),
    ] {
        scene.provider.add(subject, claims).await;
        let refusal = refusal(scene.sign_in(subject).await);
        if reason.is_empty() {
            // A text is no truth value (OpenID Connect Core 1.0, section 5.1).
            assert_eq!(refusal.0, 502, "{subject}: {refusal:?}");
        } else {
            assert_eq!(refusal, refused(403, "sign_in_denied", json!(reason)), "{subject}");
        }
    }

    // A member who may not sign in any more, also where the subject is known.
    let invited = json!({ "email": "bob@example.com", "role": "viewer" });
    let token = scene.owner.post("/members/invitations", invited).await.expect(201)["token"].clone();
    let accepted = json!({ "token": token, "password": "correct horse battery" });
    let bob = scene.server.client.post("/auth/tenants/invitations/accept", accepted).await.expect(201);
    scene.provider.add("bob", verified("bob@example.com")).await;
    // Whoever invited may have accepted, too, and waits for the right person to make the member greater.
    assert_eq!(
        refusal(scene.sign_in("bob").await),
        refused(403, "sign_in_denied", json!("member_not_verified"))
    );
    set_members(&scene.server.database, VERIFIED).await;
    assert_eq!(scene.sign_in("bob").await.0, 200);
    let path = format!("/members/{}", bob["user"]["id"].as_str().unwrap());
    scene.owner.patch(&path, json!({ "is_active": false })).await.expect(200);
    assert_eq!(
        refusal(scene.sign_in("bob").await),
        refused(403, "sign_in_denied", json!("unknown_identity"))
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_given_to_somebody_else_does_not_bring_the_account_along() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("first", verified(OWNER)).await;
    assert_eq!(scene.sign_in("first").await.0, 200);

    scene.provider.add("second", verified(OWNER)).await;

    assert_eq!(
        refusal(scene.sign_in("second").await),
        refused(403, "sign_in_denied", json!("already_linked"))
    );
    assert_eq!(scene.sign_in("first").await.0, 200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_second_factor_is_stood_in_for_only_where_the_owner_says_so() {
    let Some(mut scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified(OWNER)).await;
    let enrolled =
        "totp_secret_sealed = '\\x00', totp_began_at = now(), second_factor_at = now(), totp_last_step = 0";
    set_members(&scene.server.database, enrolled).await;
    assert_eq!(
        refusal(scene.sign_in("ada").await),
        refused(403, "sign_in_denied", json!("second_factor_required"))
    );

    // An owner with a second factor proves it, too.
    let trusting = json!({ "trusts_second_factor": true, "password": PASSWORD });
    let refused = scene.owner.patch(&scene.path(), trusting).await.expect_code(422, "invalid_field");
    assert_eq!(refused["errors"][0]["pointer"], "/code");
    set_members(&scene.server.database, "second_factor_at = NULL, totp_last_step = NULL").await;
    scene.change("trusts_second_factor", json!(true)).await;
    set_members(&scene.server.database, enrolled).await;

    assert_eq!(scene.sign_in("ada").await.0, 200);
    scene.server.stop().await;
}

#[tokio::test]
async fn sessions_end_with_the_provider_by_which_they_began() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified(OWNER)).await;
    let (_, signed_in) = scene.sign_in("ada").await;
    let member = scene.server.client.with_key(signed_in["tokens"]["access"].as_str().unwrap());
    member.get("/auth/tenants/me").await.expect(200);
    let begun = scene.begin().await;
    let back = scene.visit(&begun, "ada").await;

    scene.owner.delete(&scene.path()).await.expect(204);

    member.get("/auth/tenants/me").await.expect_code(401, "unauthorized");
    assert_eq!(scene.come_back(&back, &begun.cookie).await.0, 404);
    scene.owner.get("/auth/tenants/me").await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn an_address_that_only_the_userinfo_tells_counts() {
    // The provider puts into the ID token what is asked for by its scopes; a claim of null leaves it to the userinfo.
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified(OWNER)).await;
    scene.provider.tell("/vices", json!({ "id_token_without": ["email", "email_verified"] })).await;

    let (status, signed_in) = scene.sign_in("ada").await;

    assert_eq!((status, &signed_in["user"]["email"]), (200, &json!(OWNER)), "{signed_in}");
    scene.server.stop().await;
}

#[tokio::test]
async fn public_clients_and_those_with_a_secret_in_the_body_are_served() {
    for method in ["none", "client_secret_post"] {
        let Some(mut scene) = Scene::of("members", json!({})).await else { return };
        scene.provider.add("ada", verified(OWNER)).await;
        scene.provider.tell("/vices", json!({ "auth_methods": [method] })).await;
        let secretless = method == "none";
        if secretless {
            // One that has no secret yet.
            let body = new_provider(&scene.provider, "Public", "members");
            scene.trusted = scene.owner.post("/identity-providers", body).await.expect(201);
        }
        scene.register(method).await;
        assert_eq!(scene.trusted["has_client_secret"], !secretless);

        let (status, signed_in) = scene.sign_in("ada").await;

        assert_eq!(status, 200, "{method}: {signed_in} {}", scene.provider.running.log());
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn who_signs_in_is_told_where_to_sign_out() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified(OWNER)).await;

    let (_, signed_in) = scene.sign_in("ada").await;

    let url = Url::parse(signed_in["logout_url"].as_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/oauth2/end_session?", scene.provider.base)), "{url}");
    let parameter = |name: &str| url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned();
    assert_eq!(parameter("client_id"), scene.trusted["client_id"]);
    assert_eq!(parameter("post_logout_redirect_uri"), PUBLIC_URL);
    assert_eq!(parameter("id_token_hint").split('.').count(), 3);
    let page = super::browser().get(url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_provider_that_changes_its_keys_is_believed_at_once() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    scene.provider.add("ada", verified(OWNER)).await;
    assert_eq!(scene.sign_in("ada").await.0, 200);

    scene.provider.tell("/rotate", json!({})).await;

    assert_eq!(scene.sign_in("ada").await.0, 200);
    scene.server.stop().await;
}
