//! Members prove that they read what is sent to their address.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::ids::MemberId;
use usance_db::{
    Scope, TenantTx,
    member_tokens::{self, NewMemberToken, TokenPurpose},
    members::{self, Member},
    tenants::{self, Tenant},
};

use super::own_rows;
use crate::{
    App, Cx,
    audit::{self, Audited},
    auth::{keyring::sha256, tenant_token},
    error::{Code, Error, Refusal, Result},
    mail::{self, MailKind},
    sessions::{Origin, cx_of_stranger},
};

/// How long a token verifies.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
const TOKEN_PREFIX: &str = "ve";
/// Mails that a member can ask for in an hour.
const REQUESTS_MAX: i64 = 5;
const REQUESTS_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// How long it is known that a token was there.
const TOKENS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

fn unknown() -> Error {
    Error::not_found("open verification: the token was used, or it has expired")
}

/// Gives a member a token of a purpose.
pub(super) async fn give_token(
    app: &App,
    tx: &mut TenantTx,
    (member, purpose): (MemberId, TokenPurpose),
    prefix: &str,
    lifetime: SignedDuration,
) -> Result<(SecretString, Timestamp)> {
    let now = app.now();
    let token = tenant_token::generate(app.random.as_ref(), prefix, tx.scope().tenant);
    let new = NewMemberToken {
        id: app.ids.next(),
        member,
        purpose,
        token_hash: sha256(token.expose_secret().as_bytes()),
        created_at: now,
        expires_at: now.saturating_add(lifetime).unwrap_or(now),
    };
    member_tokens::forget(tx, member, now.saturating_sub(TOKENS_KEPT).unwrap_or(now)).await?;
    member_tokens::insert(tx, &new).await?;
    Ok((token, new.expires_at))
}

/// Mails a member a token that proves its address.
pub(crate) async fn begin_verification(
    app: &App,
    tx: &mut TenantTx,
    member: &Member,
    tenant: &Tenant,
) -> Result<()> {
    let of = (member.id, TokenPurpose::VerifyEmail);
    let (token, expires_at) = give_token(app, tx, of, TOKEN_PREFIX, LIFETIME).await?;
    let letter = mail::verify_email(app, member.email.clone(), &tenant.company_name, &token);
    mail::enqueue(app, tx, MailKind::VerifyEmail, &letter, Some(expires_at)).await
}

/// Mails the caller another token. Returns `false` if its address is verified already.
pub async fn request_verification(cx: &Cx, tx: &mut TenantTx) -> Result<bool> {
    let (member, tenant) = own_rows(cx, tx).await?;
    // One at a time, so that many at once are not more than the window takes.
    members::lock(tx, member.id).await?;
    if member.email_verified_at.is_some() {
        return Ok(false);
    }
    let since = cx.now.saturating_sub(REQUESTS_WINDOW).unwrap_or(cx.now);
    let (count, first) = member_tokens::count_since(tx, member.id, TokenPurpose::VerifyEmail, since).await?;
    if count >= REQUESTS_MAX {
        let seconds = first.map_or(0, |first| first.duration_since(since).as_secs()) + 1;
        let detail = format!("too many mails were asked for: ask again in {seconds} seconds");
        let refusal = Refusal::new(Code::RateLimitExceeded, detail);
        return Err(refusal.with("retry_after_seconds", seconds).into());
    }
    begin_verification(&cx.app, tx, &member, &tenant).await?;
    Ok(true)
}

/// Notes that the member whom a token was mailed to reads its mails.
pub async fn verify_email(app: &App, token: &SecretString, origin: &Origin) -> Result<()> {
    let now = app.now();
    let tenant = tenant_token::tenant_of(TOKEN_PREFIX, token).ok_or_else(unknown)?;
    let scope = Scope { tenant, livemode: false };
    let token_hash = sha256(token.expose_secret().as_bytes());
    let mut tx = app.db.tenant(scope).await?;
    tenants::find(&mut tx).await?.filter(|it| it.is_active).ok_or_else(unknown)?;
    let id = member_tokens::find_open(&mut tx, TokenPurpose::VerifyEmail, &token_hash, now).await?;
    let member = members::lock(&mut tx, id.ok_or_else(unknown)?).await?;
    let member = member.filter(|it| it.is_active).ok_or_else(unknown)?;
    if !member_tokens::consume(&mut tx, TokenPurpose::VerifyEmail, &token_hash, now).await? {
        return Err(unknown());
    }
    members::verify_email(&mut tx, member.id, now).await?;
    record(&cx_of_stranger(app, scope, origin), &mut tx, "member.email_verified", member.id).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn record(cx: &Cx, tx: &mut TenantTx, action: &'static str, member: MemberId) -> Result<()> {
    let audited = Audited {
        action,
        subject_type: "member",
        subject_id: member.to_string(),
        after: Some(json!({ "by": "mail" })),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}
