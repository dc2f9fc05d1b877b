//! The return from Stripe.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use usance_core::{access::Role, connect::ConnectStatus};
use usance_db::{
    Scope, TenantTx, sessions,
    stripe_connect_states::{self, ConnectState},
    tenants::{self, Tenant},
};

use super::{
    begin::STATE_PREFIX,
    connection::{about, connect},
    failed, own_tenant, refuse_second_account,
};
use crate::{
    App, Cx, api_keys,
    audit::{self, Audited},
    auth::{SignedInMember, keyring::sha256, tenant_token},
    error::{Code, Error, FieldFault, Refusal, Result},
    members::active_role,
    sessions::{Origin, cx_of},
    stripe::StripeClient,
};

const CODE_LENGTH_MAX: usize = 255;
const WORD_LENGTH_MAX: usize = 64;
const SENTENCE_CHARS_MAX: usize = 300;

/// What a browser brings back from Stripe.
#[derive(Debug)]
pub struct Return {
    /// The credential.
    pub state: Option<SecretString>,
    /// To be exchanged for the account; absent with account links.
    pub code: Option<String>,
    /// Why there is no account, as a word.
    pub error: Option<String>,
    /// The same as a sentence.
    pub error_description: Option<String>,
}

/// A tenant with its account.
#[derive(Debug)]
pub struct Connected {
    /// The account.
    pub account_id: String,
    /// The tenant.
    pub tenant: Tenant,
    /// The mode that the member looked at when the way began.
    pub livemode: bool,
    /// The publishable key of that mode, unless it was revoked.
    pub publishable_key: Option<String>,
}

/// Connects the account that a browser comes back from. Its state is used up, whatever becomes of it.
pub async fn finish(app: &App, input: Return, origin: Origin) -> Result<Connected> {
    let Return { state, code, error, error_description } = input;
    if let Some(error) = error {
        let denied = denied(&error, &error_description.unwrap_or_default());
        note_denied(app, state, &origin, &denied).await?;
        return Err(denied.into());
    }
    let state = match (state, &code) {
        (Some(state), _) => state,
        (None, Some(_)) => return Err(invalid_state()),
        (None, None) => return Err(missing_code()),
    };
    let client = app.stripe.client()?;
    let (cx, begun) = spend(app, &state, &origin).await?.ok_or_else(invalid_state)?;
    let outcome = complete(client, &cx, &begun, code).await;
    if let Err(Error::Refused(refusal)) = &outcome {
        note_ended(&cx, "stripe.connect_failed", refusal.code.as_str()).await?;
    }
    outcome
}

async fn complete(
    client: &StripeClient,
    cx: &Cx,
    begun: &ConnectState,
    code: Option<String>,
) -> Result<Connected> {
    if begun.expires_at <= cx.now {
        return Err(expired());
    }
    let mut tx = cx.begin().await?;
    refuse_second_account(&lock_for_owner(&mut tx, begun).await?)?;
    drop(tx);
    let (account_id, status) = if let Some(account_id) = &begun.account_id {
        completed(client, account_id).await?
    } else {
        let code = code.filter(|code| code.len() <= CODE_LENGTH_MAX).ok_or_else(missing_code)?;
        let account_id = client.exchange_code(&code).await.map_err(|error| failed(&error))?;
        (account_id, ConnectStatus::Connected)
    };
    store(cx, begun, account_id, status).await
}

/// Reads the account that was made beforehand. Its owner also comes back without having completed it.
async fn completed(client: &StripeClient, account_id: &str) -> Result<(String, ConnectStatus)> {
    let account = client.get_account(account_id).await.map_err(|error| failed(&error))?;
    if !account.details_submitted {
        return Err(denied("onboarding_incomplete", "Stripe still has questions about the account").into());
    }
    let status = ConnectStatus::of_account(account.charges_enabled, account.payouts_enabled);
    Ok((account.id, status))
}

