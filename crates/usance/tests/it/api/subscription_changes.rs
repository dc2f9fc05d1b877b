//! What subscriptions are asked for, and what their invoices say of it.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant on 1 January 2024 with a meter of calls and a customer without tax.
async fn tenant(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
    client
        .post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);
    client
}

async fn plan(client: &Client, code: &str, terms: Value) {
    let mut body = json!({ "code": code, "name": code, "currency": "USD", "interval": "month" });
    body.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    client.post("/plans", body).await.expect(201);
}

fn flat(amount: &str) -> Value {
    json!([{ "code": "base", "charge_model": "flat", "amount": amount }])
}

async fn subscribe(client: &Client, more: Value) -> String {
    let mut body = json!({ "customer": "ada", "plan": "p", "start_at": "2024-01-01T00:00:00Z" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/subscriptions", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn ask(client: &Client, id: &str, what: &str, body: Value) -> Value {
    client.post(&format!("/subscriptions/{id}/{what}"), body).await.expect(200)
}

async fn call(client: &Client, id: &str, time: &str, times: usize) {
    let events: Vec<_> = (0..times)
        .map(|n| json!({ "id": format!("{id}-{n}"), "type": "call", "customer": "ada", "time": time, "properties": {} }))
        .collect();
    let answer = client.post("/events", json!({ "events": events })).await.expect(200);
    assert_eq!(answer["accepted"], times);
}

/// Totals, oldest invoice first.
async fn totals(client: &Client) -> Vec<i64> {
    let invoices = invoices(client).await;
    invoices.iter().map(|invoice| invoice["total"]["amount_minor"].as_i64().unwrap()).collect()
}

async fn invoices(client: &Client) -> Vec<Value> {
    let page = client.get("/invoices?limit=100").await.expect(200);
    let mut invoices = page["data"].as_array().unwrap().clone();
    invoices.reverse();
    invoices
}

async fn advance(client: &Client, day: &str) {
    client.advance(&format!("{day}T00:00:00Z")).await;
}

#[tokio::test]
async fn a_first_period_that_is_cut_costs_its_share_by_the_plans_policy() {
    for (policy, expected) in [
        ("day_exclusive_end", 1_645),
        ("day_inclusive", 1_645),
        // Half of 16 January is gone: 15.5 of 31 days.
        ("second", 1_500),
        ("none", 3_000),
    ] {
        let server = TestServer::start().await;
        let client = tenant(&server).await;
        plan(&client, "p", json!({ "prices": flat("30"), "proration": policy })).await;
        let start = if policy == "second" { "2024-01-16T12:00:00Z" } else { "2024-01-15T00:00:00Z" };

        client.advance(start).await;
        subscribe(&client, json!({ "start_at": start })).await;

        assert_eq!(totals(&client).await, [expected], "{policy}");
        server.stop().await;
    }
}

#[tokio::test]
async fn up_and_down_in_the_same_instant_is_free() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("29.99") })).await;
    plan(&client, "q", json!({ "prices": flat("99.97") })).await;
    let id = subscribe(&client, json!({})).await;
    advance(&client, "2024-01-12").await;

    ask(&client, &id, "change", json!({ "plan": "q" })).await;
    ask(&client, &id, "change", json!({ "plan": "p" })).await;

    let totals = totals(&client).await;
    assert_eq!(totals[0], 2_999);
    assert!(totals[1] > 0);
    assert_eq!(totals[1] + totals[2], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_change_without_proration_bills_the_whole_period_by_the_new_plan() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    let prices = |base: &str, call: &str| {
        json!([
            { "code": "base", "charge_model": "flat", "amount": base, "pay": "arrears" },
            { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": call },
        ])
    };
    plan(&client, "p", json!({ "prices": prices("0", "0") })).await;
    plan(&client, "q", json!({ "prices": prices("10", "1") })).await;
    let id = subscribe(&client, json!({})).await;
    call(&client, "before", "2024-01-01T00:00:00Z", 3).await;
    advance(&client, "2024-01-12").await;

    ask(&client, &id, "change", json!({ "plan": "q", "proration": "none" })).await;
    call(&client, "after", "2024-01-12T00:00:00Z", 4).await;
    advance(&client, "2024-02-01").await;

    assert_eq!(totals(&client).await, [1_700]);
    server.stop().await;
}

#[tokio::test]
async fn a_yearly_plan_takes_over_at_once_and_the_monthly_fee_is_given_back() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("31") })).await;
    plan(&client, "year", json!({ "prices": flat("365"), "interval": "year", "alignment": "anniversary" }))
        .await;
    let id = subscribe(&client, json!({})).await;
    advance(&client, "2024-01-11").await;

    let changed = ask(&client, &id, "change", json!({ "plan": "year" })).await;
    advance(&client, "2025-01-12").await;

    assert_eq!(
        changed["current_period"],
        json!({ "start": "2024-01-11T00:00:00Z", "end": "2025-01-11T00:00:00Z" })
    );
    // 31.00, then 365.00 - 21.00, then 365.00.
    assert_eq!(totals(&client).await, [3_100, 34_400, 36_500]);
    server.stop().await;
}

