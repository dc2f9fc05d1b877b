//! Members: a tenant's staff, and the refresh tokens of their sessions.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::MemberId;
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A member as stored.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Lower case, unique in the tenant.
    pub email: String,
    /// PHC string of Argon2id.
    pub password_hash: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// `owner`, `admin`, `developer` or `viewer`.
    pub role: String,
    /// Whether the member may sign in.
    pub is_active: bool,
    /// UTC.
    pub created_at: Timestamp,
}

/// A refresh token as stored.
#[derive(Debug)]
pub struct NewRefreshToken {
    /// Its id.
    pub id: Uuid,
    /// All tokens that descend from one sign-in.
    pub family_id: Uuid,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// UTC.
    pub expires_at: Timestamp,
    /// UTC.
    pub created_at: Timestamp,
}

/// Adds a member. Conflict: `members_email_key`.
pub async fn insert(tx: &mut TenantTx, member: &Member) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::insert
        INSERT INTO members (tenant_id, id, email, password_hash, first_name, last_name, role, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        tenant,
        member.id.uuid(),
        member.email,
        member.password_hash,
        member.first_name,
        member.last_name,
        member.role,
        member.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds an active member's role.
pub async fn find_active_role(tx: &mut TenantTx, id: MemberId) -> Result<Option<String>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- members::find_active_role
        SELECT m.role FROM members m JOIN tenants t USING (tenant_id)
        WHERE m.tenant_id = $1 AND m.id = $2 AND m.is_active AND t.is_active",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| row.role))
}

/// Adds a refresh token of a member.
pub async fn insert_refresh_token(
    tx: &mut TenantTx,
    member: MemberId,
    token: &NewRefreshToken,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::insert_refresh_token
        INSERT INTO refresh_tokens (tenant_id, id, member_id, family_id, token_hash, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant,
        token.id,
        member.uuid(),
        token.family_id,
        token.token_hash,
        token.expires_at.to_sqlx(),
        token.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
