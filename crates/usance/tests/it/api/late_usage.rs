//! Usage that comes after its invoice: the whole stretch is rated again and the difference is booked.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A customer of a plan whose calls cost 10.00 up to 15 of them, and 5.00 each above.
async fn subscribed(server: &TestServer) -> (Client, String) {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
    let tiers = json!([{ "up_to": "15", "unit": "10" }, { "up_to": null, "unit": "5" }]);
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "trial": { "days": 1 },
        "prices": [{ "code": "calls", "meter": "calls", "charge_model": "volume", "tiers": tiers }] });
    client.post("/plans", plan).await.expect(201);
    client
        .post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);
    let body = json!({ "customer": "ada", "plan": "p", "start_at": "2023-12-31T00:00:00Z" });
    let subscription = client.post("/subscriptions", body).await.expect(201);
    (client, subscription["id"].as_str().unwrap().to_owned())
}

async fn call(client: &Client, id: &str, time: &str, times: usize) -> Value {
    let events: Vec<_> = (0..times)
        .map(|n| json!({ "id": format!("{id}-{n}"), "type": "call", "customer": "ada", "time": time, "properties": {} }))
        .collect();
    client.post("/events", json!({ "events": events })).await.expect(200)
}

async fn advance(client: &Client, day: &str) {
    client.advance(&format!("{day}T00:00:00Z")).await;
}

/// Kind, quantity, amount and revision of each line of each invoice, oldest first.
async fn lines(client: &Client) -> Vec<Vec<String>> {
    let page = client.get("/invoices?limit=100").await.expect(200);
    let mut invoices = Vec::new();
    for invoice in page["data"].as_array().unwrap().iter().rev() {
        let explained =
            client.get(&format!("/invoices/{}/explain", invoice["id"].as_str().unwrap())).await.expect(200);
        let kinds = invoice["lines"].as_array().unwrap().iter();
        let lines = kinds.zip(explained["lines"].as_array().unwrap()).map(|(line, explained)| {
            format!(
                "{} {} {} r{}",
                line["kind"].as_str().unwrap(),
                line["quantity"].as_str().unwrap(),
                line["amount"]["amount_minor"],
                explained["revision"],
            )
        });
        invoices.push(lines.collect());
    }
    invoices
}

#[tokio::test]
async fn the_sixteenth_call_makes_the_month_cheaper_on_the_next_invoice() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server).await;
    call(&client, "a", "2024-01-01T00:00:00Z", 15).await;
    advance(&client, "2024-02-10").await;
    let issued = client.get("/invoices").await.expect(200)["data"][0].clone();

    let late = call(&client, "b", "2024-01-31T00:00:00Z", 1).await;
    let again = call(&client, "b", "2024-01-31T00:00:00Z", 1).await;
    call(&client, "c", "2024-02-10T00:00:00Z", 2).await;
    advance(&client, "2024-03-10").await;
    call(&client, "d", "2024-01-31T00:00:00Z", 1).await;
    advance(&client, "2024-04-01").await;

    assert_eq!((&late["accepted"], &again["replayed"]), (&json!(1), &json!(1)));
    // 15 at 10.00; 16 at 5.00 are 70.00 less; 17 at 5.00 are 5.00 more.
    let expected = [
        vec!["usage 15 15000 r0"],
        vec!["usage 2 2000 r0", "adjustment 1 -7000 r1"],
        vec!["usage 0 0 r0", "adjustment 1 500 r2"],
    ];
    assert_eq!(lines(&client).await, expected);
    let path = format!("/invoices/{}", issued["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.expect(200), issued);
    let page = client.get("/invoices?limit=100").await.expect(200);
    let second = &page["data"][1];
    // A negative invoice is owed to the customer, and the next one takes it.
    assert_eq!((&second["status"], &second["total"]["amount_minor"]), (&json!("paid"), &json!(-5_000)));
    assert_eq!(page["data"][0]["balance_applied"]["amount_minor"], 500);
    server.stop().await;
}

#[tokio::test]
async fn late_usage_of_an_ended_subscription_gets_an_invoice_of_its_own() {
    let server = TestServer::start().await;
    let (client, id) = subscribed(&server).await;
    call(&client, "a", "2024-01-01T00:00:00Z", 3).await;
    advance(&client, "2024-01-20").await;
    client.post(&format!("/subscriptions/{id}/cancel"), json!({})).await.expect(200);

    call(&client, "b", "2024-01-02T00:00:00Z", 2).await;
    let after = call(&client, "c", "2024-01-20T00:00:00Z", 1).await;
    advance(&client, "2024-01-21").await;

    assert_eq!(after["results"][0]["reason"], "no_subscription");
    assert_eq!(lines(&client).await, [vec!["usage 3 3000 r0"], vec!["adjustment 2 2000 r1"]]);
    assert_eq!(client.get("/invoices").await.expect(200)["data"][0]["kind"], "late_usage");
    server.stop().await;
}

#[tokio::test]
async fn late_usage_of_a_trial_counts_and_stays_free() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server).await;

    let late = call(&client, "a", "2023-12-31T12:00:00Z", 4).await;
    advance(&client, "2024-03-01").await;

    assert_eq!(late["accepted"], 4);
    assert_eq!(lines(&client).await, [vec!["usage 0 0 r0"], vec!["usage 0 0 r0"]]);
    server.stop().await;
}

#[tokio::test]
async fn usage_before_a_change_of_plan_is_rated_by_the_plan_that_it_fell_under() {
    let server = TestServer::start().await;
    let (client, id) = subscribed(&server).await;
    let price = json!([{ "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" }]);
    client
        .post(
            "/plans",
            json!({ "code": "q", "name": "Q", "currency": "USD", "interval": "month", "prices": price }),
        )
        .await
        .expect(201);
    advance(&client, "2024-01-10").await;
    client.post(&format!("/subscriptions/{id}/change"), json!({ "plan": "q" })).await.expect(200);

    call(&client, "old", "2024-01-09T00:00:00Z", 2).await;
    call(&client, "new", "2024-01-10T00:00:00Z", 3).await;
    advance(&client, "2024-02-01").await;

    assert_eq!(lines(&client).await, [vec!["usage 0 0 r0"], vec!["usage 3 300 r0", "adjustment 2 2000 r1"]]);
    server.stop().await;
}
