//! A year of one customer's life on the test clock. Every invoice is compared with a table that was computed by hand.
//!
//! Starter: 30.00 a month and 10.00 a seat in advance, 0.01 a call in arrears, 14 days of trial. Pro: 90.00, 10.00 and
//! 0.005. Calendar months in UTC, 10 % tax by line, days without the last.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

fn plan(code: &str, base: &str, call: &str, trial: &Value) -> Value {
    json!({ "code": code, "name": code, "currency": "USD", "interval": "month", "trial": trial, "prices": [
        { "code": "base", "charge_model": "flat", "amount": base },
        { "code": "seats", "charge_model": "seat", "unit": "10" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": call },
    ] })
}

async fn prepare(client: &Client) {
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "sum", "value_property": "n" });
    client.post("/meters", meter).await.expect(201);
    client.post("/plans", plan("starter", "30", "0.01", &json!({ "days": 14 }))).await.expect(201);
    client.post("/plans", plan("pro", "90", "0.005", &Value::Null)).await.expect(201);
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD",
        "tax": { "rates": [{ "name": "VAT", "percent": "10" }] } });
    client.post("/customers", customer).await.expect(201);
}

async fn pay_with(client: &Client, token: &str) {
    let method = json!({ "type": "card", "token": token });
    client.post("/customers/ada/payment-methods", method).await.expect(201);
}

/// Calls that were made on a day, at noon.
async fn calls(client: &Client, day: &str, n: u32) -> Value {
    let event = json!({ "id": day, "type": "call", "customer": "ada", "time": format!("{day}T12:00:00Z"), "properties": { "n": n } });
    client.post("/events", event).await.expect(200)
}

async fn advance(client: &Client, day: &str) {
    client.advance(&format!("{day}T00:00:00Z")).await;
}

async fn status(client: &Client, subscription: &str) -> String {
    let of = client.get(&format!("/subscriptions/{subscription}")).await.expect(200);
    of["status"].as_str().unwrap().to_owned()
}

fn decimal(minor: &Value) -> String {
    let minor = minor["amount_minor"].as_i64().unwrap();
    format!("{}{}.{:02}", if minor < 0 { "-" } else { "" }, minor.abs() / 100, minor.abs() % 100)
}

/// One row of the table: lines, subtotal, tax, total, from the balance, status.
fn row(invoice: &Value) -> String {
    let line = |line: &Value| {
        let credit = if line["kind"] == "credit" { "~" } else { "" };
        let share = line["share"].as_str().map(|share| format!("({share})")).unwrap_or_default();
        format!("{credit}{}{share} {}", line["price"].as_str().unwrap(), decimal(&line["amount"]))
    };
    let lines: Vec<_> = invoice["lines"].as_array().unwrap().iter().map(line).collect();
    format!(
        "{}: {} = {} + {} = {}, {} from balance, {}",
        &invoice["number"].as_str().unwrap()[8..],
        lines.join(", "),
        decimal(&invoice["subtotal"]),
        decimal(&invoice["tax"]),
        decimal(&invoice["total"]),
        decimal(&invoice["balance_applied"]),
        invoice["status"].as_str().unwrap(),
    )
}

/// One row of the table of credit notes: lines, subtotal, tax, total, and where the total goes.
fn credit_row(note: &Value) -> String {
    let line =
        |line: &Value| format!("{} {}", line["description"].as_str().unwrap(), decimal(&line["amount"]));
    let lines: Vec<_> = note["lines"].as_array().unwrap().iter().map(line).collect();
    format!(
        "{}: {} = {} + {} = {}, {} off what is due, {} refunded, {} to balance",
        &note["number"].as_str().unwrap()[11..],
        lines.join(", "),
        decimal(&note["subtotal"]),
        decimal(&note["tax"]),
        decimal(&note["total"]),
        decimal(&note["amount_reduced"]),
        decimal(&note["amount_refunded"]),
        decimal(&note["amount_to_balance"]),
    )
}

async fn invoices(client: &Client) -> Vec<Value> {
    let mut invoices =
        client.get("/invoices?limit=100").await.expect(200)["data"].as_array().unwrap().clone();
    invoices.reverse();
    invoices
}

/// The payment that settled an invoice.
async fn payment(client: &Client, invoice: &Value) -> Value {
    let payments = client.get("/payments?limit=100").await.expect(200);
    let settled = |it: &&Value| it["invoice"] == invoice["id"] && it["status"] == "succeeded";
    payments["data"].as_array().unwrap().iter().find(settled).unwrap().clone()
}

