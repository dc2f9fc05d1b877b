//! Two tenants: what belongs to one does not exist for the other.

use reqwest::Method;
use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant with one of everything, and the addresses that name what it owns.
#[expect(clippy::too_many_lines, reason = "one of everything is a long list")]
async fn furnished(server: &TestServer, name: &str) -> (Client, Vec<(Method, String)>) {
    let client = server.client.tenant(name).await;
    client.prepare_starter_plan().await;
    client.post("/features", json!({ "code": "chat" })).await.expect(201);
    let customer = json!({ "external_id": "acme", "name": "Acme", "currency": "USD" });
    let customer = client.post("/customers", customer).await.expect(201);
    let method = client
        .post("/customers/acme/payment-methods", json!({ "type": "card", "token": "tok_success" }))
        .await
        .expect(201);
    let subscription = json!({ "customer": "acme", "plan": "starter", "start_at": "2023-11-01T00:00:00Z" });
    let subscription = client.post("/subscriptions", subscription).await.expect(201);
    client
        .post(
            "/events",
            json!({ "id": "e1", "type": "llm_call", "customer": "acme", "properties": { "tokens": 1 } }),
        )
        .await
        .expect(200);
    client.advance("2023-12-01T00:00:00Z").await;
    client.post("/coupons", json!({ "code": "half", "percent": "50", "duration": "once" })).await.expect(201);
    let discount = client.post("/customers/acme/discounts", json!({ "coupon": "half" })).await.expect(201);
    client.post("/tax-rates", json!({ "code": "vat", "percent": "8", "region": "eu" })).await.expect(201);
    let add_on = json!({ "code": "support", "name": "Support", "currency": "USD", "interval": "month", "prices": [
        { "code": "support", "charge_model": "flat", "amount": "9" },
    ] });
    client.post("/add-ons", add_on).await.expect(201);
    let migration = client.post("/plans/starter/migrations", json!({ "when": "now" })).await.expect(201);
    let invoice = client.get("/invoices").await.expect(200)["data"][0].clone();

    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let (customer, method, subscription, invoice) =
        (id(&customer), id(&method), id(&subscription), id(&invoice));
    let (discount, migration) = (id(&discount), id(&migration));
    let wallet = id(&client.get("/customers/acme/wallet").await.expect(200));
    let hold = client.post("/holds", json!({ "wallet": wallet, "amount": usd(1) })).await.expect(201);
    let hold = id(&hold);
    let own = json!({ "entitlements": [{ "feature": "chat", "limit": "5" }] });
    client.put(&format!("/subscriptions/{subscription}/entitlements"), own).await.expect(200);
    let units = client.post("/holds", json!({ "customer": "acme", "feature": "chat" })).await.expect(201);
    let units = id(&units);
    let credit = json!({ "invoice": invoice, "reason": "other", "amount_minor": 100 });
    let credit = client.post("/credit-notes", credit).await.expect(201);
    let (note, refund) = (id(&credit), credit["refund"].as_str().unwrap().to_owned());
    let session = json!({ "corrections": [{ "event": "e1", "action": "void" }] });
    let session = id(&client.post("/correction-sessions", session).await.expect(201));
    let payment = id(&client.get("/payments").await.expect(200)["data"][0]);
    let addresses = vec![
        (Method::GET, format!("/customers/{customer}")),
        (Method::PATCH, format!("/customers/{customer}")),
        (Method::DELETE, format!("/customers/{customer}")),
        (Method::GET, format!("/customers/{customer}/invoices")),
        (Method::GET, format!("/customers/{customer}/payment-methods")),
        (Method::POST, format!("/customers/{customer}/payment-methods")),
        (Method::DELETE, format!("/customers/{customer}/payment-methods/{method}")),
        (Method::GET, format!("/customers/{customer}/discounts")),
        (Method::POST, format!("/customers/{customer}/discounts")),
        (Method::DELETE, format!("/customers/{customer}/discounts/{discount}")),
        (Method::GET, "/coupons/half".to_owned()),
        (Method::PATCH, "/coupons/half".to_owned()),
        (Method::DELETE, "/coupons/half".to_owned()),
        (Method::GET, "/add-ons/support".to_owned()),
        (Method::PATCH, "/add-ons/support".to_owned()),
        (Method::DELETE, "/add-ons/support".to_owned()),
        (Method::POST, "/plans/starter/migrations".to_owned()),
        (Method::GET, format!("/plans/starter/migrations/{migration}")),
        (Method::GET, "/pricing?plan=starter".to_owned()),
        (Method::GET, "/tax-rates/vat".to_owned()),
        (Method::PATCH, "/tax-rates/vat".to_owned()),
        (Method::DELETE, "/tax-rates/vat".to_owned()),
        (Method::GET, format!("/subscriptions/{subscription}")),
        (Method::GET, format!("/subscriptions?customer={customer}")),
        (Method::GET, format!("/invoices?customer={customer}")),
        (Method::GET, format!("/payments?customer={customer}")),
        (Method::GET, format!("/events?customer={customer}")),
        (Method::POST, "/events/e1/void".to_owned()),
        (Method::GET, format!("/usage?customer={customer}&meter=calls&from=2023-11-01T00:00:00Z")),
        (Method::GET, format!("/customers/{customer}/usage")),
        (Method::GET, format!("/correction-sessions/{session}")),
        (Method::GET, format!("/correction-sessions/{session}/preview")),
        (Method::POST, format!("/correction-sessions/{session}/apply")),
        (Method::POST, format!("/correction-sessions/{session}/undo")),
        (Method::GET, format!("/invoices/{invoice}")),
        (Method::GET, format!("/invoices/{invoice}.pdf")),
        (Method::GET, format!("/invoices/{invoice}/explain")),
        (Method::POST, format!("/invoices/{invoice}/send")),
        (Method::POST, format!("/invoices/{invoice}/finalize")),
        (Method::POST, format!("/invoices/{invoice}/pay")),
        (Method::GET, format!("/customers/{customer}/credit-balance")),
        (Method::GET, format!("/customers/{customer}/wallet")),
        (Method::GET, format!("/wallets/{wallet}")),
        (Method::PATCH, format!("/wallets/{wallet}")),
        (Method::GET, format!("/wallets/{wallet}/entries")),
        (Method::POST, format!("/wallets/{wallet}/grants")),
        (Method::POST, format!("/wallets/{wallet}/debits")),
        (Method::POST, format!("/wallets/{wallet}/topups")),
        (Method::GET, format!("/holds/{hold}")),
        (Method::POST, format!("/holds/{hold}/settle")),
        (Method::POST, format!("/holds/{hold}/extend")),
        (Method::POST, format!("/holds/{hold}/release")),
        (Method::GET, format!("/holds/{units}")),
        (Method::POST, format!("/holds/{units}/settle")),
        (Method::POST, format!("/holds/{units}/extend")),
        (Method::POST, format!("/holds/{units}/release")),
        (Method::GET, format!("/credit-notes/{note}")),
        (Method::GET, format!("/credit-notes?customer={customer}")),
        (Method::GET, format!("/credit-notes?invoice={invoice}")),
        (Method::POST, format!("/payments/{payment}/refunds")),
        (Method::GET, format!("/refunds/{refund}")),
        (Method::GET, format!("/refunds?customer={customer}")),
        (Method::GET, format!("/refunds?payment={payment}")),
    ];
    (client, addresses)
}