#[tokio::test]
async fn a_planned_end_can_be_taken_back_and_comes_otherwise() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("30") })).await;
    let id = subscribe(&client, json!({})).await;

    let planned = ask(&client, &id, "cancel", json!({ "at_period_end": true })).await;
    let back = ask(&client, &id, "uncancel", json!({})).await;
    client
        .post(&format!("/subscriptions/{id}/uncancel"), json!({}))
        .await
        .expect_code(409, "subscription_state");
    ask(&client, &id, "cancel", json!({ "at_period_end": true })).await;
    advance(&client, "2024-04-01").await;

    assert_eq!(
        (&planned["status"], &planned["cancel_at"]),
        (&json!("active"), &json!("2024-02-01T00:00:00Z"))
    );
    assert_eq!(back["cancel_at"], Value::Null);
    let ended = client.get(&format!("/subscriptions/{id}")).await.expect(200);
    assert_eq!((&ended["status"], &ended["ended_at"]), (&json!("canceled"), &json!("2024-02-01T00:00:00Z")));
    assert_eq!(totals(&client).await, [3_000]);
    for what in ["cancel", "pause", "resume", "change"] {
        let reply = client.post(&format!("/subscriptions/{id}/{what}"), json!({})).await;
        reply.expect_code(409, "subscription_state");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cancellation_without_credit_keeps_what_was_paid() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("30") })).await;
    let id = subscribe(&client, json!({})).await;
    advance(&client, "2024-01-11").await;

    let canceled = ask(&client, &id, "cancel", json!({ "credit": false })).await;

    assert_eq!(canceled["status"], "canceled");
    assert_eq!(totals(&client).await, [3_000]);
    server.stop().await;
}

#[tokio::test]
async fn a_paid_trial_is_charged_once_and_ends_by_itself() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    let trial = json!({ "days": 7, "price": "1", "then": "cancel" });
    plan(&client, "p", json!({ "prices": flat("30"), "trial": trial })).await;

    let id = subscribe(&client, json!({})).await;
    advance(&client, "2024-03-01").await;

    let ended = client.get(&format!("/subscriptions/{id}")).await.expect(200);
    assert_eq!((&ended["status"], &ended["ended_at"]), (&json!("canceled"), &json!("2024-01-08T00:00:00Z")));
    assert_eq!(totals(&client).await, [100]);
    assert_eq!(invoices(&client).await[0]["lines"][0]["kind"], "trial");
    server.stop().await;
}

#[tokio::test]
async fn an_upgrade_during_a_trial_is_free_and_a_trial_of_an_hour_ends_after_it() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("30"), "trial": { "hours": 1 } })).await;
    plan(&client, "q", json!({ "prices": flat("62") })).await;

    let id = subscribe(&client, json!({})).await;
    ask(&client, &id, "change", json!({ "plan": "q" })).await;
    let before = totals(&client).await;
    client.advance("2024-01-01T01:00:00Z").await;

    assert!(before.is_empty());
    assert_eq!(totals(&client).await, [6_200]);
    server.stop().await;
}

#[tokio::test]
async fn a_minimum_commitment_is_made_up_with_the_period() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    let prices = json!([
        { "code": "base", "charge_model": "flat", "amount": "31" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" },
    ]);
    plan(&client, "p", json!({ "prices": prices, "minimum": "100" })).await;
    let id = subscribe(&client, json!({})).await;
    call(&client, "a", "2024-01-01T00:00:00Z", 9).await;
    advance(&client, "2024-02-01").await;
    advance(&client, "2024-02-11").await;

    // 100.00 less 31.00 and 9.00, with 31.00 for February; then 10 of 29 days: 34.48 less 10.69 (31.00 less 20.31).
    ask(&client, &id, "cancel", json!({})).await;

    assert_eq!(totals(&client).await, [3_100, 900 + 6_000 + 3_100, 2_379 - 2_031]);
    server.stop().await;
}

