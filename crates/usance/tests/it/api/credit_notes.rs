//! Credit notes.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant with the customer `acme` (8 % tax, on top) whose charges go as the token says; without one nothing is paid.
pub(super) async fn tenant(server: &TestServer, token: Option<&str>) -> Client {
    let client = server.client.tenant("seller").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let tax = json!({ "rates": [{ "name": "VAT", "percent": "8" }] });
    let customer = json!({ "external_id": "acme", "name": "Acme", "currency": "USD", "tax": tax });
    client.post("/customers", customer).await.expect(201);
    if let Some(token) = token {
        let method = json!({ "type": "card", "token": token });
        client.post("/customers/acme/payment-methods", method).await.expect(201);
    }
    client
}

/// Runs what is due now.
pub(super) async fn settle(client: &Client) {
    client.advance("2024-01-01T00:00:00Z").await;
}

/// An invoice of lines of so many major units, collected if that is possible.
pub(super) async fn invoice(client: &Client, units: &[&str]) -> Value {
    let lines: Vec<_> = units.iter().map(|unit| json!({ "description": unit, "unit": unit })).collect();
    let invoice = client.post("/invoices", json!({ "customer": "acme", "lines": lines })).await.expect(201);
    settle(client).await;
    read(client, &invoice).await
}

pub(super) async fn read(client: &Client, invoice: &Value) -> Value {
    client.get(&format!("/invoices/{}", id(invoice))).await.expect(200)
}

pub(super) fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

pub(super) fn minor(amount: &Value) -> i64 {
    amount["amount_minor"].as_i64().unwrap()
}

/// The body of a credit note; what it does not name is filled in.
pub(super) fn credit_of(invoice: &Value, mut what: Value) -> Value {
    for (name, value) in [("invoice", &invoice["id"]), ("reason", &json!("other"))] {
        if what[name].is_null() {
            what[name] = value.clone();
        }
    }
    what
}

pub(super) async fn credit(client: &Client, invoice: &Value, what: Value) -> Value {
    client.post("/credit-notes", credit_of(invoice, what)).await.expect(201)
}

pub(super) async fn balance(client: &Client) -> i64 {
    minor(&client.get("/customers/acme/credit-balance").await.expect(200)["balances"][0])
}

/// Subtotal, tax and total.
fn sums(note: &Value) -> [i64; 3] {
    ["subtotal", "tax", "total"].map(|part| minor(&note[part]))
}

/// What reduces the amount due, what is refunded, what goes to the balance.
pub(super) fn parts(note: &Value) -> [i64; 3] {
    ["amount_reduced", "amount_refunded", "amount_to_balance"].map(|part| minor(&note[part]))
}

#[tokio::test]
async fn a_full_credit_of_an_unpaid_invoice_settles_it_and_nobody_collects_it() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let billed = invoice(&client, &["10"]).await;

    let note = credit(&client, &billed, json!({ "full": true, "memo": "Sorry" })).await;

    assert_eq!((sums(&note), parts(&note)), ([1_000, 80, 1_080], [1_080, 0, 0]));
    assert_eq!((&note["number"], &note["memo"]), (&json!("INV-CN-000001"), &json!("Sorry")));
    let settled = read(&client, &billed).await;
    assert_eq!((&settled["status"], &settled["paid_at"]), (&json!("paid"), &json!("2024-01-01T00:00:00Z")));
    assert_eq!((minor(&settled["amount_credited"]), minor(&settled["amount_due"])), (1_080, 0));
    client.advance("2024-06-01T00:00:00Z").await;
    let settled = read(&client, &billed).await;
    assert_eq!((&settled["failed_attempts"], balance(&client).await), (&json!(0), 0));
    let types = server
        .database
        .text_as_superuser("SELECT string_agg(type, ' ' ORDER BY sequence) FROM outbox_events")
        .await;
    assert!(types.ends_with("invoice.finalized credit_note.created invoice.paid"), "{types}");
    server.stop().await;
}

#[tokio::test]
async fn a_credit_before_the_payment_leaves_the_rest_to_be_paid() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let billed = invoice(&client, &["10"]).await;

    let note = credit(&client, &billed, json!({ "amount_minor": 300 })).await;
    let method = json!({ "type": "card", "token": "tok_success" });
    client.post("/customers/acme/payment-methods", method).await.expect(201);
    let paid = client.post(&format!("/invoices/{}/pay", id(&billed)), json!({})).await.expect(200);

    assert_eq!((sums(&note), parts(&note)), ([300, 24, 324], [324, 0, 0]));
    assert_eq!((&paid["status"], minor(&paid["amount_paid"])), (&json!("paid"), 756));
    let rest = credit(&client, &billed, json!({ "full": true })).await;
    assert_eq!((sums(&rest), parts(&rest)), ([700, 56, 756], [0, 756, 0]));
    client
        .post("/credit-notes", credit_of(&billed, json!({ "full": true })))
        .await
        .expect_code(409, "credit_note_too_large");
    server.stop().await;
}

