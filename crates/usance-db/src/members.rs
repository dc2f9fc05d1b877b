//! Members: a tenant's staff.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{MemberId, TenantId};
use uuid::Uuid;

use crate::{DbError, SystemTx, TenantTx};

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
    /// When it was known that the member reads what is sent there.
    pub email_verified_at: Option<Timestamp>,
    /// Since when a sign-in needs a second factor.
    pub second_factor_at: Option<Timestamp>,
    /// When the member last signed in.
    pub last_login_at: Option<Timestamp>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

struct Row {
    id: Uuid,
    email: String,
    password_hash: String,
    first_name: String,
    last_name: String,
    role: String,
    is_active: bool,
    email_verified_at: Option<jiff_sqlx::Timestamp>,
    second_factor_at: Option<jiff_sqlx::Timestamp>,
    last_login_at: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Member {
    fn from(row: Row) -> Self {
        Self {
            id: MemberId::from_uuid(row.id),
            email: row.email,
            password_hash: row.password_hash,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
            is_active: row.is_active,
            email_verified_at: row.email_verified_at.map(jiff_sqlx::Timestamp::to_jiff),
            second_factor_at: row.second_factor_at.map(jiff_sqlx::Timestamp::to_jiff),
            last_login_at: row.last_login_at.map(jiff_sqlx::Timestamp::to_jiff),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

/// Adds a member. Conflict: `members_email_key`.
pub async fn insert(tx: &mut TenantTx, member: &Member) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::insert
        INSERT INTO members
            (tenant_id, id, email, password_hash, first_name, last_name, role, email_verified_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        tenant,
        member.id.uuid(),
        member.email,
        member.password_hash,
        member.first_name,
        member.last_name,
        member.role,
        member.email_verified_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        member.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds who signs in with an e-mail address: in the named tenant; without one, where the address was verified, then where it
/// has been a member for longest: anybody may register with the address of somebody else.
pub async fn find_account(
    tx: &mut SystemTx,
    email: &str,
    tenant_slug: Option<&str>,
) -> Result<Option<(TenantId, MemberId)>, DbError> {
    let row = sqlx::query!(
        "-- members::find_account
        SELECT m.tenant_id, m.id
        FROM members m
        JOIN tenants t ON t.tenant_id = m.tenant_id
        WHERE m.email = $1 AND m.is_active AND t.is_active AND ($2::text IS NULL OR t.slug = $2)
        ORDER BY m.email_verified_at IS NULL, m.created_at, m.id
        LIMIT 1",
        email,
        tenant_slug,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (TenantId::from_uuid(row.tenant_id), MemberId::from_uuid(row.id))))
}

/// Finds the accounts that an e-mail address has, in the named tenant or in all: those where it was verified, then the oldest.
pub async fn list_accounts(
    tx: &mut SystemTx,
    email: &str,
    tenant_slug: Option<&str>,
    limit: i64,
) -> Result<Vec<(TenantId, MemberId)>, DbError> {
    let rows = sqlx::query!(
        "-- members::list_accounts
        SELECT m.tenant_id, m.id
        FROM members m
        JOIN tenants t ON t.tenant_id = m.tenant_id
        WHERE m.email = $1 AND m.is_active AND t.is_active AND ($2::text IS NULL OR t.slug = $2)
        ORDER BY m.email_verified_at IS NULL, m.created_at, m.id
        LIMIT $3",
        email,
        tenant_slug,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), MemberId::from_uuid(row.id)))
        .collect())
}

/// Finds a member.
pub async fn find(tx: &mut TenantTx, id: MemberId) -> Result<Option<Member>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- members::find
        SELECT id, email, password_hash, first_name, last_name, role, is_active, email_verified_at, second_factor_at,
            last_login_at, created_at, updated_at
        FROM members
        WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Member::from))
}

/// Finds a member and locks it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: MemberId) -> Result<Option<Member>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- members::lock
        SELECT id, email, password_hash, first_name, last_name, role, is_active, email_verified_at, second_factor_at,
            last_login_at, created_at, updated_at
        FROM members
        WHERE tenant_id = $1 AND id = $2
        FOR NO KEY UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Member::from))
}

/// Finds the member with an e-mail address, which is in lower case.
pub async fn find_by_email(tx: &mut TenantTx, email: &str) -> Result<Option<MemberId>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- members::find_by_email
        SELECT id FROM members WHERE tenant_id = $1 AND email = $2",
        tenant,
        email,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| MemberId::from_uuid(row.id)))
}

/// Notes that a member signed in.
pub async fn note_sign_in(tx: &mut TenantTx, id: MemberId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::note_sign_in
        UPDATE members SET last_login_at = $3 WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that a member reads what is sent to its address, unless that was known.
pub async fn verify_email(tx: &mut TenantTx, id: MemberId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::verify_email
        UPDATE members SET email_verified_at = $3, updated_at = $3
        WHERE tenant_id = $1 AND id = $2 AND email_verified_at IS NULL",
        tenant,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether an owner of the tenant is known to read what is sent to its address.
pub async fn has_verified_owner(tx: &mut TenantTx) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- members::has_verified_owner
        SELECT EXISTS (
            SELECT FROM members
            WHERE tenant_id = $1 AND role = 'owner' AND is_active AND email_verified_at IS NOT NULL
        ) AS "is_verified!""#,
        tenant,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.is_verified)
}

/// Sets a member's password, or the same password hashed anew.
pub async fn set_password(
    tx: &mut TenantTx,
    id: MemberId,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::set_password
        UPDATE members SET password_hash = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        password_hash,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists members, the oldest first, 1000 at most.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Member>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- members::list
        SELECT id, email, password_hash, first_name, last_name, role, is_active, email_verified_at, second_factor_at,
            last_login_at, created_at, updated_at
        FROM members
        WHERE tenant_id = $1
        ORDER BY id
        LIMIT 1000",
        tenant,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Member::from).collect())
}

/// Whether another active owner is there than the one named.
pub async fn has_other_owner(tx: &mut TenantTx, id: MemberId) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- members::has_other_owner
        SELECT id FROM members WHERE tenant_id = $1 AND id <> $2 AND role = 'owner' AND is_active LIMIT 1",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Sets what a member may do, and whether it may sign in.
pub async fn set_access(
    tx: &mut TenantTx,
    id: MemberId,
    role: &str,
    is_active: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- members::set_access
        UPDATE members SET role = $3, is_active = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        role,
        is_active,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
