//! Sign-in by OpenID Connect: a tenant's identity providers say who its members and its customers are.
//!
//! A browser is sent to the provider with a state, and comes back with it and a code: OpenID Connect Core 1.0, section 3.1,
//! with PKCE (RFC 7636). The state is stored as a hash, valid once and for ten minutes, and bound to a cookie of the browser
//! that began, so that nobody is signed in as somebody else by a link. Who comes back is known by the issuer's subject; an
//! e-mail address counts only where the issuer says that it has verified it, and only the first time; of a member only where
//! it was verified here too, because anybody can make a member with anybody's address. A member with a second factor signs in
//! only by providers that are trusted to stand in for it.

mod begin;
mod customer;
mod finish;
mod member;
mod party;
mod providers;

pub use begin::{Begun, begin};
pub use finish::{Return, SignedInBy, finish};
pub use party::Discoveries;
pub use providers::{
    ChangeProvider, CreateProvider, OwnerProof, ProviderFields, change, create, list, remove,
};

use secrecy::SecretString;
use usance_core::{hexadecimal, ids::IdentityProviderId};
use usance_db::{
    Scope, TenantTx,
    identity_providers::{self, IdentityProvider},
    tenants,
};

use crate::{
    App,
    auth::keyring::sha256,
    error::{Code, Error, Refusal, Result},
};

/// The prefix of a state.
const STATE_PREFIX: &str = "oidc";

/// What an issuer says of somebody.
#[derive(Debug)]
struct Claims {
    /// Unique and never reassigned within the issuer.
    subject: String,
    /// Only where the issuer has verified it; lower case.
    verified_email: Option<String>,
    /// For people.
    name: Option<String>,
}

/// Where the browser comes back to. Providers compare it letter by letter.
fn redirect_uri(app: &App, provider: IdentityProviderId) -> Result<String> {
    let base = app.public_url.as_deref().ok_or_else(|| {
        let detail =
            "the operator must set USANCE_PUBLIC_URL before anybody can sign in by an identity provider";
        Error::refused(Code::SignInNotConfigured, detail)
    })?;
    Ok(format!("{base}/auth/{provider}/callback"))
}

/// Finds a provider by the id in an address, and whose it is. That of a tenant that is not active is none.
async fn find(app: &App, id: IdentityProviderId) -> Result<(Scope, IdentityProvider)> {
    let unknown = || Error::not_found("identity provider");
    let mut system = app.db.system().await?;
    let tenant = identity_providers::find_tenant(&mut system, id).await?.ok_or_else(unknown)?;
    drop(system);
    let mut tx = app.db.tenant(Scope { tenant, livemode: false }).await?;
    tenants::find(&mut tx).await?.filter(|it| it.is_active).ok_or_else(unknown)?;
    let provider = identity_providers::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let livemode = provider.mode.as_deref() == Some("live");
    Ok((Scope { tenant, livemode }, provider))
}

/// Finds a provider that is in use, and locks it.
async fn in_use(tx: &mut TenantTx, id: IdentityProviderId) -> Result<IdentityProvider> {
    identity_providers::lock(tx, id).await?.ok_or_else(|| Error::not_found("identity provider"))
}

/// The name of the cookie that binds a state to a browser; each has its own, so that two tabs do not meet.
fn cookie_name(state: &[u8]) -> String {
    format!("usance_sign_in_{}", &hexadecimal(&sha256(state))[..16])
}

/// Where the secret of a provider is sealed for.
fn secret_place(scope: Scope, id: IdentityProviderId) -> [String; 3] {
    ["identity_provider".to_owned(), scope.tenant.to_string(), id.to_string()]
}

fn open_secret(app: &App, scope: Scope, provider: &IdentityProvider) -> Result<Option<SecretString>> {
    let Some(sealed) = &provider.client_secret_sealed else { return Ok(None) };
    let place = secret_place(scope, provider.id);
    let opened = app.keyring.open(&place.each_ref().map(String::as_str), sealed);
    opened.map(Some).map_err(|_| Error::Internal("the secret of an identity provider cannot be opened"))
}

/// Nobody was signed in, and why, as a word for programs and a sentence for people.
fn denied(reason: &'static str, detail: &'static str) -> Error {
    Refusal::new(Code::SignInDenied, detail).with("reason", reason).into()
}
