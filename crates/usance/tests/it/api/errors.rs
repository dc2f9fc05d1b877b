//! Errors, as a client sees them.

use reqwest::Method;
use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn a_body_that_cannot_be_read_names_the_place() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [{ "code": 7, "charge_model": "flat" }] });

    let refused = client.post("/plans", plan).await.expect_code(422, "invalid_field");
    assert_eq!(refused["errors"][0]["pointer"], "/prices/0/code");
    let refused = client
        .post("/meters", json!({ "code": "m", "event_typ": "x" }))
        .await
        .expect_code(422, "invalid_field");
    assert!(refused["detail"].as_str().unwrap().contains("event_typ"), "{refused}");
    for (body, code) in [
        ("{", "malformed_json"),
        ("[1]", "invalid_field"),
        (r#"{"code":"m","event_type":"e","aggregation":"count"} {}"#, "malformed_json"),
        ("\u{0}", "malformed_json"),
    ] {
        let request =
            client.request(Method::POST, "/meters").header("content-type", "application/json").body(body);
        let reply = client.send(request).await;
        assert_eq!(reply.body["code"], code, "{body}: {}", reply.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn no_body_however_strange_is_answered_with_a_server_error() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let strange = [
        "null",
        "true",
        "0",
        "\"\"",
        "[]",
        "{}",
        "{\"code\":null}",
        "{\"code\":\"\\u0000\",\"name\":\"\\u0000\"}",
        "1e999",
        "\u{feff}{}",
        "{\"name\":\"\\ud800\"}",
        "{\"now\":\"9999-12-31T23:59:59Z\"}",
        "{\"to\":\"-009999-01-01T00:00:00Z\"}",
        "{\"events\":[null,1,\"x\",[],{}]}",
    ];
    for path in [
        "/meters",
        "/features",
        "/plans",
        "/customers",
        "/subscriptions",
        "/events",
        "/test-clock/advance",
        "/invoices/x/pay",
        "/credit-notes",
        "/payments/x/refunds",
        "/customers/%00/payment-methods",
        "/customers/%00/discounts",
        "/coupons",
        "/tax-rates",
        "/auth/tenants/register",
    ] {
        for body in strange {
            let request =
                client.request(Method::POST, path).header("content-type", "application/json").body(body);
            let reply = client.send(request).await;
            assert!(reply.status < 500, "{path} {body}: {}", reply.text);
        }
    }
    for body in strange {
        let request = client.request(Method::PATCH, "/tenant").header("content-type", "application/json");
        let reply = client.send(request.body(body)).await;
        assert!(reply.status < 500, "/tenant {body}: {}", reply.text);
    }
    for path in [
        "/customers/%00",
        "/meters/%ff",
        "/invoices/inv_",
        "/subscriptions/sub_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "/events?customer=%00",
        "/plans/%2e%2e",
        "/credit-notes/%00",
        "/credit-notes?invoice=%00",
        "/refunds?payment=%00",
        "/customers/%00/credit-balance",
        "/coupons/%00",
        "/tax-rates/%00",
    ] {
        let reply = client.get(path).await;
        assert!((400..500).contains(&reply.status), "{path}: {}", reply.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_are_problems_too() {
    let server = TestServer::start().await;

    server.client.get("/nowhere").await.expect_code(404, "not_found");
    server.client.delete("/test-clock").await.expect_code(405, "method_not_allowed");
    let request =
        server.client.request(Method::POST, "/meters").header("content-type", "text/plain").body("x");
    let client = server.client.tenant("acme").await;
    let request = request.bearer_auth(client.key());
    client.send(request).await.expect_code(415, "unsupported_media_type");
    server.stop().await;
}

#[tokio::test]
async fn every_address_is_the_same_with_and_without_a_trailing_slash() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    assert_eq!(client.get("/customers/").await.expect(200), client.get("/customers").await.expect(200));
    assert_eq!(client.get("//health/").await.expect(200)["status"], "ok");
    server.stop().await;
}

#[tokio::test]
async fn the_pages_of_the_operator_answer() {
    let server = TestServer::start().await;

    assert_eq!(server.client.get("//livez").await.status, 200);
    assert_eq!(server.client.get("//readyz").await.status, 200);
    assert_eq!(server.client.get("//health").await.expect(200)["database"], "ok");
    let metrics = server.client.get("//metrics").await;
    assert!(metrics.text.contains("usance_http_requests_total"), "{}", metrics.text);
    server.stop().await;
}

#[tokio::test]
async fn a_list_is_never_taken_for_an_object() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    for (path, body, pointer) in [
        ("/features", json!(["c"]), ""),
        (
            "/customers",
            json!({ "name": "C", "currency": "USD", "tax": { "rates": [["VAT", "19"]] } }),
            "/tax",
        ),
        ("/customers", json!({ "name": "C", "currency": "USD", "tax": [[]] }), "/tax"),
        (
            "/plans",
            json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [], "entitlements": [["f"]] }),
            "/entitlements/0",
        ),
    ] {
        let refused = client.post(path, body).await.expect_code(422, "invalid_field");
        let found = refused["errors"][0]["pointer"].as_str().unwrap();
        assert!(found.starts_with(pointer), "{path}: {refused}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_query_or_path_that_cannot_be_read_is_named_without_the_words_of_a_library() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    for (path, pointer) in [
        ("/features?limit=abc", "?limit"),
        ("/features?limt=1", "?limt"),
        ("/features?limit=1&limit=2", "?limit"),
        ("/features?limit=0", "?limit"),
    ] {
        let refused = client.get(path).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        assert!(!refused["detail"].as_str().unwrap().contains("deserialize"), "{refused}");
    }
    client.get("/meters/%ff").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn the_root_leads_to_the_documentation() {
    let server = TestServer::start().await;

    let page = server.client.get("//").await;

    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger"), "{}", page.text);
    server.stop().await;
}
