//! Which invoices stand in the place of others.

use usance_core::ids::{CreditNoteId, InvoiceId};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// An invoice that was taken back, and the one that bills the same anew.
#[derive(Debug, Clone, Copy)]
pub struct InvoiceCorrection {
    /// The invoice that was taken back.
    pub corrected: InvoiceId,
    /// The one in its place.
    pub invoice: InvoiceId,
    /// What took it back; none where nothing had been billed.
    pub credit_note: Option<CreditNoteId>,
}

/// Adds a correction. Conflict: the primary key (corrected already).
pub async fn insert(tx: &mut TenantTx, correction: InvoiceCorrection) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- invoice_corrections::insert
        INSERT INTO invoice_corrections (tenant_id, livemode, corrected_invoice_id, invoice_id, credit_note_id)
        VALUES ($1, $2, $3, $4, $5)",
        tenant,
        livemode,
        correction.corrected.uuid(),
        correction.invoice.uuid(),
        correction.credit_note.map(CreditNoteId::uuid),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the corrections that took any of the invoices back or put it in the place of another one, in no order.
pub async fn list(tx: &mut TenantTx, invoices: &[InvoiceId]) -> Result<Vec<InvoiceCorrection>, DbError> {
    let (tenant, livemode) = tx.keys();
    let ids: Vec<Uuid> = invoices.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "-- invoice_corrections::list
        SELECT corrected_invoice_id, invoice_id, credit_note_id
        FROM invoice_corrections
        WHERE tenant_id = $1 AND livemode = $2 AND (corrected_invoice_id = ANY($3) OR invoice_id = ANY($3))",
        tenant,
        livemode,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let of_row = rows.into_iter().map(|row| InvoiceCorrection {
        corrected: InvoiceId::from_uuid(row.corrected_invoice_id),
        invoice: InvoiceId::from_uuid(row.invoice_id),
        credit_note: row.credit_note_id.map(CreditNoteId::from_uuid),
    });
    Ok(of_row.collect())
}

/// Finds the invoice that stands in the place of an invoice now: itself, if it was never corrected.
pub async fn find_latest(tx: &mut TenantTx, invoice: InvoiceId) -> Result<InvoiceId, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- invoice_corrections::find_latest
        WITH RECURSIVE chain AS (
            SELECT $3::uuid AS id, 0 AS place
            UNION ALL
            SELECT c.invoice_id, chain.place + 1
            FROM chain
            JOIN invoice_corrections c ON c.tenant_id = $1 AND c.livemode = $2 AND c.corrected_invoice_id = chain.id
        )
        SELECT id AS "id!" FROM chain ORDER BY place DESC LIMIT 1"#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(InvoiceId::from_uuid(row.id))
}

/// Whether other invoices give lines of an invoice back, or book a difference to its usage.
pub async fn is_settled_elsewhere(tx: &mut TenantTx, invoice: InvoiceId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- invoice_corrections::is_settled_elsewhere
        SELECT EXISTS (
            SELECT FROM line_items l
            JOIN line_items o ON o.tenant_id = l.tenant_id AND o.livemode = l.livemode AND o.credited_line_id = l.id
            WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.invoice_id = $3
        ) OR EXISTS (
            SELECT FROM line_items l
            JOIN line_items o ON o.tenant_id = l.tenant_id AND o.livemode = l.livemode AND o.item_id = l.item_id
                AND o.price_id = l.price_id AND o.period_start = l.period_start AND o.kind IN ('usage', 'adjustment')
                AND o.invoice_id <> l.invoice_id
            WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.invoice_id = $3 AND l.kind = 'usage'
                AND NOT EXISTS (
                    SELECT FROM invoice_corrections c
                    WHERE c.tenant_id = o.tenant_id AND c.livemode = o.livemode AND c.corrected_invoice_id = o.invoice_id
                )
        ) AS "elsewhere!""#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.elsewhere)
}
