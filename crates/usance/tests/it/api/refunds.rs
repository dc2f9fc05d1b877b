//! Refunds.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

use crate::hold::Hold;

use super::credit_notes::{balance, credit, credit_of, id, invoice, minor, parts, read, settle, tenant};

/// The only payment.
async fn payment(client: &Client) -> Value {
    client.get("/payments").await.expect(200)["data"][0].clone()
}

async fn refund(client: &Client, payment: &Value, what: Value) -> Value {
    client.post(&format!("/payments/{}/refunds", id(payment)), what).await.expect(201)
}

async fn status(client: &Client, refund: &Value) -> Value {
    client.get(&format!("/refunds/{}", id(refund))).await.expect(200)["status"].clone()
}

async fn announced(server: &TestServer) -> String {
    let sql = "SELECT string_agg(type, ' ' ORDER BY sequence) FROM outbox_events WHERE type LIKE 'refund.%'";
    server.database.text_as_superuser(sql).await
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_and_never_above_it() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;
    let paid = payment(&client).await;
    let refunds = format!("/payments/{}/refunds", id(&paid));

    let first = refund(&client, &paid, json!({ "amount_minor": 500, "reason": "duplicate" })).await;
    let too_large = client.post(&refunds, json!({ "amount_minor": 581 })).await;
    let rest = refund(&client, &paid, json!({})).await;
    settle(&client).await;

    assert_eq!(
        too_large.expect_code(409, "refund_too_large")["left"],
        json!({ "amount_minor": 580, "currency": "USD" })
    );
    assert_eq!((&first["status"], minor(&rest["amount"])), (&json!("processing"), 580));
    assert_eq!(
        (status(&client, &first).await, status(&client, &rest).await),
        (json!("succeeded"), json!("succeeded"))
    );
    client.post(&refunds, json!({})).await.expect_code(409, "refund_too_large");
    assert_eq!(minor(&payment(&client).await["amount_refunded"]), 1_080);
    assert_eq!(read(&client, &billed).await, billed);
    let listed = client.get(&format!("/refunds?payment={}&customer=acme", id(&paid))).await.expect(200);
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [rest["id"].clone(), first["id"].clone()]);
    assert_eq!(announced(&server).await.split(' ').filter(|kind| *kind == "refund.succeeded").count(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_declined_refund_leaves_the_payment_as_it_was() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_refund_decline")).await;
    invoice(&client, &["10"]).await;
    let paid = payment(&client).await;

    let declined = refund(&client, &paid, json!({})).await;
    settle(&client).await;

    let declined = client.get(&format!("/refunds/{}", id(&declined))).await.expect(200);
    assert_eq!(
        (&declined["status"], &declined["failure_code"]),
        (&json!("failed"), &json!("refund_declined"))
    );
    assert_eq!((payment(&client).await, balance(&client).await), (paid, 0));
    assert_eq!(announced(&server).await, "refund.created refund.failed");
    server.stop().await;
}

#[tokio::test]
async fn what_a_credit_note_cannot_refund_becomes_the_customers_balance() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_refund_decline")).await;
    let billed = invoice(&client, &["10"]).await;

    let note = credit(&client, &billed, json!({ "amount_minor": 500 })).await;
    settle(&client).await;

    assert_eq!((parts(&note), balance(&client).await), ([0, 540, 0], 540));
    let entry = client.get("/customers/acme/credit-balance").await.expect(200)["entries"]["data"][0].clone();
    assert_eq!((&entry["reason"], &entry["credit_note"]), (&json!("refund_failed"), &note["id"]));
    // What is in the balance is not refunded too.
    let refunds = format!("/payments/{}/refunds", id(&payment(&client).await));
    client.post(&refunds, json!({ "amount_minor": 541 })).await.expect_code(409, "refund_too_large");
    server.stop().await;
}

#[tokio::test]
async fn an_unanswered_refund_is_looked_up_and_found() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_refund_timeout")).await;
    invoice(&client, &["10"]).await;
    let unanswered = refund(&client, &payment(&client).await, json!({ "amount_minor": 400 })).await;

    settle(&client).await;
    assert_eq!(status(&client, &unanswered).await, "unknown");
    assert_eq!(minor(&payment(&client).await["amount_refunded"]), 400);
    client.advance("2024-01-01T00:05:00Z").await;

    assert_eq!(status(&client, &unanswered).await, "succeeded");
    assert_eq!(announced(&server).await, "refund.created refund.unknown refund.succeeded");
    server.stop().await;
}

/// Turns the only refund into one whose process ended after it noted that it asks the gateway.
async fn interrupt(server: &TestServer, age: &str) {
    let sql = format!(
        "UPDATE refunds SET status = 'processing', sent_at = now() - interval '{age}' RETURNING status"
    );
    server.database.text_as_superuser(&sql).await;
    let sql = "INSERT INTO due_work (tenant_id, livemode, kind, subject_id, due_at)
        SELECT tenant_id, livemode, 'resolve_refund', id, created_at FROM refunds RETURNING kind";
    server.database.text_as_superuser(sql).await;
}

