//! Quotes: what a period would cost.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

fn usd(minor: i64) -> Value {
    json!({ "amount_minor": minor, "currency": "USD" })
}

async fn quote(client: &Client, body: Value) -> Value {
    client.post("/quotes", body).await.expect(200)
}

/// A plan of one price by the starter's meter `tokens`.
fn inline(price: Value) -> Value {
    let mut price = price;
    price["code"] = json!("p");
    price["meter"] = json!("tokens");
    json!({ "code": "draft", "name": "Draft", "currency": "USD", "interval": "month", "prices": [price] })
}

#[tokio::test]
async fn a_quote_is_what_the_invoice_will_be() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    let events: Vec<_> = [4_818, 1_234_567, 3].iter().enumerate().map(|(index, tokens)| json!({
        "id": index.to_string(), "type": "llm_call", "customer": "acme", "time": "2023-11-05T00:00:00Z", "properties": { "tokens": tokens },
    })).collect();
    client.post("/events", json!({ "events": events })).await.expect(200);

    let usage = json!({ "calls": "3", "tokens": { "events": ["4818", "1234567", "3"] } });
    let quoted = quote(&client, json!({ "plan": "starter", "customer": "acme", "usage": usage })).await;
    client.advance("2023-12-01T00:00:00Z").await;

    let invoice = client.get("/invoices").await.expect(200)["data"][0].clone();
    let id = invoice["id"].as_str().unwrap();
    let explained = client.get(&format!("/invoices/{id}/explain")).await.expect(200);
    for name in ["period", "subtotal", "discount", "tax", "tax_behavior", "total"] {
        assert_eq!(quoted[name], invoice[name], "{name}");
    }
    assert_eq!(quoted["lines"].as_array().unwrap().len(), 3);
    for (index, line) in quoted["lines"].as_array().unwrap().iter().enumerate() {
        for name in ["price", "quantity", "exact_amount", "amount", "tax", "arithmetic"] {
            assert_eq!(line[name], explained["lines"][index][name], "{name}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn coupons_and_taxes_are_those_of_the_request_or_of_the_customer() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    client
        .post("/coupons", json!({ "code": "half", "percent": "50", "duration": "forever" }))
        .await
        .expect(201);
    client
        .post("/coupons", json!({ "code": "one", "amount": usd(100), "duration": "once" }))
        .await
        .expect(201);
    client.post("/customers/acme/discounts", json!({ "coupon": "half" })).await.expect(201);
    let rates =
        json!({ "rates": [{ "name": "state", "percent": "5" }, { "name": "city", "percent": "2.5" }] });

    let taxed = quote(&client, json!({ "plan": "starter", "coupon": "half", "tax": rates })).await;
    let known = quote(&client, json!({ "plan": "starter", "coupon": "one", "customer": "acme" })).await;
    let plain = quote(&client, json!({ "plan": "starter" })).await;

    assert_eq!((&taxed["discount"], &taxed["tax"], &taxed["total"]), (&usd(500), &usd(38), &usd(538)));
    let by_rate: Vec<_> =
        taxed["taxes"].as_array().unwrap().iter().map(|tax| tax["amount"].clone()).collect();
    assert_eq!(by_rate, [usd(25), usd(13)]);
    let discounts =
        json!([{ "coupon": "half", "amount": usd(500) }, { "coupon": "one", "amount": usd(100) }]);
    assert_eq!((&known["discounts"], &known["tax"], &known["total"]), (&discounts, &usd(32), &usd(432)));
    assert_eq!((&plain["tax"], &plain["total"]), (&usd(0), &usd(1_000)));
    assert_eq!(client.get("/coupons/one").await.expect(200)["times_redeemed"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_plan_that_is_not_stored_is_quoted_and_stays_unstored() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let announced = "SELECT count(*)::text FROM outbox_events";
    let before = server.database.text_as_superuser(announced).await;
    let percentage = inline(
        json!({ "charge_model": "percentage", "rate_percent": "1", "fixed_amount_per_event": "1", "free_events": 1 }),
    );
    let tiers = json!([{ "up_to": "10", "unit": "2" }, { "up_to": null, "unit": "1" }]);
    let split = json!({ "code": "draft", "name": "Draft", "currency": "USD", "interval": "month", "prices": [
        { "code": "eu", "meter": "tokens", "charge_model": "per_unit", "unit": "1", "filters": { "region": ["eu"] } },
        { "code": "us", "meter": "tokens", "charge_model": "per_unit", "unit": "2", "filters": { "region": ["us"] } },
    ] });

    let by_event =
        quote(&client, json!({ "plan": percentage, "usage": { "tokens": { "events": ["50", "100"] } } }))
            .await;
    let by_tier = quote(&client, json!({ "plan": inline(json!({ "charge_model": "graduated", "tiers": tiers })), "usage": { "tokens": "12.5" } })).await;
    let by_filter = quote(&client, json!({ "plan": split, "usage": { "eu": "3", "us": "4" } })).await;

    // The first event is free: 1 % of 100 and 1 for the second.
    assert_eq!(by_event["total"], usd(200));
    assert_eq!((&by_tier["total"], &by_tier["lines"][0]["exact_amount"]), (&usd(2_250), &json!("22.5")));
    assert_eq!(by_filter["total"], usd(1_100));
    assert_eq!(client.get("/plans").await.expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(server.database.text_as_superuser(announced).await, before);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_quoted_names_the_field() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let percentage =
        inline(json!({ "charge_model": "percentage", "rate_percent": "1", "per_event_min": "1" }));
    let endless = inline(json!({ "charge_model": "per_unit", "unit": "0.123456789012" }));
    let faulty = inline(json!({ "charge_model": "per_unit", "unit": "x" }));
    let seats = json!({ "code": "draft", "name": "D", "currency": "USD", "interval": "month", "prices": [
        { "code": "seats", "charge_model": "seat", "unit": "1", "maximum_seats": "5" },
    ] });

    for (body, pointer) in [
        (json!({ "plan": "nothing" }), "/plan"),
        (json!({ "plan": 5 }), "/plan"),
        (json!({ "plan": faulty }), "/plan/prices/0/unit"),
        (json!({ "plan": "starter", "usage": { "nothing": "1" } }), "/usage/nothing"),
        (json!({ "plan": "starter", "usage": { "calls": "many" } }), "/usage/calls/quantity"),
        (json!({ "plan": "starter", "usage": { "calls": "-1" } }), "/usage/calls/quantity"),
        (json!({ "plan": "starter", "usage": { "calls": 5 } }), "/usage/calls"),
        (json!({ "plan": percentage, "usage": { "tokens": "5" } }), "/usage/tokens/events"),
        (json!({ "plan": endless, "usage": { "tokens": "1234567890123456.123456789012" } }), "/usage/tokens"),
        (json!({ "plan": seats, "quantity": 6 }), "/quantity"),
        (json!({ "plan": "starter", "coupon": "nothing" }), "/coupon"),
        (json!({ "plan": "starter", "customer": "nobody" }), "/customer"),
        (json!({ "plan": "starter", "tax": { "region": "nowhere" } }), "/tax/region"),
        (json!({ "plan": "starter", "period": "rest" }), "/period"),
    ] {
        let refused = client.post("/quotes", body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    client
        .post("/customers", json!({ "external_id": "eur", "name": "E", "currency": "EUR" }))
        .await
        .expect(201);
    let body = json!({ "plan": "starter", "customer": "eur" });
    client.post("/quotes", body).await.expect_code(422, "currency_mismatch");
    server.stop().await;
}
