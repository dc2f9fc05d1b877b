//! Which events recorded what was consumed of features without a meter.

use std::collections::HashMap;

use usance_core::ids::FeatureId;
use uuid::Uuid;

use crate::{DbError, Scope, TenantTx, WriterTx};

/// Notes that an event recorded what was consumed of a feature.
pub async fn insert(
    tx: &mut WriterTx,
    scope: Scope,
    origin: Uuid,
    feature: FeatureId,
) -> Result<(), DbError> {
    sqlx::query!(
        "-- consumptions::insert
        INSERT INTO consumptions (tenant_id, livemode, origin_hash, feature_id) VALUES ($1, $2, $3, $4)",
        scope.tenant.uuid(),
        scope.livemode,
        origin,
        feature.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds what events recorded, by the id hashes under which they were sent. Other events are absent.
pub async fn find_many(
    tx: &mut TenantTx,
    origins: &[Uuid],
) -> Result<HashMap<Uuid, (FeatureId, String)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- consumptions::find_many
        SELECT c.origin_hash, c.feature_id, f.code
        FROM consumptions c
        JOIN features f ON f.tenant_id = c.tenant_id AND f.livemode = c.livemode AND f.id = c.feature_id
        WHERE c.tenant_id = $1 AND c.livemode = $2 AND c.origin_hash = ANY($3)",
        tenant,
        livemode,
        origins,
    )
    .fetch_all(tx.connection())
    .await?;
    let found =
        rows.into_iter().map(|row| (row.origin_hash, (FeatureId::from_uuid(row.feature_id), row.code)));
    Ok(found.collect())
}
