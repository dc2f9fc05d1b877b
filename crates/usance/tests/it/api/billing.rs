//! From periods to invoices.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

async fn with_plan(server: &TestServer, plan: Value) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    for meter in ["calls", "calls-by-volume", "calls-by-package"] {
        client
            .post("/meters", json!({ "code": meter, "event_type": "call", "aggregation": "count" }))
            .await
            .expect(201);
    }
    client.post("/plans", plan).await.expect(201);
    client
}

async fn customer(client: &Client, timezone: &str, currency: &str) {
    let body = json!({ "external_id": "c", "name": "C", "currency": currency, "timezone": timezone });
    client.post("/customers", body).await.expect(201);
}

fn flat(pay: &str) -> Value {
    json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [{ "code": "base", "charge_model": "flat", "amount": "10", "pay": pay }] })
}

async fn invoices(client: &Client) -> Vec<Value> {
    let mut invoices =
        client.get("/invoices?limit=100").await.expect(200)["data"].as_array().unwrap().clone();
    invoices.reverse();
    invoices
}

#[tokio::test]
async fn periods_follow_the_customers_time_zone_and_daylight_saving() {
    let server = TestServer::start().await;
    let client = with_plan(&server, flat("arrears")).await;
    customer(&client, "America/New_York", "USD").await;
    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2024-02-01T05:00:00Z" }))
        .await
        .expect(201);

    client.advance("2024-05-01T04:00:00Z").await;

    let periods: Vec<_> = invoices(&client).await.iter().map(|invoice| invoice["period"].clone()).collect();
    let expected = [
        json!({ "start": "2024-02-01T05:00:00Z", "end": "2024-03-01T05:00:00Z" }),
        json!({ "start": "2024-03-01T05:00:00Z", "end": "2024-04-01T04:00:00Z" }),
        json!({ "start": "2024-04-01T04:00:00Z", "end": "2024-05-01T04:00:00Z" }),
    ];
    assert_eq!(periods, expected);
    server.stop().await;
}

#[tokio::test]
async fn anniversary_periods_clamp_month_ends_and_return() {
    let server = TestServer::start().await;
    let mut plan = flat("arrears");
    plan["alignment"] = json!("anniversary");
    let client = with_plan(&server, plan).await;
    customer(&client, "UTC", "USD").await;
    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2024-01-31T00:00:00Z" }))
        .await
        .expect(201);

    client.advance("2024-06-01T00:00:00Z").await;

    let ends: Vec<_> = invoices(&client)
        .await
        .iter()
        .map(|invoice| invoice["period"]["end"].as_str().unwrap()[..10].to_owned())
        .collect();
    assert_eq!(ends, ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]);
    server.stop().await;
}

