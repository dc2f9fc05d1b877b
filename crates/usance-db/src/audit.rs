//! The audit log: who did what. Entries are added and never changed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::ids::AuditEntryId;
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// An entry as stored.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// `member`, `api_key` or `system`.
    pub actor_type: String,
    /// Id of the member or key.
    pub actor_id: Option<String>,
    /// What was done, such as `api_key.revoked`.
    pub action: String,
    /// What it was done to, such as `api_key`.
    pub subject_type: String,
    /// Its id.
    pub subject_id: String,
    /// `test` or `live`; none where it concerns both.
    pub mode: Option<String>,
    /// The subject before, without secrets.
    pub before: Option<Value>,
    /// The subject afterwards, without secrets.
    pub after: Option<Value>,
    /// Why, as the actor said.
    pub reason: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request.
    pub request_id: String,
    /// UTC.
    pub created_at: Timestamp,
}

/// Which entries are wanted; none of the filters for all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this action.
    pub action: Option<String>,
    /// By this member or key.
    pub actor: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
}

struct Row {
    id: Uuid,
    actor_type: String,
    actor_id: Option<String>,
    action: String,
    subject_type: String,
    subject_id: String,
    mode: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    address: Option<String>,
    request_id: String,
    created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            id: AuditEntryId::from_uuid(row.id),
            actor_type: row.actor_type,
            actor_id: row.actor_id,
            action: row.action,
            subject_type: row.subject_type,
            subject_id: row.subject_id,
            mode: row.mode,
            before: row.before,
            after: row.after,
            reason: row.reason,
            address: row.address,
            request_id: row.request_id,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// Adds an entry.
pub async fn insert(tx: &mut TenantTx, entry: &AuditEntry) -> Result<(), DbError> {
    let (tenant, _) = tx.keys();
    sqlx::query!(
        "-- audit::insert
        INSERT INTO audit_entries (tenant_id, id, actor_type, actor_id, action, subject_type, subject_id, mode, before, after,
            reason, address, request_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tenant,
        entry.id.uuid(),
        entry.actor_type,
        entry.actor_id,
        entry.action,
        entry.subject_type,
        entry.subject_id,
        entry.mode,
        entry.before,
        entry.after,
        entry.reason,
        entry.address,
        entry.request_id,
        entry.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists entries of both modes, newest first.
pub async fn list(
    tx: &mut TenantTx,
    filter: &AuditFilter,
    page: PageRequest,
) -> Result<Page<AuditEntry>, DbError> {
    let (tenant, _) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- audit::list
        SELECT id, actor_type, actor_id, action, subject_type, subject_id, mode, before, after, reason, address, request_id, created_at
        FROM audit_entries
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR action = $3)
            AND ($4::text IS NULL OR actor_id = $4) AND ($5::text IS NULL OR subject_id = $5)
        ORDER BY id DESC
        LIMIT $6",
        tenant,
        page.after,
        filter.action,
        filter.actor,
        filter.subject,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows))
}
