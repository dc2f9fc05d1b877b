//! Plans and add-ons: what all their versions share.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{PlanId, PlanVersionId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

pub use crate::plan_versions::{
    Entitlement, PlanPolicies, PlanVersion, find_version, get_version, insert_version, list_entitlements,
    list_versions, list_versions_of_prices,
};
pub use crate::prices::{Price, list_prices};

/// A plan: what all its versions share.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Groups plans that differ only by interval or currency.
    pub family: Option<String>,
    /// `plan` or `add_on`.
    pub kind: String,
    /// The newest version; new subscriptions take it.
    pub version: i32,
    /// Whether the public pricing shows it.
    pub visible: bool,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived plan takes no new subscriptions.
    pub archived_at: Option<Timestamp>,
}

struct PlanRow {
    id: Uuid,
    code: String,
    name: String,
    description: String,
    family: Option<String>,
    kind: String,
    version: i32,
    visible: bool,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl From<PlanRow> for Plan {
    fn from(row: PlanRow) -> Self {
        Self {
            id: PlanId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            description: row.description,
            family: row.family,
            kind: row.kind,
            version: row.version,
            visible: row.visible,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a plan. Conflict: `plans_code_key`.
pub async fn insert(tx: &mut TenantTx, plan: &Plan) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::insert
        INSERT INTO plans (tenant_id, livemode, id, code, name, description, family, kind, version, visible, created_at,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        tenant,
        livemode,
        plan.id.uuid(),
        plan.code,
        plan.name,
        plan.description,
        plan.family,
        plan.kind,
        plan.version,
        plan.visible,
        plan.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes name, description, family, the newest version, and whether the plan is shown and archived.
pub async fn update(tx: &mut TenantTx, plan: &Plan) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plans::update
        UPDATE plans SET name = $4, description = $5, family = $6, version = $7, archived_at = $8, updated_at = $9, visible = $10
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        plan.id.uuid(),
        plan.name,
        plan.description,
        plan.family,
        plan.version,
        plan.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        plan.updated_at.to_sqlx(),
        plan.visible,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a plan by its code and keeps others from changing it until the transaction ends.
pub async fn lock(tx: &mut TenantTx, code: &str) -> Result<Option<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::lock
        SELECT id, code, name, description, family, kind, version, visible, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3
        FOR UPDATE",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Plan::from))
}

/// Finds a plan by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::find
        SELECT id, code, name, description, family, kind, version, visible, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Plan::from))
}

/// Lists the plans that the public pricing shows, oldest first.
pub async fn list_visible(tx: &mut TenantTx, limit: i64) -> Result<Vec<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        PlanRow,
        "-- plans::list_visible
        SELECT id, code, name, description, family, kind, version, visible, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND kind = 'plan' AND visible AND archived_at IS NULL
        ORDER BY id
        LIMIT $3",
        tenant,
        livemode,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Plan::from).collect())
}

/// Finds the plan of a version.
pub async fn get_of_version(tx: &mut TenantTx, version: PlanVersionId) -> Result<Plan, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        PlanRow,
        "-- plans::get_of_version
        SELECT p.id, p.code, p.name, p.description, p.family, p.kind, p.version, p.visible, p.created_at, p.updated_at, p.archived_at
        FROM plan_versions v
        JOIN plans p ON p.tenant_id = v.tenant_id AND p.livemode = v.livemode AND p.id = v.plan_id
        WHERE v.tenant_id = $1 AND v.livemode = $2 AND v.id = $3",
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Lists the plans, or the add-ons, that are not archived.
pub async fn list(tx: &mut TenantTx, kind: &str, page: PageRequest) -> Result<Page<Plan>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        PlanRow,
        "-- plans::list
        SELECT id, code, name, description, family, kind, version, visible, created_at, updated_at, archived_at
        FROM plans
        WHERE tenant_id = $1 AND livemode = $2 AND kind = $3 AND archived_at IS NULL AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        kind,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}
