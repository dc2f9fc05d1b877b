//! The audit log.

use axum::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_db::{
    PageRequest,
    audit::{self, AuditEntry, AuditFilter},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Query},
    wire::{ListView, ProblemView},
};

/// Which entries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Only of this action, such as `api_key.revoked`.
    action: Option<String>,
    /// Only by the member or key with this id.
    actor: Option<String>,
    /// Only about what has this id.
    subject: Option<String>,
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who did what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntryView {
    id: String,
    actor: AuditPartyView,
    /// For example `api_key.revoked`.
    action: String,
    subject: AuditPartyView,
    /// `test` or `live`; null where it concerns both.
    mode: Option<String>,
    /// The subject before, without secrets.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The subject afterwards, without secrets.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Why, as the actor said.
    reason: Option<String>,
    /// Where the request came from.
    address: Option<String>,
    request_id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Who did something, or what it was done to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPartyView {
    /// For example `member`, `api_key` or `system`.
    #[serde(rename = "type")]
    party_type: String,
    /// Null for the system.
    id: Option<String>,
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            actor: AuditPartyView { party_type: entry.actor_type, id: entry.actor_id },
            action: entry.action,
            subject: AuditPartyView { party_type: entry.subject_type, id: Some(entry.subject_id) },
            mode: entry.mode,
            before: entry.before,
            after: entry.after,
            reason: entry.reason,
            address: entry.address,
            request_id: entry.request_id,
            created_at: entry.created_at,
        }
    }
}

async fn page_of(
    Authorized(cx): Authorized,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Json<ListView<AuditEntryView>>> {
    let AuditQuery { action, actor, subject, limit, cursor } = query;
    let request: PageRequest = ListQuery { limit, cursor }.page()?;
    let mut tx = cx.begin().await?;
    let page = audit::list(&mut tx, &AuditFilter { action, actor, subject }, request).await?;
    Ok(Json(ListView::new(page, |entry| entry.id.uuid(), AuditEntryView::from)))
}

/// Read the audit log
///
/// Who did what to members and keys, of both modes, newest first. Entries are never changed.
#[utoipa::path(get, path = "/audit", tag = "Audit", params(AuditQuery), responses(
    (status = 200, description = "A page of entries", body = ListView<AuditEntryView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_audit(
    caller: Authorized,
    query: Query<AuditQuery>,
) -> ApiResult<Json<ListView<AuditEntryView>>> {
    page_of(caller, query).await
}

/// Read the audit log
///
/// The same as `/audit`.
#[utoipa::path(get, path = "/audit-log", tag = "Audit", params(AuditQuery), responses(
    (status = 200, description = "A page of entries", body = ListView<AuditEntryView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_audit_log(
    caller: Authorized,
    query: Query<AuditQuery>,
) -> ApiResult<Json<ListView<AuditEntryView>>> {
    page_of(caller, query).await
}
