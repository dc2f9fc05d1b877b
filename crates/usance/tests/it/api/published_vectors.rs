//! The published bills of one of the systems that Usance does the job of, from subscription to invoice.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// Tier, base fee a month, price of a call and of a token.
const TIERS: [(&str, &str, &str, &str); 4] = [
    ("free", "0", "0", "0"),
    ("starter", "10", "0.001", "0.00002"),
    ("professional", "50", "0.0008", "0.000015"),
    ("enterprise", "500", "0.0005", "0.00001"),
];

fn prices(base: &str, call: &str, token: &str) -> Value {
    json!([
        { "code": "base", "name": "Monthly base fee", "charge_model": "flat", "amount": base, "pay": "arrears" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": call },
        { "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": token },
    ])
}

async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    for meter in ["calls", "tokens", "agent_executions"] {
        let body =
            json!({ "code": meter, "event_type": "use", "aggregation": "sum", "value_property": meter });
        client.post("/meters", body).await.expect(201);
    }
    for (code, base, call, token) in TIERS {
        let plan = json!({ "code": code, "name": code, "currency": "USD", "interval": "month", "prices": prices(base, call, token) });
        client.post("/plans", plan).await.expect(201);
    }
    client
}

async fn subscribe(client: &Client, customer: &str, plan: &str, tax: Value) -> String {
    let body = json!({ "external_id": customer, "name": customer, "currency": "USD", "tax": tax });
    client.post("/customers", body).await.expect(201);
    let body = json!({ "customer": customer, "plan": plan });
    client.post("/subscriptions", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

fn eight_percent() -> Value {
    json!({ "rates": [{ "name": "tax", "percent": "8" }] })
}

async fn use_up(client: &Client, customer: &str, id: &str, calls: u32, tokens: u32) {
    let now = client.get("/test-clock").await.expect(200)["now"].clone();
    let properties = json!({ "calls": calls, "tokens": tokens, "agent_executions": 1_000 });
    let event = json!({ "id": format!("{customer}-{id}"), "type": "use", "customer": customer, "time": now, "properties": properties });
    assert_eq!(client.post("/events", event).await.expect(200)["accepted"], 1);
}

/// Subtotal, tax and total of the customer's only invoice with money on it, in minor units.
async fn bill(client: &Client, customer: &str) -> [i64; 3] {
    let invoices = client.get(&format!("/customers/{customer}/invoices")).await.expect(200);
    let invoices = invoices["data"].as_array().unwrap();
    assert_eq!(invoices.len(), 1);
    ["subtotal", "tax", "total"].map(|name| invoices[0][name]["amount_minor"].as_i64().unwrap())
}

#[tokio::test]
async fn an_upgrade_without_proration_bills_the_whole_month_by_the_new_plan() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let id = subscribe(&client, "ada", "free", eight_percent()).await;
    use_up(&client, "ada", "free", 900, 0).await;
    client.advance("2024-01-10T00:00:00Z").await;

    let upgrade = json!({ "plan": "starter", "proration": "none" });
    client.post(&format!("/subscriptions/{id}/change"), upgrade).await.expect(200);
    use_up(&client, "ada", "starter", 200, 5_000).await;
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!(bill(&client, "ada").await, [1_120, 90, 1_210]);
    server.stop().await;
}

#[tokio::test]
async fn an_enterprise_bill_has_no_tax_and_charges_agents_only_where_they_have_a_price() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let mut with_agents = prices("500", "0.0005", "0.00001");
    with_agents.as_array_mut().unwrap().push(
        json!({ "code": "agents", "meter": "agent_executions", "charge_model": "per_unit", "unit": "0.003" }),
    );
    let plan = json!({ "code": "agents", "name": "Agents", "currency": "USD", "interval": "month", "prices": with_agents });
    client.post("/plans", plan).await.expect(201);
    for (customer, plan) in [("without", "enterprise"), ("with", "agents")] {
        subscribe(&client, customer, plan, json!({ "exempt": true })).await;
        use_up(&client, customer, "all", 50_000, 2_000_000).await;
    }

    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!(bill(&client, "without").await, [54_500, 0, 54_500]);
    assert_eq!(bill(&client, "with").await, [54_800, 0, 54_800]);
    server.stop().await;
}

#[tokio::test]
async fn every_tier_bills_its_own_prices() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let exempt = json!({ "exempt": true });
    for (plan, tax, calls, tokens) in [
        ("starter", eight_percent(), 5_000, 50_000),
        ("professional", eight_percent(), 15_000, 200_000),
        ("enterprise", exempt, 40_000, 1_500_000),
    ] {
        subscribe(&client, plan, plan, tax).await;
        use_up(&client, plan, "all", calls, tokens).await;
    }

    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!(bill(&client, "starter").await, [1_600, 128, 1_728]);
    assert_eq!(bill(&client, "professional").await, [6_500, 520, 7_020]);
    assert_eq!(bill(&client, "enterprise").await, [53_500, 0, 53_500]);
    server.stop().await;
}
