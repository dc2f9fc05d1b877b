//! Migrations of a plan's subscriptions to a newer version, and which subscriptions they are about.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CustomerId, PlanId, PlanMigrationId, PlanVersionId, SubscriptionId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A migration as stored.
#[derive(Debug, Clone)]
pub struct PlanMigration {
    /// Its id.
    pub id: PlanMigrationId,
    /// Whose subscriptions.
    pub plan_id: PlanId,
    /// The version that they get.
    pub to_version_id: PlanVersionId,
    /// The numbers of the versions that they have, ascending.
    pub from_versions: Vec<i32>,
    /// When their open periods end, or at once.
    pub at_period_end: bool,
    /// Subscriptions that it was about when it began.
    pub total: i64,
    /// Subscriptions that were changed.
    pub done: i64,
    /// Subscriptions that were left alone on purpose.
    pub skipped: i64,
    /// Subscriptions whose change was refused.
    pub failed: i64,
    /// The subscription that was dealt with last.
    pub cursor: Option<SubscriptionId>,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// In the tenant's time.
    pub finished_at: Option<Timestamp>,
}

/// A subscription that a migration is about.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which one.
    pub subscription: SubscriptionId,
    /// Who buys.
    pub customer: CustomerId,
    /// The version that it has, maybe one of its own.
    pub plan_version: PlanVersionId,
    /// The number of the version.
    pub version: i32,
    /// Seats.
    pub quantity: i32,
    /// Whether the version was made for it.
    pub overridden: bool,
    /// Whether another change is planned.
    pub scheduled: bool,
    /// The word of its state.
    pub status: String,
}

/// Subscriptions that a migration is about and that are alike in what they pay.
#[derive(Debug, Clone)]
pub struct CandidateGroup {
    /// The version that they have.
    pub plan_version: PlanVersionId,
    /// Seats.
    pub quantity: i32,
    /// Whether a migration leaves them alone.
    pub skipped: bool,
    /// How many they are.
    pub count: i64,
}

/// A subscription that a migration left as it was.
#[derive(Debug, Clone)]
pub struct MigrationException {
    /// Which one.
    pub subscription: SubscriptionId,
    /// `skipped` or `failed`.
    pub outcome: String,
    /// A sentence.
    pub reason: String,
}

struct Row {
    id: Uuid,
    plan_id: Uuid,
    to_version_id: Uuid,
    from_versions: Vec<i32>,
    at_period_end: bool,
    total: i64,
    done: i64,
    skipped: i64,
    failed: i64,
    cursor: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
    finished_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for PlanMigration {
    fn from(row: Row) -> Self {
        Self {
            id: PlanMigrationId::from_uuid(row.id),
            plan_id: PlanId::from_uuid(row.plan_id),
            to_version_id: PlanVersionId::from_uuid(row.to_version_id),
            from_versions: row.from_versions,
            at_period_end: row.at_period_end,
            total: row.total,
            done: row.done,
            skipped: row.skipped,
            failed: row.failed,
            cursor: row.cursor.map(SubscriptionId::from_uuid),
            created_at: row.created_at.to_jiff(),
            finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

struct CandidateRow {
    id: Uuid,
    customer_id: Uuid,
    plan_version_id: Uuid,
    version: i32,
    quantity: i32,
    overridden: bool,
    scheduled: bool,
    status: String,
}

impl From<CandidateRow> for Candidate {
    fn from(row: CandidateRow) -> Self {
        Self {
            subscription: SubscriptionId::from_uuid(row.id),
            customer: CustomerId::from_uuid(row.customer_id),
            plan_version: PlanVersionId::from_uuid(row.plan_version_id),
            version: row.version,
            quantity: row.quantity,
            overridden: row.overridden,
            scheduled: row.scheduled,
            status: row.status,
        }
    }
}

struct ExceptionRow {
    subscription_id: Uuid,
    outcome: String,
    reason: String,
}

impl From<ExceptionRow> for MigrationException {
    fn from(row: ExceptionRow) -> Self {
        let subscription = SubscriptionId::from_uuid(row.subscription_id);
        Self { subscription, outcome: row.outcome, reason: row.reason }
    }
}

/// Adds a migration.
pub async fn insert(tx: &mut TenantTx, migration: &PlanMigration) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plan_migrations::insert
        INSERT INTO plan_migrations
            (tenant_id, livemode, id, plan_id, to_version_id, from_versions, at_period_end, total, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        livemode,
        migration.id.uuid(),
        migration.plan_id.uuid(),
        migration.to_version_id.uuid(),
        &migration.from_versions,
        migration.at_period_end,
        migration.total,
        migration.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes how far a migration is.
pub async fn update(tx: &mut TenantTx, migration: &PlanMigration) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plan_migrations::update
        UPDATE plan_migrations SET done = $4, skipped = $5, failed = $6, cursor = $7, finished_at = $8
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        migration.id.uuid(),
        migration.done,
        migration.skipped,
        migration.failed,
        migration.cursor.map(SubscriptionId::uuid),
        migration.finished_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a migration.
pub async fn find(tx: &mut TenantTx, id: PlanMigrationId) -> Result<Option<PlanMigration>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- plan_migrations::find
        SELECT id, plan_id, to_version_id, from_versions, at_period_end, total, done, skipped, failed, cursor, created_at,
            finished_at
        FROM plan_migrations
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(PlanMigration::from))
}

/// Finds a migration and keeps others from carrying it on until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: PlanMigrationId) -> Result<Option<PlanMigration>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- plan_migrations::lock
        SELECT id, plan_id, to_version_id, from_versions, at_period_end, total, done, skipped, failed, cursor, created_at,
            finished_at
        FROM plan_migrations
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(PlanMigration::from))
}

/// Whether a migration of the plan is under way.
pub async fn any_open(tx: &mut TenantTx, plan: PlanId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- plan_migrations::any_open
        SELECT EXISTS (
            SELECT FROM plan_migrations
            WHERE tenant_id = $1 AND livemode = $2 AND plan_id = $3 AND finished_at IS NULL
        ) AS "open!""#,
        tenant,
        livemode,
        plan.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.open)
}

