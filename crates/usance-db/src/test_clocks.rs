//! Test clocks: the tenant's own time in test mode.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::{DbError, TenantTx};

/// Finds the frozen time, if the tenant has set one.
pub async fn find(tx: &mut TenantTx) -> Result<Option<Timestamp>, DbError> {
    let (tenant, _) = tx.keys();
    let row =
        sqlx::query!("-- test_clocks::find\nSELECT frozen_at FROM test_clocks WHERE tenant_id = $1", tenant)
            .fetch_optional(tx.connection())
            .await?;
    Ok(row.map(|row| row.frozen_at.to_jiff()))
}

/// Finds the frozen time and keeps others from moving it until the transaction ends.
pub async fn lock(tx: &mut TenantTx) -> Result<Option<Timestamp>, DbError> {
    let (tenant, _) = tx.keys();
    let row = sqlx::query!(
        "-- test_clocks::lock\nSELECT frozen_at FROM test_clocks WHERE tenant_id = $1 FOR UPDATE",
        tenant
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| row.frozen_at.to_jiff()))
}

/// Sets the frozen time.
pub async fn set(tx: &mut TenantTx, frozen_at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- test_clocks::set
        INSERT INTO test_clocks (tenant_id, frozen_at, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id) DO UPDATE SET frozen_at = excluded.frozen_at, updated_at = excluded.updated_at",
        tenant,
        frozen_at.to_sqlx(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
