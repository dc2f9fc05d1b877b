//! Sessions of members, and the refresh tokens that renew them.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{
    access::{PresentedToken, Successor},
    ids::{IdentityProviderId, MemberId, SessionId},
};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A session as stored.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id, and the family of its refresh tokens.
    pub id: SessionId,
    /// Whose it is.
    pub member: MemberId,
    /// Where it began.
    pub address: Option<String>,
    /// What the client said of itself.
    pub user_agent: String,
    /// UTC.
    pub created_at: Timestamp,
    /// When its tokens were last renewed.
    pub last_used_at: Timestamp,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
}

struct Row {
    id: Uuid,
    address: Option<String>,
    user_agent: String,
    created_at: jiff_sqlx::Timestamp,
    last_used_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

/// A refresh token as stored.
#[derive(Debug)]
pub struct NewRefreshToken {
    /// Its id; the access token of the same answer carries it too.
    pub id: Uuid,
    /// Its session.
    pub session: SessionId,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// UTC.
    pub expires_at: Timestamp,
    /// UTC.
    pub created_at: Timestamp,
}

/// A member whose access token is honoured.
#[derive(Debug)]
pub struct ActiveMember {
    /// `owner`, `admin`, `developer` or `viewer`.
    pub role: String,
    /// Whether the access token was used before.
    pub access_used: bool,
    /// Whether the tenant wants a second factor that the member has not.
    pub must_enrol: bool,
}

/// A refresh token that was found, locked.
#[derive(Debug)]
pub struct LockedToken {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub member: MemberId,
    /// Its session.
    pub session: SessionId,
    /// Whether session, member and tenant are still active.
    pub is_active: bool,
    /// The token that the last answer carried.
    pub successor_id: Option<Uuid>,
    /// What decides about it.
    pub state: PresentedToken,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedReason {
    /// The member signed out.
    SignedOut,
    /// The member ended it from another session.
    Revoked,
    /// The password was changed.
    PasswordChanged,
    /// One of its refresh tokens was used twice.
    TokenReused,
    /// The member was deactivated, or its second factor was turned on or taken away.
    MemberChanged,
}

impl RevokedReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::PasswordChanged => "password_changed",
            Self::TokenReused => "token_reused",
            Self::MemberChanged => "member_changed",
        }
    }
}

/// Adds a session.
pub async fn insert(tx: &mut TenantTx, session: &Session) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::insert
        INSERT INTO member_sessions (tenant_id, id, member_id, address, user_agent, created_at, last_used_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant,
        session.id.uuid(),
        session.member.uuid(),
        session.address,
        session.user_agent,
        session.created_at.to_sqlx(),
        session.last_used_at.to_sqlx(),
        session.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds a refresh token of a member.
pub async fn insert_token(
    tx: &mut TenantTx,
    member: MemberId,
    token: &NewRefreshToken,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::insert_token
        INSERT INTO refresh_tokens (tenant_id, id, member_id, family_id, token_hash, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant,
        token.id,
        member.uuid(),
        token.session.uuid(),
        token.token_hash,
        token.expires_at.to_sqlx(),
        token.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the member of an access token: active, in a session that was not revoked, with a token that was not replaced.
pub async fn find_active_member(
    tx: &mut TenantTx,
    member: MemberId,
    session: SessionId,
    token: Uuid,
) -> Result<Option<ActiveMember>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- sessions::find_active_member
        SELECT m.role, r.access_used_at IS NOT NULL AS "access_used!",
            t.require_second_factor AND m.second_factor_at IS NULL AS "must_enrol!"
        FROM members m
        JOIN tenants t ON t.tenant_id = m.tenant_id
        JOIN member_sessions s ON s.tenant_id = m.tenant_id AND s.member_id = m.id
        JOIN refresh_tokens r ON r.tenant_id = m.tenant_id AND r.family_id = s.id
        WHERE m.tenant_id = $1 AND m.id = $2 AND s.id = $3 AND r.id = $4
            AND m.is_active AND t.is_active AND s.revoked_at IS NULL AND r.revoked_at IS NULL"#,
        tenant,
        member.uuid(),
        session.uuid(),
        token,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| ActiveMember {
        role: row.role,
        access_used: row.access_used,
        must_enrol: row.must_enrol,
    }))
}

