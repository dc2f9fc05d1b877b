//! Tokens by which customers read what is their own.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, CustomerTokenId};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// Tokens that one answer lists, and one end of many takes.
const LISTED_MAX: i64 = 1_000;

/// A token as stored; what is presented is not part of it.
#[derive(Debug, Clone, Copy)]
pub struct CustomerToken {
    /// Its id.
    pub id: CustomerTokenId,
    /// Whose rows it reaches.
    pub customer: CustomerId,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub expires_at: Timestamp,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

impl From<Row> for CustomerToken {
    fn from(row: Row) -> Self {
        Self {
            id: CustomerTokenId::from_uuid(row.id),
            customer: CustomerId::from_uuid(row.customer_id),
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
        }
    }
}

/// A token that works, and both names of its customer.
#[derive(Debug, Clone)]
pub struct PresentedToken {
    /// The token's id.
    pub id: CustomerTokenId,
    /// Whose rows it reaches.
    pub customer: CustomerId,
    /// The tenant's own name for the customer.
    pub external_id: Option<String>,
}

/// Adds a token.
pub async fn insert(tx: &mut TenantTx, token: &CustomerToken, token_hash: &[u8]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customer_tokens::insert
        INSERT INTO customer_tokens (tenant_id, livemode, id, customer_id, token_hash, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant,
        livemode,
        token.id.uuid(),
        token.customer.uuid(),
        token_hash,
        token.created_at.to_sqlx(),
        token.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a token that works. That of an erased customer does not, nor does one of a tenant that is not active.
pub async fn find_working(
    tx: &mut TenantTx,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<PresentedToken>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- customer_tokens::find_working
        SELECT k.id, k.customer_id, c.external_id
        FROM customer_tokens k
        JOIN customers c ON c.tenant_id = k.tenant_id AND c.livemode = k.livemode AND c.id = k.customer_id
        JOIN tenants t ON t.tenant_id = k.tenant_id
        WHERE k.tenant_id = $1 AND k.livemode = $2 AND k.token_hash = $3 AND k.revoked_at IS NULL AND k.expires_at > $4
            AND c.deleted_at IS NULL AND t.is_active",
        tenant,
        livemode,
        token_hash,
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| PresentedToken {
        id: CustomerTokenId::from_uuid(row.id),
        customer: CustomerId::from_uuid(row.customer_id),
        external_id: row.external_id,
    }))
}

/// Lists the tokens of a customer that work, the newest first.
pub async fn list_working(
    tx: &mut TenantTx,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Vec<CustomerToken>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- customer_tokens::list_working
        SELECT id, customer_id, created_at, expires_at
        FROM customer_tokens
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND revoked_at IS NULL AND expires_at > $4
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.uuid(),
        now.to_sqlx(),
        LISTED_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(CustomerToken::from).collect())
}

/// Ends a token of a customer. Returns `false` where none of it works.
pub async fn revoke(
    tx: &mut TenantTx,
    customer: CustomerId,
    id: CustomerTokenId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let revoked = sqlx::query!(
        "-- customer_tokens::revoke
        UPDATE customer_tokens SET revoked_at = $5
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND id = $4 AND revoked_at IS NULL AND expires_at > $5",
        tenant,
        livemode,
        customer.uuid(),
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(revoked.rows_affected() == 1)
}

/// Removes all tokens of a customer.
pub async fn delete_all(tx: &mut TenantTx, customer: CustomerId) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customer_tokens::delete_all
        DELETE FROM customer_tokens WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3",
        tenant,
        livemode,
        customer.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes tokens of a customer that have long stopped working.
pub async fn purge(tx: &mut TenantTx, customer: CustomerId, before: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- customer_tokens::purge
        DELETE FROM customer_tokens
        WHERE tenant_id = $1 AND livemode = $2 AND id IN (
            SELECT id FROM customer_tokens
            WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND expires_at < $4
            LIMIT $5
        )",
        tenant,
        livemode,
        customer.uuid(),
        before.to_sqlx(),
        LISTED_MAX,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
