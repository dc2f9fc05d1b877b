//! Mails to customers about invoices, and to the staff about webhooks.

use jiff::SignedDuration;
use serde_json::json;
use usance_testkit::{MovableClock, Receiver, ReceiverReply, TestDatabase, TestServer};

use super::{all_ended, files, join, mails, server_by, text, until, without_delay};

#[tokio::test]
async fn an_invoice_that_is_sent_reaches_its_customer_with_the_address_of_its_page() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let customer =
        json!({ "external_id": "code", "name": "Code", "email": "c@c.example", "currency": "USD" });
    client.post("/customers", customer).await.expect(201);
    let subscription = json!({ "customer": "code", "plan": "starter", "start_at": "2023-11-01T00:00:00Z" });
    client.post("/subscriptions", subscription).await.expect(201);
    client.advance("2023-12-02T00:00:00Z").await;
    let invoice = client.get("/customers/code/invoices").await.expect(200)["data"][0].clone();

    // when
    let path = format!("/invoices/{}/send", text(&invoice, "/id"));
    for _ in 0..2 {
        client.post_once(&path, "once", json!({})).await.expect(200);
    }

    // then
    let mail = mails(&server, "c@c.example", "[Test] Invoice INV-000001 from acme", 1).await.remove(0);
    assert!(
        mail.contains("From: acme <usance@localhost>\r\nTo")
            || mail.contains("From: acme <usance@localhost>")
    );
    assert!(mail.contains("Reply-To: acme@example.com\r\n"), "{mail}");
    assert!(mail.contains("over USD 10.00"), "{mail}");
    let link =
        mail.lines().map(str::trim).find(|line| line.starts_with("https://billing.example.com/invoices/"));
    let page = link.unwrap().strip_prefix("https://billing.example.com/").unwrap();
    let page = server.client.get(&format!("//{page}")).await;
    assert!(page.status == 200 && page.text.contains("INV-000001"), "{}", page.text);
    let listed = client.get(&format!("/invoices/{}", text(&invoice, "/id"))).await.expect(200);
    assert_eq!(listed["hosted_url"], link.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn owners_and_admins_learn_of_a_failing_endpoint_once_a_day_and_kind() {
    // given
    let clock = MovableClock::default();
    let receiver = Receiver::answering(|_| ReceiverReply::status(500)).await;
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |settings| {
        without_delay(settings);
        settings.guard.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    join(&server, &owner, "admin@example.com", "admin").await;
    join(&server, &owner, "developer@example.com", "developer").await;
    let client = server.client.with_key(text(&registered, "/tenant/api_key_test_secret"));
    let url = format!("{}?secret=hush", receiver.url());
    let endpoint = json!({ "url": url, "event_types": ["meter.created"] });
    client.post("/webhook-endpoints", endpoint).await.expect(201);

    // when two deliveries fail all the way
    for code in ["calls", "tokens"] {
        client
            .post("/meters", json!({ "code": code, "event_type": "call", "aggregation": "count" }))
            .await
            .expect(201);
    }
    let attempts =
        "SELECT CASE WHEN count(leased_until) = 0 THEN min(attempts) ELSE 0 END FROM webhook_deliveries";
    for attempt in 1..=10 {
        until(&server.client, &server.database, attempts, i64::try_from(attempt).unwrap()).await;
        // A mail whose lease the clock leaps over would be tried again later.
        all_ended(&server.client, &server.database).await;
        let hours = [3, 3, 3, 3, 6, 12, 17, 24, 29, 48][attempt - 1];
        clock.advance(SignedDuration::from_hours(hours));
    }
    let dead = "SELECT count(*) FROM webhook_deliveries WHERE status = 'dead'";
    until(&server.client, &server.database, dead, 2).await;
    let third = json!({ "code": "bytes", "event_type": "call", "aggregation": "count" });
    client.post("/meters", third).await.expect(201);
    until(&server.client, &server.database, dead, 3).await;
    all_ended(&server.client, &server.database).await;

    // then
    for to in ["acme@example.com", "admin@example.com"] {
        let failing = mails(&server, to, "A webhook endpoint does not answer", 1).await;
        let given_up = mails(&server, to, "A webhook delivery was given up", 1).await;
        for mail in failing.iter().chain(&given_up) {
            assert!(mail.contains("(test mode) at 127.0.0.1") && !mail.contains("hush"), "{mail}");
        }
        mails(&server, to, "A webhook endpoint was disabled", 1).await;
    }
    assert_eq!(files(server.mail_dir(), "developer@example.com", "A webhook").len(), 0);
    server.stop().await;
}