/// Uses up a state. The text names its tenant, and row-level security does the rest: a state of another tenant is none.
async fn spend(app: &App, state: &SecretString, origin: &Origin) -> Result<Option<(Cx, ConnectState)>> {
    let now: Timestamp = app.now();
    let Some(tenant) = tenant_token::tenant_of(STATE_PREFIX, state) else { return Ok(None) };
    let mut tx = app.db.tenant(Scope { tenant, livemode: false }).await?;
    let state_hash = sha256(state.expose_secret().as_bytes());
    let Some(begun) = stripe_connect_states::consume(&mut tx, &state_hash, now).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    let scope = Scope { tenant, livemode: begun.mode == audit::mode(true) };
    // Nothing is allowed by this role: whether the member still has it is looked up.
    let member = SignedInMember { id: begun.member, role: Role::Owner, session: begun.session };
    Ok(Some((cx_of(app, scope, member, origin, now), begun)))
}

/// Locks the tenant and whoever began, who must still be an owner, in a session that was not ended.
async fn lock_for_owner(tx: &mut TenantTx, begun: &ConnectState) -> Result<Tenant> {
    tenants::lock(tx).await?;
    let tenant = own_tenant(tx).await?;
    let role = active_role(tx, begun.member).await?;
    let is_signed_in = sessions::is_open(tx, begun.session).await?;
    if role != Some(Role::Owner) || !tenant.is_active || !is_signed_in {
        return Err(invalid_state());
    }
    Ok(tenant)
}

/// Where this refuses, the platform keeps an authorisation that nobody uses. It is not taken back: the same account may be
/// connected elsewhere, and there is one authorisation for all.
async fn store(
    cx: &Cx,
    begun: &ConnectState,
    account_id: String,
    status: ConnectStatus,
) -> Result<Connected> {
    let mut tx = cx.begin().await?;
    let tenant = lock_for_owner(&mut tx, begun).await?;
    refuse_second_account(&tenant)?;
    connect(cx, &mut tx, &tenant, &account_id, status).await?;
    let tenant = own_tenant(&mut tx).await?;
    let publishable_key = api_keys::find_publishable(cx, &mut tx).await?;
    tx.commit().await?;
    Ok(Connected { account_id, tenant, livemode: cx.scope.livemode, publishable_key })
}

/// Leaves an entry if there was a way to deny: whoever sends words without a state changes nothing.
async fn note_denied(
    app: &App,
    state: Option<SecretString>,
    origin: &Origin,
    denied: &Refusal,
) -> Result<()> {
    let Some(state) = state else { return Ok(()) };
    let Some((cx, _)) = spend(app, &state, origin).await? else { return Ok(()) };
    let reason = denied.extensions.get("error").and_then(|error| error.as_str()).unwrap_or_default();
    note_ended(&cx, "stripe.connect_denied", reason).await
}

/// Leaves an entry of a way that led nowhere.
async fn note_ended(cx: &Cx, action: &'static str, reason: &str) -> Result<()> {
    let mut tx = cx.begin().await?;
    let tenant = own_tenant(&mut tx).await?;
    let reason = Some(reason.to_owned());
    audit::record(cx, &mut tx, Audited { action, reason, ..about(&tenant) }).await?;
    Ok(tx.commit().await?)
}

/// The words come with the address and can be anybody's: only what looks like Stripe's is repeated.
fn denied(error: &str, description: &str) -> Refusal {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let error = if error.bytes().all(is_word) && (1..=WORD_LENGTH_MAX).contains(&error.len()) {
        error
    } else {
        "unknown_error"
    };
    let visible = description.chars().filter(|char| !char.is_control());
    let description: String = visible.take(SENTENCE_CHARS_MAX).collect();
    let detail = "no account was connected: begin again with POST /auth/tenants/stripe/connect";
    let refusal = Refusal::new(Code::StripeConnectDenied, detail);
    refusal.with("error", error).with("description", description)
}

fn missing_code() -> Error {
    let mut refusal = Refusal::new(Code::InvalidField, "?code: must be the code that Stripe sends");
    let detail = "must be the code that Stripe sends".to_owned();
    refusal.fields.push(FieldFault { pointer: "?code".to_owned(), code: "required", detail });
    refusal.with("error", "Missing authorization code").into()
}

fn invalid_state() -> Error {
    let detail = "the state is not known, was used before, or belongs to nobody who may connect an account";
    let refusal = Refusal::new(Code::StripeStateInvalid, detail);
    refusal
        .with("error", "Invalid state parameter")
        .with("description", "Security verification failed")
        .into()
}

fn expired() -> Error {
    let detail = "the way to Stripe took too long: begin again with POST /auth/tenants/stripe/connect";
    Refusal::new(Code::StripeConnectExpired, detail).with("error", "Session expired").into()
}
