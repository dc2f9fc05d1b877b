//! How many mails an address got, by what they were about.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::{DbError, TenantTx};

/// Counts a mail, unless so many were counted in the window that began after `window_after`. Returns whether it was.
pub async fn count(
    tx: &mut TenantTx,
    address_hash: &[u8],
    kind: &str,
    mails_max: i32,
    window_after: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (tenant, _) = tx.keys();
    let counted = sqlx::query!(
        "-- mail_limits::count
        INSERT INTO mail_limits AS l (tenant_id, address_hash, kind, window_started_at, mails)
        VALUES ($1, $2, $3, $6, 1)
        ON CONFLICT (tenant_id, address_hash, kind) DO UPDATE SET
            mails = CASE WHEN l.window_started_at <= $5 THEN 1 ELSE l.mails + 1 END,
            window_started_at = CASE WHEN l.window_started_at <= $5 THEN $6 ELSE l.window_started_at END
        WHERE l.window_started_at <= $5 OR l.mails < $4
        RETURNING mails",
        tenant,
        address_hash,
        kind,
        mails_max,
        window_after.to_sqlx(),
        now.to_sqlx(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(counted.is_some())
}

/// Forgets old windows under the transaction's tenant.
pub async fn forget(tx: &mut TenantTx, before: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- mail_limits::forget
        DELETE FROM mail_limits WHERE tenant_id = $1 AND window_started_at < $2",
        tenant,
        before.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
