//! Invariants of wallets and holds.

use usance_core::ids::{HoldId, WalletId};

use super::{FINDINGS_MAX, Finding};
use crate::{DbError, TenantTx};

/// I4: a hold is in the ledger as what it says it is, and what accounts reserve is what open holds hold.
pub async fn wrong_holds(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::wallets::wrong_holds
        SELECT h.id, format('it is %s with %s settled of %s; the ledger holds %s, and resolved it by %s of %s', h.status, h.settled,
            h.amount, coalesce(p.amount::text, 'nothing'), coalesce(r.kind, 'nothing'), coalesce(r.amount, 0)) AS "detail!"
        FROM holds h
        LEFT JOIN ledger_transfers p ON p.tenant_id = $1 AND p.livemode = $2 AND p.source_id = h.id AND p.kind = 'pending'
        LEFT JOIN ledger_transfers r ON r.tenant_id = $1 AND r.livemode = $2 AND r.pending_id = h.id
        WHERE h.tenant_id = $1 AND h.livemode = $2 AND (
            (p.amount, p.debit_code, p.debit_owner_id, p.unit) IS DISTINCT FROM (h.amount, h.account_code, h.owner_id, h.unit)
            OR (r.kind, CASE r.kind WHEN 'post' THEN r.amount ELSE 0 END) IS DISTINCT FROM (
                CASE
                    WHEN h.status = 'open' THEN NULL
                    WHEN h.status = 'expired' THEN 'expire'
                    WHEN h.settled > 0 THEN 'post'
                    ELSE 'void'
                END,
                h.settled
            )
        )
        ORDER BY h.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("hold {}", HoldId::from_uuid(row.id)), detail: row.detail })
        .collect())
}

/// I4: what accounts reserve is what open holds hold.
pub async fn wrong_reserves(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::wallets::wrong_reserves
        SELECT format('%s of %s in %s', a.code, a.owner_id, a.unit) AS "row!",
            format('it reserves %s, and its open holds hold %s', a.debits_pending, coalesce(h.amount, 0)) AS "detail!"
        FROM ledger_accounts a
        LEFT JOIN (
            SELECT account_code, owner_id, unit, sum(amount) AS amount
            FROM holds
            WHERE tenant_id = $1 AND livemode = $2 AND status = 'open'
            GROUP BY account_code, owner_id, unit
        ) h ON h.account_code = a.code AND h.owner_id = a.owner_id AND h.unit = a.unit
        WHERE a.tenant_id = $1 AND a.livemode = $2 AND a.debits_pending <> coalesce(h.amount, 0)
        ORDER BY a.code, a.owner_id, a.unit
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("ledger account {}", row.row), detail: row.detail })
        .collect())
}

/// I8: a wallet is the sum of its entries, which follow each other; its grants cover its balance; and what usage took out
/// is what is noted of it.
pub async fn wrong_wallets(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::wallets::wrong_wallets
        WITH steps AS (
            SELECT wallet_id, sequence, type, amount_minor, balance_after_minor,
                sum(amount_minor) OVER (PARTITION BY wallet_id ORDER BY sequence) AS running
            FROM wallet_entries
            WHERE tenant_id = $1 AND livemode = $2
        ), entries AS (
            SELECT wallet_id, sum(amount_minor) AS balance, count(*) AS number, max(sequence) AS last,
                -coalesce(sum(amount_minor) FILTER (WHERE type = 'usage'), 0) AS used,
                min(sequence) FILTER (WHERE running <> balance_after_minor) AS wrong
            FROM steps
            GROUP BY wallet_id
        ), grants AS (
            SELECT wallet_id, sum(left_minor) AS remaining FROM wallet_grants WHERE tenant_id = $1 AND livemode = $2 GROUP BY wallet_id
        )
        SELECT w.id, CASE
                WHEN a.owner_id IS NULL THEN 'it has no ledger account'
                WHEN (coalesce(e.number, 0), coalesce(e.last, 0)) <> (w.last_entry, w.last_entry)
                    THEN format('it has %s entries up to the sequence %s, and not %s', coalesce(e.number, 0), coalesce(e.last, 0), w.last_entry)
                WHEN e.wrong IS NOT NULL THEN format('the balance after its entry %s is not the sum of those before', e.wrong)
                WHEN coalesce(e.balance, 0) <> a.credits_posted - a.debits_posted
                    THEN format('its entries come to %s, and the ledger has %s', coalesce(e.balance, 0), a.credits_posted - a.debits_posted)
                WHEN coalesce(g.remaining, 0) < coalesce(e.balance, 0)
                    THEN format('its balance is %s, and its grants have %s left', coalesce(e.balance, 0), coalesce(g.remaining, 0))
                ELSE format('usage took out %s, and %s is noted', coalesce(e.used, 0), w.usage_debited_minor)
            END AS "detail!"
        FROM wallets w
        LEFT JOIN ledger_accounts a ON a.tenant_id = $1 AND a.livemode = $2 AND a.code = 'wallet' AND a.owner_id = w.id AND a.unit = w.currency
        LEFT JOIN entries e ON e.wallet_id = w.id
        LEFT JOIN grants g ON g.wallet_id = w.id
        WHERE w.tenant_id = $1 AND w.livemode = $2 AND (
            a.owner_id IS NULL
            OR (coalesce(e.number, 0), coalesce(e.last, 0)) <> (w.last_entry, w.last_entry)
            OR e.wrong IS NOT NULL
            OR coalesce(e.balance, 0) <> a.credits_posted - a.debits_posted
            OR coalesce(g.remaining, 0) < coalesce(e.balance, 0)
            OR coalesce(e.used, 0) <> w.usage_debited_minor
        )
        ORDER BY w.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("wallet {}", WalletId::from_uuid(row.id)), detail: row.detail })
        .collect())
}
