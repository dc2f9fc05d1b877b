//! What becomes of an invoice: drafts, discounts, taxes, credit balances, dunning, withdrawal.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

async fn tenant(server: &TestServer, tax: Value) -> Client {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD", "tax": tax });
    client.post("/customers", customer).await.expect(201);
    client
}

fn no_tax() -> Value {
    json!({ "exempt": true })
}

async fn plan(client: &Client, prices: Value) {
    let body = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": prices });
    client.post("/plans", body).await.expect(201);
}

fn base_and_calls() -> Value {
    json!([
        { "code": "base", "charge_model": "flat", "amount": "30", "pay": "arrears" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" },
    ])
}

async fn subscribe(client: &Client, coupon: Option<&str>) -> String {
    let body =
        json!({ "customer": "ada", "plan": "p", "start_at": "2024-01-01T00:00:00Z", "coupon": coupon });
    client.post("/subscriptions", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn call(client: &Client, id: &str, time: &str) -> Value {
    let event = json!({ "id": id, "type": "call", "customer": "ada", "time": time, "properties": {} });
    client.post("/events", event).await.expect(200)
}

async fn invoices(client: &Client) -> Vec<Value> {
    let page = client.get("/invoices?limit=100").await.expect(200);
    let mut invoices = page["data"].as_array().unwrap().clone();
    invoices.reverse();
    invoices
}

fn minor(invoice: &Value, field: &str) -> i64 {
    invoice[field]["amount_minor"].as_i64().unwrap()
}

fn money(invoice: &Value) -> [i64; 5] {
    ["subtotal", "discount", "tax", "total", "amount_due"].map(|field| minor(invoice, field))
}

async fn advance(client: &Client, day: &str) {
    client.advance(&format!("{day}T00:00:00Z")).await;
}

async fn pay_with(client: &Client, token: &str) {
    let method = json!({ "type": "card", "token": token });
    client.post("/customers/ada/payment-methods", method).await.expect(201);
}

#[tokio::test]
async fn coupons_come_off_before_tax_and_last_as_long_as_they_say() {
    let server = TestServer::start().await;
    let client = tenant(&server, json!({ "rates": [{ "name": "VAT", "percent": "20" }] })).await;
    plan(&client, base_and_calls()).await;
    client
        .post(
            "/coupons",
            json!({ "code": "half", "percent": "50", "duration": "repeating", "duration_periods": 2 }),
        )
        .await
        .expect(201);
    client.post("/coupons", json!({ "code": "five", "amount": { "amount_minor": 500, "currency": "USD" }, "duration": "once" })).await.expect(201);
    subscribe(&client, Some("half")).await;
    client.post("/customers/ada/discounts", json!({ "coupon": "five" })).await.expect(201);

    advance(&client, "2024-04-01").await;

    let invoices = invoices(&client).await;
    assert_eq!(money(&invoices[0]), [3_000, 2_000, 200, 1_200, 1_200]);
    assert_eq!(money(&invoices[1]), [3_000, 1_500, 300, 1_800, 1_800]);
    assert_eq!(money(&invoices[2]), [3_000, 0, 600, 3_600, 3_600]);
    server.stop().await;
}

#[tokio::test]
async fn a_void_invoice_gives_back_its_discounts_and_the_balance_it_took() {
    let server = TestServer::start().await;
    let client = tenant(&server, no_tax()).await;
    plan(&client, json!([{ "code": "base", "charge_model": "flat", "amount": "31" }])).await;
    client.post("/coupons", json!({ "code": "five", "amount": { "amount_minor": 500, "currency": "USD" }, "duration": "once" })).await.expect(201);
    let id = subscribe(&client, None).await;
    advance(&client, "2024-01-11").await;
    client.post(&format!("/subscriptions/{id}/pause"), json!({})).await.expect(200);
    client.post("/customers/ada/discounts", json!({ "coupon": "five" })).await.expect(201);

    // 21.00 on the balance; 31.00 less 5.00 less 21.00.
    advance(&client, "2024-03-01").await;
    client.post(&format!("/subscriptions/{id}/resume"), json!({})).await.expect(200);
    let before = invoices(&client).await.pop().unwrap();
    let invoice = before["id"].as_str().unwrap();
    let voided = client.post(&format!("/invoices/{invoice}/void"), json!({})).await.expect(200);
    client
        .post(&format!("/invoices/{invoice}/void"), json!({}))
        .await
        .expect_code(409, "invoice_not_voidable");
    client.post(&format!("/invoices/{invoice}/pay"), json!({})).await.expect_code(409, "invoice_not_payable");
    advance(&client, "2024-04-01").await;

    assert_eq!(money(&before), [3_100, 500, 0, 2_600, 500]);
    assert_eq!((&voided["status"], minor(&voided, "amount_due")), (&json!("void"), 0));
    let after = invoices(&client).await.pop().unwrap();
    assert_eq!(money(&after), [3_100, 500, 0, 2_600, 500]);
    assert_eq!(minor(&after, "balance_applied"), 2_100);
    server.stop().await;
}

#[tokio::test]
async fn inclusive_tax_is_in_the_price() {
    let server = TestServer::start().await;
    let client = tenant(&server, no_tax()).await;
    client
        .post(
            "/tax-rates",
            json!({ "code": "de", "name": "USt", "percent": "19", "inclusive": true, "region": "de" }),
        )
        .await
        .expect(201);
    client.patch("/customers/ada", json!({ "tax": { "region": "DE" } })).await.expect(200);
    plan(&client, json!([{ "code": "base", "charge_model": "flat", "amount": "119", "pay": "arrears" }]))
        .await;
    subscribe(&client, None).await;

    advance(&client, "2024-02-01").await;

    let invoice = &invoices(&client).await[0];
    assert_eq!(money(invoice), [11_900, 0, 1_900, 11_900, 11_900]);
    assert_eq!(invoice["tax_behavior"], "inclusive");
    server.stop().await;
}

#[tokio::test]
async fn a_draft_in_its_grace_period_takes_late_usage_and_becomes_final_by_itself() {
    let server = TestServer::start().await;
    let client = tenant(&server, no_tax()).await;
    client.patch("/tenant", json!({ "grace_period_hours": 48 })).await.expect(200);
    plan(&client, base_and_calls()).await;
    subscribe(&client, None).await;
    call(&client, "in-time", "2024-01-01T00:00:00Z").await;

    advance(&client, "2024-02-02").await;
    let draft = invoices(&client).await[0].clone();
    let late = call(&client, "late", "2024-01-31T23:00:00Z").await;
    advance(&client, "2024-02-04").await;

    assert_eq!((&draft["status"], &draft["number"]), (&json!("draft"), &Value::Null));
    assert_eq!(money(&draft), [3_100, 0, 0, 3_100, 3_100]);
    assert_eq!(late["accepted"], 1);
    let invoice = &invoices(&client).await[0];
    assert_eq!(
        (&invoice["status"], &invoice["finalized_at"]),
        (&json!("finalized"), &json!("2024-02-03T00:00:00Z"))
    );
    assert_eq!(money(invoice), [3_200, 0, 0, 3_200, 3_200]);
    server.stop().await;
}

#[tokio::test]
async fn the_draft_of_an_erased_customer_becomes_final_without_its_name() {
    let server = TestServer::start().await;
    let client = tenant(&server, no_tax()).await;
    client.patch("/tenant", json!({ "grace_period_hours": 48 })).await.expect(200);
    plan(&client, base_and_calls()).await;
    let id = subscribe(&client, None).await;
    client.post(&format!("/subscriptions/{id}/cancel"), json!({ "at_period_end": true })).await.expect(200);
    advance(&client, "2024-02-02").await;

    assert_eq!(client.delete("/customers/ada").await.status, 204);
    advance(&client, "2024-02-04").await;

    let invoice = &invoices(&client).await[0];
    assert_eq!((&invoice["status"], &invoice["number"]), (&json!("finalized"), &json!("INV-000001")));
    assert_eq!(money(invoice), [3_000, 0, 0, 3_000, 3_000]);
    let page = server.client.get(&format!("/{}", invoice["hosted_url"].as_str().unwrap())).await;
    assert!(page.text.contains("Erased customer") && !page.text.contains("Ada"), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn dunning_ends_with_a_cancellation_or_with_an_unpaid_invoice() {
    for (action, status) in [("cancel", "canceled"), ("mark_unpaid", "past_due")] {
        let server = TestServer::start().await;
        let client = tenant(&server, no_tax()).await;
        client
            .patch("/tenant", json!({ "dunning": { "retry_days": [1, 3], "final_action": action } }))
            .await
            .expect(200);
        plan(&client, json!([{ "code": "base", "charge_model": "flat", "amount": "31", "pay": "arrears" }]))
            .await;
        pay_with(&client, "tok_decline").await;
        let id = subscribe(&client, None).await;

        advance(&client, "2024-02-03").await;
        let past_due = client.get(&format!("/subscriptions/{id}")).await.expect(200);
        advance(&client, "2024-02-06").await;

        assert_eq!(past_due["status"], "past_due");
        let after = client.get(&format!("/subscriptions/{id}")).await.expect(200);
        assert_eq!(after["status"], status);
        let invoice = &invoices(&client).await[0];
        assert_eq!((&invoice["status"], &invoice["failed_attempts"]), (&json!("uncollectible"), &json!(3)));
        let payments = client.get("/payments").await.expect(200);
        let of_invoice =
            payments["data"].as_array().unwrap().iter().filter(|it| it["invoice"] == invoice["id"]);
        assert_eq!(of_invoice.count(), 3);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_one_off_invoice_is_kept_as_a_draft_or_issued_at_once() {
    let server = TestServer::start().await;
    let client = tenant(&server, json!({ "rates": [{ "name": "VAT", "percent": "10" }] })).await;
    let lines = json!([{ "description": "Setup", "quantity": "1.5", "unit": "33.33" }, { "description": "Thanks", "unit": "-10" }]);

    let draft = client
        .post("/invoices", json!({ "customer": "ada", "lines": lines, "memo": "Hello", "finalize": false }))
        .await
        .expect(201);
    let path = format!("/invoices/{}", draft["id"].as_str().unwrap());
    let issued = client.post(&format!("{path}/finalize"), json!({})).await.expect(200);
    // Nobody collects it any more when it is given up.
    advance(&client, "2024-01-01").await;
    let empty = client
        .post("/invoices", json!({ "customer": "ada", "lines": [] }))
        .await
        .expect_code(422, "invalid_field");

    assert_eq!(
        (&draft["status"], &draft["subscription"], &draft["memo"]),
        (&json!("draft"), &Value::Null, &json!("Hello"))
    );
    // 49.995 is 50.00; 5.00 less 1.00 of tax.
    assert_eq!(money(&issued), [4_000, 0, 400, 4_400, 4_400]);
    assert_eq!((&issued["status"], &issued["number"]), (&json!("finalized"), &json!("INV-000001")));
    assert_eq!(empty["errors"][0]["pointer"], "/lines");
    let bad = client.post(&format!("{path}/mark-uncollectible"), json!({})).await.expect(200);
    assert_eq!(bad["status"], "uncollectible");
    pay_with(&client, "tok_success").await;
    assert_eq!(client.post(&format!("{path}/pay"), json!({})).await.expect(200)["status"], "paid");
    server.stop().await;
}

#[tokio::test]
async fn a_preview_says_what_the_next_invoice_will_be_and_stores_nothing() {
    let server = TestServer::start().await;
    let client = tenant(&server, no_tax()).await;
    plan(&client, base_and_calls()).await;
    let id = subscribe(&client, None).await;
    call(&client, "a", "2024-01-01T00:00:00Z").await;

    let preview = client.post("/invoices/preview", json!({ "subscription": id })).await.expect(200);
    let stored = invoices(&client).await;
    advance(&client, "2024-02-01").await;

    assert!(stored.is_empty());
    let invoice = &invoices(&client).await[0];
    assert_eq!(money(&preview["invoice"]), money(invoice));
    assert_eq!(preview["invoice"]["period"], invoice["period"]);
    assert_eq!(invoice["number"], "INV-000001");
    server.stop().await;
}
