//! The staff of a tenant: who is in it, and what each may do.

use serde_json::{Value, json};
use usance_core::{access::Role, ids::MemberId};
use usance_db::{
    TenantTx,
    member_tokens::{self, TokenPurpose},
    members::{self, Member},
    sessions::{self, RevokedReason},
    tenants,
};

use crate::{
    Cx,
    audit::{self, Audited},
    auth::role_of,
    error::{Code, Error, Result},
    sessions::signed_in,
};

/// What changes about a member.
#[derive(Debug, Default)]
pub struct ChangeMember {
    /// The new role, if it changes.
    pub role: Option<String>,
    /// Whether the member may sign in, if that changes.
    pub is_active: Option<bool>,
}

/// Lists the members of the tenant, the oldest first.
pub async fn list(cx: &Cx) -> Result<Vec<Member>> {
    let mut tx = cx.begin().await?;
    Ok(members::list(&mut tx).await?)
}

/// Locks a member and reads the role that it has now; one that is not active has none.
pub(crate) async fn active_role(tx: &mut TenantTx, id: MemberId) -> Result<Option<Role>> {
    let member = members::lock(tx, id).await?.filter(|it| it.is_active);
    member.map(|member| role_of(&member.role)).transpose()
}

/// The caller's role as it is now: it can have changed while the request arrived.
pub(crate) async fn own_role(cx: &Cx, tx: &mut TenantTx) -> Result<Role> {
    let role = active_role(tx, signed_in(cx)?.id).await?;
    role.ok_or_else(|| Error::refused(Code::Forbidden, "you are no active member any more"))
}

/// Reads a role that somebody may give: none that is greater than its own.
pub(super) fn read_role(own: Role, word: &str) -> Result<Role> {
    let role = Role::parse(word).ok_or_else(|| {
        let words = Role::ALL.map(Role::as_str).join(", ");
        Error::field("/role", "unknown_word", format!("must be one of {words}"))
    })?;
    require_rank(own, role)?;
    Ok(role)
}

pub(crate) fn require_rank(own: Role, role: Role) -> Result<()> {
    if own < role {
        let detail = format!("this needs the role {} or a greater one", role.as_str());
        return Err(Error::refused(Code::Forbidden, detail));
    }
    Ok(())
}

/// Changes the role of a member, or lets it no longer sign in, which ends its sessions. A tenant keeps an active owner.
pub async fn change(cx: &Cx, tx: &mut TenantTx, id: &str, change: ChangeMember) -> Result<Member> {
    let id: MemberId = id.parse().map_err(|_| Error::not_found("member"))?;
    // Two owners must not take the role from each other at the same moment.
    tenants::lock(tx).await?;
    let own = own_role(cx, tx).await?;
    require_rank(own, Role::Admin)?;
    let member = members::lock(tx, id).await?.ok_or_else(|| Error::not_found("member"))?;
    let old_role = role_of(&member.role)?;
    require_rank(own, old_role)?;
    let role = change.role.as_deref().map_or(Ok(old_role), |word| read_role(own, word))?;
    let is_active = change.is_active.unwrap_or(member.is_active);
    let stays_owner = role == Role::Owner && is_active;
    if old_role == Role::Owner
        && member.is_active
        && !stays_owner
        && !members::has_other_owner(tx, id).await?
    {
        return Err(Error::refused(
            Code::LastOwner,
            "a tenant keeps one active owner: make another one first",
        ));
    }
    if role == old_role && is_active == member.is_active {
        return Ok(member);
    }
    members::set_access(tx, id, role.as_str(), is_active, cx.now).await?;
    if !is_active {
        sessions::revoke_others(tx, id, None, RevokedReason::MemberChanged, cx.now).await?;
        member_tokens::revoke_all(tx, id, TokenPurpose::ResetPassword, cx.now).await?;
    }
    let changed = members::find(tx, id).await?.ok_or(Error::Internal("a changed member is missing"))?;
    let audited = Audited {
        action: "member.changed",
        subject_type: "member",
        subject_id: id.to_string(),
        before: Some(access_of(&member)),
        after: Some(access_of(&changed)),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await?;
    Ok(changed)
}

fn access_of(member: &Member) -> Value {
    json!({ "role": member.role, "is_active": member.is_active })
}
