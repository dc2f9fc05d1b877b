//! A database per test, cloned from a migrated template.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgConnectOptions};
use usance_app::check::{self, Report};
use usance_db::{Db, DbSettings};

/// Where the tests find their PostgreSQL.
pub const DATABASE_URL_VARIABLE: &str = "USANCE_TEST_DATABASE_URL";
/// The migrated database that tests clone.
pub const TEMPLATE_DATABASE: &str = "usance_template";

/// Makes a database, as a copy of another one if `template` is given.
pub async fn create_database(url: &str, name: &str, template: Option<&str>) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}{template}"))).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// A name that nobody had; the system gives the ids of processes again, also within a run of all tests.
#[expect(clippy::disallowed_methods, reason = "the name shall be another one each time")]
fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("test_{}_{process}_{number}", Timestamp::now().as_microsecond())
}

/// A database of its own for one test.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    url: String,
}

impl TestDatabase {
    /// Clones the template.
    pub async fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test runner's wrapper says where PostgreSQL is")]
        let template = std::env::var(DATABASE_URL_VARIABLE).unwrap_or_else(|_| {
            panic!("{DATABASE_URL_VARIABLE} is not set: run the tests with scripts/test")
        });
        let name = fresh_name();
        let admin = template.replace(TEMPLATE_DATABASE, "postgres");
        create_database(&admin, &name, Some(TEMPLATE_DATABASE)).await.unwrap();
        Self { url: template.replace(TEMPLATE_DATABASE, &name) }
    }

    /// A copy as it is now; nobody may be connected to it.
    pub async fn copy(&self) -> Self {
        let (_, own) = self.url.rsplit_once('/').unwrap();
        let own = own.split('?').next().unwrap();
        let fresh = fresh_name();
        create_database(&self.url.replace(own, "postgres"), &fresh, Some(own)).await.unwrap();
        Self { url: self.url.replace(own, &fresh) }
    }

    /// A database that is there already, with the schema of this version.
    pub fn existing(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the login, without role and tenant.
    pub async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::from_str(&self.url).unwrap();
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Reads one number as the writer, who sees every tenant's ingest tables.
    pub async fn count(&self, sql: &str) -> i64 {
        self.number_as("usance_writer", sql).await
    }

    /// Reads one number in a role.
    pub async fn number_as(&self, role: &str, sql: &str) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query("SELECT set_config('role', $1, false)")
            .bind(role)
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap().get(0)
    }

    /// Runs a statement as the owner of the tables.
    pub async fn execute_as_owner(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::query("SELECT set_config('role', 'usance_owner', false)")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// A connection that row-level security does not stop, as only the superuser of the test's PostgreSQL has.
    pub async fn connect_as_superuser(&self) -> PgConnection {
        let options = PgConnectOptions::from_str(&self.url).unwrap().username("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Everything that is stored, as one text with bytes in hexadecimal.
    pub async fn dump(&self) -> String {
        let mut connection = self.connect_as_superuser().await;
        sqlx::query("SET xmlbinary = hex").execute(&mut connection).await.unwrap();
        let rows = "SELECT string_agg(query_to_xml(format('SELECT * FROM %I', relname), true, false, '')::text, '')
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
        sqlx::query_scalar(rows).fetch_one(&mut connection).await.unwrap()
    }

    /// Reads one text past row-level security, as only the superuser of the test's PostgreSQL can.
    pub async fn text_as_superuser(&self, sql: &str) -> String {
        let mut connection = self.connect_as_superuser().await;
        let text: Option<String> =
            sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap().get(0);
        text.unwrap_or_default()
    }

    /// Reads the number that a query or an expression gives, past row-level security.
    pub async fn number_as_superuser(&self, sql: &str) -> i64 {
        self.text_as_superuser(&format!("SELECT ({sql})::text")).await.parse().unwrap()
    }

    /// Checks what must hold in every database at any time.
    pub async fn check_invariants(&self) {
        let lost = "SELECT (SELECT count(*) FROM event_keys) - (SELECT count(*) FROM events) - (SELECT count(*) FROM unbilled_events)";
        assert_eq!(self.count(lost).await, 0, "every event key has one event, counted or waiting");
        let counted = "SELECT count(*) FROM (
            SELECT customer_id, meter_id, event_count, digest_high, digest_low FROM (
                SELECT tenant_id, livemode, customer_id, meter_id, bucket_start, event_count, digest_high, digest_low FROM usage_buckets
            ) b
            WHERE NOT EXISTS (
                SELECT FROM events e
                WHERE e.tenant_id = b.tenant_id AND e.livemode = b.livemode AND e.customer_id = b.customer_id
                    AND e.occurred_at >= b.bucket_start AND e.occurred_at < b.bucket_start + interval '15 minutes'
                HAVING count(*) >= b.event_count
            )
        ) wrong";
        assert_eq!(self.count(counted).await, 0, "no bucket counts more events than there are");
        let report = self.check().await;
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
    }

    /// What `usance check` finds.
    pub async fn check(&self) -> Report {
        let limits = DbSettings {
            connections_max: 1,
            writers: 1,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_mins(5),
        };
        let db = Db::connect(self.url(), &limits).unwrap();
        let report = check::check(&db).await.unwrap();
        db.close().await;
        report
    }
}
