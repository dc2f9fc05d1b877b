//! The identity providers that a tenant keeps.

use serde_json::{Value, json};
use usance_testkit::TestServer;

use super::{PASSWORD, Scene, browser, calls_loopback, new_provider};

#[tokio::test]
async fn a_tenant_keeps_a_list_of_providers() {
    let Some(scene) = Scene::of("members", json!({ "client_secret": "canary-of-the-client" })).await else {
        return;
    };

    let listed = scene.owner.get("/identity-providers").await;
    assert!(!listed.text.contains("canary"), "{}", listed.text);
    let listed = listed.expect(200);
    assert_eq!(listed["data"], json!([scene.trusted]));
    assert_eq!(
        (&scene.trusted["has_client_secret"], &scene.trusted["mode"], &scene.trusted["audience"]),
        (&json!(true), &Value::Null, &json!("members"))
    );
    let renamed = json!({ "name": "Ours", "password": PASSWORD });
    let renamed = scene.owner.patch(&scene.path(), renamed).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["has_client_secret"]), (&json!("Ours"), &json!(true)));
    scene.owner.delete(&scene.path()).await.expect(204);
    scene.owner.delete(&scene.path()).await.expect_code(404, "not_found");
    let page = browser().get(scene.page(scene.trusted["login_path"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(page.status(), 404);
    let stored = "SELECT count(*)::text FROM identity_providers WHERE client_secret_sealed IS NOT NULL";
    assert_eq!(scene.server.database.text_as_superuser(stored).await, "0", "a removed secret is gone");

    let audit = scene.owner.get("/audit").await.expect(200);
    let actions: Vec<_> = audit["data"].as_array().unwrap().iter().map(|it| &it["action"]).take(4).collect();
    assert_eq!(
        actions,
        [
            "identity_provider.deleted",
            "identity_provider.updated",
            "identity_provider.updated",
            "identity_provider.created"
        ]
    );
    assert!(!audit.to_string().contains("canary"));
    scene.server.stop().await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_is_refused_field_by_field() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    let good = new_provider(&scene.provider, "A", "members");
    for (field, value, code) in [
        ("name", json!(""), "required"),
        ("client_id", json!("a\u{0}b"), "control_character"),
        ("audience", json!("everybody"), "unknown_word"),
        ("issuer", json!("accounts.google.com"), "invalid_url"),
        ("issuer", json!("https://10.0.0.1"), "invalid_url"),
        ("issuer", json!("https://169.254.169.254/latest"), "invalid_url"),
        ("issuer", json!("http://127.0.0.1:1"), "no_issuer"),
        ("issuer", json!(format!("{}/realms/none", scene.provider.base)), "no_issuer"),
        ("sign_up_currency", json!("EUR"), "not_for_members"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let refused = scene.owner.post("/identity-providers", body).await.expect_code(422, "invalid_field");
        let fault = &refused["errors"][0];
        assert_eq!(fault["pointer"], format!("/{field}"), "{value}");
        assert_eq!(fault["code"], code, "{value}: {fault}");
    }
    scene.provider.tell("/vices", json!({ "issuer": "https://evil.example" })).await;
    let refused = scene.owner.post("/identity-providers", good).await.expect_code(422, "invalid_field");
    assert_eq!(refused["errors"][0]["code"], "no_issuer", "another issuer's document");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_know_its_address_says_so() {
    let Some(scene) = Scene::of("members", json!({})).await else { return };
    let second = TestServer::start_with_on(&scene.server.database, |settings| {
        calls_loopback(settings);
        settings.public_url = None;
    })
    .await;

    let path = format!("/{}", scene.trusted["login_path"].as_str().unwrap());
    second.client.get(&path).await.expect_code(503, "sign_in_not_configured");
    second.stop().await;
    scene.server.stop().await;
}
