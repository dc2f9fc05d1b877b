//! More events than can be stored.

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_loses_nothing_that_it_took() {
    let server = TestServer::start_with(|settings| settings.ingest_queue_bytes = 8 * 1024).await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("code").await;
    // Nothing can be stored while somebody else holds the table.
    let mut lock = server.database.connect().await;
    for sql in [
        "SELECT set_config('role', 'usance_owner', false)",
        "BEGIN",
        "LOCK TABLE event_keys IN ACCESS EXCLUSIVE MODE",
    ] {
        sqlx::query(sql).execute(&mut lock).await.unwrap();
    }
    let send = |index: usize| {
        let client = client.clone();
        let note = "x".repeat(1_500);
        let event = json!({ "id": format!("e{index}"), "type": "llm_call", "customer": "code", "time": "2023-11-16T00:00:00Z",
            "properties": { "tokens": 1, "note": note } });
        async move { client.post("/events", event).await }
    };
    // Each request takes 2 of the 8 KiB: four fit, whichever they are.
    let mut requests: FuturesUnordered<_> = (0..20).map(send).collect();
    for _ in 0..16 {
        let reply = requests.next().await.unwrap();
        assert_eq!(reply.header("retry-after"), Some("1"));
        reply.expect_code(429, "too_many_requests");
    }
    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();

    while let Some(reply) = requests.next().await {
        assert_eq!(reply.expect(200)["accepted"], 1);
    }
    assert_eq!(server.database.count("SELECT count(*) FROM events").await, 4);
    server.stop().await;
}
