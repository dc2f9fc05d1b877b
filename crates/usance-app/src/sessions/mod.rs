//! Sessions of members: signing in, renewing, signing out.

mod refresh;
mod throttle;

pub use refresh::refresh;
pub(crate) use throttle::{Attempt, STRANGERS, count as count_attempt, nobody, note_sign_in, note_success};

use std::net::IpAddr;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::ids::{MemberId, RequestId, SessionId};
use usance_db::{
    Scope, TenantTx, members,
    members::Member,
    sessions::{self, NewRefreshToken, RevokedReason, Session},
    tenants::{self, Tenant},
};
use uuid::Uuid;

use crate::{
    App, Cx, api_keys,
    audit::{self, Audited},
    auth::{
        Caller, SignedInMember, access_token::AccessClaims, keyring::sha256, password, role_of, tenant_token,
    },
    error::{Code, Error, Refusal, Result},
    second_factor::{prove, record_use},
};

const REFRESH_TOKEN_PREFIX: &str = "rt";
const USER_AGENT_LENGTH_MAX: usize = 255;

/// Where a request without a credential comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// What the client says of itself.
    pub user_agent: String,
    /// For the audit log.
    pub request_id: RequestId,
}

/// Who wants to sign in.
#[derive(Debug)]
pub struct SignIn {
    /// Of the member.
    pub email: String,
    /// Of the member.
    pub password: SecretString,
    /// Of the member's authenticator, or a recovery code.
    pub code: Option<SecretString>,
    /// Slug of the tenant, where an address belongs to members of several.
    pub tenant: Option<String>,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// A JWT, valid for an hour unless it is set otherwise.
    pub access: SecretString,
    /// Valid once, and for a week unless it is set otherwise.
    pub refresh: SecretString,
}

/// A member who signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// The member's tenant.
    pub tenant: Tenant,
    /// The publishable key of test mode, unless it was revoked.
    pub publishable_key: Option<String>,
    /// Who.
    pub member: Member,
    /// The tokens of the new session.
    pub tokens: Tokens,
}

fn invalid_credentials() -> Error {
    let refusal = Refusal::new(Code::InvalidCredentials, "no member has this e-mail address and password");
    refusal.with("error", "Invalid credentials").into()
}

fn second_factor_required() -> Error {
    let detail = "this member signs in with a second factor: send a code of the authenticator, or a recovery code, too";
    Refusal::new(Code::SecondFactorRequired, detail).with("error", "Second factor required").into()
}

fn second_factor_invalid() -> Error {
    let detail = "the code is wrong, too old or used up: wait for the next one";
    Refusal::new(Code::SecondFactorInvalid, detail).with("error", "Invalid second factor").into()
}

/// Signs a member in. Whether the address is known shows neither in the answer nor in its cost: each attempt that is let in
/// takes the same statements and one verification of a password.
pub async fn sign_in(app: &App, input: SignIn, origin: Origin) -> Result<SignedIn> {
    let now = app.now();
    let place = app.password_hashing.reserve()?;
    let email = input.email.to_lowercase();
    let mut system = app.db.system().await?;
    let account = members::find_account(&mut system, &email, input.tenant.as_deref()).await?;
    drop(system);
    let attempt = Attempt::new(app, account, (&email, input.tenant.as_deref()), origin.address);
    let scope = Scope { tenant: attempt.tenant, livemode: false };
    let mut tx = app.db.tenant(scope).await?;
    let source = count_attempt(&mut tx, &attempt, now).await?;
    let member = members::find(&mut tx, account.map_or(MemberId::from_uuid(Uuid::nil()), |it| it.1)).await?;
    tx.commit().await?;
    let stored = member.as_ref().map(|member| member.password_hash.clone());
    let verified = place.verify(input.password.clone(), stored).await?;
    let Some(member) = member.filter(|_| verified) else { return Err(invalid_credentials()) };
    let rehashed = if password::is_outdated(&member.password_hash) {
        Some(place.hash(app.random.as_ref(), input.password).await?)
    } else {
        None
    };
    drop(place);

    let mut tx = app.db.tenant(scope).await?;
    // The password may have been changed, or the member deactivated, while it was verified.
    let locked = members::lock(&mut tx, member.id).await?;
    let unchanged = locked.filter(|it| it.is_active && it.password_hash == member.password_hash);
    let mut member = unchanged.ok_or_else(invalid_credentials)?;
    let tenant = tenants::find(&mut tx).await?.filter(|it| it.is_active).ok_or_else(invalid_credentials)?;
    let proof = match (member.second_factor_at, &input.code) {
        (None, _) => None,
        (Some(_), None) => return Err(second_factor_required()),
        (Some(_), Some(code)) => prove(app, &mut tx, &member, code, origin.address, now).await?,
    };
    if member.second_factor_at.is_some() && proof.is_none() {
        audit::record(&cx_of_stranger(app, scope, &origin), &mut tx, refused_code(member.id)).await?;
        tx.commit().await?;
        return Err(second_factor_invalid());
    }
    let own = (email.as_str(), tenant.slug.as_str());
    note_sign_in(app, &mut tx, own, &source.source, origin.address, now).await?;
    if let Some(rehashed) = rehashed {
        members::set_password(&mut tx, member.id, &rehashed, now).await?;
    }
    members::note_sign_in(&mut tx, member.id, now).await?;
    member.last_login_at = Some(now);
    let (tokens, signed_in) = begin(app, &mut tx, &member, &origin, now).await?;
    let cx = cx_of(app, scope, signed_in, &origin, now);
    audit::record(&cx, &mut tx, of_member("member.signed_in", signed_in, signed_in.session)).await?;
    if let Some(proof) = proof {
        record_use(&cx, &mut tx, member.id, proof).await?;
    }
    let publishable_key = api_keys::find_publishable(&cx, &mut tx).await?;
    tx.commit().await?;
    Ok(SignedIn { tenant, publishable_key, member, tokens })
}

