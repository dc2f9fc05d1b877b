//! Payment methods of customers.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, PaymentMethodId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A payment method as stored; the gateway holds the card.
#[derive(Debug, Clone)]
pub struct PaymentMethod {
    /// Its id.
    pub id: PaymentMethodId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Which gateway charges it.
    pub gateway: String,
    /// `card`, `bank_transfer`, `paypal` or `wallet`.
    pub kind: String,
    /// The gateway's name for it.
    pub gateway_reference: String,
    /// Of a card.
    pub brand: Option<String>,
    /// Of a card.
    pub last4: Option<String>,
    /// UTC.
    pub created_at: Timestamp,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    gateway: String,
    kind: String,
    gateway_reference: String,
    brand: Option<String>,
    last4: Option<String>,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for PaymentMethod {
    fn from(row: Row) -> Self {
        Self {
            id: PaymentMethodId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            gateway: row.gateway,
            kind: row.kind,
            gateway_reference: row.gateway_reference,
            brand: row.brand,
            last4: row.last4,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds a payment method.
pub async fn insert(tx: &mut TenantTx, method: &PaymentMethod) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- payment_methods::insert
        INSERT INTO payment_methods (tenant_id, livemode, id, customer_id, gateway, type, gateway_reference, brand, last4, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant,
        livemode,
        method.id.uuid(),
        method.customer_id.uuid(),
        method.gateway,
        method.kind,
        method.gateway_reference,
        method.brand,
        method.last4,
        method.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a payment method, removed or not: a payment that is under way still needs it.
pub async fn find(tx: &mut TenantTx, id: PaymentMethodId) -> Result<Option<PaymentMethod>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- payment_methods::find
        SELECT id, customer_id, gateway, type AS kind, gateway_reference, brand, last4, created_at
        FROM payment_methods
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(PaymentMethod::from))
}

/// Finds which of the customers have a payment method in use.
pub async fn list_owners(tx: &mut TenantTx, customers: &[CustomerId]) -> Result<Vec<CustomerId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- payment_methods::list_owners
        SELECT DISTINCT customer_id FROM payment_methods
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = ANY($3) AND deleted_at IS NULL",
        tenant,
        livemode,
        &customers.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| CustomerId::from_uuid(row.customer_id)).collect())
}

/// Lists a customer's payment methods; the newest is the one that is charged.
pub async fn list(
    tx: &mut TenantTx,
    customer: CustomerId,
    page: PageRequest,
) -> Result<Page<PaymentMethod>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- payment_methods::list
        SELECT id, customer_id, gateway, type AS kind, gateway_reference, brand, last4, created_at
        FROM payment_methods
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND deleted_at IS NULL AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Removes a customer's payment method from use; false if it is not there.
pub async fn remove(
    tx: &mut TenantTx,
    customer: CustomerId,
    id: PaymentMethodId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let result = sqlx::query!(
        "-- payment_methods::remove
        UPDATE payment_methods SET deleted_at = $5
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND customer_id = $4 AND deleted_at IS NULL",
        tenant,
        livemode,
        id.uuid(),
        customer.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}
