//! The way to a provider.

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use usance_core::{hexadecimal, ids::IdentityProviderId};
use usance_db::{
    Scope,
    oidc_sign_ins::{self, OidcSignIn},
};

use super::{
    STATE_PREFIX, cookie_name, find,
    party::{Registration, Request, discover_soon},
    redirect_uri,
};
use crate::{
    App,
    auth::{api_key::random_text, keyring::sha256, tenant_token},
    error::{Error, Result},
};

/// How long the way to a provider and back may take.
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// As long as RFC 7636 asks for, of 62 letters and digits.
const SECRET_LENGTH: usize = 43;

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The page of the provider that the browser goes to.
    pub url: String,
    /// The name of the cookie that binds the sign-in to the browser.
    pub cookie_name: String,
    /// Its value.
    pub cookie_value: SecretString,
    /// How long it is kept, in seconds.
    pub cookie_seconds: i64,
}

/// Begins a sign-in.
pub async fn begin(app: &App, provider: &str) -> Result<Begun> {
    let id: IdentityProviderId = provider.parse().map_err(|_| Error::not_found("identity provider"))?;
    let (scope, provider) = find(app, id).await?;
    // A server that does not know its own address calls nobody.
    redirect_uri(app, id)?;
    let metadata = discover_soon(app, &provider.issuer).await?;
    let registration = Registration::new(app, scope, &provider, metadata)?;
    let random = app.random.as_ref();
    let request = Request {
        state: tenant_token::generate(random, STATE_PREFIX, scope.tenant),
        nonce: random_text(random, SECRET_LENGTH),
        verifier: random_text(random, SECRET_LENGTH).into(),
    };
    let url = registration.authorization_url(&request)?;
    let cookie_value: SecretString = random_text(random, SECRET_LENGTH).into();
    store(app, scope, id, &request, &cookie_value).await?;
    let cookie_name = cookie_name(request.state.expose_secret().as_bytes());
    Ok(Begun { url, cookie_name, cookie_value, cookie_seconds: LIFETIME.as_secs() })
}

async fn store(
    app: &App,
    scope: Scope,
    provider: IdentityProviderId,
    request: &Request,
    cookie_value: &SecretString,
) -> Result<()> {
    let now = app.now();
    let state_hash = sha256(request.state.expose_secret().as_bytes());
    let place = verifier_place(&state_hash);
    let place = place.each_ref().map(String::as_str);
    let sign_in = OidcSignIn {
        provider,
        browser_hash: sha256(cookie_value.expose_secret().as_bytes()),
        nonce_hash: sha256(request.nonce.as_bytes()),
        verifier_sealed: app.keyring.seal(app.random.as_ref(), &place, request.verifier.expose_secret()),
        expires_at: now.saturating_add(LIFETIME).unwrap_or(now),
    };
    let mut tx = app.db.tenant(scope).await?;
    oidc_sign_ins::purge(&mut tx, now).await?;
    oidc_sign_ins::insert(&mut tx, &state_hash, &sign_in).await?;
    Ok(tx.commit().await?)
}

/// Where the verifier of a sign-in is sealed for.
pub(super) fn verifier_place(state_hash: &[u8]) -> [String; 2] {
    ["oidc_sign_in".to_owned(), hexadecimal(state_hash)]
}
