//! Invariants between the ledger and what it posts.

use usance_core::ids::InvoiceId;

use super::{FINDINGS_MAX, Finding};
use crate::{DbError, TenantTx};

fn of_invoice(id: uuid::Uuid) -> String {
    format!("invoice {}", InvoiceId::from_uuid(id))
}

/// I7: an invoice is the sum of its lines, and what the ledger says of it.
pub async fn wrong_invoices(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::wrong_invoices
        WITH lines AS (
            SELECT invoice_id, sum(amount_minor - discount_minor) AS amount, sum(tax_minor) AS tax
            FROM line_items
            WHERE tenant_id = $1 AND livemode = $2
            GROUP BY invoice_id
        ), posted AS (
            SELECT invoice_id,
                sum(sign * amount) FILTER (WHERE reason = 'invoice_revenue') AS net,
                sum(sign * amount) FILTER (WHERE reason = 'invoice_tax') AS tax,
                sum(sign * amount) AS open
            FROM (
                SELECT invoice_id, reason, amount, CASE WHEN debit_code = 'receivable' THEN 1 ELSE -1 END AS sign
                FROM ledger_transfers
                WHERE tenant_id = $1 AND livemode = $2 AND 'receivable' IN (debit_code, credit_code)
            ) t
            GROUP BY invoice_id
        )
        SELECT i.id, CASE
                WHEN i.total_minor <> coalesce(l.amount, 0) + CASE i.tax_behavior WHEN 'exclusive' THEN coalesce(l.tax, 0) ELSE 0 END
                    THEN format('its total is %s, and its lines come to %s with %s of tax', i.total_minor, l.amount, l.tax)
                WHEN i.tax_minor <> coalesce(l.tax, 0) THEN format('its tax is %s, and that of its lines %s', i.tax_minor, l.tax)
                WHEN i.status = 'draft' THEN 'it is a draft, and posted'
                WHEN i.total_minor <> coalesce(p.net, 0) + coalesce(p.tax, 0) OR i.tax_minor <> coalesce(p.tax, 0)
                    THEN format('its total is %s with %s of tax, and the ledger has %s with %s', i.total_minor, i.tax_minor,
                        coalesce(p.net, 0) + coalesce(p.tax, 0), coalesce(p.tax, 0))
                ELSE format('it is %s, and the ledger has %s of it as owed', i.status, coalesce(p.open, 0))
            END AS "detail!"
        FROM invoices i
        LEFT JOIN lines l ON l.invoice_id = i.id
        LEFT JOIN posted p ON p.invoice_id = i.id
        WHERE i.tenant_id = $1 AND i.livemode = $2 AND (
            i.total_minor <> coalesce(l.amount, 0) + CASE i.tax_behavior WHEN 'exclusive' THEN coalesce(l.tax, 0) ELSE 0 END
            OR i.tax_minor <> coalesce(l.tax, 0)
            OR (i.status = 'draft' AND p.invoice_id IS NOT NULL)
            OR (i.status <> 'draft' AND (
                i.total_minor <> coalesce(p.net, 0) + coalesce(p.tax, 0) OR i.tax_minor <> coalesce(p.tax, 0)
                OR coalesce(p.open, 0) <> CASE i.status
                    WHEN 'finalized' THEN greatest(i.total_minor - i.paid_minor - i.balance_applied_minor - i.credited_minor, 0)
                    ELSE 0
                END
            ))
        )
        ORDER BY i.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| Finding { row: of_invoice(row.id), detail: row.detail }).collect())
}

/// I9: what a gateway calls one charge or refund is one row.
pub async fn repeated_charges(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::repeated_charges
        SELECT format('%s of %s', gateway_reference, gateway) AS "row!", format('is that of %s rows: %s', count(*), string_agg(id::text, ', ' ORDER BY id)) AS "detail!"
        FROM (
            SELECT gateway, gateway_reference, id FROM payments
            WHERE tenant_id = $1 AND livemode = $2 AND gateway_reference IS NOT NULL
            UNION ALL
            SELECT gateway, gateway_reference, id FROM refunds
            WHERE tenant_id = $1 AND livemode = $2 AND gateway_reference IS NOT NULL
            UNION ALL
            SELECT gateway, gateway_reference, id FROM wallet_top_ups
            WHERE tenant_id = $1 AND livemode = $2 AND gateway_reference IS NOT NULL
        ) charges
        GROUP BY gateway, gateway_reference
        HAVING count(*) > 1
        ORDER BY gateway, gateway_reference
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("gateway reference {}", row.row), detail: row.detail })
        .collect())
}

