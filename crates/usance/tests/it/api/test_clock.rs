//! The test clock.

use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn the_clock_starts_anywhere_and_then_only_moves_forward() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    assert_eq!(client.get("/test-clock").await.expect(200)["frozen"], false);
    client
        .post("/test-clock/advance", json!({ "to": "2023-11-02T00:00:00Z" }))
        .await
        .expect_code(409, "test_clock_in_use");

    client.put("/test-clock", json!({ "now": "2023-11-01T00:00:00Z" })).await.expect(200);
    client.advance("2023-11-05T00:00:00Z").await;

    assert_eq!(
        client.get("/test-clock").await.expect(200),
        json!({ "now": "2023-11-05T00:00:00Z", "frozen": true })
    );
    client
        .post("/test-clock/advance", json!({ "to": "2023-11-04T00:00:00Z" }))
        .await
        .expect_code(422, "test_clock_backwards");
    client
        .post("/test-clock/advance", json!({ "to": "2024-12-10T00:00:00Z" }))
        .await
        .expect_code(422, "test_clock_too_far");
    server.stop().await;
}

#[tokio::test]
async fn the_clock_is_not_torn_from_under_a_subscription() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;

    client
        .put("/test-clock", json!({ "now": "2022-01-01T00:00:00Z" }))
        .await
        .expect_code(409, "test_clock_in_use");
    server.stop().await;
}

#[tokio::test]
async fn everything_due_on_the_way_happens_in_order_at_its_own_time() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    client
        .post("/customers/acme/payment-methods", json!({ "type": "card", "token": "tok_success" }))
        .await
        .expect(201);

    client.advance("2024-02-15T00:00:00Z").await;

    let invoices = client.get("/invoices").await.expect(200);
    let times: Vec<_> = invoices["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|invoice| {
            [&invoice["finalized_at"], &invoice["paid_at"]].map(|at| at.as_str().unwrap()[..10].to_owned())
        })
        .collect();
    assert_eq!(times, ["2024-02-01", "2024-01-01", "2023-12-01"].map(|at| [at.to_owned(), at.to_owned()]));
    server.stop().await;
}
