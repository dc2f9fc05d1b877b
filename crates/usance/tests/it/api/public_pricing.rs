//! The public pricing: what it shows is what is charged.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// Bots, and the dollars a month by the published card formula, volume tiers and graduated tiers.
const PUBLISHED: [(u32, [i64; 3]); 12] = [
    (5, [120, 120, 120]),
    (10, [216, 200, 220]),
    (20, [408, 400, 420]),
    (29, [564, 580, 600]),
    (30, [550, 600, 620]),
    (50, [833, 1_000, 1_020]),
    (100, [1_364, 1_500, 1_770]),
    (179, [1_987, 2_685, 2_955]),
    (180, [1_884, 2_700, 2_970]),
    (200, [2_022, 3_000, 3_270]),
    (500, [5_000, 5_000, 6_270]),
    (1_000, [10_000, 10_000, 11_270]),
];
const PLANS: [&str; 3] = ["card", "volume", "graduated"];

/// The published prices: a curve by seats, and tiers by the meter `bots`.
async fn create_plans(client: &Client) {
    let meter = json!({ "code": "bots", "event_type": "bots", "aggregation": "max", "value_property": "n" });
    client.post("/meters", meter).await.expect(201);
    client.post("/features", json!({ "code": "support", "name": "E-mail support" })).await.expect(201);
    let tiers = |tiers: &[(Value, &str)]| -> Value {
        tiers.iter().map(|(up_to, unit)| json!({ "up_to": up_to, "unit": unit })).collect()
    };
    let upper = [(json!("50"), "20"), (json!("200"), "15"), (Value::Null, "10")];
    let volume = [vec![(json!("1"), "12"), (json!("5"), "24")], upper.to_vec()].concat();
    let graduated =
        [vec![(json!("1"), "12"), (json!("2"), "36"), (json!("5"), "24")], upper.to_vec()].concat();
    let prices = [
        json!({ "code": "bots", "charge_model": "curve", "unit_floor": "10", "unit_spread": "14", "decay": "100", "minimum": "120",
            "discounts": [{ "from": "5", "percent": "5" }, { "from": "30", "percent": "10" }, { "from": "180", "percent": "15" }] }),
        json!({ "code": "bots", "meter": "bots", "charge_model": "volume", "tiers": tiers(&volume) }),
        json!({ "code": "bots", "meter": "bots", "charge_model": "graduated", "tiers": tiers(&graduated) }),
    ];
    for (code, price) in PLANS.iter().zip(prices) {
        let plan = json!({ "code": code, "name": code, "family": "bots", "currency": "USD", "interval": "month", "prices": [price],
            "entitlements": [{ "feature": "support" }] });
        client.post("/plans", plan).await.expect(201);
    }
}

fn dollars(amount: &Value) -> i64 {
    assert_eq!(amount["currency"], "USD");
    amount["amount_minor"].as_i64().unwrap() / 100
}

#[tokio::test]
async fn the_pricing_page_shows_all_published_amounts() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    create_plans(&client).await;
    let quantities = PUBLISHED.map(|row| row.0.to_string()).join(",");

    let pricing = client.get(&format!("/pricing?quantity={quantities}")).await.expect(200);

    let plans = pricing["plans"].as_array().unwrap();
    for (index, code) in PLANS.iter().enumerate() {
        assert_eq!(plans[index]["code"], *code);
        let shown: Vec<_> =
            plans[index]["samples"].as_array().unwrap().iter().map(|it| dollars(&it["amount"])).collect();
        assert_eq!(shown, PUBLISHED.map(|row| row.1[index]), "{code}");
    }
    assert_eq!(plans[0]["features"][0]["name"], "E-mail support");
    assert_eq!(plans[1]["base_amount"], json!({ "amount_minor": 0, "currency": "USD" }));
    server.stop().await;
}

