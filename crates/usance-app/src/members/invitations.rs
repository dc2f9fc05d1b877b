//! Invitations: a member of the staff makes one, and whoever holds its token becomes a member.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::{
    access::Role,
    ids::{InvitationId, MemberId},
};
use usance_db::{
    Scope, TenantTx,
    invitations::{self, Invitation},
    members::{self, Member},
    tenants::{self, Tenant},
};

use super::{
    staff::{active_role, own_role, read_role, require_rank},
    verification::begin_verification,
};
use crate::{
    App, Cx, api_keys,
    audit::{self, Audited},
    auth::{keyring::sha256, password, role_of, tenant_token},
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, read_email},
    mail::{self, MailKind},
    sessions::{self, Origin, STRANGERS, SignedIn, note_sign_in, signed_in},
};

/// How long an invitation can be accepted.
const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
const TOKEN_PREFIX: &str = "inv";

/// Who accepts an invitation.
#[derive(Debug)]
pub struct AcceptInvitation {
    /// The invitation's token.
    pub token: SecretString,
    /// Of the new member.
    pub password: SecretString,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
}

/// Invites somebody to the staff, by mail too. The token is shown here and never again; the one in the mail is another one,
/// which proves the address of whoever comes with it.
pub async fn invite(cx: &Cx, email: &str, role: &str) -> Result<(Invitation, SecretString)> {
    let mut faults = Faults::default();
    let email = read_email(&mut faults, "/email", email);
    faults.check()?;
    let role = read_role(signed_in(cx)?.role, role)?;
    let [token, mailed] =
        [(); 2].map(|()| tenant_token::generate(cx.app.random.as_ref(), TOKEN_PREFIX, cx.scope.tenant));
    let invitation = Invitation {
        id: InvitationId::from_uuid(cx.app.ids.next()),
        email,
        role: role.as_str().to_owned(),
        invited_by: signed_in(cx)?.id,
        created_at: cx.now,
        expires_at: cx.now.saturating_add(LIFETIME).unwrap_or(cx.now),
        accepted_at: None,
        revoked_at: None,
    };
    let mut tx = cx.begin().await?;
    if members::list(&mut tx).await?.iter().any(|member| member.email == invitation.email) {
        return Err(Error::refused(Code::MemberExists, "a member with this e-mail address exists"));
    }
    invitations::revoke_expired(&mut tx, &invitation.email, cx.now).await?;
    let exists = |error| {
        let detail = "there is an open invitation for this e-mail address: take it back first";
        Error::on_conflict(error, "invitations_open_key", Code::InvitationExists, detail)
    };
    let [token_hash, mailed_hash] = [&token, &mailed].map(|it| sha256(it.expose_secret().as_bytes()));
    invitations::insert(&mut tx, &invitation, &token_hash, &mailed_hash).await.map_err(exists)?;
    let company =
        tenants::find(&mut tx).await?.ok_or(Error::Internal("the caller's own tenant is missing"))?;
    let about = (company.company_name.as_str(), invitation.role.as_str());
    let letter = mail::invitation(&cx.app, invitation.email.clone(), about, &mailed);
    mail::enqueue(&cx.app, &mut tx, MailKind::Invitation, &letter, Some(invitation.expires_at)).await?;
    record(cx, &mut tx, "member.invited", &invitation).await?;
    tx.commit().await?;
    Ok((invitation, token))
}

