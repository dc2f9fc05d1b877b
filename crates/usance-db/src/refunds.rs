//! Refunds: what of a payment is paid back.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CreditNoteId, CustomerId, InvoiceId, PaymentId, RefundId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A refund as stored.
#[derive(Debug, Clone)]
pub struct Refund {
    /// Its id; also the idempotency key at the gateway.
    pub id: RefundId,
    /// What it pays back.
    pub payment_id: PaymentId,
    /// To whom.
    pub customer_id: CustomerId,
    /// The credit note that asked for it.
    pub credit_note_id: Option<CreditNoteId>,
    /// Through which gateway.
    pub gateway: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub amount_minor: i64,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    pub status: String,
    /// `duplicate`, `fraudulent`, `order_change`, `product_unsatisfactory` or `other`.
    pub reason: String,
    /// The gateway's name for it.
    pub gateway_reference: Option<String>,
    /// Why it failed.
    pub failure_code: Option<String>,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// When the gateway was last asked for it, by the wall clock.
    pub sent_at: Option<Timestamp>,
}

/// What of an invoice's payments was given back, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    /// Refunded, or on its way.
    pub refunded_minor: i64,
    /// Put to the customer's credit balance by credit notes.
    pub to_balance_minor: i64,
}

struct Row {
    id: Uuid,
    payment_id: Uuid,
    customer_id: Uuid,
    credit_note_id: Option<Uuid>,
    gateway: String,
    currency: String,
    amount_minor: i64,
    status: String,
    reason: String,
    gateway_reference: Option<String>,
    failure_code: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    sent_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Refund {
    fn from(row: Row) -> Self {
        Self {
            id: RefundId::from_uuid(row.id),
            payment_id: PaymentId::from_uuid(row.payment_id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            credit_note_id: row.credit_note_id.map(CreditNoteId::from_uuid),
            gateway: row.gateway,
            currency: row.currency,
            amount_minor: row.amount_minor,
            status: row.status,
            reason: row.reason,
            gateway_reference: row.gateway_reference,
            failure_code: row.failure_code,
            created_at: row.created_at.to_jiff(),
            sent_at: row.sent_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a refund. The database refuses what exceeds the payment.
pub async fn insert(tx: &mut TenantTx, refund: &Refund, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- refunds::insert
        INSERT INTO refunds
            (tenant_id, livemode, id, payment_id, customer_id, credit_note_id, gateway, currency, amount_minor, status, reason,
             created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        tenant,
        livemode,
        refund.id.uuid(),
        refund.payment_id.uuid(),
        refund.customer_id.uuid(),
        refund.credit_note_id.map(CreditNoteId::uuid),
        refund.gateway,
        refund.currency,
        refund.amount_minor,
        refund.status,
        refund.reason,
        refund.created_at.to_sqlx(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a refund.
pub async fn find(tx: &mut TenantTx, id: RefundId) -> Result<Option<Refund>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- refunds::find
        SELECT id, payment_id, customer_id, credit_note_id, gateway, currency, amount_minor, status, reason, gateway_reference,
            failure_code, created_at, sent_at
        FROM refunds
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Refund::from))
}

/// Finds a refund and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: RefundId) -> Result<Option<Refund>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- refunds::lock
        SELECT id, payment_id, customer_id, credit_note_id, gateway, currency, amount_minor, status, reason, gateway_reference,
            failure_code, created_at, sent_at
        FROM refunds
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Refund::from))
}

/// Lists refunds, of one customer, of one payment, or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<CustomerId>,
    payment: Option<PaymentId>,
    page: PageRequest,
) -> Result<Page<Refund>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- refunds::list
        SELECT id, payment_id, customer_id, credit_note_id, gateway, currency, amount_minor, status, reason, gateway_reference,
            failure_code, created_at, sent_at
        FROM refunds
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR customer_id = $3)
            AND ($4::uuid IS NULL OR payment_id = $4) AND ($5::uuid IS NULL OR id < $5)
        ORDER BY id DESC
        LIMIT $6",
        tenant,
        livemode,
        customer.map(CustomerId::uuid),
        payment.map(PaymentId::uuid),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Notes how a refund stands.
pub async fn set_status(tx: &mut TenantTx, refund: &Refund, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- refunds::set_status
        UPDATE refunds SET status = $4, gateway_reference = $5, failure_code = $6, sent_at = $7, updated_at = $8
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        refund.id.uuid(),
        refund.status,
        refund.gateway_reference,
        refund.failure_code,
        refund.sent_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Sums what of an invoice was given back, in one look: a refund that fails moves its amount to the balance. The invoice
/// must be locked, so that nothing more is given back meanwhile.
pub async fn given_back(tx: &mut TenantTx, invoice: InvoiceId) -> Result<GivenBack, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- refunds::given_back
        SELECT
            (
                SELECT coalesce(sum(r.amount_minor), 0)::bigint
                FROM payments p
                JOIN refunds r ON r.tenant_id = p.tenant_id AND r.livemode = p.livemode AND r.payment_id = p.id
                WHERE p.tenant_id = $1 AND p.livemode = $2 AND p.invoice_id = $3 AND r.status <> 'failed'
            ) AS "refunded!",
            (
                SELECT coalesce(sum(e.amount_minor), 0)::bigint
                FROM credit_balance_entries e
                WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.invoice_id = $3 AND e.credit_note_id IS NOT NULL
            ) AS "to_balance!""#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(GivenBack { refunded_minor: row.refunded, to_balance_minor: row.to_balance })
}