/// Notes that a migration left a subscription as it was.
pub async fn insert_exception(
    tx: &mut TenantTx,
    migration: PlanMigrationId,
    exception: &MigrationException,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- plan_migrations::insert_exception
        INSERT INTO plan_migration_exceptions (tenant_id, livemode, migration_id, subscription_id, outcome, reason)
        VALUES ($1, $2, $3, $4, $5, $6)",
        tenant,
        livemode,
        migration.uuid(),
        exception.subscription.uuid(),
        exception.outcome,
        exception.reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the subscriptions that a migration left as they were.
pub async fn list_exceptions(
    tx: &mut TenantTx,
    migration: PlanMigrationId,
    page: PageRequest,
) -> Result<Page<MigrationException>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        ExceptionRow,
        "-- plan_migrations::list_exceptions
        SELECT subscription_id, outcome, reason
        FROM plan_migration_exceptions
        WHERE tenant_id = $1 AND livemode = $2 AND migration_id = $3 AND ($4::uuid IS NULL OR subscription_id < $4)
        ORDER BY subscription_id DESC
        LIMIT $5",
        tenant,
        livemode,
        migration.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Lists the subscriptions that have not ended and whose plan is at one of these versions, or at one made from them.
pub async fn list_candidates(
    tx: &mut TenantTx,
    plan: PlanId,
    versions: &[i32],
    page: PageRequest,
) -> Result<Page<Candidate>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        CandidateRow,
        r#"-- plan_migrations::list_candidates
        SELECT s.id, s.customer_id, i.plan_version_id, v.version, i.quantity, v.override_of IS NOT NULL AS "overridden!",
            s.scheduled_at IS NOT NULL AS "scheduled!", s.status
        FROM subscriptions s
        JOIN subscription_items i ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
            AND i.position = 0
        JOIN plan_versions v ON v.tenant_id = i.tenant_id AND v.livemode = i.livemode AND v.id = i.plan_version_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.ended_at IS NULL AND v.plan_id = $3 AND v.version = ANY($4)
            AND ($5::uuid IS NULL OR s.id < $5)
        ORDER BY s.id DESC
        LIMIT $6"#,
        tenant,
        livemode,
        plan.uuid(),
        versions,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}

/// Counts the same subscriptions by version and quantity.
pub async fn list_candidate_groups(
    tx: &mut TenantTx,
    plan: PlanId,
    versions: &[i32],
) -> Result<Vec<CandidateGroup>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- plan_migrations::list_candidate_groups
        SELECT i.plan_version_id, i.quantity,
            (v.override_of IS NOT NULL OR s.scheduled_at IS NOT NULL OR s.status = 'paused') AS "skipped!", count(*) AS "count!"
        FROM subscriptions s
        JOIN subscription_items i ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
            AND i.position = 0
        JOIN plan_versions v ON v.tenant_id = i.tenant_id AND v.livemode = i.livemode AND v.id = i.plan_version_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.ended_at IS NULL AND v.plan_id = $3 AND v.version = ANY($4)
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3"#,
        tenant,
        livemode,
        plan.uuid(),
        versions,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut groups = Vec::with_capacity(rows.len());
    for row in rows {
        groups.push(CandidateGroup {
            plan_version: PlanVersionId::from_uuid(row.plan_version_id),
            quantity: row.quantity,
            skipped: row.skipped,
            count: row.count,
        });
    }
    Ok(groups)
}