#[tokio::test]
async fn three_credits_of_a_line_take_exactly_its_tax() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["1.07", "3"]).await;
    let line = billed["lines"][0]["id"].as_str().unwrap();

    let mut sum = [0; 3];
    for amount in [36, 36, 35] {
        let lines = json!({ "lines": [{ "line": line, "amount_minor": amount }] });
        let note = credit(&client, &billed, lines).await;
        assert_eq!((note["lines"].as_array().unwrap().len(), &note["lines"][0]["line"]), (1, &json!(line)));
        for (sum, part) in sum.iter_mut().zip(sums(&note)) {
            *sum += part;
        }
    }

    assert_eq!((sum, minor(&billed["lines"][0]["tax"])), ([107, 9, 116], 9));
    let lines = json!({ "lines": [{ "line": line, "amount_minor": 1 }] });
    client.post("/credit-notes", credit_of(&billed, lines)).await.expect_code(409, "credit_note_too_large");
    let listed = client.get(&format!("/credit-notes?invoice={}", id(&billed))).await.expect(200);
    let numbers: Vec<_> = listed["data"].as_array().unwrap().iter().map(|note| &note["number"]).collect();
    assert_eq!(numbers, ["INV-CN-000003", "INV-CN-000002", "INV-CN-000001"]);
    server.stop().await;
}

#[tokio::test]
async fn a_credit_of_a_paid_invoice_is_refunded_or_kept_as_a_balance() {
    for (asked, expected) in [
        (json!({}), [0, 540, 0]),
        (json!({ "settle": "refund" }), [0, 540, 0]),
        (json!({ "settle": "balance" }), [0, 0, 540]),
        (json!({ "refund_minor": 200 }), [0, 200, 340]),
        (json!({ "refund_minor": 0, "settle": "balance" }), [0, 0, 540]),
    ] {
        let server = TestServer::start().await;
        let client = tenant(&server, Some("tok_success")).await;
        let billed = invoice(&client, &["10"]).await;

        let mut what = asked.clone();
        what["amount_minor"] = json!(500);
        let note = credit(&client, &billed, what).await;
        settle(&client).await;

        assert_eq!((parts(&note), balance(&client).await), (expected, expected[2]), "{asked}");
        assert_eq!(note["refund"].is_string(), expected[1] > 0, "{asked}");
        let payment = client.get("/payments").await.expect(200)["data"][0].clone();
        assert_eq!(minor(&payment["amount_refunded"]), expected[1], "{asked}");
        assert_eq!(client.get(&format!("/credit-notes/{}", id(&note))).await.expect(200), note);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_the_balance_paid_goes_back_to_the_balance() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let first = invoice(&client, &["3"]).await;
    credit(&client, &first, json!({ "full": true, "settle": "balance" })).await;

    let billed = invoice(&client, &["10"]).await;
    assert_eq!((minor(&billed["balance_applied"]), minor(&billed["amount_paid"])), (324, 756));
    let note = credit(&client, &billed, json!({ "full": true })).await;

    assert_eq!((parts(&note), balance(&client).await), ([0, 756, 324], 324));
    let refused = credit_of(&first, json!({ "full": true }));
    client.post("/credit-notes", refused).await.expect_code(409, "credit_note_too_large");
    let entries = client.get("/customers/acme/credit-balance?limit=2").await.expect(200)["entries"].clone();
    let reasons: Vec<_> = entries["data"].as_array().unwrap().iter().map(|entry| &entry["reason"]).collect();
    assert_eq!(reasons, ["credit_note", "applied_to_invoice"]);
    assert_eq!(entries["has_more"], true);
    server.stop().await;
}

#[tokio::test]
async fn a_part_that_the_balance_paid_waits_until_what_is_due_is_reduced() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let first = invoice(&client, &["-3"]).await;
    assert_eq!((&first["status"], balance(&client).await), (&json!("paid"), 324));
    let billed = invoice(&client, &["10"]).await;

    let part = credit(&client, &billed, json!({ "amount_minor": 400 })).await;
    let rest = credit(&client, &billed, json!({ "full": true })).await;

    assert_eq!((parts(&part), parts(&rest)), ([432, 0, 0], [324, 0, 324]));
    assert_eq!((&read(&client, &billed).await["status"], balance(&client).await), (&json!("paid"), 324));
    server.stop().await;
}

