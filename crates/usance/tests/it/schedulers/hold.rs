//! Points inside a worker's transaction at which the database makes it wait for the test.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;
use usance_testkit::TestDatabase;

use crate::program::DEADLINE;

/// Where a worker is when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// It has claimed a batch of subscriptions and done nothing yet.
    Claimed,
    /// It has taken invoice numbers and writes the invoices.
    Numbered,
    /// It has written invoices and lines and notes the periods that they settle.
    Settling,
    /// It has leased the collection of an invoice, and notes the payment that it is about to make.
    Collecting,
}

impl Moment {
    /// In the order of a cycle.
    pub(super) const ALL: [Self; 4] = [Self::Claimed, Self::Numbered, Self::Settling, Self::Collecting];

    const fn statement(self) -> &'static str {
        match self {
            Self::Claimed => "SELECT count(*) FROM (SELECT FROM subscriptions FOR UPDATE) s",
            Self::Numbered => "SELECT pg_advisory_xact_lock(hashtext('invoices'))",
            Self::Settling => "SELECT pg_advisory_xact_lock(hashtext('billing_periods'))",
            Self::Collecting => "SELECT pg_advisory_xact_lock(hashtext('payments'))",
        }
    }
}

/// Makes every insert into three tables wait for whoever holds the table's name.
pub(super) async fn prepare(database: &TestDatabase) {
    database
        .execute_as_owner(
            "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_NAME));
                RETURN NULL;
            END $$",
        )
        .await;
    for table in ["invoices", "billing_periods", "payments"] {
        let trigger = format!(
            "CREATE TRIGGER wait_for_test BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION wait_for_test()"
        );
        database.execute_as_owner(&trigger).await;
    }
}

/// Workers wait at a moment until this is released.
#[derive(Debug)]
pub(super) struct Hold(PgConnection);

impl Hold {
    /// Makes whoever comes to the moment wait from now on.
    pub(super) async fn place(database: &TestDatabase, moment: Moment) -> Self {
        let mut connection = database.connect_as_superuser().await;
        for sql in ["BEGIN", moment.statement()] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        Self(connection)
    }

    /// Returns when a worker has come to the moment.
    pub(super) async fn reached(&mut self) {
        self.wait_until("pg_backend_pid() = ANY (pg_blocking_pids(pid))", 1).await;
    }

    /// Returns when at least so many sessions of servers wait for somebody.
    pub(super) async fn crowded(&mut self, sessions: i64) {
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
        timeout(DEADLINE, search).await.expect("servers come to the moment in time");
    }

    async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap().get(0)
    }

    /// Lets everybody go on.
    pub(super) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}
