//! Late usage by credit note: the invoice is credited as a whole and issued anew.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A customer with 10 % tax of a plan for 31.00 a month in advance and 1.00 a call, subscribed on 1 January 2024, with
/// ten calls in January.
async fn subscribed(server: &TestServer, terms: Value) -> (Client, String) {
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    client.post("/meters", meter).await.expect(201);
    let prices = json!([
        { "code": "base", "charge_model": "flat", "amount": "31" },
        { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" },
    ]);
    let mut plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": prices,
        "late_usage": "credit_note_and_reissue" });
    plan.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    client.post("/plans", plan).await.expect(201);
    let tax = json!({ "rates": [{ "name": "VAT", "percent": "10" }] });
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD", "tax": tax });
    client.post("/customers", customer).await.expect(201);
    let body = json!({ "customer": "ada", "plan": "p", "start_at": "2024-01-01T00:00:00Z" });
    let subscription = client.post("/subscriptions", body).await.expect(201);
    call(&client, "in-time", "2024-01-20T00:00:00Z", 10).await;
    (client, subscription["id"].as_str().unwrap().to_owned())
}

async fn pay_with(client: &Client, token: &str) {
    let method = json!({ "type": "card", "token": token });
    client.post("/customers/ada/payment-methods", method).await.expect(201);
}

async fn call(client: &Client, id: &str, time: &str, times: usize) {
    let events: Vec<_> = (0..times)
        .map(|n| json!({ "id": format!("{id}-{n}"), "type": "call", "customer": "ada", "time": time, "properties": {} }))
        .collect();
    let answer = client.post("/events", json!({ "events": events })).await.expect(200);
    assert_eq!(answer["accepted"], times);
}

async fn advance(client: &Client, day: &str) {
    client.advance(&format!("{day}T00:00:00Z")).await;
}

async fn invoices(client: &Client) -> Vec<Value> {
    let page = client.get("/invoices?limit=100").await.expect(200);
    let mut invoices = page["data"].as_array().unwrap().clone();
    invoices.reverse();
    invoices
}

async fn credit_notes(client: &Client) -> Vec<Value> {
    let page = client.get("/credit-notes").await.expect(200);
    let mut notes = page["data"].as_array().unwrap().clone();
    notes.reverse();
    notes
}

fn minor(of: &Value, field: &str) -> i64 {
    of[field]["amount_minor"].as_i64().unwrap()
}

/// Kind and amount of each line.
fn lines(invoice: &Value) -> Vec<String> {
    let line = |line: &Value| format!("{} {}", line["kind"].as_str().unwrap(), minor(line, "amount"));
    invoice["lines"].as_array().unwrap().iter().map(line).collect()
}

/// Reduced, refunded, to the balance.
fn parts(note: &Value) -> [i64; 3] {
    ["amount_reduced", "amount_refunded", "amount_to_balance"].map(|part| minor(note, part))
}

/// What all invoices together ask for, less what credit notes took back.
async fn owed(client: &Client) -> i64 {
    let billed: i64 = invoices(client).await.iter().map(|invoice| minor(invoice, "total")).sum();
    billed - credit_notes(client).await.iter().map(|note| minor(note, "total")).sum::<i64>()
}

#[tokio::test]
async fn an_unpaid_invoice_is_credited_and_issued_anew_with_the_late_calls() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server, json!({})).await;
    advance(&client, "2024-02-10").await;

    call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
    advance(&client, "2024-02-11").await;

    let invoices = invoices(&client).await;
    let [_, old, new] = invoices.as_slice() else { panic!("{invoices:?}") };
    assert_eq!(
        (lines(old), lines(new)),
        (
            vec!["fee 3100".to_owned(), "usage 1000".to_owned()],
            vec!["fee 3100".to_owned(), "usage 1500".to_owned()],
        )
    );
    assert_eq!(
        (&old["status"], minor(old, "amount_due"), &old["corrected_by"]),
        (&json!("paid"), 0, &new["id"])
    );
    assert_eq!(
        (&new["kind"], &new["status"], minor(new, "amount_due"), &new["corrects"]),
        (&json!("reissue"), &json!("finalized"), 5_060, &old["id"])
    );
    assert_eq!((&new["period"], &new["number"]), (&old["period"], &json!("INV-000003")));
    assert_eq!(new["memo"], "Corrects the invoice INV-000002: usage was reported after it was issued.");
    let notes = credit_notes(&client).await;
    assert_eq!((notes.len(), &notes[0]["invoice"], parts(&notes[0])), (1, &old["id"], [4_510, 0, 0]));
    server.stop().await;
}