#[tokio::test]
async fn a_quote_and_an_invoice_charge_what_the_page_shows() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    create_plans(&client).await;
    let rows = [PUBLISHED[3], PUBLISHED[4], PUBLISHED[8], PUBLISHED[11]];
    for (bots, amounts) in rows {
        for (code, amount) in PLANS.iter().zip(amounts) {
            let customer = format!("{code}-{bots}");
            let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
            client.post("/customers", body).await.expect(201);
            let by_seat = *code == "card";
            let (quantity, usage) =
                if by_seat { (bots, json!({})) } else { (1, json!({ "bots": bots.to_string() })) };

            let body = json!({ "plan": code, "quantity": quantity, "usage": usage });
            let quoted = client.post("/quotes", body).await.expect(200);
            let body = json!({ "customer": customer, "plan": code, "quantity": quantity });
            client.post("/subscriptions", body).await.expect(201);
            if !by_seat {
                let event = json!({ "id": customer, "type": "bots", "customer": customer, "time": "2024-01-01T00:00:00Z", "properties": { "n": bots } });
                assert_eq!(client.post("/events", event).await.expect(200)["accepted"], 1);
            }

            assert_eq!(dollars(&quoted["total"]), amount, "{customer}");
        }
    }

    client.advance("2024-02-01T00:00:00Z").await;

    for (bots, amounts) in rows {
        for (code, amount) in PLANS.iter().zip(amounts) {
            let path = format!("/customers/{code}-{bots}/invoices");
            let invoices = client.get(&path).await.expect(200);
            assert_eq!(dollars(&invoices["data"][0]["total"]), amount, "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn everybody_sees_the_visible_live_plans_of_a_tenant() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let key = |name: &str| registered["tenant"][name].as_str().unwrap();
    let live = server.client.with_key(key("api_key_secret"));
    create_plans(&live).await;
    live.patch("/plans/volume", json!({ "visible": false })).await.expect(200);
    live.delete("/plans/graduated").await.expect(204);
    let slug = registered["tenant"]["slug"].as_str().unwrap();
    let path = format!("/pricing/{slug}");

    let reply = server.client.get(&format!("{path}?plan=card&quantity=5,30,200")).await;

    assert_eq!(reply.header("cache-control"), Some("public, max-age=60, stale-while-revalidate=300"));
    let pricing = reply.expect(200);
    let samples: Vec<_> =
        pricing["plans"][0]["samples"].as_array().unwrap().iter().map(|it| dollars(&it["amount"])).collect();
    assert_eq!(samples, [120, 550, 2_022]);
    let all = server.client.get(&path).await.expect(200);
    let codes: Vec<_> = all["plans"].as_array().unwrap().iter().map(|plan| &plan["code"]).collect();
    assert_eq!(codes, ["card"]);
    assert_eq!(live.get("/plans/volume").await.expect(200)["visible"], false);
    for missing in [format!("{path}?plan=volume"), "/pricing/nobody".to_owned()] {
        server.client.get(&missing).await.expect_code(404, "not_found");
    }
    server.client.get(&format!("{path}?quantity=x")).await.expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn a_publishable_key_reads_the_pricing_of_its_mode_and_nothing_else() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let key = |name: &str| server.client.with_key(registered["tenant"][name].as_str().unwrap());
    create_plans(&key("api_key_test_secret")).await;

    let test = key("api_key_test_public").get("/pricing").await;
    let live = key("api_key_public").get("/pricing").await.expect(200);

    assert_eq!(test.header("cache-control"), Some("no-store"));
    assert_eq!(test.expect(200)["plans"].as_array().unwrap().len(), 3);
    assert_eq!(live["plans"], json!([]));
    key("api_key_test_public").get("/plans").await.expect_code(403, "forbidden");
    server.client.get("/pricing").await.expect_code(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn a_sample_that_does_not_follow_from_its_quantity_has_no_amount() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    create_plans(&client).await;
    let other = json!({ "code": "calls", "event_type": "call", "aggregation": "sum", "value_property": "n" });
    client.post("/meters", other).await.expect(201);
    let plan = |code: &str, prices: Value| json!({ "code": code, "name": code, "currency": "USD", "interval": "month", "prices": prices });
    let two = json!([
        { "code": "bots", "meter": "bots", "charge_model": "per_unit", "unit": "2" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" },
    ]);
    let percentage = json!([{ "code": "calls", "meter": "calls", "charge_model": "percentage", "rate_percent": "1", "fixed_amount_per_event": "1" }]);
    client.post("/plans", plan("two", two)).await.expect(201);
    let seats = json!([{ "code": "seats", "charge_model": "seat", "unit": "1", "maximum_seats": "10" }]);
    client.post("/plans", plan("percentage", percentage)).await.expect(201);
    client.post("/plans", plan("seats", seats)).await.expect(201);
    let samples = async |query: &str| {
        client.get(&format!("/pricing?{query}")).await.expect(200)["plans"][0]["samples"].clone()
    };

    let unclear = samples("plan=two&quantity=5").await;
    let by_bots = samples("plan=two&quantity=5&meter=bots").await;
    let beyond = samples("plan=seats&quantity=10,11").await;
    let by_event = samples("plan=percentage&quantity=5").await;

    assert_eq!((&unclear[0]["amount"], &by_event[0]["amount"]), (&Value::Null, &Value::Null));
    assert_eq!(dollars(&by_bots[0]["amount"]), 10);
    assert_eq!((dollars(&beyond[0]["amount"]), &beyond[1]["amount"]), (10, &Value::Null));
    server.stop().await;
}
