//! Stopping a server that is being used.

use std::pin::pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use usance_testkit::{Client, Reply, TestServer};

use crate::program::DEADLINE;

/// The bytes of events that the server takes at a time, and the bytes of each request here: four fit.
const QUEUE_BYTES: usize = 8 * 1024;
const NOTE_BYTES: usize = 1_500;
const REQUESTS_IN_QUEUE: usize = 4;
const REQUESTS: usize = 12;

async fn send(client: Client, index: usize) -> Reply {
    let event = json!({ "id": format!("e{index}"), "type": "llm_call", "customer": "code",
        "time": "2023-11-16T00:00:00Z", "properties": { "tokens": 1, "note": "x".repeat(NOTE_BYTES) } });
    client.post("/events", event).await
}

/// Returns when the server takes no connection any more.
async fn refused(address: &str) {
    let refusal = async {
        while let Ok(connection) = TcpStream::connect(address).await {
            drop(connection);
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refusal).await.expect("the server stops accepting");
}

#[tokio::test]
async fn requests_in_flight_are_stored_and_answered_before_the_server_ends() {
    // given: four requests that wait for a table, and the refusals of the others as the proof
    let server = TestServer::start_with(|settings| settings.ingest_queue_bytes = QUEUE_BYTES).await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("code").await;
    let database = server.database.clone();
    let mut lock = database.connect().await;
    for sql in [
        "SELECT set_config('role', 'usance_owner', false)",
        "BEGIN",
        "LOCK TABLE event_keys IN ACCESS EXCLUSIVE MODE",
    ] {
        sqlx::query(sql).execute(&mut lock).await.unwrap();
    }
    let mut requests: FuturesUnordered<_> = (0..REQUESTS).map(|index| send(client.clone(), index)).collect();
    for _ in REQUESTS_IN_QUEUE..REQUESTS {
        requests.next().await.unwrap().expect_code(429, "too_many_requests");
    }

    // when: the server is told to stop, and the table is free only after it takes no connection any more
    let address = client.base().trim_start_matches("http://").to_owned();
    let mut stopping = pin!(server.stop_unchecked());
    tokio::select! {
        biased;
        () = &mut stopping => panic!("the server ended with requests in flight"),
        () = refused(&address) => {}
    }
    let free_the_table = sqlx::query("ROLLBACK").execute(&mut lock);
    let answers = async {
        free_the_table.await.unwrap();
        requests.collect::<Vec<_>>().await
    };
    let ((), answers) = tokio::join!(stopping, answers);

    // then
    assert_eq!(answers.len(), REQUESTS_IN_QUEUE);
    for answer in answers {
        assert_eq!(answer.expect(200)["accepted"], 1);
    }
    assert_eq!(database.count("SELECT count(*) FROM events").await, 4);
    database.check_invariants().await;
}
