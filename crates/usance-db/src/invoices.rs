//! Invoices and their line items.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    ids::{CustomerId, InvoiceId, LineItemId, PriceId, SubscriptionId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// An invoice as stored. Amounts are in minor units of its currency.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Who owes.
    pub customer_id: CustomerId,
    /// For what.
    pub subscription_id: SubscriptionId,
    /// The word of the state.
    pub status: String,
    /// Gapless; absent while it is a draft.
    pub number: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// The billing period.
    pub period: Period,
    /// Sum of the lines.
    pub subtotal_minor: i64,
    /// Sum of the lines' taxes.
    pub tax_minor: i64,
    /// Subtotal and tax.
    pub total_minor: i64,
    /// What was paid of it.
    pub paid_minor: i64,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// In the tenant's time.
    pub finalized_at: Option<Timestamp>,
    /// In the tenant's time.
    pub due_at: Option<Timestamp>,
    /// In the tenant's time.
    pub paid_at: Option<Timestamp>,
}

/// The usage events behind a line.
#[derive(Debug, Clone, Copy)]
pub struct EventSet {
    /// How many.
    pub count: i64,
    /// Time of the earliest and of the latest.
    pub first_and_last_at: Option<(Timestamp, Timestamp)>,
    /// Exclusive or over their id hashes.
    pub digest: Uuid,
}

/// A line of an invoice.
#[derive(Debug, Clone)]
pub struct LineItem {
    /// Its id.
    pub id: LineItemId,
    /// Order on the invoice, from 0.
    pub position: i16,
    /// The price that made it.
    pub price_id: PriceId,
    /// The price's code.
    pub price_code: String,
    /// For people.
    pub description: String,
    /// The service that it charges.
    pub period: Period,
    /// How much was used; 1 for a fixed fee.
    pub quantity: Decimal,
    /// Major units, before the one rounding.
    pub exact_amount: Decimal,
    /// Minor units.
    pub amount_minor: i64,
    /// Minor units.
    pub tax_minor: i64,
    /// The steps that sum to the exact amount.
    pub arithmetic: Value,
    /// Name, percent and amount per rate.
    pub taxes: Value,
    /// Of a usage line.
    pub events: Option<EventSet>,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    subscription_id: Uuid,
    status: String,
    number: Option<String>,
    currency: String,
    period_start: jiff_sqlx::Timestamp,
    period_end: jiff_sqlx::Timestamp,
    subtotal_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    paid_minor: i64,
    created_at: jiff_sqlx::Timestamp,
    finalized_at: Option<jiff_sqlx::Timestamp>,
    due_at: Option<jiff_sqlx::Timestamp>,
    paid_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Invoice {
    fn from(row: Row) -> Self {
        Self {
            id: InvoiceId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            subscription_id: SubscriptionId::from_uuid(row.subscription_id),
            status: row.status,
            number: row.number,
            currency: row.currency,
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            subtotal_minor: row.subtotal_minor,
            tax_minor: row.tax_minor,
            total_minor: row.total_minor,
            paid_minor: row.paid_minor,
            created_at: row.created_at.to_jiff(),
            finalized_at: row.finalized_at.map(jiff_sqlx::Timestamp::to_jiff),
            due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
            paid_at: row.paid_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a draft.
pub async fn insert(tx: &mut TenantTx, invoice: &Invoice) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- invoices::insert
        INSERT INTO invoices
            (tenant_id, livemode, id, customer_id, subscription_id, status, currency, period_start, period_end, subtotal_minor,
             tax_minor, total_minor, created_at)
        VALUES ($1, $2, $3, $4, $5, 'draft', $6, $7, $8, $9, $10, $11, $12)",
        tenant,
        livemode,
        invoice.id.uuid(),
        invoice.customer_id.uuid(),
        invoice.subscription_id.uuid(),
        invoice.currency,
        invoice.period.start.to_sqlx(),
        invoice.period.end.to_sqlx(),
        invoice.subtotal_minor,
        invoice.tax_minor,
        invoice.total_minor,
        invoice.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds a line to a draft.
pub async fn insert_line(tx: &mut TenantTx, invoice: InvoiceId, line: &LineItem) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let first_and_last_at = line.events.and_then(|events| events.first_and_last_at);
    sqlx::query!(
        "-- invoices::insert_line
        INSERT INTO line_items
            (tenant_id, livemode, id, invoice_id, position, price_id, description, period_start, period_end, quantity, exact_amount,
             amount_minor, tax_minor, arithmetic, taxes, event_count, first_event_at, last_event_at, events_digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        tenant,
        livemode,
        line.id.uuid(),
        invoice.uuid(),
        line.position,
        line.price_id.uuid(),
        line.description,
        line.period.start.to_sqlx(),
        line.period.end.to_sqlx(),
        line.quantity,
        line.exact_amount,
        line.amount_minor,
        line.tax_minor,
        line.arithmetic,
        line.taxes,
        line.events.map(|events| events.count),
        first_and_last_at.map(|at| at.0.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        first_and_last_at.map(|at| at.1.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        line.events.map(|events| events.digest),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the next number of the tenant and mode. Others wait until the transaction ends, so that no number is left out.
pub async fn next_sequence(tx: &mut TenantTx) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- invoices::next_sequence
        INSERT INTO invoice_sequences AS s (tenant_id, livemode, last) VALUES ($1, $2, 1)
        ON CONFLICT (tenant_id, livemode) DO UPDATE SET last = s.last + 1
        RETURNING last",
        tenant,
        livemode,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.last)
}

/// Notes state, number, payment and times of an invoice.
pub async fn update(tx: &mut TenantTx, invoice: &Invoice, sequence: Option<i64>) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- invoices::update
        UPDATE invoices
        SET status = $4, sequence = coalesce($5, sequence), number = $6, paid_minor = $7, finalized_at = $8, due_at = $9, paid_at = $10
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        invoice.id.uuid(),
        invoice.status,
        sequence,
        invoice.number,
        invoice.paid_minor,
        invoice.finalized_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        invoice.due_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        invoice.paid_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds an invoice.
pub async fn find(tx: &mut TenantTx, id: InvoiceId) -> Result<Option<Invoice>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- invoices::find
        SELECT id, customer_id, subscription_id, status, number, currency, period_start, period_end, subtotal_minor, tax_minor,
            total_minor, paid_minor, created_at, finalized_at, due_at, paid_at
        FROM invoices
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Invoice::from))
}

/// Finds an invoice and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: InvoiceId) -> Result<Option<Invoice>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- invoices::lock
        SELECT id, customer_id, subscription_id, status, number, currency, period_start, period_end, subtotal_minor, tax_minor,
            total_minor, paid_minor, created_at, finalized_at, due_at, paid_at
        FROM invoices
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Invoice::from))
}