#[tokio::test]
async fn a_tax_inside_the_price_and_a_discount_are_credited_in_their_share() {
    let server = TestServer::start().await;
    let client = server.client.tenant("seller").await;
    client.put("/test-clock", json!({ "now": "2023-12-01T00:00:00Z" })).await.expect(200);
    let rate = json!({ "code": "vat", "percent": "20", "inclusive": true, "region": "eu" });
    client.post("/tax-rates", rate).await.expect(201);
    let customer =
        json!({ "external_id": "acme", "name": "Acme", "currency": "USD", "tax": { "region": "eu" } });
    client.post("/customers", customer).await.expect(201);
    client.post("/coupons", json!({ "code": "q", "percent": "25", "duration": "once" })).await.expect(201);
    client.post("/customers/acme/discounts", json!({ "coupon": "q" })).await.expect(201);
    let prices = json!([{ "code": "base", "charge_model": "flat", "amount": "10", "pay": "advance" }]);
    let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": prices });
    client.post("/plans", plan).await.expect(201);
    client.post("/subscriptions", json!({ "customer": "acme", "plan": "p" })).await.expect(201);
    client.advance("2023-12-01T00:00:00Z").await;
    let billed = client.get("/invoices").await.expect(200)["data"][0].clone();
    assert_eq!((minor(&billed["total"]), minor(&billed["tax"])), (750, 125));

    let part = credit(&client, &billed, json!({ "amount_minor": 250 })).await;
    let rest = credit(&client, &billed, json!({ "full": true })).await;

    assert_eq!((sums(&part), sums(&rest)), ([250, 42, 250], [500, 83, 500]));
    assert_eq!(read(&client, &billed).await["status"], "paid");
    server.stop().await;
}

#[tokio::test]
async fn of_fifty_full_credits_at_once_one_is_made() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;

    let racers: Vec<_> = (0..50)
        .map(|_| {
            let (client, body) = (client.clone(), credit_of(&billed, json!({ "full": true })));
            async move { client.post("/credit-notes", body).await }
        })
        .collect();
    let replies = futures_util::future::join_all(racers).await;
    settle(&client).await;

    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_code(409, "credit_note_too_large");
    }
    let refunds = client.get("/refunds").await.expect(200)["data"].clone();
    let statuses: Vec<_> = refunds.as_array().unwrap().iter().map(|refund| &refund["status"]).collect();
    assert_eq!((statuses, minor(&refunds[0]["amount"])), (vec![&json!("succeeded")], 1_080));
    let numbers = client.get("/credit-notes").await.expect(200)["data"].as_array().unwrap().len();
    assert_eq!(numbers, 1);
    server.stop().await;
}

