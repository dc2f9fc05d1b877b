//! Points inside a worker's transaction at which the database makes it wait for the test.

use usance_testkit::TestDatabase;

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

    /// What the test locks to hold a worker there.
    pub(super) const fn statement(self) -> &'static str {
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
