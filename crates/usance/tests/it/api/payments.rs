//! Paying invoices through the sandbox gateway.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant whose customer owes $10.80 for November, with or without a payment method.
async fn owing(server: &TestServer, token: Option<&str>) -> (Client, String) {
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    if let Some(token) = token {
        client
            .post("/customers/acme/payment-methods", json!({ "type": "card", "token": token }))
            .await
            .expect(201);
    }
    client.advance("2023-12-01T00:00:00Z").await;
    let invoice = client.get("/invoices").await.expect(200)["data"][0].clone();
    assert_eq!(invoice["total"]["amount_minor"], 1_080);
    (client, invoice["id"].as_str().unwrap().to_owned())
}

async fn payments(client: &Client) -> Vec<Value> {
    client.get("/payments?customer=acme").await.expect(200)["data"].as_array().unwrap().clone()
}

/// Newest first.
async fn statuses(client: &Client) -> Vec<String> {
    let status = |payment: &Value| payment["status"].as_str().unwrap().to_owned();
    payments(client).await.iter().map(status).collect()
}

async fn add(client: &Client, token: &str) {
    client
        .post("/customers/acme/payment-methods", json!({ "type": "card", "token": token }))
        .await
        .expect(201);
}

#[tokio::test]
async fn an_invoice_is_collected_by_itself() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, Some("tok_success")).await;

    let invoice = client.get(&format!("/invoices/{invoice}")).await.expect(200);

    assert_eq!(
        (invoice["status"].as_str(), invoice["paid_at"].as_str()),
        (Some("paid"), Some("2023-12-01T00:00:00Z"))
    );
    let payments = payments(&client).await;
    assert_eq!(
        (payments.len(), payments[0]["status"].as_str(), &payments[0]["amount"]),
        (1, Some("succeeded"), &invoice["total"])
    );
    client
        .post(&format!("/invoices/{}/pay", invoice["id"].as_str().unwrap()), json!({}))
        .await
        .expect_code(409, "invoice_not_payable");
    server.stop().await;
}

#[tokio::test]
async fn without_a_payment_method_an_invoice_stays_open_until_one_is_added() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    let pay = format!("/invoices/{invoice}/pay");

    client.post(&pay, json!({})).await.expect_code(409, "no_payment_method");
    add(&client, "tok_success").await;
    let paid = client.post(&pay, json!({})).await.expect(200);

    assert_eq!(
        (paid["status"].as_str(), paid["amount_due"]["amount_minor"].as_i64()),
        (Some("paid"), Some(0))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_declined_payment_leaves_the_invoice_open_and_another_card_pays_it() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, Some("tok_decline")).await;
    let pay = format!("/invoices/{invoice}/pay");

    let declined = client.post(&pay, json!({})).await.expect_code(402, "payment_declined");
    assert_eq!(declined["failure_code"], "card_declined");
    assert_eq!(client.get(&format!("/invoices/{invoice}")).await.expect(200)["status"], "finalized");
    add(&client, "tok_success").await;
    client.post(&pay, json!({})).await.expect(200);

    assert_eq!(statuses(&client).await, ["succeeded", "failed", "failed"]);
    server.stop().await;
}

