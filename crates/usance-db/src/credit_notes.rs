//! Credit notes and their lines.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::ids::{CreditNoteId, CustomerId, InvoiceId, LineItemId, RefundId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A credit note as stored. Amounts are in minor units of its currency.
#[derive(Debug, Clone)]
pub struct CreditNote {
    /// Its id.
    pub id: CreditNoteId,
    /// What it takes back.
    pub invoice_id: InvoiceId,
    /// Whose invoice.
    pub customer_id: CustomerId,
    /// Gapless.
    pub sequence: i64,
    /// Prefix and sequence.
    pub number: String,
    /// `duplicate`, `fraudulent`, `order_change`, `product_unsatisfactory` or `other`.
    pub reason: String,
    /// For the customer to read.
    pub memo: String,
    /// ISO 4217.
    pub currency: String,
    /// Sum of the lines.
    pub subtotal_minor: i64,
    /// Sum of the lines' taxes.
    pub tax_minor: i64,
    /// With the tax where the lines do not hold it.
    pub total_minor: i64,
    /// What was taken off the amount due.
    pub reduced_minor: i64,
    /// What the gateway was asked to pay back.
    pub refunded_minor: i64,
    /// What was put to the customer's credit balance.
    pub balance_minor: i64,
    /// The refund; read only.
    pub refund_id: Option<RefundId>,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

/// What a credit note takes of a line item. Amounts are in minor units.
#[derive(Debug, Clone)]
pub struct CreditNoteLine {
    /// The credit note.
    pub credit_note_id: CreditNoteId,
    /// The line of the invoice.
    pub line_item_id: LineItemId,
    /// The line's text; read only.
    pub description: String,
    /// Of the line after its discount.
    pub amount_minor: i64,
    /// Of the line's tax.
    pub tax_minor: i64,
    /// Name, percent and amount per rate, in the order of the line's.
    pub taxes: Value,
}

struct Row {
    id: Uuid,
    invoice_id: Uuid,
    customer_id: Uuid,
    sequence: i64,
    number: String,
    reason: String,
    memo: String,
    currency: String,
    subtotal_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    reduced_minor: i64,
    refunded_minor: i64,
    balance_minor: i64,
    refund_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for CreditNote {
    fn from(row: Row) -> Self {
        Self {
            id: CreditNoteId::from_uuid(row.id),
            invoice_id: InvoiceId::from_uuid(row.invoice_id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            sequence: row.sequence,
            number: row.number,
            reason: row.reason,
            memo: row.memo,
            currency: row.currency,
            subtotal_minor: row.subtotal_minor,
            tax_minor: row.tax_minor,
            total_minor: row.total_minor,
            reduced_minor: row.reduced_minor,
            refunded_minor: row.refunded_minor,
            balance_minor: row.balance_minor,
            refund_id: row.refund_id.map(RefundId::from_uuid),
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Takes the next number of the tenant and mode. Others wait until the transaction ends, so that no number is left out.
pub async fn take_sequence(tx: &mut TenantTx) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- credit_notes::take_sequence
        INSERT INTO credit_note_sequences AS s (tenant_id, livemode, last) VALUES ($1, $2, 1)
        ON CONFLICT (tenant_id, livemode) DO UPDATE SET last = s.last + 1
        RETURNING last",
        tenant,
        livemode,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.last)
}

/// Adds a credit note. The database refuses what exceeds the invoice, and a note whose lines do not add up.
pub async fn insert(tx: &mut TenantTx, note: &CreditNote) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- credit_notes::insert
        INSERT INTO credit_notes
            (tenant_id, livemode, id, invoice_id, customer_id, sequence, number, reason, memo, currency, subtotal_minor,
             tax_minor, total_minor, reduced_minor, refunded_minor, balance_minor, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        tenant,
        livemode,
        note.id.uuid(),
        note.invoice_id.uuid(),
        note.customer_id.uuid(),
        note.sequence,
        note.number,
        note.reason,
        note.memo,
        note.currency,
        note.subtotal_minor,
        note.tax_minor,
        note.total_minor,
        note.reduced_minor,
        note.refunded_minor,
        note.balance_minor,
        note.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds the lines of credit notes. The database refuses what exceeds a line of the invoice.
pub async fn insert_lines(tx: &mut TenantTx, lines: &[CreditNoteLine]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- credit_notes::insert_lines
        INSERT INTO credit_note_lines (tenant_id, livemode, credit_note_id, line_item_id, amount_minor, tax_minor, taxes)
        SELECT $1, $2, t.* FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::jsonb[]) AS t",
        tenant,
        livemode,
        &lines.iter().map(|it| it.credit_note_id.uuid()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.line_item_id.uuid()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.amount_minor).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.tax_minor).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.taxes.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a credit note.
pub async fn find(tx: &mut TenantTx, id: CreditNoteId) -> Result<Option<CreditNote>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- credit_notes::find
        SELECT n.id, n.invoice_id, n.customer_id, n.sequence, n.number, n.reason, n.memo, n.currency, n.subtotal_minor, n.tax_minor,
            n.total_minor, n.reduced_minor, n.refunded_minor, n.balance_minor, r.id AS "refund_id?", n.created_at
        FROM credit_notes n
        LEFT JOIN refunds r ON r.tenant_id = n.tenant_id AND r.livemode = n.livemode AND r.credit_note_id = n.id
        WHERE n.tenant_id = $1 AND n.livemode = $2 AND n.id = $3"#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(CreditNote::from))
}

/// Lists credit notes, of one customer, of one invoice, or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<CustomerId>,
    invoice: Option<InvoiceId>,
    page: PageRequest,
) -> Result<Page<CreditNote>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- credit_notes::list
        SELECT n.id, n.invoice_id, n.customer_id, n.sequence, n.number, n.reason, n.memo, n.currency, n.subtotal_minor, n.tax_minor,
            n.total_minor, n.reduced_minor, n.refunded_minor, n.balance_minor, r.id AS "refund_id?", n.created_at
        FROM credit_notes n
        LEFT JOIN refunds r ON r.tenant_id = n.tenant_id AND r.livemode = n.livemode AND r.credit_note_id = n.id
        WHERE n.tenant_id = $1 AND n.livemode = $2 AND ($3::uuid IS NULL OR n.customer_id = $3)
            AND ($4::uuid IS NULL OR n.invoice_id = $4) AND ($5::uuid IS NULL OR n.id < $5)
        ORDER BY n.id DESC
        LIMIT $6"#,
        tenant,
        livemode,
        customer.map(CustomerId::uuid),
        invoice.map(InvoiceId::uuid),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Lists the lines of credit notes in the order of their invoices' lines.
pub async fn list_lines(tx: &mut TenantTx, notes: &[CreditNoteId]) -> Result<Vec<CreditNoteLine>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        LineRow,
        "-- credit_notes::list_lines
        SELECT c.credit_note_id, c.line_item_id, l.description, c.amount_minor, c.tax_minor, c.taxes
        FROM credit_note_lines c
        JOIN line_items l ON l.tenant_id = c.tenant_id AND l.livemode = c.livemode AND l.id = c.line_item_id
        WHERE c.tenant_id = $1 AND c.livemode = $2 AND c.credit_note_id = ANY($3)
        ORDER BY c.credit_note_id, l.position",
        tenant,
        livemode,
        &notes.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(CreditNoteLine::from).collect())
}

