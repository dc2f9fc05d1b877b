//! The monthly partitions of usage events.

use sqlx::{Executor as _, PgConnection};
use tokio::time::timeout;
use usance_testkit::TestDatabase;

use crate::program::DEADLINE;

const ENSURE: &str = "SELECT ensure_event_partition(DATE '2023-11-16')";

async fn writer(database: &TestDatabase) -> PgConnection {
    let mut connection = database.connect().await;
    connection.execute("SELECT set_config('role', 'usance_writer', false)").await.unwrap();
    connection
}

/// Returns when a session of the database waits for an advisory lock.
async fn somebody_waits(database: &TestDatabase) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let asking = async { while database.count(waiting).await == 0 {} };
    timeout(DEADLINE, asking).await.expect("the second writer waits for the first");
}

#[tokio::test]
async fn two_writers_of_a_new_month_make_one_partition_and_neither_fails() {
    // given
    let database = TestDatabase::new().await;
    let (mut first, mut second) = (writer(&database).await, writer(&database).await);
    first.execute("BEGIN").await.unwrap();
    first.execute(ENSURE).await.unwrap();

    // when
    let commit = async {
        somebody_waits(&database).await;
        first.execute("COMMIT").await
    };
    let (waited, committed) = tokio::join!(second.execute(ENSURE), commit);

    // then
    waited.unwrap();
    committed.unwrap();
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    assert_eq!(database.count(partitions).await, 1);
}