#[tokio::test]
async fn what_was_paid_becomes_balance_and_pays_the_new_invoice() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server, json!({})).await;
    pay_with(&client, "tok_success").await;
    advance(&client, "2024-02-10").await;

    call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
    advance(&client, "2024-02-11").await;

    let invoices = invoices(&client).await;
    let [_, old, new] = invoices.as_slice() else { panic!("{invoices:?}") };
    assert_eq!((&old["status"], minor(old, "amount_paid")), (&json!("paid"), 4_510));
    assert_eq!(
        ["total", "balance_applied", "amount_paid", "amount_due"].map(|field| minor(new, field)),
        [5_060, 4_510, 550, 0]
    );
    assert_eq!(new["status"], "paid");
    assert_eq!(parts(&credit_notes(&client).await[0]), [0, 0, 4_510]);
    let balance = client.get("/customers/ada/credit-balance").await.expect(200);
    assert_eq!(balance["balances"][0]["amount_minor"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_reissued_invoice_is_corrected_again_and_the_next_one_bills_none_of_it() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server, json!({})).await;
    advance(&client, "2024-02-10").await;

    for (id, day) in [("late", "2024-02-11"), ("later", "2024-02-12")] {
        call(&client, id, "2024-01-31T00:00:00Z", 5).await;
        advance(&client, day).await;
    }
    advance(&client, "2024-03-01").await;

    let invoices = invoices(&client).await;
    let [_, first, second, third, march] = invoices.as_slice() else { panic!("{invoices:?}") };
    assert_eq!((&second["corrects"], &third["corrects"]), (&first["id"], &second["id"]));
    assert_eq!(
        (lines(third), lines(march)),
        (
            vec!["fee 3100".to_owned(), "usage 2000".to_owned()],
            vec!["fee 3100".to_owned(), "usage 0".to_owned()],
        )
    );
    // Three months' fees and twenty calls, with 10 %.
    assert_eq!(owed(&client).await, 12_430);
    let explained =
        client.get(&format!("/invoices/{}/explain", third["id"].as_str().unwrap())).await.expect(200);
    let usage = &explained["lines"][1];
    assert_eq!(
        (&usage["revision"], &usage["quantity"], &usage["events"]["count"], &usage["plan"]["code"]),
        (&json!(2), &json!("20"), &json!(20), &json!("p"))
    );
    let step = &usage["arithmetic"][0];
    assert_eq!(
        (&step["quantity"], &step["unit"], &step["amount"]),
        (&json!("20"), &json!("1"), &json!("20"))
    );
    assert_eq!(
        (&explained["lines"][0]["revision"], &explained["lines"][0]["price"]),
        (&json!(0), &json!("base"))
    );
    assert_eq!(explained["invoice"]["corrects"], second["id"]);
    server.stop().await;
}

#[tokio::test]
async fn late_calls_that_cost_nothing_more_change_nothing() {
    let server = TestServer::start().await;
    let package = json!([{ "code": "calls", "meter": "calls", "charge_model": "package", "amount": "5", "package_size": "20" }]);
    let (client, _) = subscribed(&server, json!({ "prices": package })).await;
    advance(&client, "2024-02-10").await;
    let before = invoices(&client).await;

    call(&client, "late", "2024-01-31T00:00:00Z", 10).await;
    advance(&client, "2024-02-11").await;
    let same = invoices(&client).await;
    call(&client, "later", "2024-01-31T00:00:00Z", 1).await;
    advance(&client, "2024-02-12").await;

    assert_eq!(same, before);
    let after = invoices(&client).await;
    assert_eq!(
        (lines(&after[0]), lines(&after[1])),
        (vec!["usage 500".to_owned()], vec!["usage 1000".to_owned()])
    );
    assert_eq!((after.len(), credit_notes(&client).await.len()), (2, 1));
    server.stop().await;
}