#[tokio::test]
async fn drafts_and_void_invoices_are_not_credited_and_credited_ones_not_voided() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let lines = json!([{ "description": "Work", "unit": "10" }]);
    let draft = json!({ "customer": "acme", "lines": lines, "finalize": false });
    let draft = client.post("/invoices", draft).await.expect(201);
    let full = credit_of(&draft, json!({ "full": true }));

    client.post("/credit-notes", full.clone()).await.expect_code(409, "invoice_not_creditable");
    client.post(&format!("/invoices/{}/finalize", id(&draft)), json!({})).await.expect(200);
    client.post(&format!("/invoices/{}/void", id(&draft)), json!({})).await.expect(200);
    client.post("/credit-notes", full).await.expect_code(409, "invoice_not_creditable");

    let billed = invoice(&client, &["10"]).await;
    credit(&client, &billed, json!({ "amount_minor": 1 })).await;
    let void = format!("/invoices/{}/void", id(&billed));
    client.post(&void, json!({})).await.expect_code(409, "invoice_not_voidable");
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_credited_while_a_payment_is_under_way() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_timeout")).await;
    let billed = invoice(&client, &["10"]).await;
    let full = credit_of(&billed, json!({ "full": true }));

    client.post("/credit-notes", full.clone()).await.expect_code(409, "payment_in_progress");
    client.advance("2024-01-01T00:05:00Z").await;

    let note = client.post("/credit-notes", full).await.expect(201);
    assert_eq!(parts(&note), [1_080, 0, 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_credit_that_settles_an_overdue_invoice_brings_the_subscription_back() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    let method = json!({ "type": "card", "token": "tok_decline" });
    client.post("/customers/acme/payment-methods", method).await.expect(201);
    client.advance("2023-12-01T00:00:00Z").await;
    let status = async || client.get("/subscriptions").await.expect(200)["data"][0]["status"].clone();
    assert_eq!(status().await, "past_due");
    let billed = client.get("/invoices").await.expect(200)["data"][0].clone();

    credit(&client, &billed, json!({ "full": true })).await;
    client.advance("2023-12-20T00:00:00Z").await;

    assert_eq!(status().await, "active");
    assert_eq!(read(&client, &billed).await["failed_attempts"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_carried_out_names_what_is_wrong() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10", "-2"]).await;
    let line = billed["lines"][0]["id"].clone();
    let stranger = server.client.tenant("stranger").await;
    let lines = |lines: Value| json!({ "lines": lines });

    for (what, pointer) in [
        (json!({}), ""),
        (json!({ "full": false }), ""),
        (json!({ "full": true, "amount_minor": 1 }), ""),
        (json!({ "amount_minor": 0 }), "/amount_minor"),
        (json!({ "amount_minor": 1, "reason": "whim" }), "/reason"),
        (json!({ "amount_minor": 1, "settle": "cash" }), "/settle"),
        (json!({ "amount_minor": 1, "refund_minor": -1 }), "/refund_minor"),
        (json!({ "amount_minor": 1, "refund_minor": 1, "settle": "balance" }), "/refund_minor"),
        (json!({ "amount_minor": 1, "invoice": "inv_x" }), "/invoice"),
        (lines(json!([])), "/lines"),
        (lines(json!([{ "line": "line_x", "amount_minor": 1 }])), "/lines/0/line"),
        (lines(json!([{ "line": line, "amount_minor": -1 }])), "/lines/0/amount_minor"),
        (
            lines(json!([{ "line": line, "amount_minor": 1 }, { "line": line, "amount_minor": 1 }])),
            "/lines/1/line",
        ),
    ] {
        let refused = client.post("/credit-notes", credit_of(&billed, what)).await;
        assert_eq!(refused.expect_code(422, "invalid_field")["errors"][0]["pointer"], pointer);
    }
    for what in [
        json!({ "amount_minor": 801 }),
        json!({ "amount_minor": i64::MAX }),
        lines(json!([{ "line": line, "amount_minor": 1_001 }])),
        lines(json!([{ "line": line, "amount_minor": i64::MAX }])),
        lines(json!([{ "line": billed["lines"][1]["id"], "amount_minor": i64::MAX }])),
    ] {
        let refused = client.post("/credit-notes", credit_of(&billed, what)).await;
        assert!(matches!(refused.status, 409 | 422), "{}", refused.text);
    }
    let above = credit_of(&billed, json!({ "amount_minor": 100, "refund_minor": 109 }));
    client.post("/credit-notes", above).await.expect_code(409, "refund_too_large");
    let other = credit_of(&billed, json!({ "full": true }));
    let refused = stranger.post("/credit-notes", other).await.expect_code(422, "invalid_field");
    assert_eq!(refused["errors"][0]["code"], "unknown_invoice");
    assert_eq!(client.get("/credit-notes").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_request_makes_one_credit_note() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;
    let body = credit_of(&billed, json!({ "amount_minor": 100 }));

    let first = client.post_once("/credit-notes", "key", body.clone()).await.expect(201);
    let again = client.post_once("/credit-notes", "key", body).await.expect(201);

    assert_eq!(first, again);
    assert_eq!(client.get("/credit-notes?customer=acme").await.expect(200)["data"], json!([first]));
    server.stop().await;
}

#[tokio::test]
async fn the_database_itself_refuses_credits_beyond_the_invoice_and_refunds_beyond_the_payment() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;
    credit(&client, &billed, json!({ "amount_minor": 600 })).await;

    for sql in [
        "INSERT INTO credit_notes SELECT tenant_id, livemode, gen_random_uuid(), invoice_id, customer_id, 9, 'x', reason, memo,
            currency, subtotal_minor, tax_minor, total_minor, reduced_minor, refunded_minor, balance_minor, created_at FROM credit_notes",
        "INSERT INTO credit_notes SELECT tenant_id, livemode, gen_random_uuid(), invoice_id, customer_id, 9, 'x', reason, memo,
            currency, 1, 0, 1, 1, 0, 0, created_at FROM credit_notes",
        "INSERT INTO refunds SELECT tenant_id, livemode, gen_random_uuid(), payment_id, customer_id, NULL, gateway, currency,
            amount_minor, 'processing', reason, NULL, NULL, created_at, NULL, updated_at FROM refunds",
    ] {
        let mut connection = server.database.connect().await;
        sqlx::query("SELECT set_config('role', 'usance_app', false), set_config('app.tenant_id', $1, false), set_config('app.livemode', 'false', false)")
            .bind(server.database.text_as_superuser("SELECT tenant_id::text FROM invoices LIMIT 1").await)
            .execute(&mut connection)
            .await
            .unwrap();
        let refused = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("23514"), "{refused}");
    }
    server.stop().await;
}
