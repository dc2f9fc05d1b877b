//! Customers.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::ids::CustomerId;
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A customer as stored.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The tenant's own name for it, unique in the tenant and mode.
    pub external_id: Option<String>,
    /// For people.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// IANA name; billing periods are computed in it.
    pub time_zone: String,
    /// `{"rates": [{"name", "percent"}]}`, `{"region": "eu"}` or `{"exempt": true}`.
    pub tax: Value,
    /// Postal address.
    pub address: Value,
    /// The tenant's own data.
    pub metadata: Value,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

struct Row {
    id: Uuid,
    external_id: Option<String>,
    name: String,
    email: Option<String>,
    currency: String,
    time_zone: String,
    tax: Value,
    address: Value,
    metadata: Value,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Customer {
    fn from(row: Row) -> Self {
        Self {
            id: CustomerId::from_uuid(row.id),
            external_id: row.external_id,
            name: row.name,
            email: row.email,
            currency: row.currency,
            time_zone: row.time_zone,
            tax: row.tax,
            address: row.address,
            metadata: row.metadata,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Adds a customer. Conflict: `customers_external_id_key`.
pub async fn insert(tx: &mut TenantTx, customer: &Customer) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customers::insert
        INSERT INTO customers
            (tenant_id, livemode, id, external_id, name, email, currency, time_zone, tax, address, metadata, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        tenant,
        livemode,
        customer.id.uuid(),
        customer.external_id,
        customer.name,
        customer.email,
        customer.currency,
        customer.time_zone,
        customer.tax,
        customer.address,
        customer.metadata,
        customer.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds customers by their ids, in no order.
pub async fn find_many(tx: &mut TenantTx, ids: &[CustomerId]) -> Result<Vec<Customer>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- customers::find_many
        SELECT id, external_id, name, email, currency, time_zone, tax, address, metadata, created_at, updated_at
        FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)",
        tenant,
        livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Customer::from).collect())
}

/// Finds a customer by id.
pub async fn find(tx: &mut TenantTx, id: CustomerId) -> Result<Option<Customer>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- customers::find
        SELECT id, external_id, name, email, currency, time_zone, tax, address, metadata, created_at, updated_at
        FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3 AND deleted_at IS NULL",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Customer::from))
}

/// Finds a customer by the tenant's own name for it.
pub async fn find_by_external_id(tx: &mut TenantTx, external_id: &str) -> Result<Option<Customer>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- customers::find_by_external_id
        SELECT id, external_id, name, email, currency, time_zone, tax, address, metadata, created_at, updated_at
        FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND external_id = $3 AND deleted_at IS NULL",
        tenant,
        livemode,
        external_id,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Customer::from))
}

/// Finds the customers with an e-mail address, in any case; two at most.
pub async fn find_by_email(tx: &mut TenantTx, email: &str) -> Result<Vec<CustomerId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- customers::find_by_email
        SELECT id FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND lower(email) = lower($3) AND deleted_at IS NULL
        LIMIT 2",
        tenant,
        livemode,
        email,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| CustomerId::from_uuid(row.id)).collect())
}

/// Keeps others from changing what belongs to a customer until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: CustomerId) -> Result<(), DbError> {
    lock_many(tx, &[id]).await
}

/// Keeps others from changing what belongs to customers until the transaction ends.
pub async fn lock_many(tx: &mut TenantTx, ids: &[CustomerId]) -> Result<(), DbError> {
    if ids.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customers::lock_many
        SELECT id FROM customers WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3) ORDER BY id FOR NO KEY UPDATE",
        tenant,
        livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(())
}

/// Whether a customer is taxed by the rates of this region.
pub async fn any_in_tax_region(tx: &mut TenantTx, region: &str) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- customers::any_in_tax_region
        SELECT id FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND tax ? 'region' AND tax ->> 'region' = $3 AND deleted_at IS NULL
        LIMIT 1",
        tenant,
        livemode,
        region,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Lists customers.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Customer>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- customers::list
        SELECT id, external_id, name, email, currency, time_zone, tax, address, metadata, created_at, updated_at
        FROM customers
        WHERE tenant_id = $1 AND livemode = $2 AND deleted_at IS NULL AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $4",
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Changes everything that may change of a customer. Conflict: `customers_external_id_key`.
pub async fn update(tx: &mut TenantTx, customer: &Customer) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customers::update
        UPDATE customers
        SET external_id = $4, name = $5, email = $6, time_zone = $7, tax = $8, address = $9, metadata = $10, updated_at = $11
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        customer.id.uuid(),
        customer.external_id,
        customer.name,
        customer.email,
        customer.time_zone,
        customer.tax,
        customer.address,
        customer.metadata,
        customer.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Erases the personal fields of a customer and hides it; hashes, amounts and invoices stay.
pub async fn erase(tx: &mut TenantTx, id: CustomerId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customers::erase
        UPDATE customers
        SET external_id = NULL, name = '', email = NULL, address = '{}', metadata = '{}', deleted_at = $4, updated_at = $4
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