/// I10, money: what moves money is posted, once and with its amount.
pub async fn unposted_money(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::unposted_money
        WITH moved AS (
            SELECT 'payment' AS kind, id, 'payment' AS reason, amount_minor AS amount, currency FROM payments
            WHERE tenant_id = $1 AND livemode = $2 AND status = 'succeeded'
            UNION ALL
            SELECT 'refund', id, 'refund', amount_minor, currency FROM refunds
            WHERE tenant_id = $1 AND livemode = $2 AND status = 'succeeded'
            UNION ALL
            SELECT 'credit_balance_entry', id, 'credit_balance', abs(amount_minor), currency FROM credit_balance_entries
            WHERE tenant_id = $1 AND livemode = $2
            UNION ALL
            SELECT 'wallet_entry', e.id,
                CASE type WHEN 'grant' THEN 'wallet_grant' WHEN 'top_up' THEN 'wallet_top_up' WHEN 'expiry' THEN 'wallet_expiry' ELSE 'wallet_debit' END,
                abs(e.amount_minor), w.currency
            FROM wallet_entries e
            JOIN wallets w ON w.tenant_id = e.tenant_id AND w.livemode = e.livemode AND w.id = e.wallet_id
            WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.type <> 'hold'
            UNION ALL
            SELECT 'credit_note', id, 'credit_note_revenue', abs(total_minor - tax_minor), currency FROM credit_notes
            WHERE tenant_id = $1 AND livemode = $2 AND total_minor <> tax_minor
        ), posted AS (
            SELECT source_id, reason, amount, unit FROM ledger_transfers
            WHERE tenant_id = $1 AND livemode = $2
                AND reason IN ('payment', 'refund', 'credit_balance', 'credit_note_revenue', 'wallet_grant', 'wallet_top_up', 'wallet_expiry', 'wallet_debit')
        )
        SELECT format('%s %s', coalesce(m.kind, p.reason), coalesce(m.id, p.source_id)) AS "row!",
            CASE
                WHEN p.amount IS NULL THEN format('%s %s are not in the ledger', m.amount, m.currency)
                WHEN m.amount IS NULL THEN format('the ledger has %s %s of it, and it has not happened', p.amount, p.unit)
                ELSE format('it is of %s %s, and the ledger has %s %s', m.amount, m.currency, p.amount, p.unit)
            END AS "detail!"
        FROM moved m FULL JOIN posted p ON p.source_id = m.id AND p.reason = m.reason
        WHERE (m.amount, m.currency) IS DISTINCT FROM (p.amount, p.unit)
        ORDER BY 1
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| Finding { row: row.row, detail: row.detail }).collect())
}

/// I10, usage: an event is stored once, and has a key.
pub async fn repeated_events(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::repeated_events
        SELECT e.id AS "id!", CASE WHEN e.times > 1 THEN format('it is stored %s times', e.times) ELSE 'it has no key' END AS "detail!"
        FROM (
            SELECT id_hash, min(id) AS id, count(*) AS times FROM (
                SELECT v.id_hash, v.id FROM customers c
                JOIN events v ON v.tenant_id = $1 AND v.livemode = $2 AND v.customer_id = c.id
                WHERE c.tenant_id = $1 AND c.livemode = $2
                UNION ALL
                SELECT id_hash, id FROM unbilled_events WHERE tenant_id = $1 AND livemode = $2
            ) stored
            GROUP BY id_hash
        ) e
        WHERE e.times > 1 OR NOT EXISTS (
            SELECT FROM event_keys k
            WHERE k.tenant_id = $1 AND k.livemode = $2 AND k.key = event_key($1, $2, e.id_hash)
        )
        ORDER BY e.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Finding { row: format!("usage event {}", row.id), detail: row.detail })
        .collect())
}