async fn record(cx: &Cx, tx: &mut TenantTx, action: &'static str, invitation: &Invitation) -> Result<()> {
    let audited = Audited {
        action,
        subject_type: "invitation",
        subject_id: invitation.id.to_string(),
        after: Some(json!({ "email": invitation.email, "role": invitation.role })),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}

/// Takes an invitation back, to no greater role than the caller's; one that was taken back stays as it is.
pub async fn revoke(cx: &Cx, tx: &mut TenantTx, id: &str) -> Result<()> {
    let id: InvitationId = id.parse().map_err(|_| Error::not_found("invitation"))?;
    tenants::lock(tx).await?;
    let invitation = invitations::lock(tx, id).await?.filter(|it| it.accepted_at.is_none());
    let invitation = invitation.ok_or_else(|| Error::not_found("open invitation"))?;
    let own = own_role(cx, tx).await?;
    require_rank(own, Role::Admin.max(role_of(&invitation.role)?))?;
    if invitation.revoked_at.is_none() {
        invitations::revoke(tx, id, cx.now).await?;
        record(cx, tx, "member.invitation_revoked", &invitation).await?;
    }
    Ok(())
}

fn unknown() -> Error {
    Error::not_found("open invitation: it was accepted or taken back, or it has expired")
}

/// Makes a member of whoever holds the token of an open invitation, and signs the member in. The invitation is worth what its
/// maker may still do: that of a member who was deactivated, or has a lesser role by now, is none.
pub async fn accept(app: &App, input: AcceptInvitation, origin: Origin) -> Result<SignedIn> {
    let now = app.now();
    let tenant = tenant_token::tenant_of(TOKEN_PREFIX, &input.token).ok_or_else(unknown)?;
    let scope = Scope { tenant, livemode: false };
    let token_hash = sha256(input.token.expose_secret().as_bytes());
    let mut tx = app.db.tenant(scope).await?;
    let (open, _) = invitations::lock_open(&mut tx, &token_hash, now).await?.ok_or_else(unknown)?;
    let company = tenants::find(&mut tx).await?.filter(|it| it.is_active).ok_or_else(unknown)?;
    drop(tx);
    check(&input, &open, &company)?;
    // Slow, and therefore between the transactions.
    let password_hash = app.password_hashing.hash(app.random.as_ref(), input.password.clone()).await?;

    let mut tx = app.db.tenant(scope).await?;
    let (open, was_mailed) = invitations::lock_open(&mut tx, &token_hash, now).await?.ok_or_else(unknown)?;
    if !may_still_invite(&mut tx, &open).await? {
        return Err(unknown());
    }
    let mut member = new_member(app, &open, &input, password_hash, now);
    member.email_verified_at = was_mailed.then_some(now);
    let exists = |error| {
        let detail = "a member with this e-mail address exists";
        Error::on_conflict(error, "members_email_key", Code::MemberExists, detail)
    };
    members::insert(&mut tx, &member).await.map_err(exists)?;
    members::note_sign_in(&mut tx, member.id, now).await?;
    invitations::accept(&mut tx, open.id, now).await?;
    if !was_mailed {
        begin_verification(app, &mut tx, &member, &company).await?;
    }
    let (tokens, caller) = sessions::begin(app, &mut tx, &member, &origin, now).await?;
    let account = (member.email.as_str(), company.slug.as_str());
    note_sign_in(app, &mut tx, account, STRANGERS, origin.address, now).await?;
    let cx = sessions::cx_of(app, scope, caller, &origin, now);
    record(&cx, &mut tx, "member.joined", &open).await?;
    let publishable_key = api_keys::find_publishable(&cx, &mut tx).await?;
    tx.commit().await?;
    Ok(SignedIn { tenant: company, publishable_key, member, tokens })
}

/// The maker is locked, so that it is not deactivated meanwhile.
async fn may_still_invite(tx: &mut TenantTx, invitation: &Invitation) -> Result<bool> {
    let role = role_of(&invitation.role)?;
    Ok(active_role(tx, invitation.invited_by).await?.is_some_and(|own| own >= role))
}

fn check(input: &AcceptInvitation, invitation: &Invitation, company: &Tenant) -> Result<()> {
    let mut faults = Faults::default();
    check_optional_text(&mut faults, "/first_name", &input.first_name);
    check_optional_text(&mut faults, "/last_name", &input.last_name);
    let own_data = [invitation.email.as_str(), &company.company_name, &input.first_name, &input.last_name];
    password::check(&mut faults, "/password", &input.password, &own_data);
    faults.check()
}

fn new_member(
    app: &App,
    invitation: &Invitation,
    input: &AcceptInvitation,
    password_hash: String,
    now: Timestamp,
) -> Member {
    Member {
        id: MemberId::from_uuid(app.ids.next()),
        email: invitation.email.clone(),
        password_hash,
        first_name: input.first_name.clone(),
        last_name: input.last_name.clone(),
        role: invitation.role.clone(),
        is_active: true,
        email_verified_at: None,
        second_factor_at: None,
        last_login_at: Some(now),
        created_at: now,
        updated_at: now,
    }
}
