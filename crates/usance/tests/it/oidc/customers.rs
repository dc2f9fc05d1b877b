//! Customers who sign in by an identity provider.

use serde_json::{Value, json};

use super::{Scene, refusal, refused};

fn verified(email: &str) -> Value {
    json!({ "email": email, "email_verified": true, "name": "Ada Lovelace" })
}

async fn customer(scene: &Scene, name: &str, email: &str) -> Value {
    let customer = json!({ "external_id": name, "name": name, "currency": "EUR", "email": email });
    scene.client.post("/customers", customer).await.expect(201)
}

#[tokio::test]
async fn a_customer_signs_in_and_reads_its_own() {
    let Some(scene) = Scene::of("customers", json!({})).await else { return };
    let ada = customer(&scene, "ada", "Ada@example.com").await;
    customer(&scene, "bob", "bob@example.com").await;
    scene.provider.add("sub-ada", verified("ada@example.com")).await;

    let (status, signed_in) = scene.sign_in("sub-ada").await;

    assert_eq!((status, &signed_in["customer"]["id"]), (200, &ada["id"]), "{signed_in}");
    assert!(signed_in["logout_url"].is_string());
    let client = scene.server.client.with_key(signed_in["token"]["secret"].as_str().unwrap());
    assert_eq!(client.get("/customers/ada").await.expect(200)["id"], ada["id"]);
    client.get("/customers/bob").await.expect_code(404, "not_found");
    client.get("/customers").await.expect_code(403, "forbidden");

    // The subject stays the customer's, whatever the address becomes.
    scene.provider.add("sub-ada", verified("bob@example.com")).await;
    assert_eq!(scene.sign_in("sub-ada").await.1["customer"]["id"], ada["id"]);
    scene.client.delete("/customers/ada").await.expect(204);
    let left = "SELECT (SELECT count(*) FROM identities) + (SELECT count(*) FROM customer_tokens)";
    assert_eq!(scene.server.database.text_as_superuser(&format!("SELECT ({left})::text")).await, "0");
    scene.provider.add("sub-ada", verified("ada@example.com")).await;
    assert_eq!(
        refusal(scene.sign_in("sub-ada").await),
        refused(403, "sign_in_denied", json!("unknown_identity"))
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn who_has_the_address_of_a_customer_no_more_is_not_the_customer_any_more() {
    // given
    let Some(scene) = Scene::of("customers", json!({})).await else { return };
    let ada = customer(&scene, "ada", "old@example.com").await;
    scene.provider.add("alice", verified("old@example.com")).await;
    scene.provider.add("ada", verified("new@example.com")).await;
    let (_, signed_in) = scene.sign_in("alice").await;
    let alice = scene.server.client.with_key(signed_in["token"]["secret"].as_str().unwrap());

    // when
    scene.client.patch("/customers/ada", json!({ "name": "Ada" })).await.expect(200);
    alice.get("/customers/ada").await.expect(200);
    scene.client.patch("/customers/ada", json!({ "email": "new@example.com" })).await.expect(200);

    // then
    alice.get("/customers/ada").await.expect_code(401, "unauthorized");
    assert_eq!(
        refusal(scene.sign_in("alice").await),
        refused(403, "sign_in_denied", json!("unknown_identity"))
    );
    let (status, signed_in) = scene.sign_in("ada").await;
    assert_eq!((status, &signed_in["customer"]["id"]), (200, &ada["id"]), "{signed_in}");
    scene.server.stop().await;
}

#[tokio::test]
async fn strangers_sign_up_only_where_the_tenant_lets_them() {
    let Some(mut scene) = Scene::of("customers", json!({})).await else { return };
    scene.provider.add("new", verified("New@example.com")).await;
    assert_eq!(
        refusal(scene.sign_in("new").await),
        refused(403, "sign_in_denied", json!("unknown_identity"))
    );

    scene.change("sign_up_currency", json!("JPY")).await;
    let racers = (0..8).map(|_| scene.sign_in("new"));
    let signed_in = futures_util::future::join_all(racers).await;

    let first = &signed_in[0].1["customer"];
    assert!(
        signed_in.iter().all(|(status, body)| *status == 200 && body["customer"]["id"] == first["id"]),
        "{signed_in:#?}"
    );
    assert_eq!(
        (&first["name"], &first["email"], &first["currency"]),
        (&json!("Ada Lovelace"), &json!("new@example.com"), &json!("JPY"))
    );
    assert_eq!(scene.client.get("/customers").await.expect(200)["data"].as_array().unwrap().len(), 1);

    scene.provider.add("unverified", json!({ "email": "other@example.com" })).await;
    assert_eq!(
        refusal(scene.sign_in("unverified").await),
        refused(403, "sign_in_denied", json!("email_not_verified"))
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn an_address_that_several_customers_have_signs_nobody_in() {
    let Some(scene) = Scene::of("customers", json!({ "sign_up_currency": "EUR" })).await else { return };
    customer(&scene, "ada", "shared@example.com").await;
    customer(&scene, "bob", "SHARED@example.com").await;
    scene.provider.add("ada", verified("shared@example.com")).await;

    assert_eq!(refusal(scene.sign_in("ada").await), refused(403, "sign_in_denied", json!("ambiguous_email")));
    scene.server.stop().await;
}

#[tokio::test]
async fn customers_of_one_mode_are_none_of_the_other() {
    let Some(scene) = Scene::of("customers", json!({})).await else { return };
    assert_eq!(scene.trusted["mode"], "test");
    let live = scene.server.client.register("live").await;
    let client = scene.server.client.with_key(live["tenant"]["api_key_secret"].as_str().unwrap());
    client
        .post("/customers", json!({ "name": "Ada", "currency": "EUR", "email": "ada@example.com" }))
        .await
        .expect(201);
    scene.provider.add("ada", verified("ada@example.com")).await;

    assert_eq!(
        refusal(scene.sign_in("ada").await),
        refused(403, "sign_in_denied", json!("unknown_identity"))
    );
    scene.server.stop().await;
}