async fn refund_statuses(client: &Client) -> Vec<Value> {
    let refunds = client.get("/refunds").await.expect(200);
    refunds["data"].as_array().unwrap().iter().map(|refund| refund["status"].clone()).collect()
}

/// Gives back parts of the invoices of June, which was paid by card, and of May, of which the balance paid 25.13.
async fn give_back(client: &Client, june: &Value, may: &Value) {
    let paid = payment(client, june).await;
    let refunds = format!("/payments/{}/refunds", paid["id"].as_str().unwrap());
    let asked = json!({ "amount_minor": 2_000, "reason": "duplicate" });
    assert_eq!(client.post(&refunds, asked).await.expect(201)["status"], "processing");
    let seats = json!([{ "line": june["lines"][1]["id"], "amount_minor": 2_000 }]);
    let credit = json!({ "invoice": june["id"], "reason": "order_change", "lines": seats });
    client.post("/credit-notes", credit).await.expect(201);
    let credit = json!({ "invoice": may["id"], "reason": "product_unsatisfactory", "full": true });
    client.post("/credit-notes", credit).await.expect(201);
}

/// The same arithmetic that the explanation shows leads to the amount of each line.
async fn check_explanation(client: &Client, invoice: &Value) {
    let id = invoice["id"].as_str().unwrap();
    let explained = client.get(&format!("/invoices/{id}/explain")).await.expect(200);
    for line in explained["lines"].as_array().unwrap() {
        let micros = |text: &str| {
            (text.parse::<rust_decimal::Decimal>().unwrap() * rust_decimal::Decimal::from(1_000_000)).trunc()
        };
        let steps = line["arithmetic"].as_array().unwrap();
        let full: rust_decimal::Decimal =
            steps.iter().map(|step| micros(step["amount"].as_str().unwrap())).sum();
        let (part, whole) = line["share"].as_str().map_or((1_i64, 1_i64), |share| {
            let (part, whole) = share.split_once('/').unwrap();
            (part.parse().unwrap(), whole.parse().unwrap())
        });
        let sign = if line["credits_line"].is_null() { 1 } else { -1 };
        let exact = full * rust_decimal::Decimal::from(part * sign) / rust_decimal::Decimal::from(whole);
        let amount = rust_decimal::Decimal::from(line["amount"]["amount_minor"].as_i64().unwrap() * 10_000);
        assert!((exact - amount).abs() <= rust_decimal::Decimal::from(5_000), "{line}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one year is one story, and its table is part of it")]
async fn a_year_of_one_customers_life_is_billed_as_by_hand() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    prepare(&client).await;
    pay_with(&client, "tok_success").await;

    // Trial until 15 January: usage is free.
    let body =
        json!({ "customer": "ada", "plan": "starter", "quantity": 2, "start_at": "2024-01-01T00:00:00Z" });
    let subscription = client.post("/subscriptions", body).await.expect(201);
    assert_eq!(subscription["status"], "trialing");
    let id = subscription["id"].as_str().unwrap().to_owned();
    let act = |what: &str| format!("/subscriptions/{id}/{what}");
    calls(&client, "2024-01-05", 100).await;
    advance(&client, "2024-01-15").await;
    assert_eq!(status(&client, &id).await, "active");

    // Activation, first renewal, upgrade, more seats.
    calls(&client, "2024-01-15", 1_000).await;
    advance(&client, "2024-02-01").await;
    calls(&client, "2024-02-01", 500).await;
    advance(&client, "2024-02-11").await;
    client.post(&act("change"), json!({ "plan": "pro" })).await.expect(200);
    calls(&client, "2024-02-11", 2_000).await;
    advance(&client, "2024-02-21").await;
    client.post(&act("change"), json!({ "quantity": 5 })).await.expect(200);

    // Pause for five weeks: what was paid in advance goes to the balance, usage does not count.
    advance(&client, "2024-03-01").await;
    calls(&client, "2024-03-01", 400).await;
    advance(&client, "2024-03-11").await;
    let paused = client.post(&act("pause"), json!({})).await.expect(200);
    assert_eq!(paused["status"], "paused");
    advance(&client, "2024-04-01").await;
    let rested = calls(&client, "2024-04-01", 999).await;
    assert_eq!(rested["results"][0]["reason"], "no_subscription");
    advance(&client, "2024-04-16").await;
    client.post(&act("resume"), json!({})).await.expect(200);

    // The card fails on 1 and 2 May, another one works on the third day of the ladder.
    pay_with(&client, "tok_decline").await;
    advance(&client, "2024-05-03").await;
    assert_eq!(status(&client, &id).await, "past_due");
    pay_with(&client, "tok_success").await;
    advance(&client, "2024-05-05").await;
    assert_eq!(status(&client, &id).await, "active");

    // Downgrade with the end of June, cancellation in July.
    advance(&client, "2024-06-10").await;
    let planned =
        client.post(&act("change"), json!({ "plan": "starter", "when": "period_end" })).await.expect(200);
    assert_eq!((&planned["plan"], &planned["scheduled_change"]["plan"]), (&json!("pro"), &json!("starter")));
    calls(&client, "2024-06-10", 1_000).await;
    advance(&client, "2024-07-01").await;
    calls(&client, "2024-07-01", 300).await;
    advance(&client, "2024-07-16").await;
    let canceled = client.post(&act("cancel"), json!({ "at_period_end": false })).await.expect(200);
    assert_eq!(
        (&canceled["status"], &canceled["ended_at"]),
        (&json!("canceled"), &json!("2024-07-16T00:00:00Z"))
    );
    advance(&client, "2024-12-31").await;

    let billed = invoices(&client).await;
    let rows: Vec<_> = billed.iter().map(row).collect();
    assert_eq!(
        rows,
        [
            "01: base(17/31) 16.45, seats(17/31) 10.97 = 27.42 + 2.75 = 30.17, 0.00 from balance, paid",
            "02: base 30.00, seats 20.00, calls 10.00 = 60.00 + 6.00 = 66.00, 0.00 from balance, paid",
            "03: ~base(19/29) -19.66, base(19/29) 58.97, ~seats(19/29) -13.10, seats(19/29) 13.10, calls 5.00 = 44.31 + 4.43 = 48.74, 0.00 from balance, paid",
            "04: ~seats(9/29) -6.21, seats(9/29) 15.52 = 9.31 + 0.93 = 10.24, 0.00 from balance, paid",
            "05: base 90.00, seats 50.00, calls 10.00 = 150.00 + 15.00 = 165.00, 0.00 from balance, paid",
            "06: ~base(21/31) -60.97, ~seats(21/31) -33.87, calls 2.00 = -92.84 + -9.29 = -102.13, 0.00 from balance, paid",
            "07: base(15/30) 45.00, seats(15/30) 25.00 = 70.00 + 7.00 = 77.00, 77.00 from balance, paid",
            "08: base 90.00, seats 50.00, calls 0.00 = 140.00 + 14.00 = 154.00, 25.13 from balance, paid",
            "09: base 90.00, seats 50.00, calls 0.00 = 140.00 + 14.00 = 154.00, 0.00 from balance, paid",
            "10: base 30.00, seats 50.00, calls 5.00 = 85.00 + 8.50 = 93.50, 0.00 from balance, paid",
            "11: ~base(16/31) -15.48, ~seats(16/31) -25.81, calls 3.00 = -38.29 + -3.83 = -42.12, 0.00 from balance, paid",
        ]
    );
    for invoice in &billed {
        check_explanation(&client, invoice).await;
    }

    // The gateway is asked afterwards, and the invoices stay as they are.
    let (june, may) = (&billed[9], &billed[7]);
    give_back(&client, june, may).await;
    advance(&client, "2024-12-31").await;
    assert_eq!(refund_statuses(&client).await, ["succeeded", "succeeded", "succeeded"]);

    let notes = client.get("/credit-notes").await.expect(200)["data"].clone();
    let rows: Vec<_> = notes.as_array().unwrap().iter().rev().map(credit_row).collect();
    assert_eq!(
        rows,
        [
            "01: seats 20.00 = 20.00 + 2.00 = 22.00, 0.00 off what is due, 22.00 refunded, 0.00 to balance",
            "02: base 90.00, seats 50.00 = 140.00 + 14.00 = 154.00, 0.00 off what is due, 128.87 refunded, 25.13 to balance",
        ]
    );
    assert_eq!(decimal(&payment(&client, june).await["amount_refunded"]), "42.00");
    assert_eq!(decimal(&payment(&client, may).await["amount_refunded"]), "128.87");
    // 42.12 of the last invoice and 25.13 of the second credit note.
    let balance = client.get("/customers/ada/credit-balance").await.expect(200);
    assert_eq!(decimal(&balance["balances"][0]), "67.25");
    assert_eq!(invoices(&client).await, billed);
    server.stop().await;
}
