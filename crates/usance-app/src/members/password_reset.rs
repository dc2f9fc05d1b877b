//! A member who has forgotten its password gets a token by mail, and sets another password with it.
//!
//! Whether an address is known shows neither in the answer to a request nor in its cost: a request is only noted, and the worker
//! that sends mails looks whom it is for.

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use usance_core::ids::{MemberId, TenantId};
use usance_db::{
    Scope, TenantTx, identity_providers,
    member_tokens::{self, TokenPurpose},
    members::{self, Member},
    sessions::{self, RevokedReason},
    tenants::{self, Tenant},
};

use super::verification::{give_token, record};
use crate::{
    App, Cx,
    auth::{keyring::sha256, password, tenant_token},
    error::{Error, Faults, Result},
    fields::{check_optional_text, read_email},
    mail::{self, MailKind, ResetRequest},
    sessions::{Origin, STRANGERS, cx_of_stranger, note_sign_in},
};

/// How long a token sets a password.
const LIFETIME: SignedDuration = SignedDuration::from_mins(30);
const TOKEN_PREFIX: &str = "pr";
/// Accounts with one address that get a mail for one request.
const ACCOUNTS_MAX: i64 = 5;

fn unknown() -> Error {
    Error::not_found("open reset of a password: the token was used or replaced, or it has expired")
}

/// Notes that somebody wants to reset a password.
pub async fn request_reset(app: &App, email: &str, tenant: Option<String>) -> Result<()> {
    let mut faults = Faults::default();
    let email = read_email(&mut faults, "/email", email);
    check_optional_text(&mut faults, "/tenant", tenant.as_deref().unwrap_or_default());
    faults.check()?;
    mail::enqueue_reset_request(app, &ResetRequest { email, tenant }).await
}

/// Finds the accounts that a request is for.
pub(crate) async fn accounts_to_reset(
    app: &App,
    request: &ResetRequest,
) -> Result<Vec<(TenantId, MemberId)>> {
    let mut system = app.db.system().await?;
    let slug = request.tenant.as_deref();
    Ok(members::list_accounts(&mut system, &request.email, slug, ACCOUNTS_MAX).await?)
}

/// Mails each of these accounts a token, which ends the tokens before it.
pub(crate) async fn issue_resets(app: &App, accounts: Vec<(TenantId, MemberId)>) -> Result<()> {
    for (tenant, member) in accounts {
        issue(app, tenant, member).await?;
    }
    Ok(())
}

async fn issue(app: &App, tenant: TenantId, member: MemberId) -> Result<()> {
    let cx = Cx::of_work(app, Scope { tenant, livemode: false });
    let mut tx = cx.begin().await?;
    let Some((member, tenant)) = lock_active(&mut tx, member).await? else { return Ok(()) };
    member_tokens::revoke_all(&mut tx, member.id, TokenPurpose::ResetPassword, cx.now).await?;
    let of = (member.id, TokenPurpose::ResetPassword);
    let (token, expires_at) = give_token(app, &mut tx, of, TOKEN_PREFIX, LIFETIME).await?;
    let letter = mail::reset_password(app, member.email, (&tenant.company_name, &tenant.slug), &token);
    mail::enqueue(app, &mut tx, MailKind::ResetPassword, &letter, Some(expires_at)).await?;
    record(&cx, &mut tx, "member.password_reset_requested", member.id).await?;
    Ok(tx.commit().await?)
}

/// The member is locked before its tokens, here and wherever its password changes.
async fn lock_active(tx: &mut TenantTx, member: MemberId) -> Result<Option<(Member, Tenant)>> {
    let member = members::lock(tx, member).await?.filter(|it| it.is_active);
    let tenant = tenants::find(tx).await?.filter(|it| it.is_active);
    Ok(member.zip(tenant))
}

/// Sets a password by a token. Every session of the member ends.
pub async fn reset_password(
    app: &App,
    token: &SecretString,
    new: SecretString,
    origin: &Origin,
) -> Result<()> {
    let purpose = TokenPurpose::ResetPassword;
    let tenant = tenant_token::tenant_of(TOKEN_PREFIX, token).ok_or_else(unknown)?;
    let scope = Scope { tenant, livemode: false };
    let token_hash = sha256(token.expose_secret().as_bytes());
    let mut tx = app.db.tenant(scope).await?;
    let id = member_tokens::find_open(&mut tx, purpose, &token_hash, app.now()).await?.ok_or_else(unknown)?;
    let (member, tenant) = lock_active(&mut tx, id).await?.ok_or_else(unknown)?;
    drop(tx);
    let mut faults = Faults::default();
    password::check(&mut faults, "/password", &new, &super::own_data(&member, &tenant));
    faults.check()?;
    // Slow, and therefore between the transactions.
    let password_hash = app.password_hashing.hash(app.random.as_ref(), new).await?;

    let cx = cx_of_stranger(app, scope, origin);
    let mut tx = cx.begin().await?;
    let (member, tenant) = lock_active(&mut tx, id).await?.ok_or_else(unknown)?;
    if !member_tokens::consume(&mut tx, purpose, &token_hash, cx.now).await? {
        return Err(unknown());
    }
    members::set_password(&mut tx, member.id, &password_hash, cx.now).await?;
    // The token came by mail.
    members::verify_email(&mut tx, member.id, cx.now).await?;
    sessions::revoke_others(&mut tx, member.id, None, RevokedReason::PasswordChanged, cx.now).await?;
    // Whoever lost the account may have let somebody else in: identities are linked anew by the verified address.
    identity_providers::unlink_member(&mut tx, member.id).await?;
    let account = (member.email.as_str(), tenant.slug.as_str());
    note_sign_in(app, &mut tx, account, STRANGERS, origin.address, cx.now).await?;
    password_changed(&cx, &mut tx, &member, &tenant).await?;
    record(&cx, &mut tx, "member.password_reset", member.id).await?;
    Ok(tx.commit().await?)
}

/// Ends what could change the password once more, and tells the member.
pub(super) async fn password_changed(
    cx: &Cx,
    tx: &mut TenantTx,
    member: &Member,
    tenant: &Tenant,
) -> Result<()> {
    member_tokens::revoke_all(tx, member.id, TokenPurpose::ResetPassword, cx.now).await?;
    let letter = mail::password_changed(member.email.clone(), &tenant.company_name, cx.now);
    mail::enqueue(&cx.app, tx, MailKind::PasswordChanged, &letter, None).await
}
