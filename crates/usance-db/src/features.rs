//! Features: what a plan may grant.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{FeatureId, MeterId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A feature as stored.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Its id.
    pub id: FeatureId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// The meter whose usage counts against limits, and its code; without one, what is consumed counts.
    pub meter: Option<(MeterId, String)>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived feature is in no new plan version.
    pub archived_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    code: String,
    name: String,
    description: String,
    meter_id: Option<Uuid>,
    meter_code: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Feature {
    fn from(row: Row) -> Self {
        Self {
            id: FeatureId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            description: row.description,
            meter: row.meter_id.map(MeterId::from_uuid).zip(row.meter_code),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a feature. Conflict: `features_code_key`.
pub async fn insert(tx: &mut TenantTx, feature: &Feature) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- features::insert
        INSERT INTO features (tenant_id, livemode, id, code, name, description, meter_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        tenant,
        livemode,
        feature.id.uuid(),
        feature.code,
        feature.name,
        feature.description,
        feature.meter.as_ref().map(|(meter, _)| meter.uuid()),
        feature.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a feature by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<Feature>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- features::find
        SELECT f.id, f.code, f.name, f.description, f.meter_id, m.code AS "meter_code?", f.created_at, f.updated_at, f.archived_at
        FROM features f
        LEFT JOIN meters m ON m.tenant_id = f.tenant_id AND m.livemode = f.livemode AND m.id = f.meter_id
        WHERE f.tenant_id = $1 AND f.livemode = $2 AND f.code = $3"#,
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Feature::from))
}

/// Lists the features that are not archived.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Feature>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- features::list
        SELECT f.id, f.code, f.name, f.description, f.meter_id, m.code AS "meter_code?", f.created_at, f.updated_at, f.archived_at
        FROM features f
        LEFT JOIN meters m ON m.tenant_id = f.tenant_id AND m.livemode = f.livemode AND m.id = f.meter_id
        WHERE f.tenant_id = $1 AND f.livemode = $2 AND f.archived_at IS NULL AND ($3::uuid IS NULL OR f.id < $3)
        ORDER BY f.id DESC
        LIMIT $4"#,
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Changes name, description and whether the feature is archived.
pub async fn update(tx: &mut TenantTx, feature: &Feature) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- features::update
        UPDATE features SET name = $4, description = $5, archived_at = $6, updated_at = $7
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        feature.id.uuid(),
        feature.name,
        feature.description,
        feature.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        feature.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