/// Lists what all credit notes took of an invoice's lines.
pub async fn list_credited(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Vec<CreditNoteLine>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        LineRow,
        "-- credit_notes::list_credited
        SELECT c.credit_note_id, c.line_item_id, l.description, c.amount_minor, c.tax_minor, c.taxes
        FROM line_items l
        JOIN credit_note_lines c ON c.tenant_id = l.tenant_id AND c.livemode = l.livemode AND c.line_item_id = l.id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.invoice_id = $3
        ORDER BY c.credit_note_id, l.position",
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(CreditNoteLine::from).collect())
}

/// Sums what credit notes took of lines, in minor units, after the lines' discounts; lines that nothing was taken of are
/// left out.
pub async fn sum_by_line(tx: &mut TenantTx, lines: &[LineItemId]) -> Result<Vec<(LineItemId, i64)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- credit_notes::sum_by_line
        SELECT line_item_id, sum(amount_minor)::bigint AS "credited!"
        FROM credit_note_lines
        WHERE tenant_id = $1 AND livemode = $2 AND line_item_id = ANY($3)
        GROUP BY line_item_id"#,
        tenant,
        livemode,
        &lines.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (LineItemId::from_uuid(row.line_item_id), row.credited)).collect())
}

/// Sums the totals of an invoice's credit notes, in minor units.
pub async fn sum_of_invoice(tx: &mut TenantTx, invoice: InvoiceId) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- credit_notes::sum_of_invoice
        SELECT coalesce(sum(total_minor), 0)::bigint AS "credited!"
        FROM credit_notes
        WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = $3"#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.credited)
}

struct LineRow {
    credit_note_id: Uuid,
    line_item_id: Uuid,
    description: String,
    amount_minor: i64,
    tax_minor: i64,
    taxes: Value,
}

impl From<LineRow> for CreditNoteLine {
    fn from(row: LineRow) -> Self {
        Self {
            credit_note_id: CreditNoteId::from_uuid(row.credit_note_id),
            line_item_id: LineItemId::from_uuid(row.line_item_id),
            description: row.description,
            amount_minor: row.amount_minor,
            tax_minor: row.tax_minor,
            taxes: row.taxes,
        }
    }
}
