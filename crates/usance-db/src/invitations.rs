//! Invitations to a tenant's staff.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{InvitationId, MemberId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// An invitation as stored; its token is not part of it.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Lower case.
    pub email: String,
    /// `owner`, `admin`, `developer` or `viewer`.
    pub role: String,
    /// Who invited.
    pub invited_by: MemberId,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub expires_at: Timestamp,
    /// When it became a member.
    pub accepted_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    email: String,
    role: String,
    invited_by: Uuid,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    accepted_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            id: InvitationId::from_uuid(row.id),
            email: row.email,
            role: row.role,
            invited_by: MemberId::from_uuid(row.invited_by),
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            accepted_at: row.accepted_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_at: row.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds an invitation with the token that the inviter is shown and the one that is mailed. Conflict: `invitations_open_key`.
pub async fn insert(
    tx: &mut TenantTx,
    invitation: &Invitation,
    token_hash: &[u8],
    mailed_token_hash: &[u8],
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- invitations::insert
        INSERT INTO invitations (tenant_id, id, email, role, token_hash, mailed_token_hash, invited_by, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        invitation.id.uuid(),
        invitation.email,
        invitation.role,
        token_hash,
        mailed_token_hash,
        invitation.invited_by.uuid(),
        invitation.created_at.to_sqlx(),
        invitation.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists invitations, newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Invitation>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- invitations::list
        SELECT id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
        FROM invitations
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
        ORDER BY id DESC
        LIMIT $3",
        tenant,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Finds an invitation and locks it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: InvitationId) -> Result<Option<Invitation>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- invitations::lock
        SELECT id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
        FROM invitations
        WHERE tenant_id = $1 AND id = $2
        FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Invitation::from))
}

/// Finds an open invitation by either of its tokens and locks it until the transaction ends. Tells whether the token is the one
/// that was mailed.
pub async fn lock_open(
    tx: &mut TenantTx,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<(Invitation, bool)>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- invitations::lock_open
        SELECT id, email, role, invited_by, created_at, expires_at,
            coalesce(mailed_token_hash = $2, false) AS "was_mailed!"
        FROM invitations
        WHERE tenant_id = $1 AND (token_hash = $2 OR mailed_token_hash = $2) AND accepted_at IS NULL AND revoked_at IS NULL
            AND expires_at > $3
        FOR UPDATE"#,
        tenant,
        token_hash,
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| {
        let invitation = Invitation {
            id: InvitationId::from_uuid(row.id),
            email: row.email,
            role: row.role,
            invited_by: MemberId::from_uuid(row.invited_by),
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            accepted_at: None,
            revoked_at: None,
        };
        (invitation, row.was_mailed)
    }))
}

/// Notes that an invitation was accepted.
pub async fn accept(tx: &mut TenantTx, id: InvitationId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- invitations::accept
        UPDATE invitations SET accepted_at = $3 WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes back the open invitation of an address that has expired, so that another one can be made.
pub async fn revoke_expired(tx: &mut TenantTx, email: &str, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- invitations::revoke_expired
        UPDATE invitations SET revoked_at = $3
        WHERE tenant_id = $1 AND email = $2 AND expires_at <= $3 AND accepted_at IS NULL AND revoked_at IS NULL",
        tenant,
        email,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes an invitation back.
pub async fn revoke(tx: &mut TenantTx, id: InvitationId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- invitations::revoke
        UPDATE invitations SET revoked_at = $3
        WHERE tenant_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL",
        tenant,
        id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
