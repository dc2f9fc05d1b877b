//! Customers.

use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn a_customer_is_found_by_id_and_by_the_tenants_own_name() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({ "external_id": "c/1 ü", "name": "名前", "email": "A@Example.com", "currency": "JPY", "timezone": "Asia/Kathmandu",
        "tax": { "exempt": true }, "metadata": { "crm": "7" } });

    let created = client.post("/customers", body.clone()).await.expect(201);

    assert_eq!((created["name"].as_str(), created["email"].as_str()), (Some("名前"), Some("a@example.com")));
    assert_eq!((&created["tax"], &created["metadata"]), (&json!({ "exempt": true }), &json!({ "crm": "7" })));
    let by_id = client.get(&format!("/customers/{}", created["id"].as_str().unwrap())).await.expect(200);
    let by_name = client.get("/customers/c%2F1%20%C3%BC").await.expect(200);
    assert_eq!((&by_id, &by_name), (&created, &created));
    client.post("/customers", body).await.expect_code(409, "customer_exists");
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_customer_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({ "external_id": "cus_mine", "name": "", "email": "x", "currency": "XXX", "timezone": "Mars/Olympus",
        "tax": { "rates": [{ "name": "t", "percent": "101" }, { "name": "u", "percent": "8%" }] } });

    let refused = client.post("/customers", body).await.expect_code(422, "invalid_field");

    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for expected in [
        "/external_id",
        "/name",
        "/email",
        "/currency",
        "/timezone",
        "/tax/rates/0/percent",
        "/tax/rates/1/percent",
    ] {
        assert!(pointers.contains(&expected), "{expected} is missing in {pointers:?}");
    }
    client
        .post("/customers", json!({ "name": "A", "currency": "USD", "tax": { "region": "eu" } }))
        .await
        .expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn erasing_a_customer_removes_the_person_and_keeps_the_money() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let created = client
        .post(
            "/customers",
            json!({ "external_id": "gone", "name": "Ada", "email": "ada@example.com", "currency": "USD" }),
        )
        .await
        .expect(201);

    assert_eq!(client.delete("/customers/gone").await.status, 204);

    client.get("/customers/gone").await.expect_code(404, "not_found");
    client
        .get(&format!("/customers/{}", created["id"].as_str().unwrap()))
        .await
        .expect_code(404, "not_found");
    let row =
        server.database.text_as_superuser("SELECT string_agg(to_jsonb(c)::text, '') FROM customers c").await;
    assert!(!row.contains("Ada") && !row.contains("ada@example.com") && !row.contains("gone"), "{row}");
    server.stop().await;
}

#[tokio::test]
async fn a_customer_with_a_running_subscription_is_not_erased() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;

    client.delete("/customers/acme").await.expect_code(409, "customer_has_subscription");

    client.get("/customers/acme").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn payment_methods_are_added_listed_and_removed() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client
        .post("/customers", json!({ "external_id": "c", "name": "C", "currency": "USD" }))
        .await
        .expect(201);
    let path = "/customers/c/payment-methods";

    let added = client.post(path, json!({ "type": "card", "token": "tok_success" })).await.expect(201);
    assert_eq!((added["last4"].as_str(), added["gateway"].as_str()), (Some("4242"), Some("sandbox")));
    client
        .post(path, json!({ "type": "card", "token": "tok_unheard" }))
        .await
        .expect_code(422, "invalid_field");
    client
        .post(path, json!({ "type": "shell", "token": "tok_success" }))
        .await
        .expect_code(422, "invalid_field");
    assert_eq!(client.get(path).await.expect(200)["data"].as_array().unwrap().len(), 1);
    let method = format!("{path}/{}", added["id"].as_str().unwrap());
    assert_eq!(client.delete(&method).await.status, 204);
    client.delete(&method).await.expect_code(404, "not_found");
    assert_eq!(client.get(path).await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn metadata_and_address_hold_texts_alone_and_come_back_as_they_were_sent() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let texts = json!({ "id": "9007199254740993", "rate": "0.10000000000000000001", "a/b~c": "ü" });
    let body = json!({ "name": "A", "currency": "USD", "metadata": texts, "address": { "city": "Bern" } });

    let created = client.post("/customers", body).await.expect(201);

    assert_eq!((&created["metadata"], &created["address"]), (&texts, &json!({ "city": "Bern" })));
    let many: serde_json::Map<_, _> = (0..51).map(|number| (number.to_string(), json!(""))).collect();
    for (field, members, pointer, code) in [
        ("metadata", json!({ "n": 7 }), "/metadata/n", "invalid"),
        ("address", json!({ "lines": ["a"] }), "/address/lines", "invalid"),
        ("metadata", json!(many), "/metadata", "too_many"),
        (
            "metadata",
            json!({ "k".repeat(65): "" }),
            &format!("/metadata/{}", "k".repeat(65)),
            "name_too_long",
        ),
        ("metadata", json!({ "a/b": "v".repeat(501) }), "/metadata/a~1b", "too_long"),
        ("address", json!({ "city": "\u{0}" }), "/address/city", "unstorable_text"),
    ] {
        let body = json!({ "name": "A", "currency": "USD", field: members });
        let refused = client.post("/customers", body).await.expect_code(422, "invalid_field");
        let error = &refused["errors"][0];
        assert_eq!((error["pointer"].as_str(), error["code"].as_str()), (Some(pointer), Some(code)));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_member_that_is_there_twice_is_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = r#"{ "name": "A", "currency": "USD", "metadata": { "k": "1", "k": "2" } }"#;

    let request = client.request(reqwest::Method::POST, "/customers");
    let reply = client.send(request.header("content-type", "application/json").body(body)).await;

    let refused = reply.expect_code(422, "invalid_field");
    assert!(refused["errors"][0]["pointer"].as_str().unwrap().starts_with("/metadata"), "{refused}");
    server.stop().await;
}
