//! Counts the changes that decide how usage events are resolved.

use usance_core::ids::TenantId;

use crate::{DbError, Scope, TenantTx, WriterTx};

/// Says that meters, customers, subscriptions or the test clock changed. The catalogue must be locked.
pub async fn bump(tx: &mut TenantTx) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- catalog_versions::bump
        INSERT INTO catalog_versions AS v (tenant_id, livemode, version) VALUES ($1, $2, 1)
        ON CONFLICT (tenant_id, livemode) DO UPDATE SET version = v.version + 1",
        tenant,
        livemode,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Reads the versions of several catalogues; one that never changed is absent.
pub async fn read(tx: &mut WriterTx, scopes: &[Scope]) -> Result<Vec<(Scope, i64)>, DbError> {
    let tenants: Vec<_> = scopes.iter().map(|scope| scope.tenant.uuid()).collect();
    let livemodes: Vec<_> = scopes.iter().map(|scope| scope.livemode).collect();
    let rows = sqlx::query!(
        "-- catalog_versions::read
        SELECT v.tenant_id, v.livemode, v.version
        FROM unnest($1::uuid[], $2::bool[]) AS s (tenant_id, livemode)
        JOIN catalog_versions v ON v.tenant_id = s.tenant_id AND v.livemode = s.livemode",
        &tenants,
        &livemodes,
    )
    .fetch_all(tx.connection())
    .await?;
    let scope = |tenant, livemode| Scope { tenant: TenantId::from_uuid(tenant), livemode };
    Ok(rows.into_iter().map(|row| (scope(row.tenant_id, row.livemode), row.version)).collect())
}