/// Whether a session was not revoked.
pub async fn is_open(tx: &mut TenantTx, session: SessionId) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let found = sqlx::query!(
        "-- sessions::is_open
        SELECT id FROM member_sessions WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
        tenant,
        session.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.is_some())
}

/// Notes that the access token of a refresh token was used, so that nobody takes its answer for lost. Returns `false` if
/// another token took its place meanwhile.
pub async fn note_access(tx: &mut TenantTx, token: Uuid, now: Timestamp) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let noted = sqlx::query!(
        "-- sessions::note_access
        UPDATE refresh_tokens SET access_used_at = coalesce(access_used_at, $3)
        WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
        tenant,
        token,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Finds a refresh token and locks it with its session, so that a family is renewed by one at a time.
pub async fn lock_token(tx: &mut TenantTx, token_hash: &[u8]) -> Result<Option<LockedToken>, DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::lock_token (session)
        SELECT s.id FROM member_sessions s
        WHERE s.tenant_id = $1 AND s.id = (SELECT family_id FROM refresh_tokens WHERE tenant_id = $1 AND token_hash = $2)
        FOR NO KEY UPDATE",
        tenant,
        token_hash,
    )
    .fetch_optional(tx.connection())
    .await?;
    let row = sqlx::query!(
        r#"-- sessions::lock_token
        SELECT r.id, r.member_id, r.family_id, r.expires_at,
            r.consumed_at, r.successor_id,
            r.reissued_at IS NOT NULL AS "reissued!", r.revoked_at IS NOT NULL AS "revoked!",
            m.is_active AND t.is_active AND s.revoked_at IS NULL AS "is_active!",
            n.consumed_at IS NOT NULL AS "successor_consumed!", n.access_used_at IS NOT NULL AS "successor_access_used!"
        FROM refresh_tokens r
        JOIN member_sessions s ON s.tenant_id = r.tenant_id AND s.id = r.family_id
        JOIN members m ON m.tenant_id = r.tenant_id AND m.id = r.member_id
        JOIN tenants t ON t.tenant_id = r.tenant_id
        LEFT JOIN refresh_tokens n ON n.tenant_id = r.tenant_id AND n.id = r.successor_id
        WHERE r.tenant_id = $1 AND r.token_hash = $2"#,
        tenant,
        token_hash,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| LockedToken {
        id: row.id,
        member: MemberId::from_uuid(row.member_id),
        session: SessionId::from_uuid(row.family_id),
        is_active: row.is_active,
        successor_id: row.successor_id,
        state: PresentedToken {
            expires_at: row.expires_at.to_jiff(),
            revoked: row.revoked,
            consumed_at: row.consumed_at.map(jiff_sqlx::Timestamp::to_jiff),
            reissued: row.reissued,
            successor: row.successor_id.map(|_| Successor {
                consumed: row.successor_consumed,
                access_used: row.successor_access_used,
            }),
        },
    }))
}