#[tokio::test]
async fn a_fee_in_advance_is_billed_at_the_start_and_with_every_renewal() {
    let server = TestServer::start().await;
    let client = with_plan(&server, flat("advance")).await;
    customer(&client, "UTC", "USD").await;
    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2024-01-01T00:00:00Z" }))
        .await
        .expect(201);

    client.advance("2024-03-01T00:00:00Z").await;

    let charged: Vec<_> = invoices(&client)
        .await
        .iter()
        .map(|invoice| invoice["lines"][0]["period"]["start"].as_str().unwrap()[..10].to_owned())
        .collect();
    assert_eq!(charged, ["2024-01-01", "2024-02-01", "2024-03-01"]);
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_that_began_in_the_past_is_billed_for_every_period_since() {
    let server = TestServer::start().await;
    let client = with_plan(&server, flat("arrears")).await;
    client.put("/test-clock", json!({ "now": "2024-04-15T00:00:00Z" })).await.expect(200);
    customer(&client, "UTC", "USD").await;

    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2024-01-01T00:00:00Z" }))
        .await
        .expect(201);
    client.advance("2024-04-15T00:00:00Z").await;

    assert_eq!(invoices(&client).await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn numbers_have_no_gap_however_many_invoices_are_made_at_once() {
    let server = TestServer::start().await;
    let client = with_plan(&server, flat("arrears")).await;
    for index in 0..12 {
        let body = json!({ "external_id": format!("c{index}"), "name": "C", "currency": "USD" });
        client.post("/customers", body).await.expect(201);
        client
            .post(
                "/subscriptions",
                json!({ "customer": format!("c{index}"), "plan": "p", "start_at": "2024-01-01T00:00:00Z" }),
            )
            .await
            .expect(201);
    }

    let advance = || client.post("/test-clock/advance", json!({ "to": "2024-04-01T00:00:00Z" }));
    let (one, two, three) = tokio::join!(advance(), advance(), advance());

    for reply in [one, two, three] {
        assert!(reply.status == 200 || reply.body["code"] == "test_clock_backwards", "{}", reply.text);
    }
    let mut numbers: Vec<_> = invoices(&client)
        .await
        .iter()
        .map(|invoice| invoice["number"].as_str().unwrap().to_owned())
        .collect();
    numbers.sort();
    let expected: Vec<_> = (1..=36).map(|number| format!("INV-{number:06}")).collect();
    assert_eq!(numbers, expected);
    server.stop().await;
}

#[tokio::test]
async fn currencies_keep_their_own_minor_units() {
    for (currency, amount, minor) in [("JPY", "10.5", 11), ("KWD", "1.2345", 1_235), ("USD", "0.005", 1)] {
        let server = TestServer::start().await;
        let mut plan = flat("arrears");
        plan["currency"] = json!(currency);
        plan["prices"][0]["amount"] = json!(amount);
        let client = with_plan(&server, plan).await;
        customer(&client, "UTC", currency).await;
        client
            .post(
                "/subscriptions",
                json!({ "customer": "c", "plan": "p", "start_at": "2024-01-01T00:00:00Z" }),
            )
            .await
            .expect(201);

        client.advance("2024-02-01T00:00:00Z").await;

        assert_eq!(
            invoices(&client).await[0]["total"],
            json!({ "amount_minor": minor, "currency": currency })
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn graduated_volume_and_package_prices_explain_themselves_tier_by_tier() {
    let server = TestServer::start().await;
    let tiers = json!([{ "up_to": "10", "unit": "5" }, { "up_to": "20", "unit": "4", "flat": "1" }, { "up_to": null, "unit": "3" }]);
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": [
        { "code": "graduated", "meter": "calls", "charge_model": "graduated", "tiers": tiers },
        { "code": "volume", "meter": "calls-by-volume", "charge_model": "volume", "tiers": tiers },
        { "code": "package", "meter": "calls-by-package", "charge_model": "package", "amount": "7", "package_size": "10", "free_units": "2" },
    ] });
    let client = with_plan(&server, plan).await;
    customer(&client, "UTC", "USD").await;
    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2024-01-01T00:00:00Z" }))
        .await
        .expect(201);
    let events: Vec<_> = (0..25).map(|index| json!({ "id": index.to_string(), "type": "call", "customer": "c", "time": "2024-01-15T00:00:00Z" })).collect();
    client.post("/events", json!({ "events": events })).await.expect(200);

    client.advance("2024-02-01T00:00:00Z").await;

    let invoice = &invoices(&client).await[0];
    let amounts: Vec<_> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["amount"]["amount_minor"].as_i64().unwrap())
        .collect();
    // 10*5 + 1 + 10*4 + 5*3 = 106; 25*3 = 75; (25 - 2) / 10 rounded up = 3 packages of 7.
    assert_eq!(amounts, [10_600, 7_500, 2_100]);
    let explained =
        client.get(&format!("/invoices/{}/explain", invoice["id"].as_str().unwrap())).await.expect(200);
    let steps: Vec<_> = explained["lines"][0]["arithmetic"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["kind"].as_str().unwrap(),
                step["quantity"].as_str().unwrap(),
                step["amount"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("tier_unit", "10", "50"),
            ("tier_unit", "10", "40"),
            ("tier_flat", "1", "1"),
            ("tier_unit", "5", "15")
        ]
        .map(|step| step)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_second_subscription_that_prices_the_same_meter_is_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;

    client
        .post("/subscriptions", json!({ "customer": "acme", "plan": "starter" }))
        .await
        .expect_code(409, "subscription_exists");

    assert_eq!(
        client.get("/subscriptions?customer=acme").await.expect(200)["data"].as_array().unwrap().len(),
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_names_a_customer_and_a_plan_of_its_currency() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client
        .post("/customers", json!({ "external_id": "eur", "name": "E", "currency": "EUR" }))
        .await
        .expect(201);

    client
        .post("/subscriptions", json!({ "customer": "eur", "plan": "starter" }))
        .await
        .expect_code(422, "currency_mismatch");
    for body in [
        json!({ "customer": "nobody", "plan": "starter" }),
        json!({ "customer": "eur", "plan": "nothing" }),
        json!({ "customer": "eur", "plan": "starter", "start_at": "1999-01-01T00:00:00Z" }),
        json!({ "customer": "eur", "plan": "starter", "quantity": -1 }),
    ] {
        client.post("/subscriptions", body).await.expect_code(422, "invalid_field");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_change_is_announced_in_the_outbox() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    client
        .post("/customers/acme/payment-methods", json!({ "type": "card", "token": "tok_success" }))
        .await
        .expect(201);

    client.advance("2023-12-01T00:00:00Z").await;

    let types = server
        .database
        .text_as_superuser("SELECT string_agg(type, ' ' ORDER BY sequence) FROM outbox_events")
        .await;
    assert_eq!(
        types,
        "meter.created meter.created plan.created customer.created subscription.created subscription.activated invoice.created invoice.finalized invoice.paid payment.succeeded"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_customer_who_moves_to_another_time_zone_is_billed_on_without_gap_or_overlap() {
    for timezone in ["Asia/Tokyo", "America/Los_Angeles"] {
        let server = TestServer::start().await;
        let client = with_plan(&server, flat("arrears")).await;
        customer(&client, "UTC", "USD").await;
        let subscription = json!({ "customer": "c", "plan": "p", "start_at": "2024-01-01T00:00:00Z" });
        client.post("/subscriptions", subscription).await.expect(201);

        client.advance("2024-02-01T00:00:00Z").await;
        client.patch("/customers/c", json!({ "timezone": timezone })).await.expect(200);
        client.advance("2024-06-15T00:00:00Z").await;

        let periods: Vec<_> =
            invoices(&client).await.iter().map(|invoice| invoice["period"].clone()).collect();
        assert_eq!(periods.len(), 5, "{timezone}: {periods:?}");
        assert!(periods.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]), "{timezone}: {periods:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn waiting_events_of_a_backdated_subscription_are_on_the_invoices_of_their_months() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.put("/test-clock", json!({ "now": "2024-02-10T00:00:00Z" })).await.expect(200);
    for (id, time) in
        [("a", "2023-11-05T00:00:00Z"), ("b", "2023-12-05T00:00:00Z"), ("c", "2023-12-06T00:00:00Z")]
    {
        let event = json!({ "id": id, "type": "llm_call", "customer": "acme", "time": time, "properties": { "tokens": 1 } });
        assert_eq!(client.post("/events", event).await.expect(200)["unbilled"], 1);
    }

    client.subscribe_to_starter("acme").await;
    client.advance("2024-02-10T00:00:00Z").await;

    let calls: Vec<_> =
        invoices(&client).await.iter().map(|invoice| invoice["lines"][1]["quantity"].clone()).collect();
    assert_eq!(calls, ["1", "2", "0"]);
    assert_eq!(client.get("/events/unbilled").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn usage_below_zero_is_billed_as_zero() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    let event = json!({ "id": "a", "type": "llm_call", "customer": "acme", "time": "2023-11-05T00:00:00Z", "properties": { "tokens": -5 } });
    client.post("/events", event).await.expect(200);

    client.advance("2023-12-01T00:00:00Z").await;

    let lines = invoices(&client).await[0]["lines"].clone();
    assert_eq!((&lines[0]["amount"]["amount_minor"], &lines[2]["quantity"]), (&json!(1_000), &json!("0")));
    server.stop().await;
}