#[tokio::test]
async fn usage_that_crosses_a_threshold_is_invoiced_and_credited_when_the_period_ends() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    let prices = json!([
        { "code": "base", "charge_model": "flat", "amount": "31", "pay": "arrears" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "10" },
    ]);
    plan(&client, "p", json!({ "prices": prices, "billing_thresholds": [20_000, 50_000] })).await;
    subscribe(&client, json!({})).await;
    for (day, times) in [("2024-01-02", 21), ("2024-01-03", 2), ("2024-01-04", 30)] {
        advance(&client, day).await;
        call(&client, day, &format!("{day}T00:00:00Z"), times).await;
    }
    advance(&client, "2024-02-01").await;

    let kinds: Vec<_> = invoices(&client).await.iter().map(|invoice| invoice["kind"].clone()).collect();
    assert_eq!(kinds, ["progressive", "progressive", "subscription"]);
    // 21 calls; 53 less 21; the fee alone, as the usage was invoiced.
    assert_eq!(totals(&client).await, [21_000, 32_000, 3_100]);
    server.stop().await;
}

#[tokio::test]
async fn a_change_gives_back_at_most_what_no_credit_note_took_of_the_fee() {
    // Of 31.00, the 21 days from 11 January on are 21.00.
    for (credited, given_back) in [(900, -2_100), (2_000, -1_100)] {
        let server = TestServer::start().await;
        let client = tenant(&server).await;
        plan(&client, "p", json!({ "prices": flat("31") })).await;
        plan(&client, "q", json!({ "prices": flat("62") })).await;
        let id = subscribe(&client, json!({})).await;
        let invoice = invoices(&client).await[0]["id"].clone();
        let credit = json!({ "invoice": invoice, "reason": "other", "amount_minor": credited });
        client.post("/credit-notes", credit).await.expect(201);
        advance(&client, "2024-01-11").await;

        ask(&client, &id, "change", json!({ "plan": "q" })).await;

        let changed = invoices(&client).await[1].clone();
        let amounts: Vec<_> = changed["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["amount"]["amount_minor"].clone())
            .collect();
        assert_eq!(amounts, [given_back, 4_200]);
        let path = format!("/invoices/{}/explain", changed["id"].as_str().unwrap());
        let explained = client.get(&path).await.expect(200)["lines"][0].clone();
        let step = &explained["arithmetic"][0];
        let (whole, share) = if credited == 900 { ("31", json!("21/31")) } else { ("11", Value::Null) };
        assert_eq!((&step["amount"], &explained["share"]), (&json!(whole), &share));
        server.stop().await;
    }
}

#[tokio::test]
async fn commands_of_strange_shape_are_refused_with_the_field() {
    let server = TestServer::start().await;
    let client = tenant(&server).await;
    plan(&client, "p", json!({ "prices": flat("30") })).await;
    let id = subscribe(&client, json!({})).await;
    for (body, pointer) in [
        (json!({ "plan": "none" }), "/plan"),
        (json!({ "when": "soon" }), "/when"),
        (json!({ "when": "at" }), "/at"),
        (json!({ "when": "now", "at": "2024-02-01T00:00:00Z" }), "/at"),
        (json!({ "at": "2023-12-01T00:00:00Z" }), "/at"),
        (json!({ "proration": "weekly" }), "/proration"),
        (json!({ "quantity": 1_000_001 }), "/quantity"),
        (json!({ "add_ons": [{ "code": "x" }] }), "/add_ons/0/code"),
        (json!({ "add_ons": [{ "code": "p" }] }), "/add_ons/0/code"),
    ] {
        let refused = client
            .post(&format!("/subscriptions/{id}/change"), body.clone())
            .await
            .expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
    }
    client
        .post("/subscriptions/sub_00000000000000000000000000/pause", json!({}))
        .await
        .expect_code(404, "not_found");
    assert_eq!(totals(&client).await, [3_000]);
    server.stop().await;
}
