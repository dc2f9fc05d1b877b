//! Tokens that members are mailed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::MemberId;
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// What a token proves or allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// That the member reads what is sent to its address.
    VerifyEmail,
    /// To set another password.
    ResetPassword,
}

impl TokenPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }
}

/// A new token.
#[derive(Debug)]
pub struct NewMemberToken {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub member: MemberId,
    /// What for.
    pub purpose: TokenPurpose,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub expires_at: Timestamp,
}

/// Adds a token.
pub async fn insert(tx: &mut TenantTx, token: &NewMemberToken) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- member_tokens::insert
        INSERT INTO member_tokens (tenant_id, id, member_id, purpose, token_hash, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant,
        token.id,
        token.member.uuid(),
        token.purpose.as_str(),
        token.token_hash,
        token.created_at.to_sqlx(),
        token.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds whose an open token is.
pub async fn find_open(
    tx: &mut TenantTx,
    purpose: TokenPurpose,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<MemberId>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- member_tokens::find_open
        SELECT member_id FROM member_tokens
        WHERE tenant_id = $1 AND token_hash = $2 AND purpose = $3 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $4",
        tenant,
        token_hash,
        purpose.as_str(),
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| MemberId::from_uuid(row.member_id)))
}

/// Uses an open token up. Returns `false` if it is none any more.
pub async fn consume(
    tx: &mut TenantTx,
    purpose: TokenPurpose,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let done = sqlx::query!(
        "-- member_tokens::consume
        UPDATE member_tokens SET used_at = $4
        WHERE tenant_id = $1 AND token_hash = $2 AND purpose = $3 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $4",
        tenant,
        token_hash,
        purpose.as_str(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the open tokens of a member.
pub async fn revoke_all(
    tx: &mut TenantTx,
    member: MemberId,
    purpose: TokenPurpose,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- member_tokens::revoke_all
        UPDATE member_tokens SET revoked_at = $4
        WHERE tenant_id = $1 AND member_id = $2 AND purpose = $3 AND used_at IS NULL AND revoked_at IS NULL",
        tenant,
        member.uuid(),
        purpose.as_str(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How many tokens a member was given since a time, and when the first of them.
pub async fn count_since(
    tx: &mut TenantTx,
    member: MemberId,
    purpose: TokenPurpose,
    since: Timestamp,
) -> Result<(i64, Option<Timestamp>), DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- member_tokens::count_since
        SELECT count(*) AS "count!", min(created_at) AS "first: jiff_sqlx::Timestamp"
        FROM member_tokens
        WHERE tenant_id = $1 AND member_id = $2 AND purpose = $3 AND created_at > $4"#,
        tenant,
        member.uuid(),
        purpose.as_str(),
        since.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok((row.count, row.first.map(jiff_sqlx::Timestamp::to_jiff)))
}

/// Forgets the tokens of a member that expired before a time.
pub async fn forget(tx: &mut TenantTx, member: MemberId, before: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- member_tokens::forget
        DELETE FROM member_tokens WHERE tenant_id = $1 AND member_id = $2 AND expires_at < $3",
        tenant,
        member.uuid(),
        before.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