/// Notes that a token was used for the first time.
pub async fn consume_token(
    tx: &mut TenantTx,
    id: Uuid,
    successor: Uuid,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::consume_token
        UPDATE refresh_tokens SET consumed_at = $4, successor_id = $3
        WHERE tenant_id = $1 AND id = $2 AND consumed_at IS NULL",
        tenant,
        id,
        successor,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Puts another successor in the place of the one that a token has. Returns `false` if somebody has used what that one came
/// with meanwhile.
pub async fn replace_successor(
    tx: &mut TenantTx,
    id: Uuid,
    successor: Uuid,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let replaced = sqlx::query!(
        "-- sessions::replace_successor
        WITH replaced AS (
            UPDATE refresh_tokens r SET revoked_at = $4 FROM refresh_tokens p
            WHERE p.tenant_id = $1 AND p.id = $2 AND r.tenant_id = $1 AND r.id = p.successor_id AND r.access_used_at IS NULL
            RETURNING r.id
        )
        UPDATE refresh_tokens SET successor_id = $3, reissued_at = $4
        WHERE tenant_id = $1 AND id = $2 AND EXISTS (SELECT FROM replaced)",
        tenant,
        id,
        successor,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(replaced.rows_affected() == 1)
}

/// Notes that a session was renewed.
pub async fn renew(
    tx: &mut TenantTx,
    id: SessionId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::renew
        UPDATE member_sessions SET last_used_at = $3, expires_at = $4 WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        now.to_sqlx(),
        expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a session of a member with all its tokens. Tells whether it was still running.
pub async fn revoke(
    tx: &mut TenantTx,
    member: MemberId,
    id: SessionId,
    reason: RevokedReason,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let done = sqlx::query!(
        "-- sessions::revoke
        UPDATE member_sessions SET revoked_at = $4, revoked_reason = $5
        WHERE tenant_id = $1 AND member_id = $2 AND id = $3 AND revoked_at IS NULL",
        tenant,
        member.uuid(),
        id.uuid(),
        now.to_sqlx(),
        reason.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends the sessions of a member but for one. Returns how many were running.
pub async fn revoke_others(
    tx: &mut TenantTx,
    member: MemberId,
    kept: Option<SessionId>,
    reason: RevokedReason,
    now: Timestamp,
) -> Result<u64, DbError> {
    let (tenant, _) = tx.keys();
    let done = sqlx::query!(
        "-- sessions::revoke_others
        UPDATE member_sessions SET revoked_at = $4, revoked_reason = $5
        WHERE tenant_id = $1 AND member_id = $2 AND id IS DISTINCT FROM $3 AND revoked_at IS NULL",
        tenant,
        member.uuid(),
        kept.map(SessionId::uuid),
        now.to_sqlx(),
        reason.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Notes by which provider a session began.
pub async fn note_provider(
    tx: &mut TenantTx,
    session: SessionId,
    provider: IdentityProviderId,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sessions::note_provider
        UPDATE member_sessions SET provider_id = $3 WHERE tenant_id = $1 AND id = $2",
        tenant,
        session.uuid(),
        provider.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends the sessions that began by a provider. Returns how many.
pub async fn revoke_of_provider(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    now: Timestamp,
) -> Result<u64, DbError> {
    let (tenant, _) = tx.keys();
    let done = sqlx::query!(
        "-- sessions::revoke_of_provider
        UPDATE member_sessions SET revoked_at = $3, revoked_reason = $4
        WHERE tenant_id = $1 AND provider_id = $2 AND revoked_at IS NULL",
        tenant,
        provider.uuid(),
        now.to_sqlx(),
        RevokedReason::Revoked.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Lists the running sessions of a member, newest first, 100 at most.
pub async fn list(tx: &mut TenantTx, member: MemberId, now: Timestamp) -> Result<Vec<Session>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- sessions::list
        SELECT id, address, user_agent, created_at, last_used_at, expires_at
        FROM member_sessions
        WHERE tenant_id = $1 AND member_id = $2 AND revoked_at IS NULL AND expires_at > $3
        ORDER BY id DESC
        LIMIT 100"#,
        tenant,
        member.uuid(),
        now.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    let session = |Row { id, address, user_agent, created_at, last_used_at, expires_at }| Session {
        id: SessionId::from_uuid(id),
        member,
        address,
        user_agent,
        created_at: created_at.to_jiff(),
        last_used_at: last_used_at.to_jiff(),
        expires_at: expires_at.to_jiff(),
    };
    Ok(rows.into_iter().map(session).collect())
}
