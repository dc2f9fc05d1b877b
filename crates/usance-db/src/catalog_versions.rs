//! Counts the changes that decide how usage events are resolved.

use usance_core::ids::TenantId;

use crate::{DbError, Scope, TenantTx, WriterTx, catalog_news};

/// Says that meters, customers, subscriptions or the test clock changed. The catalogue must be locked. When the
/// transaction commits, every instance is told, and this one at once.
pub async fn bump(tx: &mut TenantTx) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let news = catalog_news::write(tx.scope());
    sqlx::query!(
        r#"-- catalog_versions::bump
        WITH bumped AS (
            INSERT INTO catalog_versions AS v (tenant_id, livemode, version) VALUES ($1, $2, 1)
            ON CONFLICT (tenant_id, livemode) DO UPDATE SET version = v.version + 1
            RETURNING version
        )
        SELECT pg_notify($3, $4)::text AS "notified?" FROM bumped"#,
        tenant,
        livemode,
        catalog_news::CHANNEL,
        news,
    )
    .fetch_one(tx.connection())
    .await?;
    tx.note_catalog_change();
    Ok(())
}

/// Reads the version of the tenant's catalogue; 0 if it never changed.
pub async fn get(tx: &mut TenantTx) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- catalog_versions::get
        SELECT version FROM catalog_versions WHERE tenant_id = $1 AND livemode = $2",
        tenant,
        livemode,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map_or(0, |row| row.version))
}

/// Takes seats of catalogues together with other writers, and then reads the versions of those catalogues.
pub(crate) async fn share(
    tx: &mut WriterTx,
    seats: &[i64],
    scopes: &[Scope],
) -> Result<Vec<(Scope, i64)>, DbError> {
    let tenants: Vec<_> = scopes.iter().map(|scope| scope.tenant.uuid()).collect();
    let livemodes: Vec<_> = scopes.iter().map(|scope| scope.livemode).collect();
    let rows = sqlx::query!(
        r#"-- catalog_versions::share
        SELECT tenant_id AS "tenant_id!", livemode AS "livemode!", version AS "version!" FROM share_catalogs($1, $2, $3)"#,
        seats,
        &tenants,
        &livemodes,
    )
    .fetch_all(tx.connection())
    .await?;
    let scope = |tenant, livemode| Scope { tenant: TenantId::from_uuid(tenant), livemode };
    Ok(rows.into_iter().map(|row| (scope(row.tenant_id, row.livemode), row.version)).collect())
}