fn usd(minor: i64) -> Value {
    json!({ "amount_minor": minor, "currency": "USD" })
}

async fn send(client: &Client, method: &Method, path: &str) -> usance_testkit::Reply {
    let request = client.request(method.clone(), path);
    let request = match *method {
        Method::POST if path.ends_with("payment-methods") => {
            request.json(&json!({ "type": "card", "token": "tok_success" }))
        }
        Method::POST if path.ends_with("debits") => request.json(&json!({ "id": "d", "amount": usd(1) })),
        Method::POST if ["grants", "topups", "settle"].iter().any(|end| path.ends_with(end)) => {
            request.json(&json!({ "amount": usd(1) }))
        }
        Method::PATCH if path.starts_with("/wallets") => request.json(&json!({ "debt_limit": usd(1) })),
        Method::POST if path.ends_with("discounts") => request.json(&json!({ "coupon": "half" })),
        Method::PATCH => request.json(&json!({ "name": "Mine now" })),
        _ => request,
    };
    client.send(request).await
}

#[tokio::test]
async fn every_id_of_another_tenant_is_answered_like_an_id_that_nobody_has() {
    let server = TestServer::start().await;
    let (owner, addresses) = furnished(&server, "owner").await;
    let stranger = server.client.tenant("stranger").await;
    let before = owner.get("/invoices").await.expect(200);

    for (method, path) in &addresses {
        let refused = send(&stranger, method, path).await.expect_code(404, "not_found");
        // The last character of an id decides whether it exists: the answer must not.
        let unknown = send(&stranger, method, &path.replace("_0", "_1")).await.expect_code(404, "not_found");
        assert_eq!(refused["detail"], unknown["detail"], "{method} {path}");
    }

    assert_eq!(owner.get("/invoices").await.expect(200), before);
    assert_eq!(owner.get("/customers/acme").await.expect(200)["name"], "Acme");
    let discounts = owner.get("/customers/acme/discounts").await.expect(200);
    assert_eq!(
        (discounts["data"][0]["ended_at"].clone(), discounts["data"].as_array().unwrap().len()),
        (Value::Null, 1)
    );
    server.stop().await;
}