/// Lists invoices, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<CustomerId>,
    page: PageRequest,
) -> Result<Page<Invoice>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- invoices::list
        SELECT id, customer_id, subscription_id, status, number, currency, period_start, period_end, subtotal_minor, tax_minor,
            total_minor, paid_minor, created_at, finalized_at, due_at, paid_at
        FROM invoices
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR customer_id = $3) AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.map(CustomerId::uuid),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Lists the lines of several invoices in their order, each with its invoice.
pub async fn list_lines(
    tx: &mut TenantTx,
    invoices: &[InvoiceId],
) -> Result<Vec<(InvoiceId, LineItem)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- invoices::list_lines
        SELECT l.id, l.invoice_id, l.position, l.price_id, p.code AS price_code, l.description, l.period_start, l.period_end, l.quantity,
            l.exact_amount, l.amount_minor, l.tax_minor, l.arithmetic, l.taxes, l.event_count, l.first_event_at, l.last_event_at,
            l.events_digest
        FROM line_items l
        JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.invoice_id = ANY($3)
        ORDER BY l.invoice_id, l.position",
        tenant,
        livemode,
        &invoices.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let line = rows.into_iter().map(|row| {
        let first_and_last_at = row.first_event_at.zip(row.last_event_at);
        let first_and_last_at = first_and_last_at.map(|(first, last)| (first.to_jiff(), last.to_jiff()));
        let events = row.event_count.zip(row.events_digest).map(|(count, digest)| EventSet {
            count,
            first_and_last_at,
            digest,
        });
        let item = LineItem {
            id: LineItemId::from_uuid(row.id),
            position: row.position,
            price_id: PriceId::from_uuid(row.price_id),
            price_code: row.price_code,
            description: row.description,
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            quantity: row.quantity,
            exact_amount: row.exact_amount,
            amount_minor: row.amount_minor,
            tax_minor: row.tax_minor,
            arithmetic: row.arithmetic,
            taxes: row.taxes,
            events,
        };
        (InvoiceId::from_uuid(row.invoice_id), item)
    });
    Ok(line.collect())
}