#[tokio::test]
async fn a_refund_that_was_interrupted_is_looked_up_when_it_can_be_under_way_no_more() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    invoice(&client, &["10"]).await;
    let lost = refund(&client, &payment(&client).await, json!({})).await;
    settle(&client).await;

    interrupt(&server, "0 minutes").await;
    settle(&client).await;
    assert_eq!(status(&client, &lost).await, "processing");
    server
        .database
        .text_as_superuser("DELETE FROM due_work WHERE kind = 'resolve_refund' RETURNING kind")
        .await;
    interrupt(&server, "2 minutes").await;
    settle(&client).await;

    assert_eq!(status(&client, &lost).await, "succeeded");
    server.stop().await;
}

#[tokio::test]
async fn refunds_at_once_never_give_back_more_than_was_paid() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;
    let refunds = format!("/payments/{}/refunds", id(&payment(&client).await));

    let racers: Vec<_> = (0..40)
        .map(|index| {
            let client = client.clone();
            // 324 each, with and without a credit note: three of 1080.
            let (path, body) = if index % 2 == 0 {
                (refunds.clone(), json!({ "amount_minor": 324 }))
            } else {
                ("/credit-notes".to_owned(), credit_of(&billed, json!({ "amount_minor": 300 })))
            };
            async move { client.post(&path, body).await }
        })
        .collect();
    let replies = futures_util::future::join_all(racers).await;
    settle(&client).await;

    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 3, "{:?}", replies.iter().map(|reply| reply.text.clone()).collect::<Vec<_>>());
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        let code = reply.body["code"].as_str().unwrap();
        assert!(matches!(code, "refund_too_large" | "credit_note_too_large"), "{}", reply.text);
    }
    let given = client.get("/refunds").await.expect(200)["data"].clone();
    let given = given.as_array().unwrap();
    assert!(given.iter().all(|refund| refund["status"] == "succeeded"), "{given:?}");
    assert_eq!(
        (given.iter().map(|refund| minor(&refund["amount"])).sum::<i64>(), balance(&client).await),
        (972, 0)
    );
    server.stop().await;
}

/// Both change the invoice and its payment.
#[tokio::test]
async fn a_refund_waits_while_the_outcome_of_its_payment_is_noted() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_timeout")).await;
    let billed = invoice(&client, &["10"]).await;
    let paid = payment(&client).await;
    assert_eq!(paid["status"], "unknown");

    let mut hold = Hold::place(&server.database, "SELECT FROM payments FOR UPDATE").await;
    let (pay, refunds) =
        (format!("/invoices/{}/pay", id(&billed)), format!("/payments/{}/refunds", id(&paid)));
    let look_up = client.post(&pay, json!({}));
    let refund = client.post(&refunds, json!({ "amount_minor": 500 }));
    let order = async {
        hold.crowded(1).await;
        let asked = async {
            hold.crowded(2).await;
            hold.release().await;
        };
        tokio::join!(refund, asked).0
    };
    let (looked_up, refunded) = tokio::join!(look_up, order);

    looked_up.expect_code(409, "payment_unknown");
    refunded.expect_code(409, "payment_not_refundable");
    server.stop().await;
}

#[tokio::test]
async fn a_credit_note_counts_what_was_refunded_without_one() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let billed = invoice(&client, &["10"]).await;
    refund(&client, &payment(&client).await, json!({ "amount_minor": 540 })).await;

    let full = credit_of(&billed, json!({ "full": true, "settle": "balance" }));
    client.post("/credit-notes", full).await.expect_code(409, "credit_note_too_large");
    let half = credit(&client, &billed, json!({ "amount_minor": 500, "settle": "balance" })).await;

    assert_eq!((parts(&half), balance(&client).await), ([0, 0, 540], 540));
    server.stop().await;
}

#[tokio::test]
async fn only_a_payment_that_succeeded_is_refunded() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_decline")).await;
    invoice(&client, &["10"]).await;
    let refunds = format!("/payments/{}/refunds", id(&payment(&client).await));

    client.post(&refunds, json!({})).await.expect_code(409, "payment_not_refundable");
    for (body, pointer) in
        [(json!({ "amount_minor": 0 }), "/amount_minor"), (json!({ "reason": "whim" }), "/reason")]
    {
        let refused = client.post(&refunds, body).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    client.post("/payments/pay_x/refunds", json!({})).await.expect_code(404, "not_found");
    client.get("/refunds?payment=pay_x").await.expect_code(404, "not_found");
    client.get("/refunds/re_x").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_request_refunds_once() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    invoice(&client, &["10"]).await;
    let refunds = format!("/payments/{}/refunds", id(&payment(&client).await));

    let first = client.post_once(&refunds, "key", json!({ "amount_minor": 100 })).await.expect(201);
    settle(&client).await;
    let again = client.post_once(&refunds, "key", json!({ "amount_minor": 100 })).await.expect(201);

    assert_eq!(first, again);
    assert_eq!(minor(&payment(&client).await["amount_refunded"]), 100);
    server.stop().await;
}
