//! Databases that somebody with all rights has changed by hand.

use sqlx::{AssertSqlSafe, Connection};
use usance_app::check::Invariant;
use usance_testkit::{TestDatabase, TestServer};

/// Changes by hand, the invariant that they break, and what names the row.
const TAMPERINGS: [(&str, Invariant, &str); 21] = [
    (
        "UPDATE ledger_accounts SET debits_posted = debits_posted + 1 WHERE code = 'clearing'",
        Invariant::Balance,
        "ledger accounts in USD",
    ),
    (
        "UPDATE ledger_accounts SET debits_pending = debits_pending + 1 WHERE code = 'clearing'",
        Invariant::Balance,
        "ledger accounts in USD",
    ),
    (
        "UPDATE ledger_accounts SET debits_posted = debits_posted + 1 WHERE code = 'clearing'; UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 'revenue'",
        Invariant::Counters,
        "ledger account revenue",
    ),
    (
        "UPDATE ledger_accounts SET debit_limit = 0 WHERE code = 'wallet'",
        Invariant::Limits,
        "ledger account wallet",
    ),
    (
        "UPDATE holds SET status = 'released', resolved_at = now() WHERE status = 'open'",
        Invariant::Holds,
        "hold hold_",
    ),
    (
        "UPDATE ledger_transfers SET pending_id = gen_random_uuid() WHERE kind = 'post'",
        Invariant::Holds,
        "ledger transfer hold_settled",
    ),
    (
        "UPDATE ledger_transfers SET unit = 'EUR' WHERE reason = 'payment'",
        Invariant::Boundaries,
        "ledger transfer payment",
    ),
    (
        "UPDATE ledger_transfers SET invoice_id = (SELECT invoice_id FROM ledger_transfers WHERE reason = 'write_off') WHERE reason = 'payment'",
        Invariant::Boundaries,
        "ledger transfer payment",
    ),
    (
        "UPDATE ledger_transfers SET posted_at = posted_at + interval '1 microsecond' WHERE link = 2",
        Invariant::Chain,
        "ledger link 2",
    ),
    (
        "UPDATE ledger_transfers SET amount = amount + 1 WHERE reason = 'payment'",
        Invariant::Chain,
        "ledger link 2",
    ),
    ("DELETE FROM ledger_transfers WHERE link = 3", Invariant::Chain, "ledger link 3"),
    ("DELETE FROM ledger_links WHERE link = 3", Invariant::Chain, "ledger link 3"),
    ("UPDATE ledger_transfers SET link = 5 - link WHERE link IN (2, 3)", Invariant::Chain, "ledger link 2"),
    (
        "DELETE FROM ledger_transfers WHERE link = (SELECT max(link) FROM ledger_links); DELETE FROM ledger_links WHERE link = (SELECT max(link) FROM ledger_links)",
        Invariant::Chain,
        "ledger link",
    ),
    (
        "UPDATE ledger_links SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1) WHERE link = 4",
        Invariant::Chain,
        "ledger link 4",
    ),
    (
        "UPDATE line_items SET amount_minor = amount_minor + 1 WHERE amount_minor = 1000",
        Invariant::Invoices,
        "invoice inv_",
    ),
    (
        "UPDATE wallet_entries SET balance_after_minor = balance_after_minor + 1 WHERE sequence = 2",
        Invariant::Wallets,
        "wallet wal_",
    ),
    (
        "UPDATE refunds SET gateway_reference = (SELECT gateway_reference FROM payments LIMIT 1)",
        Invariant::Charges,
        "gateway reference sandbox_",
    ),
    ("UPDATE payments SET status = 'failed'", Invariant::Once, "payment"),
    ("DELETE FROM credit_balance_entries WHERE reason = 'invoice_voided'", Invariant::Voids, "invoice inv_"),
    ("DELETE FROM customers WHERE external_id = 'ghost'", Invariant::Answers, "idempotency key ghost"),
];

async fn tamper(database: &TestDatabase, sql: &str) {
    let mut connection = database.connect_as_superuser().await;
    // Triggers and foreign keys stop nobody who may turn them off.
    let sql = format!("SET session_replication_role = replica; {sql}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn whatever_is_changed_by_hand_is_named() {
    // given
    let server = TestServer::start().await;
    super::furnish(&server).await;
    let database = server.database.clone();
    server.stop().await;

    for (sql, invariant, row) in TAMPERINGS {
        // when
        let copy = database.copy().await;
        tamper(&copy, sql).await;
        let report = copy.check().await;

        // then
        let named = report
            .violations
            .iter()
            .any(|found| found.invariant == invariant && found.finding.row.starts_with(row));
        assert!(named, "{sql}: {invariant} {row} is not among {:#?}", report.violations);
    }
    assert!(database.check().await.violations.is_empty(), "the copies were changed, and not this one");
    let covered: std::collections::BTreeSet<_> = TAMPERINGS.iter().map(|tampering| tampering.1).collect();
    assert_eq!(covered.len(), Invariant::ALL.len());
}