/// The context of whoever has not signed in.
pub(crate) fn cx_of_stranger(app: &App, scope: Scope, origin: &Origin) -> Cx {
    let now = app.now();
    Cx { app: app.clone(), scope, caller: None, now, request_id: origin.request_id, address: origin.address }
}

/// Whoever sends a wrong code knows the password.
fn refused_code(member: MemberId) -> Audited {
    Audited {
        action: "member.second_factor_refused",
        subject_type: "member",
        subject_id: member.to_string(),
        ..Audited::default()
    }
}

/// The context of a member who has just signed in.
pub(crate) fn cx_of(app: &App, scope: Scope, member: SignedInMember, origin: &Origin, now: Timestamp) -> Cx {
    let caller = Some(Caller::Member(member));
    Cx { app: app.clone(), scope, caller, now, request_id: origin.request_id, address: origin.address }
}

fn of_member(action: &'static str, member: SignedInMember, session: SessionId) -> Audited {
    Audited {
        action,
        subject_type: "member",
        subject_id: member.id.to_string(),
        after: Some(json!({ "session": session })),
        ..Audited::default()
    }
}

/// Begins a session.
pub(crate) async fn begin(
    app: &App,
    tx: &mut TenantTx,
    member: &Member,
    origin: &Origin,
    now: Timestamp,
) -> Result<(Tokens, SignedInMember)> {
    let role = role_of(&member.role)?;
    let session = Session {
        id: SessionId::from_uuid(app.ids.next()),
        member: member.id,
        address: origin.address.map(|address| address.to_string()),
        user_agent: user_agent(&origin.user_agent),
        created_at: now,
        last_used_at: now,
        expires_at: now.saturating_add(app.session_lifetime).unwrap_or(now),
    };
    sessions::insert(tx, &session).await?;
    let (tokens, _) = issue(app, tx, member.id, session.id, now).await?;
    Ok((tokens, SignedInMember { id: member.id, role, session: session.id }))
}

/// Only what can be stored and shown.
fn user_agent(text: &str) -> String {
    text.chars().filter(|symbol| !symbol.is_control()).take(USER_AGENT_LENGTH_MAX).collect()
}

/// Makes the tokens of a session; returns the id of the refresh token too.
async fn issue(
    app: &App,
    tx: &mut TenantTx,
    member: MemberId,
    session: SessionId,
    now: Timestamp,
) -> Result<(Tokens, Uuid)> {
    let tenant = tx.scope().tenant;
    let refresh = tenant_token::generate(app.random.as_ref(), REFRESH_TOKEN_PREFIX, tenant);
    let token = NewRefreshToken {
        id: app.ids.next(),
        session,
        token_hash: sha256(refresh.expose_secret().as_bytes()),
        expires_at: now.saturating_add(app.session_lifetime).unwrap_or(now),
        created_at: now,
    };
    sessions::insert_token(tx, member, &token).await?;
    let access = app.access_tokens.issue(&AccessClaims { tenant, member, session, token: token.id }, now)?;
    Ok((Tokens { access: access.into(), refresh }, token.id))
}

/// The member behind a request; keys are none.
pub fn signed_in(cx: &Cx) -> Result<SignedInMember> {
    match cx.caller {
        Some(Caller::Member(member)) => Ok(member),
        Some(Caller::SecretKey(..) | Caller::PublishableKey(_) | Caller::Customer(_)) | None => {
            Err(Error::refused(Code::Forbidden, "this is for members: sign in"))
        }
    }
}

/// Ends the caller's own session: its access token and its refresh token are refused from now on.
pub async fn sign_out(cx: &Cx, tx: &mut TenantTx) -> Result<()> {
    let member = signed_in(cx)?;
    sessions::revoke(tx, member.id, member.session, RevokedReason::SignedOut, cx.now).await?;
    audit::record(cx, tx, of_member("member.signed_out", member, member.session)).await
}

/// Lists the caller's running sessions, newest first.
pub async fn list(cx: &Cx) -> Result<Vec<Session>> {
    let mut tx = cx.begin().await?;
    Ok(sessions::list(&mut tx, signed_in(cx)?.id, cx.now).await?)
}

/// Ends another session of the caller, or its own.
pub async fn revoke(cx: &Cx, tx: &mut TenantTx, id: &str) -> Result<()> {
    let member = signed_in(cx)?;
    let session: SessionId = id.parse().map_err(|_| Error::not_found("session"))?;
    if !sessions::revoke(tx, member.id, session, RevokedReason::Revoked, cx.now).await? {
        return Err(Error::not_found("session"));
    }
    audit::record(cx, tx, of_member("member.session_revoked", member, session)).await
}