#[tokio::test]
async fn names_that_two_tenants_share_never_meet() {
    let server = TestServer::start().await;
    let (one, _) = furnished(&server, "one").await;
    let (two, _) = furnished(&server, "two").await;

    one.patch("/customers/acme", json!({ "name": "Acme of one" })).await.expect(200);
    one.post(
        "/events",
        json!({ "id": "e2", "type": "llm_call", "customer": "acme", "properties": { "tokens": 1 } }),
    )
    .await
    .expect(200);

    assert_eq!(two.get("/customers/acme").await.expect(200)["name"], "Acme");
    assert_eq!(two.get("/events?customer=acme").await.expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(one.get("/events?customer=acme").await.expect(200)["data"].as_array().unwrap().len(), 2);
    for list in [
        "/customers",
        "/meters",
        "/plans",
        "/features",
        "/add-ons",
        "/subscriptions",
        "/invoices",
        "/payments",
        "/credit-notes",
        "/refunds",
        "/coupons",
        "/customers/acme/discounts",
        "/tax-rates",
    ] {
        let own = two.get(list).await.expect(200);
        assert!(!own["data"].as_array().unwrap().is_empty(), "{list}");
        let ids = |list: &Value| {
            list["data"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
        };
        let others = ids(&one.get(list).await.expect(200));
        assert!(ids(&own).iter().all(|id| !others.contains(id)), "{list}");
    }
    server.stop().await;
}

#[tokio::test]
async fn live_data_does_not_exist_for_a_test_key_and_the_other_way_round() {
    let server = TestServer::start().await;
    let registered = server.client.register("modes").await;
    let key = |name: &str| registered["tenant"][name].as_str().unwrap();
    let (test, live) =
        (server.client.with_key(key("api_key_test_secret")), server.client.with_key(key("api_key_secret")));
    let customer = live
        .post("/customers", json!({ "external_id": "acme", "name": "Live", "currency": "USD" }))
        .await
        .expect(201);
    let path = format!("/customers/{}", customer["id"].as_str().unwrap());

    test.get(&path).await.expect_code(404, "not_found");
    test.get("/customers/acme").await.expect_code(404, "not_found");
    test.post("/customers", json!({ "external_id": "acme", "name": "Test", "currency": "USD" }))
        .await
        .expect(201);

    assert_eq!(live.get("/customers/acme").await.expect(200)["name"], "Live");
    assert_eq!(test.get("/customers/acme").await.expect(200)["name"], "Test");
    live.get("/test-clock").await.expect_code(422, "test_mode_only");
    server.stop().await;
}
