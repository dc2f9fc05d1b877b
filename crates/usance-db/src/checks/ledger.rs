//! Invariants of the ledger itself.

use super::{FINDINGS_MAX, Finding};
use crate::{DbError, TenantTx};

/// I1: the debits of all accounts are their credits, pending and posted apart.
pub async fn unbalanced_units(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::unbalanced_units
        SELECT unit, format('debits %s posted, %s pending; credits %s posted, %s pending',
            sum(debits_posted), sum(debits_pending), sum(credits_posted), sum(credits_pending)) AS "detail!"
        FROM ledger_accounts
        WHERE tenant_id = $1 AND livemode = $2
        GROUP BY unit
        HAVING (sum(debits_posted), sum(debits_pending)) <> (sum(credits_posted), sum(credits_pending))
        ORDER BY unit"#,
        tenant,
        livemode,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("ledger accounts in {}", row.unit), detail: row.detail })
        .collect())
}

/// I2: the counters of an account are what its transfers add up to.
pub async fn wrong_counters(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::wrong_counters
        WITH replay AS (
            SELECT code, owner_id, unit,
                sum(CASE WHEN debit THEN pending ELSE 0 END) AS debits_pending,
                sum(CASE WHEN debit THEN posted ELSE 0 END) AS debits_posted,
                sum(CASE WHEN debit THEN 0 ELSE pending END) AS credits_pending,
                sum(CASE WHEN debit THEN 0 ELSE posted END) AS credits_posted
            FROM (
                SELECT leg.debit, leg.code, leg.owner_id, unit,
                    CASE kind WHEN 'single' THEN 0 WHEN 'pending' THEN amount ELSE -pending_amount END AS pending,
                    CASE WHEN kind IN ('single', 'post') THEN amount ELSE 0 END AS posted
                FROM ledger_transfers,
                    LATERAL (VALUES (true, debit_code, debit_owner_id), (false, credit_code, credit_owner_id)) AS leg (debit, code, owner_id)
                WHERE tenant_id = $1 AND livemode = $2
            ) legs
            GROUP BY code, owner_id, unit
        ), accounts AS (
            SELECT * FROM ledger_accounts WHERE tenant_id = $1 AND livemode = $2
        )
        SELECT format('%s of %s in %s', code, owner_id, unit) AS "row!",
            format('counts debits %s + %s pending, credits %s + %s pending; its transfers come to %s + %s and %s + %s',
                a.debits_posted, a.debits_pending, a.credits_posted, a.credits_pending,
                coalesce(r.debits_posted, 0), coalesce(r.debits_pending, 0), coalesce(r.credits_posted, 0), coalesce(r.credits_pending, 0)) AS "detail!"
        FROM accounts a FULL JOIN replay r USING (code, owner_id, unit)
        WHERE (a.debits_posted, a.debits_pending, a.credits_posted, a.credits_pending) IS DISTINCT FROM
            (coalesce(r.debits_posted, 0), coalesce(r.debits_pending, 0), coalesce(r.credits_posted, 0), coalesce(r.credits_pending, 0))
        ORDER BY code, owner_id, unit
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

/// I3: no account is above its limit, except by transfers of what had happened already.
pub async fn exceeded_limits(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::exceeded_limits
        SELECT format('%s of %s in %s', a.code, a.owner_id, a.unit) AS "row!",
            format('debits %s posted and %s pending exceed credits %s and the limit %s', a.debits_posted, a.debits_pending,
                a.credits_posted, a.debit_limit) AS "detail!"
        FROM ledger_accounts a
        WHERE a.tenant_id = $1 AND a.livemode = $2
            AND a.debits_posted + a.debits_pending > a.credits_posted + a.debit_limit + (
                SELECT coalesce(sum(t.amount), 0) FROM ledger_transfers t
                WHERE t.tenant_id = $1 AND t.livemode = $2 AND t.over_limit AND t.debit_code = a.code
                    AND t.debit_owner_id = a.owner_id AND t.unit = a.unit
            )
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

/// I4: what is pending is resolved at most once, and by a transfer of the same accounts.
pub async fn wrong_resolutions(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::wrong_resolutions
        SELECT format('%s of %s', r.reason, r.source_id) AS "row!",
            CASE
                WHEN p.source_id IS NULL THEN format('resolves %s, which is not pending', r.pending_id)
                WHEN r.times > 1 THEN format('%s is resolved %s times', r.pending_id, r.times)
                ELSE format('does not fit what %s held', r.pending_id)
            END AS "detail!"
        FROM (
            SELECT *, count(*) OVER (PARTITION BY pending_id) AS times
            FROM ledger_transfers
            WHERE tenant_id = $1 AND livemode = $2 AND pending_id IS NOT NULL
        ) r
        LEFT JOIN ledger_transfers p ON p.tenant_id = $1 AND p.livemode = $2 AND p.source_id = r.pending_id AND p.kind = 'pending'
        WHERE r.times > 1
            OR (p.amount, p.debit_code, p.debit_owner_id, p.credit_code, p.credit_owner_id, p.unit) IS DISTINCT FROM
                (r.pending_amount, r.debit_code, r.debit_owner_id, r.credit_code, r.credit_owner_id, r.unit)
        ORDER BY r.source_id, r.reason
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("ledger transfer {}", row.row), detail: row.detail })
        .collect())
}

