//! Invoices.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::{
    ids::{CustomerId, InvoiceId, SubscriptionId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// An invoice as stored. Amounts are in minor units of its currency, times are the tenant's.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Who owes.
    pub customer_id: CustomerId,
    /// For what; a one-off invoice has none.
    pub subscription_id: Option<SubscriptionId>,
    /// `subscription`, `one_off`, `progressive`, `late_usage` or `reissue`.
    pub kind: String,
    /// The word of the state.
    pub status: String,
    /// Gapless; absent while it is a draft.
    pub sequence: Option<i64>,
    /// Prefix and sequence.
    pub number: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// The billing period.
    pub period: Period,
    /// Sum of the lines before discounts.
    pub subtotal_minor: i64,
    /// Sum of the lines' discounts.
    pub discount_minor: i64,
    /// Sum of the lines' taxes.
    pub tax_minor: i64,
    /// `exclusive`: the tax comes on top; `inclusive`: it is in the amounts.
    pub tax_behavior: String,
    /// What is owed for all of it.
    pub total_minor: i64,
    /// What was paid of it.
    pub paid_minor: i64,
    /// What was taken from the customer's credit balance.
    pub balance_applied_minor: i64,
    /// What credit notes took off before it was paid.
    pub credited_minor: i64,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// When a draft becomes final by itself.
    pub finalize_at: Option<Timestamp>,
    /// When it got its number.
    pub finalized_at: Option<Timestamp>,
    /// When it is to be paid.
    pub due_at: Option<Timestamp>,
    /// When it was settled.
    pub paid_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub voided_at: Option<Timestamp>,
    /// When it was last sent to the customer.
    pub sent_at: Option<Timestamp>,
    /// How often collecting it failed.
    pub failed_attempts: i16,
    /// When collecting it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// For the customer to read.
    pub memo: String,
    /// Seller and customer as they were when it was finalized.
    pub parties: Value,
}

impl Invoice {
    /// What is still to be paid, in minor units.
    pub fn amount_due_minor(&self) -> i64 {
        (self.total_minor - self.paid_minor - self.balance_applied_minor - self.credited_minor).max(0)
    }
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    subscription_id: Option<Uuid>,
    kind: String,
    status: String,
    sequence: Option<i64>,
    number: Option<String>,
    currency: String,
    period_start: jiff_sqlx::Timestamp,
    period_end: jiff_sqlx::Timestamp,
    subtotal_minor: i64,
    discount_minor: i64,
    tax_minor: i64,
    tax_behavior: String,
    total_minor: i64,
    paid_minor: i64,
    balance_applied_minor: i64,
    credited_minor: i64,
    created_at: jiff_sqlx::Timestamp,
    finalize_at: Option<jiff_sqlx::Timestamp>,
    finalized_at: Option<jiff_sqlx::Timestamp>,
    due_at: Option<jiff_sqlx::Timestamp>,
    paid_at: Option<jiff_sqlx::Timestamp>,
    voided_at: Option<jiff_sqlx::Timestamp>,
    sent_at: Option<jiff_sqlx::Timestamp>,
    failed_attempts: i16,
    first_failed_at: Option<jiff_sqlx::Timestamp>,
    memo: String,
    parties: Value,
}

impl From<Row> for Invoice {
    fn from(row: Row) -> Self {
        let jiff = jiff_sqlx::Timestamp::to_jiff;
        Self {
            id: InvoiceId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            subscription_id: row.subscription_id.map(SubscriptionId::from_uuid),
            kind: row.kind,
            status: row.status,
            sequence: row.sequence,
            number: row.number,
            currency: row.currency,
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            subtotal_minor: row.subtotal_minor,
            discount_minor: row.discount_minor,
            tax_minor: row.tax_minor,
            tax_behavior: row.tax_behavior,
            total_minor: row.total_minor,
            paid_minor: row.paid_minor,
            balance_applied_minor: row.balance_applied_minor,
            credited_minor: row.credited_minor,
            created_at: row.created_at.to_jiff(),
            finalize_at: row.finalize_at.map(jiff),
            finalized_at: row.finalized_at.map(jiff),
            due_at: row.due_at.map(jiff),
            paid_at: row.paid_at.map(jiff),
            voided_at: row.voided_at.map(jiff),
            sent_at: row.sent_at.map(jiff),
            failed_attempts: row.failed_attempts,
            first_failed_at: row.first_failed_at.map(jiff),
            memo: row.memo,
            parties: row.parties,
        }
    }
}

