//! The second factor of members. Each change is made under the lock of the member's row.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::MemberId;

use crate::{DbError, TenantTx};

/// The authenticator of a member.
#[derive(Debug)]
pub struct Authenticator {
    /// Its secret, encrypted.
    pub secret_sealed: Vec<u8>,
    /// When the secret was made.
    pub began_at: Timestamp,
    /// Since when a sign-in needs a code; `None` while it is being enrolled.
    pub confirmed_at: Option<Timestamp>,
    /// The time step of the last code that was accepted.
    pub last_step: Option<i64>,
}

/// Finds the authenticator of a member.
pub async fn find(tx: &mut TenantTx, member: MemberId) -> Result<Option<Authenticator>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- second_factors::find
        SELECT totp_secret_sealed AS "secret_sealed!", totp_began_at AS "began_at!: jiff_sqlx::Timestamp",
            second_factor_at AS "confirmed_at: jiff_sqlx::Timestamp", totp_last_step
        FROM members
        WHERE tenant_id = $1 AND id = $2 AND totp_secret_sealed IS NOT NULL"#,
        tenant,
        member.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Authenticator {
        secret_sealed: row.secret_sealed,
        began_at: row.began_at.to_jiff(),
        confirmed_at: row.confirmed_at.map(jiff_sqlx::Timestamp::to_jiff),
        last_step: row.totp_last_step,
    }))
}

/// Begins an enrolment, or begins it anew. Returns `false` if the second factor is on.
pub async fn begin(
    tx: &mut TenantTx,
    member: MemberId,
    secret_sealed: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let begun = sqlx::query!(
        "-- second_factors::begin
        UPDATE members SET totp_secret_sealed = $3, totp_began_at = $4
        WHERE tenant_id = $1 AND id = $2 AND second_factor_at IS NULL",
        tenant,
        member.uuid(),
        secret_sealed,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Turns the second factor on by a first code.
pub async fn confirm(tx: &mut TenantTx, member: MemberId, step: i64, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- second_factors::confirm
        UPDATE members SET second_factor_at = $4, totp_last_step = $3, updated_at = $4
        WHERE tenant_id = $1 AND id = $2 AND second_factor_at IS NULL",
        tenant,
        member.uuid(),
        step,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes the time step of a code. Returns `false` if one of this step or a later one was accepted before.
pub async fn use_step(tx: &mut TenantTx, member: MemberId, step: i64) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let used = sqlx::query!(
        "-- second_factors::use_step
        UPDATE members SET totp_last_step = $3 WHERE tenant_id = $1 AND id = $2 AND totp_last_step < $3",
        tenant,
        member.uuid(),
        step,
    )
    .execute(tx.connection())
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Turns the second factor off and forgets its secret and codes, or gives up an enrolment.
pub async fn remove(tx: &mut TenantTx, member: MemberId, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- second_factors::remove
        UPDATE members SET totp_secret_sealed = NULL, totp_began_at = NULL, second_factor_at = NULL, totp_last_step = NULL,
            updated_at = $3
        WHERE tenant_id = $1 AND id = $2",
        tenant,
        member.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    remove_codes(tx, member).await
}

async fn remove_codes(tx: &mut TenantTx, member: MemberId) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- second_factors::remove_codes
        DELETE FROM recovery_codes WHERE tenant_id = $1 AND member_id = $2",
        tenant,
        member.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Puts recovery codes in the place of those that there were.
pub async fn replace_codes(
    tx: &mut TenantTx,
    member: MemberId,
    code_hashes: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), DbError> {
    remove_codes(tx, member).await?;
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- second_factors::replace_codes
        INSERT INTO recovery_codes (tenant_id, member_id, code_hash, created_at)
        SELECT $1, $2, c.code_hash, $4 FROM unnest($3::bytea[]) AS c (code_hash)",
        tenant,
        member.uuid(),
        code_hashes,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Uses a recovery code up. Returns `false` if the member has no such code, or used it before.
pub async fn use_code(
    tx: &mut TenantTx,
    member: MemberId,
    code_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let used = sqlx::query!(
        "-- second_factors::use_code
        UPDATE recovery_codes SET used_at = $4
        WHERE tenant_id = $1 AND member_id = $2 AND code_hash = $3 AND used_at IS NULL",
        tenant,
        member.uuid(),
        code_hash,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(used.rows_affected() == 1)
}

/// How many recovery codes a member has left.
pub async fn codes_left(tx: &mut TenantTx, member: MemberId) -> Result<i64, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        r#"-- second_factors::codes_left
        SELECT count(*) AS "left!" FROM recovery_codes WHERE tenant_id = $1 AND member_id = $2 AND used_at IS NULL"#,
        tenant,
        member.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.left)
}
