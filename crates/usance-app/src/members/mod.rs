//! Members of a tenant's staff, as they see and change themselves; the staff as a whole; and invitations to it.

mod invitations;
mod own_password;
mod password_reset;
mod staff;
mod verification;

pub use invitations::{AcceptInvitation, accept, invite, revoke as revoke_invitation};
pub(crate) use own_password::ProvedPassword;
pub(crate) use password_reset::{accounts_to_reset, issue_resets};
pub use password_reset::{request_reset, reset_password};
pub use staff::{ChangeMember, change, list};
pub(crate) use staff::{active_role, own_role, require_rank};
pub(crate) use verification::begin_verification;
pub use verification::{request_verification, verify_email};

use secrecy::SecretString;
use serde_json::json;
use usance_db::{
    TenantTx,
    members::{self, Member},
    sessions::{self, RevokedReason},
    tenants::{self, Tenant},
};

use crate::{
    Cx, api_keys,
    audit::{self, Audited},
    auth::password,
    error::{Error, Faults, Result},
    sessions::signed_in,
};

/// The signed-in member, its tenant, and the publishable key of the caller's mode unless it was revoked.
pub async fn me(cx: &Cx) -> Result<(Member, Tenant, Option<String>)> {
    let mut tx = cx.begin().await?;
    let (member, tenant) = own_rows(cx, &mut tx).await?;
    Ok((member, tenant, api_keys::find_publishable(cx, &mut tx).await?))
}

async fn own_rows(cx: &Cx, tx: &mut TenantTx) -> Result<(Member, Tenant)> {
    let member = members::find(tx, signed_in(cx)?.id).await?;
    let tenant = tenants::find(tx).await?;
    member.zip(tenant).ok_or(Error::Internal("the caller's own rows are missing"))
}

/// What a password must not be similar to.
fn own_data<'a>(member: &'a Member, tenant: &'a Tenant) -> [&'a str; 5] {
    [&member.email, &member.first_name, &member.last_name, &tenant.company_name, &tenant.slug]
}

/// Changes the caller's password. Every other session of the caller ends.
pub async fn change_password(cx: &Cx, old: SecretString, new: SecretString) -> Result<()> {
    let mut tx = cx.begin().await?;
    let (member, tenant) = own_rows(cx, &mut tx).await?;
    let mut faults = Faults::default();
    password::check(&mut faults, "/new_password", &new, &own_data(&member, &tenant));
    faults.check()?;
    drop(tx);
    let proved = ProvedPassword::of(cx, member, "/old_password", old).await?;
    let password_hash = proved.hash(cx, new).await?;

    let mut tx = cx.begin().await?;
    let member = proved.lock(cx, &mut tx).await?;
    members::set_password(&mut tx, member.id, &password_hash, cx.now).await?;
    let kept = signed_in(cx)?.session;
    let ended =
        sessions::revoke_others(&mut tx, member.id, Some(kept), RevokedReason::PasswordChanged, cx.now)
            .await?;
    let audited = Audited {
        action: "member.password_changed",
        subject_type: "member",
        subject_id: member.id.to_string(),
        after: Some(json!({ "sessions_ended": ended })),
        ..Audited::default()
    };
    audit::record(cx, &mut tx, audited).await?;
    password_reset::password_changed(cx, &mut tx, &member, &tenant).await?;
    Ok(tx.commit().await?)
}
