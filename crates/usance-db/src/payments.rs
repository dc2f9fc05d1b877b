//! Payments: attempts to collect an invoice.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, InvoiceId, PaymentId, PaymentMethodId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A payment as stored.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its id; also the idempotency key at the gateway.
    pub id: PaymentId,
    /// What it pays.
    pub invoice_id: InvoiceId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// With what.
    pub payment_method_id: PaymentMethodId,
    /// Through which gateway.
    pub gateway: String,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    pub status: String,
    /// In minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The gateway's name for the charge.
    pub gateway_reference: Option<String>,
    /// Why it failed.
    pub failure_code: Option<String>,
    /// What of it was given back or is on its way, in minor units; read only.
    pub refunded_minor: i64,
    /// UTC.
    pub created_at: Timestamp,
}

struct Row {
    id: Uuid,
    invoice_id: Uuid,
    customer_id: Uuid,
    payment_method_id: Uuid,
    gateway: String,
    status: String,
    amount_minor: i64,
    currency: String,
    gateway_reference: Option<String>,
    failure_code: Option<String>,
    refunded_minor: i64,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Payment {
    fn from(row: Row) -> Self {
        Self {
            id: PaymentId::from_uuid(row.id),
            invoice_id: InvoiceId::from_uuid(row.invoice_id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            payment_method_id: PaymentMethodId::from_uuid(row.payment_method_id),
            gateway: row.gateway,
            status: row.status,
            amount_minor: row.amount_minor,
            currency: row.currency,
            gateway_reference: row.gateway_reference,
            failure_code: row.failure_code,
            refunded_minor: row.refunded_minor,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds a payment. Conflict: `payments_invoice_id_key`, while another may have taken money.
pub async fn insert(tx: &mut TenantTx, payment: &Payment) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- payments::insert
        INSERT INTO payments
            (tenant_id, livemode, id, invoice_id, customer_id, payment_method_id, gateway, status, amount_minor, currency,
             created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        tenant,
        livemode,
        payment.id.uuid(),
        payment.invoice_id.uuid(),
        payment.customer_id.uuid(),
        payment.payment_method_id.uuid(),
        payment.gateway,
        payment.status,
        payment.amount_minor,
        payment.currency,
        payment.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the payment that has taken an invoice's money, or may have.
pub async fn find_effective(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Option<Payment>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- payments::find_effective
        SELECT id, invoice_id, customer_id, payment_method_id, gateway, status, amount_minor, currency, gateway_reference,
            failure_code, (
                SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM refunds r
                WHERE r.tenant_id = p.tenant_id AND r.livemode = p.livemode AND r.payment_id = p.id AND r.status <> 'failed'
            ) AS "refunded_minor!", created_at
        FROM payments p
        WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = $3 AND status <> 'failed'"#,
        tenant,
        livemode,
        invoice.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Payment::from))
}

/// Finds a payment.
pub async fn find(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- payments::find
        SELECT id, invoice_id, customer_id, payment_method_id, gateway, status, amount_minor, currency, gateway_reference,
            failure_code, (
                SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM refunds r
                WHERE r.tenant_id = p.tenant_id AND r.livemode = p.livemode AND r.payment_id = p.id AND r.status <> 'failed'
            ) AS "refunded_minor!", created_at
        FROM payments p
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3"#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Payment::from))
}

/// Finds a payment and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- payments::lock
        SELECT id, invoice_id, customer_id, payment_method_id, gateway, status, amount_minor, currency, gateway_reference,
            failure_code, (
                SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM refunds r
                WHERE r.tenant_id = p.tenant_id AND r.livemode = p.livemode AND r.payment_id = p.id AND r.status <> 'failed'
            ) AS "refunded_minor!", created_at
        FROM payments p
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE OF p"#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Payment::from))
}

/// Lists payments, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<CustomerId>,
    page: PageRequest,
) -> Result<Page<Payment>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- payments::list
        SELECT id, invoice_id, customer_id, payment_method_id, gateway, status, amount_minor, currency, gateway_reference,
            failure_code, (
                SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM refunds r
                WHERE r.tenant_id = p.tenant_id AND r.livemode = p.livemode AND r.payment_id = p.id AND r.status <> 'failed'
            ) AS "refunded_minor!", created_at
        FROM payments p
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR customer_id = $3) AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5"#,
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

/// Notes how a payment stands.
pub async fn set_status(tx: &mut TenantTx, payment: &Payment, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- payments::set_status
        UPDATE payments SET status = $4, gateway_reference = $5, failure_code = $6, updated_at = $7
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        payment.id.uuid(),
        payment.status,
        payment.gateway_reference,
        payment.failure_code,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
