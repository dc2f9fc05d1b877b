//! The way back from a provider.

use secrecy::{ExposeSecret, SecretString};
use usance_core::ids::IdentityProviderId;
use usance_db::{
    Scope,
    identity_providers::IdentityProvider,
    oidc_sign_ins::{self, OidcSignIn},
};

use super::{
    Claims, STATE_PREFIX,
    begin::verifier_place,
    cookie_name,
    customer::{self, SignedInCustomer},
    denied, find, member,
    party::{Exchange, Registration, discover},
};
use crate::{
    App,
    auth::{keyring::sha256, tenant_token},
    error::{Code, Error, FieldFault, Refusal, Result},
    sessions::{Origin, SignedIn},
};

const CODE_LENGTH_MAX: usize = 4_096;
/// The longest subject that an issuer may have (OpenID Connect Core 1.0, section 2).
const SUBJECT_LENGTH_MAX: usize = 255;

/// What a browser brings back.
#[derive(Debug)]
pub struct Return {
    /// Of the address it came back to.
    pub provider: String,
    /// Of the beginning.
    pub state: Option<SecretString>,
    /// To be exchanged for who it is.
    pub code: Option<String>,
    /// Why there is no code, as a word.
    pub error: Option<String>,
    /// Its cookies, by name.
    pub cookies: Vec<(String, SecretString)>,
}

/// Who came back.
#[derive(Debug)]
pub enum SignedInBy {
    /// A member of the staff.
    Member(Box<SignedIn>, Option<String>),
    /// A customer, and the page on which it signs out at the provider.
    Customer(Box<SignedInCustomer>, Option<String>),
}

/// Signs in whoever a browser comes back as. Its state is used up, whatever becomes of it.
pub async fn finish(app: &App, input: Return, origin: Origin) -> Result<SignedInBy> {
    let id: IdentityProviderId = input.provider.parse().map_err(|_| invalid_state())?;
    let state = input.state.ok_or_else(invalid_state)?;
    let (state_hash, begun) = spend(app, &state).await?.ok_or_else(invalid_state)?;
    let name = cookie_name(state.expose_secret().as_bytes());
    let is_same_browser = input.cookies.iter().any(|(found, value)| {
        *found == name && sha256(value.expose_secret().as_bytes()) == begun.browser_hash
    });
    if !is_same_browser || begun.provider != id || begun.expires_at <= app.now() {
        return Err(invalid_state());
    }
    if input.error.is_some() {
        return Err(denied("access_denied", "the identity provider, or whoever sat in front of it, refused"));
    }
    let code = input.code.filter(|code| (1..=CODE_LENGTH_MAX).contains(&code.len()));
    let code = code.ok_or_else(missing_code)?;
    let place = verifier_place(&state_hash);
    let opened = app.keyring.open(&place.each_ref().map(String::as_str), &begun.verifier_sealed);
    let verifier = opened.map_err(|_| Error::Internal("the verifier of a sign-in cannot be opened"))?;
    let (scope, provider) = find(app, id).await?;
    let exchange = Exchange { code, nonce_hash: begun.nonce_hash, verifier };
    let (claims, logout_url) = ask(app, scope, &provider, exchange).await?;
    if !(1..=SUBJECT_LENGTH_MAX).contains(&claims.subject.len()) || claims.subject.contains('\0') {
        return Err(denied("unknown_identity", "the identity provider's name for you is none"));
    }
    if provider.audience == "members" {
        let signed_in = member::sign_in(app, scope, &provider, &claims, &origin).await?;
        Ok(SignedInBy::Member(Box::new(signed_in), logout_url))
    } else {
        let signed_in = customer::sign_in(app, scope, &provider, &claims, &origin).await?;
        Ok(SignedInBy::Customer(Box::new(signed_in), logout_url))
    }
}

/// Uses up a state. The text names its tenant, and row-level security does the rest: a state of another tenant is none.
async fn spend(app: &App, state: &SecretString) -> Result<Option<(Vec<u8>, OidcSignIn)>> {
    let Some(tenant) = tenant_token::tenant_of(STATE_PREFIX, state) else { return Ok(None) };
    let state_hash = sha256(state.expose_secret().as_bytes());
    let mut tx = app.db.tenant(Scope { tenant, livemode: false }).await?;
    let begun = oidc_sign_ins::take(&mut tx, &state_hash).await?;
    tx.commit().await?;
    Ok(begun.map(|begun| (state_hash, begun)))
}

/// The keys are fetched now, so that those which the issuer has changed are the new ones.
async fn ask(
    app: &App,
    scope: Scope,
    provider: &IdentityProvider,
    exchange: Exchange,
) -> Result<(Claims, Option<String>)> {
    let metadata = discover(app, &provider.issuer).await?;
    let registration = Registration::new(app, scope, provider, metadata)?;
    registration.exchange(app, exchange, app.now()).await
}

fn invalid_state() -> Error {
    let detail = "this sign-in is not known, was used before, took too long, or was begun in another browser";
    Error::refused(Code::SignInStateInvalid, detail)
}

fn missing_code() -> Error {
    let mut refusal = Refusal::new(Code::InvalidField, "?code: must be the code that the provider sends");
    let detail = "must be the code that the provider sends".to_owned();
    refusal.fields.push(FieldFault { pointer: "?code".to_owned(), code: "required", detail });
    refusal.into()
}
