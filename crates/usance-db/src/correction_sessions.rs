//! Corrections that are looked at together before they are made.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::CorrectionSessionId;
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A session as stored.
#[derive(Debug, Clone)]
pub struct CorrectionSession {
    /// Its id.
    pub id: CorrectionSessionId,
    /// For people.
    pub description: String,
    /// JSON, as sent.
    pub corrections: String,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// In the tenant's time.
    pub applied_at: Option<Timestamp>,
    /// In the tenant's time.
    pub undone_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    description: String,
    corrections: String,
    created_at: jiff_sqlx::Timestamp,
    applied_at: Option<jiff_sqlx::Timestamp>,
    undone_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for CorrectionSession {
    fn from(row: Row) -> Self {
        Self {
            id: CorrectionSessionId::from_uuid(row.id),
            description: row.description,
            corrections: row.corrections,
            created_at: row.created_at.to_jiff(),
            applied_at: row.applied_at.map(jiff_sqlx::Timestamp::to_jiff),
            undone_at: row.undone_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Adds a session.
pub async fn insert(tx: &mut TenantTx, session: &CorrectionSession) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- correction_sessions::insert
        INSERT INTO correction_sessions (tenant_id, livemode, id, description, corrections, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)",
        tenant,
        livemode,
        session.id.uuid(),
        session.description,
        session.corrections,
        session.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes when a session was applied and undone.
pub async fn update(tx: &mut TenantTx, session: &CorrectionSession) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- correction_sessions::update
        UPDATE correction_sessions SET applied_at = $4, undone_at = $5 WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        session.id.uuid(),
        session.applied_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        session.undone_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a session.
pub async fn find(tx: &mut TenantTx, id: CorrectionSessionId) -> Result<Option<CorrectionSession>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- correction_sessions::find
        SELECT id, description, corrections, created_at, applied_at, undone_at
        FROM correction_sessions
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(CorrectionSession::from))
}

/// Lists sessions, newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<CorrectionSession>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- correction_sessions::list
        SELECT id, description, corrections, created_at, applied_at, undone_at
        FROM correction_sessions
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $4",
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}