#[tokio::test]
async fn an_unanswered_payment_blocks_the_next_until_it_is_looked_up() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    let pay = format!("/invoices/{invoice}/pay");
    add(&client, "tok_timeout").await;

    client.post(&pay, json!({})).await.expect_code(409, "payment_unknown");
    assert_eq!(payments(&client).await[0]["status"], "unknown");
    client.advance("2023-12-01T00:05:00Z").await;

    let looked_up = &payments(&client).await[0];
    assert_eq!(
        (looked_up["status"].as_str(), looked_up["failure_code"].as_str()),
        (Some("failed"), Some("not_received"))
    );
    add(&client, "tok_success").await;
    client.post(&pay, json!({})).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn many_attempts_at_once_take_the_money_once() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    add(&client, "tok_success").await;
    let pay = format!("/invoices/{invoice}/pay");

    let attempts: Vec<_> = (0..20)
        .map(|_| {
            let (client, pay) = (client.clone(), pay.clone());
            async move { client.post(&pay, json!({})).await }
        })
        .collect();
    let replies = futures_util::future::join_all(attempts).await;

    let paid = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(paid, 1, "{:?}", replies.iter().map(|reply| reply.text.clone()).collect::<Vec<_>>());
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 409)));
    assert_eq!(payments(&client).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn live_mode_has_no_gateway_until_one_is_configured() {
    let server = TestServer::start().await;
    let registered = server.client.register("live").await;
    let client = server.client.with_key(registered["tenant"]["api_key_secret"].as_str().unwrap());
    client
        .post("/customers", json!({ "external_id": "acme", "name": "A", "currency": "USD" }))
        .await
        .expect(201);

    let body = json!({ "type": "card", "token": "tok_success" });

    client.post("/customers/acme/payment-methods", body).await.expect_code(503, "unavailable");
    server.stop().await;
}

#[tokio::test]
async fn an_invoice_that_is_final_cannot_be_finalized_again() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;

    client
        .post(&format!("/invoices/{invoice}/finalize"), json!({}))
        .await
        .expect_code(409, "invoice_not_draft");
    client.post("/invoices/inv_nonsense/finalize", json!({})).await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn requests_at_once_with_one_key_pay_once_and_get_one_answer() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    add(&client, "tok_success").await;
    let pay = format!("/invoices/{invoice}/pay");

    let attempts: Vec<_> = (0..20)
        .map(|_| {
            let (client, pay) = (client.clone(), pay.clone());
            async move { client.post_once(&pay, "key", json!({})).await }
        })
        .collect();
    let replies = futures_util::future::join_all(attempts).await;

    let paid = client.post_once(&pay, "key", json!({})).await;
    assert_eq!((paid.status, paid.body["status"].as_str()), (200, Some("paid")), "{}", paid.text);
    for reply in replies {
        if reply.status == 200 {
            assert_eq!(reply.text, paid.text);
        } else {
            assert_eq!(reply.header("retry-after"), Some("1"));
            reply.expect_code(409, "idempotency_key_in_use");
        }
    }
    assert_eq!(payments(&client).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_declined_payment_is_not_tried_again_under_its_key() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    add(&client, "tok_decline").await;
    let pay = format!("/invoices/{invoice}/pay");

    let first = client.post_once(&pay, "key", json!({})).await.expect_code(402, "payment_declined");
    add(&client, "tok_success").await;
    let again = client.post_once(&pay, "key", json!({})).await.expect_code(402, "payment_declined");

    assert_eq!((&first["payment"], &first["detail"]), (&again["payment"], &again["detail"]));
    assert_eq!(payments(&client).await.len(), 1);
    client.post_once(&pay, "new-key", json!({})).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn an_unanswered_payment_leaves_its_key_free_for_the_answer() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    add(&client, "tok_timeout").await;
    let pay = format!("/invoices/{invoice}/pay");

    client.post_once(&pay, "key", json!({})).await.expect_code(409, "payment_unknown");
    add(&client, "tok_success").await;
    let paid = client.post_once(&pay, "key", json!({})).await.expect(200);
    let again = client.post_once(&pay, "key", json!({})).await.expect(200);

    assert_eq!(paid, again);
    assert_eq!(statuses(&client).await, ["succeeded", "failed"]);
    server.stop().await;
}

#[tokio::test]
async fn a_key_whose_request_was_lost_may_be_used_again_after_its_lock() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, None).await;
    let pay = format!("/invoices/{invoice}/pay");
    client.post_once(&pay, "key", json!({})).await.expect_code(409, "no_payment_method");
    add(&client, "tok_success").await;
    let hold = |until: &str| {
        format!(
            "UPDATE idempotency_keys SET status = NULL, locked_until = {until} WHERE key = 'key' RETURNING key"
        )
    };

    server.database.text_as_superuser(&hold("now() + interval '1 minute'")).await;
    client.post_once(&pay, "key", json!({})).await.expect_code(409, "idempotency_key_in_use");
    server.database.text_as_superuser(&hold("now() - interval '1 minute'")).await;
    client.post_once(&pay, "key", json!({})).await.expect(200);

    assert_eq!(statuses(&client).await, ["succeeded"]);
    server.stop().await;
}

/// Turns the only payment into one whose process ended before the gateway was called.
async fn interrupt(server: &TestServer, age: &str) {
    let sql = format!(
        "UPDATE payments SET status = 'processing', created_at = now() - interval '{age}' RETURNING status"
    );
    server.database.text_as_superuser(&sql).await;
}

#[tokio::test]
async fn a_payment_that_never_reached_the_gateway_is_made_anew_by_itself() {
    let server = TestServer::start().await;
    let (client, invoice) = owing(&server, Some("tok_timeout")).await;
    interrupt(&server, "10 minutes").await;
    add(&client, "tok_success").await;

    client.advance("2023-12-01T00:05:00Z").await;

    assert_eq!(client.get(&format!("/invoices/{invoice}")).await.expect(200)["status"], "paid");
    assert_eq!(statuses(&client).await, ["succeeded", "failed"]);
    server.stop().await;
}

#[tokio::test]
async fn a_test_clock_that_jumps_does_not_look_up_a_charge_that_is_under_way() {
    let server = TestServer::start().await;
    let (client, _) = owing(&server, Some("tok_timeout")).await;
    interrupt(&server, "0 minutes").await;

    client.advance("2023-12-01T00:12:00Z").await;

    assert_eq!(statuses(&client).await, ["processing"]);
    interrupt(&server, "2 minutes").await;
    client.advance("2023-12-01T00:16:00Z").await;
    assert_eq!(statuses(&client).await, ["unknown", "failed"]);
    server.stop().await;
}