/// Adds invoices in any state.
pub async fn insert_many(tx: &mut TenantTx, invoices: &[Invoice]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let texts =
        |of: fn(&Invoice) -> &String| -> Vec<String> { invoices.iter().map(|it| of(it).clone()).collect() };
    let minors = |of: fn(&Invoice) -> i64| -> Vec<i64> { invoices.iter().map(of).collect() };
    let times = |of: fn(&Invoice) -> Timestamp| -> Vec<jiff_sqlx::Timestamp> {
        invoices.iter().map(|it| of(it).to_sqlx()).collect()
    };
    let options = |of: fn(&Invoice) -> Option<Timestamp>| -> Vec<Option<jiff_sqlx::Timestamp>> {
        invoices.iter().map(|it| of(it).map(ToSqlx::to_sqlx)).collect()
    };
    sqlx::query!(
        "-- invoices::insert_many
        INSERT INTO invoices
            (tenant_id, livemode, id, customer_id, subscription_id, kind, status, sequence, number, currency, period_start, period_end,
             subtotal_minor, discount_minor, tax_minor, tax_behavior, total_minor, balance_applied_minor, created_at, finalize_at,
             finalized_at, due_at, paid_at, memo, parties)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[],
            $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], $17::bigint[],
            $18::bigint[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
            $24::text[], $25::jsonb[]) AS t",
        tenant,
        livemode,
        &invoices.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &invoices.iter().map(|it| it.customer_id.uuid()).collect::<Vec<_>>(),
        &invoices.iter().map(|it| it.subscription_id.map(SubscriptionId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &texts(|it| &it.kind),
        &texts(|it| &it.status),
        &invoices.iter().map(|it| it.sequence).collect::<Vec<_>>() as &[Option<i64>],
        &invoices.iter().map(|it| it.number.clone()).collect::<Vec<_>>() as &[Option<String>],
        &texts(|it| &it.currency),
        &times(|it| it.period.start) as &[jiff_sqlx::Timestamp],
        &times(|it| it.period.end) as &[jiff_sqlx::Timestamp],
        &minors(|it| it.subtotal_minor),
        &minors(|it| it.discount_minor),
        &minors(|it| it.tax_minor),
        &texts(|it| &it.tax_behavior),
        &minors(|it| it.total_minor),
        &minors(|it| it.balance_applied_minor),
        &times(|it| it.created_at) as &[jiff_sqlx::Timestamp],
        &options(|it| it.finalize_at) as &[Option<jiff_sqlx::Timestamp>],
        &options(|it| it.finalized_at) as &[Option<jiff_sqlx::Timestamp>],
        &options(|it| it.due_at) as &[Option<jiff_sqlx::Timestamp>],
        &options(|it| it.paid_at) as &[Option<jiff_sqlx::Timestamp>],
        &texts(|it| &it.memo),
        &invoices.iter().map(|it| it.parties.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the next numbers of the tenant and mode and returns the last of them. Others wait until the transaction ends, so
/// that no number is left out.
pub async fn take_sequence(tx: &mut TenantTx, count: i64) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- invoices::take_sequence
        INSERT INTO invoice_sequences AS s (tenant_id, livemode, last) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id, livemode) DO UPDATE SET last = s.last + $3
        RETURNING last",
        tenant,
        livemode,
        count,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.last)
}

/// Writes everything of an invoice that may change: all of a draft, and the state and settlement of an issued one. That
/// it was sent is noted by itself.
pub async fn update(tx: &mut TenantTx, invoice: &Invoice) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let time = |at: Option<Timestamp>| at.map(ToSqlx::to_sqlx);
    sqlx::query!(
        "-- invoices::update
        UPDATE invoices
        SET status = $4, sequence = $5, number = $6, subtotal_minor = $7, discount_minor = $8, tax_minor = $9, tax_behavior = $10,
            total_minor = $11, paid_minor = $12, balance_applied_minor = $13, credited_minor = $14, finalize_at = $15, finalized_at = $16,
            due_at = $17, paid_at = $18, voided_at = $19, failed_attempts = $20, first_failed_at = $21, memo = $22, parties = $23
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        invoice.id.uuid(),
        invoice.status,
        invoice.sequence,
        invoice.number,
        invoice.subtotal_minor,
        invoice.discount_minor,
        invoice.tax_minor,
        invoice.tax_behavior,
        invoice.total_minor,
        invoice.paid_minor,
        invoice.balance_applied_minor,
        invoice.credited_minor,
        time(invoice.finalize_at) as Option<jiff_sqlx::Timestamp>,
        time(invoice.finalized_at) as Option<jiff_sqlx::Timestamp>,
        time(invoice.due_at) as Option<jiff_sqlx::Timestamp>,
        time(invoice.paid_at) as Option<jiff_sqlx::Timestamp>,
        time(invoice.voided_at) as Option<jiff_sqlx::Timestamp>,
        invoice.failed_attempts,
        time(invoice.first_failed_at) as Option<jiff_sqlx::Timestamp>,
        invoice.memo,
        invoice.parties,
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
        SELECT id, customer_id, subscription_id, kind, status, sequence, number, currency, period_start, period_end, subtotal_minor, discount_minor,
            tax_minor, tax_behavior, total_minor, paid_minor, balance_applied_minor, credited_minor, created_at, finalize_at,
            finalized_at, due_at, paid_at, voided_at, sent_at, failed_attempts, first_failed_at, memo, parties
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
        SELECT id, customer_id, subscription_id, kind, status, sequence, number, currency, period_start, period_end, subtotal_minor, discount_minor,
            tax_minor, tax_behavior, total_minor, paid_minor, balance_applied_minor, credited_minor, created_at, finalize_at,
            finalized_at, due_at, paid_at, voided_at, sent_at, failed_attempts, first_failed_at, memo, parties
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
        SELECT id, customer_id, subscription_id, kind, status, sequence, number, currency, period_start, period_end, subtotal_minor, discount_minor,
            tax_minor, tax_behavior, total_minor, paid_minor, balance_applied_minor, credited_minor, created_at, finalize_at,
            finalized_at, due_at, paid_at, voided_at, sent_at, failed_attempts, first_failed_at, memo, parties
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

/// Whether a subscription has an issued invoice that collecting has failed for and that is still owed.
pub async fn any_failed(tx: &mut TenantTx, subscription: SubscriptionId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- invoices::any_failed
        SELECT EXISTS (
            SELECT FROM invoices
            WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = $3 AND status = 'finalized' AND failed_attempts > 0
        ) AS "any!""#,
        tenant,
        livemode,
        subscription.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.any)
}

/// Notes that an invoice was sent.
pub async fn mark_sent(tx: &mut TenantTx, invoice: InvoiceId, at: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- invoices::mark_sent
        UPDATE invoices SET sent_at = $4 WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        invoice.uuid(),
        at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes a name in place of everything that the invoices of a customer say of the person.
pub async fn erase_customer(tx: &mut TenantTx, customer: CustomerId, name: &str) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- invoices::erase_customer
        UPDATE invoices SET parties = parties || jsonb_build_object('customer', jsonb_build_object('name', $4::text))
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3",
        tenant,
        livemode,
        customer.uuid(),
        name,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
