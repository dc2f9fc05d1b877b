//! Members who come back from a provider.

use jiff::Timestamp;
use serde_json::json;
use usance_core::ids::MemberId;
use usance_db::{
    Scope, TenantTx,
    identity_providers::{self, Identity, IdentityProvider},
    members::{self, Member},
    tenants,
};

use super::{Claims, denied};
use crate::{
    App, api_keys,
    audit::{self, Audited},
    error::Result,
    sessions::{self, Origin, SignedIn},
};

/// Signs in the member whom the subject is known as; the first time, the one with the address that the issuer has verified.
pub(super) async fn sign_in(
    app: &App,
    scope: Scope,
    provider: &IdentityProvider,
    claims: &Claims,
    origin: &Origin,
) -> Result<SignedIn> {
    let now = app.now();
    let mut tx = app.db.tenant(scope).await?;
    // It may have been removed while it was asked. From here on it is locked.
    let provider = &super::in_use(&mut tx, provider.id).await?;
    let (id, is_new) = known_as(&mut tx, provider, claims, now).await?;
    let member = members::lock(&mut tx, id).await?.filter(|it| it.is_active);
    let mut member = member.ok_or_else(unknown)?;
    if member.second_factor_at.is_some() && !provider.trusts_second_factor {
        return Err(second_factor_required());
    }
    if is_new && member.email_verified_at.is_none() {
        return Err(unproved());
    }
    let tenant = tenants::find(&mut tx).await?.filter(|it| it.is_active).ok_or_else(unknown)?;
    members::note_sign_in(&mut tx, member.id, now).await?;
    member.last_login_at = Some(now);
    let (tokens, signed_in) = sessions::begin(app, &mut tx, &member, origin, now).await?;
    usance_db::sessions::note_provider(&mut tx, signed_in.session, provider.id).await?;
    let cx = sessions::cx_of(app, scope, signed_in, origin, now);
    if is_new {
        audit::record(&cx, &mut tx, linked(provider, &member)).await?;
    }
    let audited = Audited {
        action: "member.signed_in",
        subject_type: "member",
        subject_id: member.id.to_string(),
        after: Some(json!({ "session": signed_in.session, "identity_provider": provider.id })),
        ..Audited::default()
    };
    audit::record(&cx, &mut tx, audited).await?;
    let publishable_key = api_keys::find_publishable(&cx, &mut tx).await?;
    tx.commit().await?;
    Ok(SignedIn { tenant, publishable_key, member, tokens })
}

async fn known_as(
    tx: &mut TenantTx,
    provider: &IdentityProvider,
    claims: &Claims,
    now: Timestamp,
) -> Result<(MemberId, bool)> {
    let known = identity_providers::find_identity(tx, provider.id, &claims.subject).await?;
    if let Some(Identity::Member(id)) = known {
        return Ok((id, false));
    }
    let email = claims.verified_email.as_deref().ok_or_else(unverified)?;
    let id = members::find_by_email(tx, email).await?.ok_or_else(unknown)?;
    let is_new =
        identity_providers::link(tx, provider.id, &claims.subject, Identity::Member(id), now).await?;
    if is_new {
        return Ok((id, true));
    }
    // Another browser was faster.
    match identity_providers::find_identity(tx, provider.id, &claims.subject).await? {
        Some(Identity::Member(id)) => Ok((id, false)),
        Some(Identity::Customer(_)) | None => Err(already_linked()),
    }
}

fn linked(provider: &IdentityProvider, member: &Member) -> Audited {
    Audited {
        action: "member.identity_linked",
        subject_type: "member",
        subject_id: member.id.to_string(),
        after: Some(json!({ "identity_provider": provider.id, "email": member.email })),
        ..Audited::default()
    }
}

fn second_factor_required() -> crate::error::Error {
    let detail =
        "you have a second factor, for which this provider does not stand in: sign in with password and code";
    denied("second_factor_required", detail)
}

/// An address that was given to somebody else must not bring the account along.
pub(super) fn already_linked() -> crate::error::Error {
    let detail = "somebody else of the identity provider is known by this address: ask an admin";
    denied("already_linked", detail)
}

/// Whoever made the member with this address need not be whom the issuer means.
fn unproved() -> crate::error::Error {
    let detail = "your address was not verified here yet: sign in with your password and verify it first";
    denied("member_not_verified", detail)
}

fn unknown() -> crate::error::Error {
    denied("unknown_identity", "no active member is known by this identity: let an admin invite you first")
}

pub(super) fn unverified() -> crate::error::Error {
    let detail = "the identity provider has not verified your e-mail address, so that it shows nothing";
    denied("email_not_verified", detail)
}