/// I11: an invoice that was withdrawn has given back what it took.
pub async fn kept_by_void(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::kept_by_void
        SELECT i.id, format('it is void and keeps %s of the balance, %s of discounts and %s of revenue and tax',
            -coalesce(b.amount, 0), coalesce(d.amount, 0), coalesce(t.amount, 0)) AS "detail!"
        FROM invoices i
        LEFT JOIN LATERAL (
            SELECT sum(amount_minor) AS amount FROM credit_balance_entries
            WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = i.id
        ) b ON true
        LEFT JOIN LATERAL (
            SELECT sum(amount_minor) AS amount FROM discount_uses WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = i.id
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT sum(CASE WHEN credit_code IN ('revenue', 'tax_payable') THEN amount ELSE -amount END) AS amount
            FROM ledger_transfers
            WHERE tenant_id = $1 AND livemode = $2 AND source_id = i.id
                AND reason IN ('invoice_revenue', 'invoice_tax', 'void_revenue', 'void_tax')
        ) t ON true
        WHERE i.tenant_id = $1 AND i.livemode = $2 AND i.status = 'void'
            AND (coalesce(b.amount, 0), coalesce(d.amount, 0), coalesce(t.amount, 0), i.balance_applied_minor) <> (0, 0, 0, 0)
        ORDER BY i.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| Finding { row: of_invoice(row.id), detail: row.detail }).collect())
}

/// A kept answer of a request that made something.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    /// The key that the client chose.
    pub key: String,
    /// What the answer says was made, as the text of an id.
    pub made: String,
}

/// The answers with status 201 that are kept, after a place in their order, with that of the last one.
pub async fn list_kept_answers(
    tx: &mut TenantTx,
    after: &(String, String),
) -> Result<Vec<(KeptAnswer, (String, String))>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::list_kept_answers
        SELECT route, key, convert_from(body, 'UTF8')::jsonb ->> 'id' AS made
        FROM idempotency_keys
        WHERE tenant_id = $1 AND livemode = $2 AND status = 201 AND (route, key) > ($3, $4)
        ORDER BY route, key
        LIMIT 1000"#,
        tenant,
        livemode,
        after.0,
        after.1,
    )
    .fetch_all(tx.connection())
    .await?;
    let answer = |row: (String, String, Option<String>)| {
        (KeptAnswer { key: row.1.clone(), made: row.2.unwrap_or_default() }, (row.0, row.1))
    };
    Ok(rows.into_iter().map(|row| answer((row.route, row.key, row.made))).collect())
}

/// The tables whose rows answers name by an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each names a table")]
pub enum Made {
    Customers,
    Invoices,
    CreditNotes,
    Refunds,
    Subscriptions,
}

/// I12: of these ids, those that no row has.
pub async fn list_missing(
    tx: &mut TenantTx,
    table: Made,
    ids: &[uuid::Uuid],
) -> Result<Vec<uuid::Uuid>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::billing::list_missing
        SELECT t.id AS "id!" FROM unnest($3::uuid[]) AS t (id)
        WHERE NOT CASE $4::text
            WHEN 'customers' THEN EXISTS (SELECT FROM customers r WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.id = t.id)
            WHEN 'invoices' THEN EXISTS (SELECT FROM invoices r WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.id = t.id)
            WHEN 'credit_notes' THEN EXISTS (SELECT FROM credit_notes r WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.id = t.id)
            WHEN 'refunds' THEN EXISTS (SELECT FROM refunds r WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.id = t.id)
            ELSE EXISTS (SELECT FROM subscriptions r WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.id = t.id)
        END"#,
        tenant,
        livemode,
        ids,
        match table {
            Made::Customers => "customers",
            Made::Invoices => "invoices",
            Made::CreditNotes => "credit_notes",
            Made::Refunds => "refunds",
            Made::Subscriptions => "subscriptions",
        },
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
