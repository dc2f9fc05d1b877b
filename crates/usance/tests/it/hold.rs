//! Locks that make servers wait inside of their transactions, until the test lets go.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;
use usance_testkit::TestDatabase;

use crate::program::DEADLINE;

/// What a test has locked, so that servers wait until it is released.
#[derive(Debug)]
pub(crate) struct Hold(PgConnection);

impl Hold {
    /// Takes the locks of a statement.
    pub(crate) async fn place(database: &TestDatabase, statement: &'static str) -> Self {
        let mut connection = database.connect_as_superuser().await;
        for sql in ["BEGIN", statement] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        Self(connection)
    }

    /// Returns when somebody waits for it.
    pub(crate) async fn reached(&mut self) {
        self.wait_until("pg_backend_pid() = ANY (pg_blocking_pids(pid))", 1).await;
    }

    /// Returns when at least so many sessions of servers wait for somebody.
    pub(crate) async fn crowded(&mut self, sessions: i64) {
        self.wait_until("cardinality(pg_blocking_pids(pid)) > 0", sessions).await;
    }

    async fn wait_until(&mut self, condition: &str, sessions: i64) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'usance' AND {condition}"
        );
        let search = async {
            while self.number(&sql).await < sessions {
                // A transaction keeps the sessions that it has seen.
                self.number("SELECT count(pg_stat_clear_snapshot()::text)").await;
            }
        };
        timeout(DEADLINE, search).await.expect("servers come to wait in time");
    }

    async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap().get(0)
    }

    /// Lets everybody go on.
    pub(crate) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}
