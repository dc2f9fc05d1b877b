//! Issuers that a tenant trusts to say who somebody is, and whom their subjects are known as.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, IdentityProviderId, MemberId, TenantId};
use uuid::Uuid;

use crate::{DbError, SystemTx, TenantTx};

/// A provider as stored.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Its id.
    pub id: IdentityProviderId,
    /// For people.
    pub name: String,
    /// `members` or `customers`.
    pub audience: String,
    /// `test` or `live`: whose customers sign in; none for members.
    pub mode: Option<String>,
    /// As in the issuer's own discovery document.
    pub issuer: String,
    /// What the issuer knows us as.
    pub client_id: String,
    /// Encrypted; none for a public client.
    pub client_secret_sealed: Option<Vec<u8>>,
    /// The currency of customers who sign up by signing in; none where they do not.
    pub sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here.
    pub trusts_second_factor: bool,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

struct Row {
    id: Uuid,
    name: String,
    audience: String,
    mode: Option<String>,
    issuer: String,
    client_id: String,
    client_secret_sealed: Option<Vec<u8>>,
    sign_up_currency: Option<String>,
    trusts_second_factor: bool,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for IdentityProvider {
    fn from(row: Row) -> Self {
        Self {
            id: IdentityProviderId::from_uuid(row.id),
            name: row.name,
            audience: row.audience,
            mode: row.mode,
            issuer: row.issuer,
            client_id: row.client_id,
            client_secret_sealed: row.client_secret_sealed,
            sign_up_currency: row.sign_up_currency,
            trusts_second_factor: row.trusts_second_factor,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Whom a subject is known as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A member of the staff.
    Member(MemberId),
    /// A customer of the provider's mode.
    Customer(CustomerId),
}

/// Finds the tenant of a provider.
pub async fn find_tenant(tx: &mut SystemTx, id: IdentityProviderId) -> Result<Option<TenantId>, DbError> {
    let row = sqlx::query!(
        "-- identity_providers::find_tenant
        SELECT tenant_id FROM identity_providers WHERE id = $1 AND deleted_at IS NULL",
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| TenantId::from_uuid(row.tenant_id)))
}

/// Adds a provider.
pub async fn insert(tx: &mut TenantTx, provider: &IdentityProvider) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- identity_providers::insert
        INSERT INTO identity_providers
            (tenant_id, id, name, audience, mode, issuer, client_id, client_secret_sealed, sign_up_currency,
                trusts_second_factor, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant,
        provider.id.uuid(),
        provider.name,
        provider.audience,
        provider.mode,
        provider.issuer,
        provider.client_id,
        provider.client_secret_sealed,
        provider.sign_up_currency,
        provider.trusts_second_factor,
        provider.created_at.to_sqlx(),
        provider.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the providers, the oldest first.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<IdentityProvider>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- identity_providers::list
        SELECT id, name, audience, mode, issuer, client_id, client_secret_sealed, sign_up_currency, trusts_second_factor, created_at,
            updated_at
        FROM identity_providers
        WHERE tenant_id = $1 AND deleted_at IS NULL
        ORDER BY id",
        tenant,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(IdentityProvider::from).collect())
}

/// Finds a provider.
pub async fn find(tx: &mut TenantTx, id: IdentityProviderId) -> Result<Option<IdentityProvider>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- identity_providers::find
        SELECT id, name, audience, mode, issuer, client_id, client_secret_sealed, sign_up_currency, trusts_second_factor, created_at,
            updated_at
        FROM identity_providers
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(IdentityProvider::from))
}

/// Finds a provider and keeps it from being changed or removed until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: IdentityProviderId) -> Result<Option<IdentityProvider>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- identity_providers::lock
        SELECT id, name, audience, mode, issuer, client_id, client_secret_sealed, sign_up_currency, trusts_second_factor, created_at,
            updated_at
        FROM identity_providers
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
        FOR NO KEY UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(IdentityProvider::from))
}

/// Stores what changes about a provider. Its issuer, its audience and its mode never change: its subjects are of them.
pub async fn update(tx: &mut TenantTx, provider: &IdentityProvider) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- identity_providers::update
        UPDATE identity_providers
        SET name = $3, client_id = $4, client_secret_sealed = $5, sign_up_currency = $6, trusts_second_factor = $7, updated_at = $8
        WHERE tenant_id = $1 AND id = $2",
        tenant,
        provider.id.uuid(),
        provider.name,
        provider.client_id,
        provider.client_secret_sealed,
        provider.sign_up_currency,
        provider.trusts_second_factor,
        provider.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes a provider and forgets its secret. Nobody signs in by it any more.
pub async fn delete(tx: &mut TenantTx, id: IdentityProviderId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- identity_providers::delete
        UPDATE identity_providers SET client_secret_sealed = NULL, deleted_at = $3, updated_at = $3
        WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets by whom a customer is known.
pub async fn unlink_customer(tx: &mut TenantTx, customer: CustomerId) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- identity_providers::unlink_customer
        DELETE FROM identities WHERE tenant_id = $1 AND customer_id = $2 AND is_live = $3",
        tenant,
        customer.uuid(),
        livemode,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets by whom a member is known.
pub async fn unlink_member(tx: &mut TenantTx, member: MemberId) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- identity_providers::unlink_member
        DELETE FROM identities WHERE tenant_id = $1 AND member_id = $2",
        tenant,
        member.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds whom a subject is known as.
pub async fn find_identity(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
) -> Result<Option<Identity>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- identity_providers::find_identity
        SELECT member_id, customer_id FROM identities WHERE tenant_id = $1 AND provider_id = $2 AND subject = $3",
        tenant,
        provider.uuid(),
        subject,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.and_then(|row| {
        let member = row.member_id.map(|id| Identity::Member(MemberId::from_uuid(id)));
        member.or(row.customer_id.map(|id| Identity::Customer(CustomerId::from_uuid(id))))
    }))
}

/// Links a subject. Returns `false` where it is linked already, or somebody else's subject is linked to the same identity.
pub async fn link(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
    identity: Identity,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let (member, customer) = match identity {
        Identity::Member(id) => (Some(id.uuid()), None),
        Identity::Customer(id) => (None, Some(id.uuid())),
    };
    let linked = sqlx::query!(
        "-- identity_providers::link
        INSERT INTO identities (tenant_id, provider_id, subject, member_id, customer_id, is_live, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING",
        tenant,
        provider.uuid(),
        subject,
        member,
        customer,
        customer.map(|_| livemode),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(linked.rows_affected() == 1)
}
