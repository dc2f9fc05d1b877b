//! Attempts to sign in, counted by account and by where they come from.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::{DbError, TenantTx};

/// Whose attempts are counted.
#[derive(Debug, Clone)]
pub struct Source {
    /// Keyed hash of the e-mail address.
    pub account_hash: Vec<u8>,
    /// Keyed hash of a network from which the member signed in before; empty for all other networks together.
    pub source: Vec<u8>,
}

/// Whether the member has signed in from a network since a time.
pub async fn is_known(tx: &mut TenantTx, source: &Source, since: Timestamp) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- sign_in_attempts::is_known
        SELECT tenant_id FROM sign_in_networks
        WHERE tenant_id = $1 AND account_hash = $2 AND source = $3 AND signed_in_at > $4",
        tenant,
        source.account_hash,
        source.source,
        since.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Counts an attempt, unless so many were made in the window that began after `window_after`. Returns when that window
/// began if it is full.
pub async fn count(
    tx: &mut TenantTx,
    source: &Source,
    attempts_max: i32,
    window_after: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, DbError> {
    let (tenant, _) = tx.keys();
    let counted = sqlx::query!(
        "-- sign_in_attempts::count
        INSERT INTO sign_in_attempts AS a (tenant_id, account_hash, source, window_started_at, attempts)
        VALUES ($1, $2, $3, $6, 1)
        ON CONFLICT (tenant_id, account_hash, source) DO UPDATE SET
            attempts = CASE WHEN a.window_started_at <= $5 THEN 1 ELSE a.attempts + 1 END,
            window_started_at = CASE WHEN a.window_started_at <= $5 THEN $6 ELSE a.window_started_at END
        WHERE a.window_started_at <= $5 OR a.attempts < $4
        RETURNING attempts",
        tenant,
        source.account_hash,
        source.source,
        attempts_max,
        window_after.to_sqlx(),
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    if counted.is_some() {
        return Ok(None);
    }
    let row = sqlx::query!(
        "-- sign_in_attempts::count (full)
        SELECT window_started_at FROM sign_in_attempts WHERE tenant_id = $1 AND account_hash = $2 AND source = $3",
        tenant,
        source.account_hash,
        source.source,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(Some(row.map_or(now, |row| row.window_started_at.to_jiff())))
}

/// Forgets the attempts of a source, because one of them succeeded, and remembers its network.
pub async fn note_success(
    tx: &mut TenantTx,
    source: &Source,
    network: Option<&[u8]>,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sign_in_attempts::note_success
        DELETE FROM sign_in_attempts WHERE tenant_id = $1 AND account_hash = $2 AND source = $3",
        tenant,
        source.account_hash,
        source.source,
    )
    .execute(tx.connection())
    .await?;
    let Some(network) = network else { return Ok(()) };
    sqlx::query!(
        "-- sign_in_attempts::note_success (network)
        INSERT INTO sign_in_networks (tenant_id, account_hash, source, signed_in_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, account_hash, source) DO UPDATE SET signed_in_at = $4",
        tenant,
        source.account_hash,
        network,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets old windows and old networks under the transaction's tenant.
pub async fn forget(
    tx: &mut TenantTx,
    windows_before: Timestamp,
    networks_before: Timestamp,
) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- sign_in_attempts::forget
        DELETE FROM sign_in_attempts WHERE tenant_id = $1 AND window_started_at < $2",
        tenant,
        windows_before.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "-- sign_in_attempts::forget (networks)
        DELETE FROM sign_in_networks WHERE tenant_id = $1 AND signed_in_at < $2",
        tenant,
        networks_before.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