#[tokio::test]
async fn an_invoice_for_nothing_is_issued_anew_without_a_credit_note() {
    let server = TestServer::start().await;
    let calls = json!([{ "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "1" }]);
    let (client, _) = subscribed(&server, json!({ "prices": calls })).await;
    advance(&client, "2024-03-10").await;

    call(&client, "late", "2024-02-10T00:00:00Z", 5).await;
    advance(&client, "2024-03-11").await;

    let invoices = invoices(&client).await;
    assert_eq!((minor(&invoices[1], "total"), minor(&invoices[2], "total")), (0, 550));
    assert_eq!(invoices[2]["corrects"], invoices[1]["id"]);
    assert!(credit_notes(&client).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_coupon_that_the_invoice_took_is_taken_again_and_no_other() {
    let server = TestServer::start().await;
    let (client, _) = subscribed(&server, json!({})).await;
    let coupon = json!({ "code": "half", "name": "Half", "percent": "50", "duration": "once" });
    client.post("/coupons", coupon).await.expect(201);
    let coupon = json!({ "code": "late", "name": "Late", "percent": "10", "duration": "once" });
    client.post("/coupons", coupon).await.expect(201);
    client.post("/customers/ada/discounts", json!({ "coupon": "half" })).await.expect(201);
    advance(&client, "2024-02-10").await;
    client.post("/customers/ada/discounts", json!({ "coupon": "late" })).await.expect(201);

    call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
    advance(&client, "2024-03-01").await;

    let invoices = invoices(&client).await;
    let discounts: Vec<_> = invoices.iter().map(|invoice| minor(invoice, "discount")).collect();
    // Half of 41.00, half of 46.00, a tenth of 31.00.
    assert_eq!(discounts, [0, 2_050, 2_300, 310]);
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_that_was_past_due_for_the_invoice_owes_the_new_one() {
    let server = TestServer::start().await;
    let (client, id) = subscribed(&server, json!({})).await;
    advance(&client, "2024-01-31").await;
    pay_with(&client, "tok_decline").await;
    advance(&client, "2024-02-03").await;
    let before = client.get(&format!("/subscriptions/{id}")).await.expect(200);

    call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
    advance(&client, "2024-02-03").await;
    let meanwhile = client.get(&format!("/subscriptions/{id}")).await.expect(200);
    pay_with(&client, "tok_success").await;
    advance(&client, "2024-02-05").await;

    let invoices = invoices(&client).await;
    let status = |place: usize| invoices[place]["status"].clone();
    assert_eq!((&before["status"], &meanwhile["status"]), (&json!("past_due"), &json!("past_due")));
    assert_eq!((status(1), status(2), invoices.len()), (json!("paid"), json!("paid"), 3));
    assert_eq!((minor(&invoices[1], "amount_paid"), minor(&invoices[2], "amount_paid")), (0, 5_060));
    let after = client.get(&format!("/subscriptions/{id}")).await.expect(200);
    assert_eq!(after["status"], "active");
    server.stop().await;
}

#[tokio::test]
async fn the_last_invoice_of_an_ended_subscription_is_corrected_too() {
    let server = TestServer::start().await;
    let (client, id) = subscribed(&server, json!({})).await;
    client.post(&format!("/subscriptions/{id}/cancel"), json!({ "at_period_end": true })).await.expect(200);
    advance(&client, "2024-02-10").await;

    call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
    advance(&client, "2024-02-11").await;

    let invoices = invoices(&client).await;
    assert_eq!(
        (&invoices[2]["kind"], lines(&invoices[2])),
        (&json!("reissue"), vec!["usage 1500".to_owned()])
    );
    assert_eq!(owed(&client).await, 3_410 + 1_650);
    server.stop().await;
}

/// What keeps an invoice from being taken back as a whole.
async fn credit_a_part(client: &Client, _: &str) {
    let invoice = invoices(client).await[1]["id"].clone();
    let credit = json!({ "invoice": invoice, "reason": "other", "amount_minor": 100 });
    client.post("/credit-notes", credit).await.expect(201);
}

async fn give_the_fee_back(client: &Client, id: &str) {
    let prices = json!([{ "code": "base", "charge_model": "flat", "amount": "62" }]);
    let plan = json!({ "code": "q", "name": "Q", "currency": "USD", "interval": "month", "prices": prices });
    client.post("/plans", plan).await.expect(201);
    client.post(&format!("/subscriptions/{id}/change"), json!({ "plan": "q" })).await.expect(200);
}

async fn void(client: &Client, _: &str) {
    let invoice = invoices(client).await[1]["id"].as_str().unwrap().to_owned();
    client.post(&format!("/invoices/{invoice}/void"), json!({})).await.expect(200);
}

#[tokio::test]
async fn where_the_invoice_does_not_stand_alone_the_next_one_books_the_difference() {
    for hindrance in ["credited", "given back", "void", "minimum"] {
        let server = TestServer::start().await;
        let terms = if hindrance == "minimum" { json!({ "minimum": "20" }) } else { json!({}) };
        let (client, id) = subscribed(&server, terms).await;
        advance(&client, "2024-02-10").await;
        match hindrance {
            "credited" => credit_a_part(&client, &id).await,
            "given back" => give_the_fee_back(&client, &id).await,
            "void" => void(&client, &id).await,
            _ => {}
        }
        let made = credit_notes(&client).await.len();

        call(&client, "late", "2024-01-31T00:00:00Z", 5).await;
        advance(&client, "2024-02-11").await;
        let waiting = invoices(&client).await;
        advance(&client, "2024-03-01").await;

        assert!(waiting.iter().all(|invoice| invoice["kind"] == "subscription"), "{hindrance}");
        let invoices = invoices(&client).await;
        let booked = lines(invoices.last().unwrap());
        assert!(booked.contains(&"adjustment 500".to_owned()), "{hindrance}: {booked:?}");
        assert_eq!(credit_notes(&client).await.len(), made, "{hindrance}");
        server.stop().await;
    }
}
