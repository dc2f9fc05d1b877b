//! The audit log: each step that decides who may do what leaves an entry, in the transaction of the step.

use serde_json::Value;
use usance_core::ids::AuditEntryId;
use usance_db::{
    TenantTx,
    audit::{self, AuditEntry},
};

use crate::{Cx, auth::Caller, error::Result};

/// What was done. Secrets must not be part of it.
#[derive(Debug, Default)]
pub struct Audited {
    /// For example `api_key.revoked`.
    pub action: &'static str,
    /// For example `api_key`.
    pub subject_type: &'static str,
    /// Its id.
    pub subject_id: String,
    /// Live or test mode; none where it concerns both.
    pub livemode: Option<bool>,
    /// The subject before.
    pub before: Option<Value>,
    /// The subject afterwards.
    pub after: Option<Value>,
    /// Why, as the actor said.
    pub reason: Option<String>,
}

/// Adds an entry to the log.
pub async fn record(cx: &Cx, tx: &mut TenantTx, audited: Audited) -> Result<()> {
    let (actor_type, actor_id) = match &cx.caller {
        Some(Caller::Member(member)) => ("member", Some(member.id.to_string())),
        Some(Caller::Customer(customer)) => ("customer", Some(customer.id.to_string())),
        Some(Caller::SecretKey(id, _) | Caller::PublishableKey(id)) => ("api_key", Some(id.to_string())),
        None => ("system", None),
    };
    let entry = AuditEntry {
        id: AuditEntryId::from_uuid(cx.app.ids.next()),
        actor_type: actor_type.to_owned(),
        actor_id,
        action: audited.action.to_owned(),
        subject_type: audited.subject_type.to_owned(),
        subject_id: audited.subject_id,
        mode: audited.livemode.map(|livemode| mode(livemode).to_owned()),
        before: audited.before,
        after: audited.after,
        reason: audited.reason,
        address: cx.address.map(|address| address.to_string()),
        request_id: cx.request_id.to_string(),
        created_at: cx.now,
    };
    Ok(audit::insert(tx, &entry).await?)
}

/// The word for a mode.
pub const fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}
