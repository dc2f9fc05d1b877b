//! States of members on their way to Stripe and back.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{MemberId, SessionId};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A state as stored; its text is not part of it.
#[derive(Debug, Clone)]
pub struct ConnectState {
    /// Its id.
    pub id: Uuid,
    /// `test` or `live`: the mode that the member looked at.
    pub mode: String,
    /// Who began.
    pub member: MemberId,
    /// Where the member is signed in.
    pub session: SessionId,
    /// The account that was made beforehand.
    pub account_id: Option<String>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub expires_at: Timestamp,
}

struct Row {
    id: Uuid,
    mode: String,
    member_id: Uuid,
    session_id: Uuid,
    account_id: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

impl From<Row> for ConnectState {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            mode: row.mode,
            member: MemberId::from_uuid(row.member_id),
            session: SessionId::from_uuid(row.session_id),
            account_id: row.account_id,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
        }
    }
}

/// Adds a state.
pub async fn insert(tx: &mut TenantTx, state: &ConnectState, state_hash: &[u8]) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- stripe_connect_states::insert
        INSERT INTO stripe_connect_states
            (tenant_id, id, state_hash, mode, member_id, session_id, account_id, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        state.id,
        state_hash,
        state.mode,
        state.member.uuid(),
        state.session.uuid(),
        state.account_id,
        state.created_at.to_sqlx(),
        state.expires_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a state that nobody took before, whether or not it has expired.
pub async fn consume(
    tx: &mut TenantTx,
    state_hash: &[u8],
    now: Timestamp,
) -> Result<Option<ConnectState>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- stripe_connect_states::consume
        UPDATE stripe_connect_states SET consumed_at = $3
        WHERE tenant_id = $1 AND state_hash = $2 AND consumed_at IS NULL
        RETURNING id, mode, member_id, session_id, account_id, created_at, expires_at",
        tenant,
        state_hash,
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(ConnectState::from))
}

/// The state that the tenant was given last.
pub async fn find_newest(tx: &mut TenantTx) -> Result<Option<Uuid>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- stripe_connect_states::find_newest
        SELECT id FROM stripe_connect_states WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| row.id))
}

/// Forgets states that ended before a time, but for those of an account that was made beforehand.
pub async fn forget(tx: &mut TenantTx, ended_before: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- stripe_connect_states::forget
        DELETE FROM stripe_connect_states WHERE tenant_id = $1 AND account_id IS NULL AND expires_at < $2",
        tenant,
        ended_before.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the account that was made for the tenant last.
pub async fn find_made_account(tx: &mut TenantTx) -> Result<Option<String>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- stripe_connect_states::find_made_account
        SELECT account_id
        FROM stripe_connect_states
        WHERE tenant_id = $1 AND account_id IS NOT NULL
        ORDER BY id DESC
        LIMIT 1",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.and_then(|row| row.account_id))
}

/// Uses up every state of the tenant, and lets go of the accounts that were made for it: what was connected has ended.
pub async fn retire_all(tx: &mut TenantTx, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- stripe_connect_states::retire_all
        UPDATE stripe_connect_states SET consumed_at = coalesce(consumed_at, $2), account_id = NULL
        WHERE tenant_id = $1 AND (consumed_at IS NULL OR account_id IS NOT NULL)",
        tenant,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