/// I5: a transfer stays among the accounts of its tenant and unit, and with the customer and currency of its invoice.
pub async fn crossing_transfers(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::crossing_transfers
        SELECT format('%s of %s', t.reason, t.source_id) AS "row!",
            CASE
                WHEN d.code IS NULL THEN format('there is no account %s of %s in %s', t.debit_code, t.debit_owner_id, t.unit)
                WHEN c.code IS NULL THEN format('there is no account %s of %s in %s', t.credit_code, t.credit_owner_id, t.unit)
                WHEN i.id IS NULL THEN format('there is no invoice %s', t.invoice_id)
                ELSE format('its invoice is in %s of customer %s', i.currency, i.customer_id)
            END AS "detail!"
        FROM ledger_transfers t
        LEFT JOIN ledger_accounts d ON d.tenant_id = t.tenant_id AND d.livemode = t.livemode AND d.code = t.debit_code
            AND d.owner_id = t.debit_owner_id AND d.unit = t.unit
        LEFT JOIN ledger_accounts c ON c.tenant_id = t.tenant_id AND c.livemode = t.livemode AND c.code = t.credit_code
            AND c.owner_id = t.credit_owner_id AND c.unit = t.unit
        LEFT JOIN invoices i ON i.tenant_id = t.tenant_id AND i.livemode = t.livemode AND i.id = t.invoice_id
        WHERE t.tenant_id = $1 AND t.livemode = $2 AND (
            d.code IS NULL OR c.code IS NULL
            OR (t.invoice_id IS NOT NULL AND (
                i.id IS NULL OR i.currency <> t.unit
                OR (t.debit_code IN ('receivable', 'credit_balance') AND t.debit_owner_id <> i.customer_id)
                OR (t.credit_code IN ('receivable', 'credit_balance') AND t.credit_owner_id <> i.customer_id)
            ))
        )
        ORDER BY t.source_id, t.reason
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("ledger transfer {}", row.row), detail: row.detail })
        .collect())
}

/// I6: the hash chain is unbroken, its links are numbered without a gap, and it ends where its head says.
pub async fn broken_links(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::ledger::broken_links
        WITH batches AS (
            SELECT link, count(*) AS transfers,
                string_agg(ledger_transfer_text(t), E'\n' ORDER BY source_id, reason COLLATE "C") AS texts
            FROM ledger_transfers t
            WHERE tenant_id = $1 AND livemode = $2
            GROUP BY link
        ), links AS (
            SELECT link, transfers, previous_hash, hash, lag(link, 1, 0::bigint) OVER (ORDER BY link) AS last_link,
                lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY link) AS last_hash
            FROM ledger_links
            WHERE tenant_id = $1 AND livemode = $2
        ), ends AS (
            SELECT coalesce(max(link), 0) AS link, coalesce((array_agg(hash ORDER BY link DESC))[1], decode(repeat('00', 32), 'hex')) AS hash
            FROM links
        )
        SELECT link AS "link!", detail AS "detail!" FROM (
            SELECT link, CASE
                WHEN l.hash IS NULL THEN format('%s transfers name this link, which is missing', b.transfers)
                WHEN b.texts IS NULL THEN 'the transfers of this link are missing'
                WHEN l.last_link + 1 <> link THEN format('the links %s to %s before it are missing', l.last_link + 1, link - 1)
                WHEN l.previous_hash <> l.last_hash THEN 'it does not follow the link before it'
                WHEN l.hash <> ledger_hash(l.previous_hash, link, b.texts) THEN 'its transfers are not those that were posted'
            END AS detail
            FROM links l FULL JOIN batches b USING (link)
            UNION ALL
            SELECT ends.link, CASE
                WHEN c.last_link IS NULL THEN 'the chain has no head'
                ELSE format('the chain ends here, and not at link %s as its head says', c.last_link)
            END
            FROM ends LEFT JOIN ledger_chains c ON c.tenant_id = $1 AND c.livemode = $2
            WHERE coalesce(c.last_link, 0) <> ends.link OR (ends.link > 0 AND c.last_hash IS DISTINCT FROM ends.hash)
        ) found
        WHERE detail IS NOT NULL
        ORDER BY link
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("ledger link {}", row.link), detail: row.detail })
        .collect())
}

/// The end of the chain: its last link and hash, for whoever keeps it elsewhere.
pub async fn head(tx: &mut TenantTx) -> Result<Option<(i64, String)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- checks::ledger::head
        SELECT last_link, encode(last_hash, 'hex') AS "hash!" FROM ledger_chains WHERE tenant_id = $1 AND livemode = $2"#,
        tenant,
        livemode,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (row.last_link, row.hash)))
}
