//! What a customer reads by its token: its own, and nothing else.

use jiff::SignedDuration;
use serde_json::{Value, json};
use usance_http::permissions::{Access, routes};
use usance_testkit::{Client, MovableClock, TestDatabase, TestServer};

/// A customer with one of everything that a token can reach: its id, and what names its things.
struct Buyer {
    id: String,
    token: Client,
    things: Vec<(&'static str, String)>,
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// A tenant with one customer.
async fn acme_with_ada(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    let ada = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    client.post("/customers", ada).await.expect(201);
    client
}

async fn token(client: &Client, customer: &str) -> Client {
    let issued = client.post(&format!("/customers/{customer}/tokens"), json!({})).await.expect(201);
    client.with_key(issued["secret"].as_str().unwrap())
}

/// Everything but a subscription's first invoice, which comes with time.
async fn furnish(client: &Client, name: &str) -> (String, String) {
    let customer = json!({ "external_id": name, "name": name, "currency": "USD", "email": format!("{name}@example.com"),
        "metadata": { "note": "pays late" } });
    let customer = id(&client.post("/customers", customer).await.expect(201));
    let card = json!({ "type": "card", "token": "tok_success" });
    client.post(&format!("/customers/{name}/payment-methods"), card).await.expect(201);
    let subscription = json!({ "customer": name, "plan": "starter", "start_at": "2023-11-01T00:00:00Z" });
    let subscription = id(&client.post("/subscriptions", subscription).await.expect(201));
    let event = json!({ "id": format!("of-{name}"), "type": "llm_call", "customer": name, "properties": { "tokens": 1 } });
    client.post("/events", event).await.expect(200);
    client.post(&format!("/customers/{name}/discounts"), json!({ "coupon": "half" })).await.expect(201);
    let own = json!({ "entitlements": [{ "feature": "chat", "limit": "5" }] });
    client.put(&format!("/subscriptions/{subscription}/entitlements"), own).await.expect(200);
    (customer, subscription)
}

async fn buyer(client: &Client, name: &str, (customer, subscription): (String, String)) -> Buyer {
    let event = json!({ "id": format!("open-{name}"), "type": "llm_call", "customer": name, "time": "2023-12-01T00:00:00Z",
        "properties": { "tokens": 1 } });
    client.post("/events", event).await.expect(200);
    let invoice = id(&client.get(&format!("/invoices?customer={name}")).await.expect(200)["data"][0]);
    let credit = json!({ "invoice": invoice, "reason": "other", "amount_minor": 100 });
    let credit = client.post("/credit-notes", credit).await.expect(201);
    let wallet = id(&client.get(&format!("/customers/{name}/wallet")).await.expect(200));
    let grant = json!({ "amount": { "amount_minor": 700, "currency": "USD" } });
    client.post(&format!("/wallets/{wallet}/grants"), grant).await.expect(201);
    let things = vec![
        ("/api/v1/customers/{customer}", customer.clone()),
        ("/api/v1/subscriptions/{id}", subscription),
        ("/api/v1/invoices/{id}", invoice),
        ("/api/v1/credit-notes/{id}", id(&credit)),
        ("/api/v1/refunds/{id}", credit["refund"].as_str().unwrap().to_owned()),
        ("/api/v1/wallets/{id}", wallet),
    ];
    Buyer { id: customer, token: token(client, name).await, things }
}

async fn two_buyers(server: &TestServer) -> (Client, Buyer, Buyer) {
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.post("/features", json!({ "code": "chat" })).await.expect(201);
    client.post("/coupons", json!({ "code": "half", "percent": "50", "duration": "once" })).await.expect(201);
    let (ada, bob) = (furnish(&client, "ada").await, furnish(&client, "bob").await);
    // Within a quarter of an hour, so that usage is read to the event.
    client.advance("2023-12-02T00:07:00Z").await;
    let ada = buyer(&client, "ada", ada).await;
    let bob = buyer(&client, "bob", bob).await;
    // Refunds are settled, so that nothing changes while it is read.
    client.advance("2023-12-02T00:07:00Z").await;
    (client, ada, bob)
}

/// The routes that customers reach, as they are asked about the things of one of them.
fn addresses(of: &Buyer) -> Vec<String> {
    let granted = routes().iter().filter_map(|route| match route.access {
        Access::Granted(grant) if grant.customers && route.method == "GET" => Some(route.path),
        Access::Granted(_) | Access::Open => None,
    });
    let asked = |path: &str| {
        let thing = of.things.iter().find(|(prefix, _)| path.starts_with(prefix));
        let path = match thing {
            Some((_, id)) => path.replace("{customer}", id).replace("{id}", id),
            None => path.to_owned(),
        };
        let path = path.strip_prefix("/api/v1").unwrap().to_owned();
        match path.as_str() {
            "/entitlements/check" => format!("{path}?customer={}&feature=chat", of.id),
            "/usage" => format!("{path}?customer={}&meter=calls&from=2023-11-01T00:00:00Z", of.id),
            _ => path,
        }
    };
    granted.map(asked).collect()
}

#[tokio::test]
async fn a_customer_reads_all_that_is_its_own() {
    let server = TestServer::start().await;
    let (client, ada, _) = two_buyers(&server).await;

    let addresses = addresses(&ada);
    assert!(addresses.len() > 20, "{addresses:?}");
    for path in &addresses {
        let seen = ada.token.get(path).await;
        if path.contains(".pdf") {
            // Bytes, or that the server was built without them.
            assert_eq!(seen.status, client.get(path).await.status, "{}", seen.text);
            continue;
        }
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
        let seen = seen.body;
        let scoped = if path.contains('?') { path.clone() } else { format!("{path}?customer={}", ada.id) };
        let lists = ["/invoices", "/payments", "/credit-notes", "/refunds", "/subscriptions"];
        let as_tenant = if lists.contains(&path.as_str()) { &scoped } else { path };
        let mut expected = client.get(as_tenant).await.expect(200);
        if let Some(as_of) = expected.get_mut("as_of") {
            // How old an answer from memory is.
            *as_of = seen["as_of"].clone();
        }
        if let Some(metadata) = expected.get_mut("metadata") {
            // What the tenant has noted for itself.
            *metadata = json!({});
        }
        assert_eq!(seen, expected, "{path}");
        assert!(seen["data"].as_array().is_none_or(|data| !data.is_empty()), "{path} shows nothing");
    }
    server.stop().await;
}

#[tokio::test]
async fn nothing_of_another_customer_is_there() {
    let server = TestServer::start().await;
    let (_, ada, bob) = two_buyers(&server).await;

    for (own, others) in addresses(&ada).iter().zip(addresses(&bob)) {
        let reply = ada.token.get(&others).await;
        if *own == others {
            // A list, or what the tenant sells.
            for (_, thing) in &bob.things {
                assert!(!reply.text.contains(thing.as_str()), "{others} shows {thing}");
            }
            assert!(!reply.text.contains("bob"), "{others}: {}", reply.text);
        } else {
            reply.expect_code(404, "not_found");
        }
    }
    for path in [
        "/customers/bob",
        "/invoices?customer=bob",
        "/entitlements/check?customer=ada&customer=bob&feature=chat",
        "/entitlements/check?customer=%62ob&feature=chat",
        "/usage?customer=bob&meter=calls&from=2023-11-01T00:00:00Z",
    ] {
        ada.token.get(path).await.expect_code(404, "not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_customer_sees_no_draft() {
    let server = TestServer::start().await;
    let (client, ada, _) = two_buyers(&server).await;
    let lines = json!([{ "description": "Setup", "quantity": "1", "unit": "10" }]);
    let draft = json!({ "customer": "ada", "lines": lines, "finalize": false });
    let draft = client.post("/invoices", draft).await.expect(201);
    assert_eq!(draft["status"], "draft");

    ada.token.get(&format!("/invoices/{}", id(&draft))).await.expect_code(404, "not_found");
    ada.token.get(&format!("/invoices/{}/explain", id(&draft))).await.expect_code(404, "not_found");
    let listed = ada.token.get("/invoices").await;
    assert!(!listed.text.contains(&id(&draft)));
    server.stop().await;
}

#[tokio::test]
async fn a_token_ends_at_its_time_when_it_is_revoked_signed_out_and_with_its_customer() {
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |_| {}).await;
    let client = acme_with_ada(&server).await;
    let issue = async |seconds: i64| {
        let body = json!({ "expires_in_seconds": seconds });
        client.post("/customers/ada/tokens", body).await.expect(201)
    };
    let presented = |issued: &Value| client.with_key(issued["secret"].as_str().unwrap());

    // when it is over
    let short = issue(60).await;
    presented(&short).get("/customers/ada").await.expect(200);
    clock.advance(SignedDuration::from_secs(60));
    presented(&short).get("/customers/ada").await.expect_code(401, "unauthorized");

    // when it is taken back
    let (revoked, kept) = (issue(600).await, issue(600).await);
    let listed = client.get("/customers/ada/tokens").await;
    let ids: Vec<String> = listed.clone().expect(200)["data"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(ids, [id(&kept), id(&revoked)]);
    assert!(!listed.text.contains("ct_test_"), "a list shows no token");
    let path = format!("/customers/ada/tokens/{}", id(&revoked));
    client.delete(&path).await.expect(204);
    client.delete(&path).await.expect_code(404, "not_found");
    presented(&revoked).get("/customers/ada").await.expect_code(401, "unauthorized");

    // when the customer signs out
    presented(&kept).post("/auth/customers/logout", json!({})).await.expect(204);
    presented(&kept).get("/customers/ada").await.expect_code(401, "unauthorized");

    // when the customer is erased
    let last = issue(600).await;
    client.delete("/customers/ada").await.expect(204);
    presented(&last).get("/customers/ada").await.expect_code(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let client = acme_with_ada(&server).await;
    for seconds in [-1, 0, 59, 86_401, i64::MAX] {
        let body = json!({ "expires_in_seconds": seconds });
        let refused = client.post("/customers/ada/tokens", body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], "/expires_in_seconds");
    }
    client.post("/customers/eve/tokens", json!({})).await.expect_code(404, "not_found");
    let issued = client.post("/customers/ada/tokens", json!({})).await.expect(201);
    let secret = issued["secret"].as_str().unwrap();
    let made_up = [
        secret.replace("ct_test", "ct_live"),
        format!("{secret}x"),
        "ct_test_x".to_owned(),
        "ct_".to_owned(),
    ];
    for text in made_up {
        client.with_key(&text).get("/customers/ada").await.expect_code(401, "unauthorized");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_reads_nothing_by_a_token_that_it_may_not_read_itself() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let with = async |scopes: Value| {
        let key = json!({ "name": "sync", "scopes": scopes });
        server.client.with_key(owner.post("/api-keys", key).await.expect(201)["key"].as_str().unwrap())
    };
    let narrow = with(json!(["customers:write"])).await;
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    narrow.post("/customers", customer).await.expect(201);

    narrow.post("/customers/ada/tokens", json!({})).await.expect_code(403, "forbidden");
    let all = ["subscriptions", "usage", "entitlements", "invoices", "payments", "wallets"];
    let mut scopes: Vec<String> = all.iter().map(|area| format!("{area}:read")).collect();
    scopes.push("customers:write".to_owned());
    with(json!(scopes)).await.post("/customers/ada/tokens", json!({})).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_customer_asks_as_often_as_a_member_however_many_tokens_it_has() {
    let server = TestServer::start_with(|settings| settings.rate_limits.member_per_hour = 3).await;
    let client = server.client.tenant("acme").await;
    for name in ["ada", "bob"] {
        let customer = json!({ "external_id": name, "name": name, "currency": "USD" });
        client.post("/customers", customer).await.expect(201);
    }
    for _ in 0..3 {
        token(&client, "ada").await.get("/customers/ada").await.expect(200);
    }

    let refused = token(&client, "ada").await.get("/customers/ada").await;

    assert!(refused.header("retry-after").is_some());
    refused.expect_code(429, "rate_limit_exceeded");
    token(&client, "bob").await.get("/customers/bob").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_customer_makes_no_wallet_by_looking() {
    let server = TestServer::start().await;
    let client = acme_with_ada(&server).await;
    let ada = token(&client, "ada").await;

    ada.get("/customers/ada/wallet").await.expect_code(404, "not_found");
    client.get("/customers/ada/wallet").await.expect(200);
    ada.get("/customers/ada/wallet").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn who_issues_and_ends_tokens_is_in_the_audit_log() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let client = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    let customer = id(&client.post("/customers", customer).await.expect(201));
    let ada = token(&client, "ada").await;
    ada.post("/auth/customers/logout", json!({})).await.expect(204);

    let audit = owner.get("/audit").await.expect(200);
    let entries: Vec<_> = audit["data"].as_array().unwrap().iter().take(2).collect();
    assert_eq!(
        (&entries[0]["action"], &entries[0]["actor"]["type"], &entries[0]["actor"]["id"]),
        (&json!("customer_token.revoked"), &json!("customer"), &json!(customer))
    );
    assert_eq!(
        (&entries[1]["action"], &entries[1]["actor"]["type"]),
        (&json!("customer_token.created"), &json!("api_key"))
    );
    assert_eq!(entries[1]["after"], json!({ "customer": customer }));
    server.stop().await;
}
