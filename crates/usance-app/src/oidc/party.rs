//! The relying party: what is asked of an issuer, and what of its answers is believed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use jiff::{SignedDuration, Timestamp};
use openidconnect::{
    AsyncHttpClient, AuthType, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, LogoutRequest,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, Scope, TokenResponse,
    core::{
        CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenClaims, CoreJwsSigningAlgorithm,
        CoreResponseType, CoreTokenResponse, CoreUserInfoClaims,
    },
};
use reqwest::header;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use usance_db::identity_providers::IdentityProvider;

use super::{Claims, open_secret, redirect_uri};
use crate::{
    App,
    answers::read_at_most,
    auth::keyring::sha256,
    error::{Code, Error, Result, chain},
    guard::{GuardedClient, UrlFault},
};

/// From the search for the address to the last byte of one answer. A return makes four calls at most and is answered within
/// 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(6);
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// How far the clock of an issuer may be off.
const SKEW_SECONDS: i64 = 60;
/// How long ago an ID token may have been issued: its browser comes back at once.
const AGE_SECONDS_MAX: i64 = 600;
/// How long a discovery serves those who are sent away. Who comes back is checked by keys that are fetched then.
const DISCOVERY_LIFETIME: SignedDuration = SignedDuration::from_mins(5);
const DISCOVERIES_MAX: usize = 100;
const USER_AGENT: &str = concat!("Usance/", env!("CARGO_PKG_VERSION"));

/// By a key that only the issuer has: what a client secret signs, or nothing at all, is not believed (RFC 8725, section 3.1).
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Party = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What issuers said of themselves a moment ago.
#[derive(Debug, Default)]
pub struct Discoveries(Mutex<HashMap<String, (Arc<ProviderMetadataWithLogout>, Timestamp)>>);

impl Discoveries {
    fn find(&self, issuer: &str, now: Timestamp) -> Option<Arc<ProviderMetadataWithLogout>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (metadata, at) = known.get(issuer)?;
        (now.duration_since(*at).abs() < DISCOVERY_LIFETIME).then(|| Arc::clone(metadata))
    }

    fn insert(&self, issuer: &str, metadata: &Arc<ProviderMetadataWithLogout>, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DISCOVERIES_MAX {
            known.clear();
        }
        known.insert(issuer.to_owned(), (Arc::clone(metadata), now));
    }
}

/// Why an issuer's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the address must not be called: {0}")]
    Guarded(#[from] UrlFault),
    #[error("the call failed")]
    Http(#[from] reqwest::Error),
    #[error("the answer took too long")]
    TimedOut,
    #[error("the answer is too long")]
    TooLong,
    #[error("the answer cannot be read")]
    Unreadable(#[from] openidconnect::http::Error),
}

/// Calls issuers through the guard: a tenant names them.
struct Http<'a>(&'a GuardedClient);

impl<'c> AsyncHttpClient<'c> for Http<'_> {
    type Error = CallError;
    type Future = BoxFuture<'c, std::result::Result<HttpResponse, CallError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        async move { timeout(TIMEOUT, self.send(request)).await.unwrap_or(Err(CallError::TimedOut)) }.boxed()
    }
}

impl Http<'_> {
    async fn send(&self, request: HttpRequest) -> std::result::Result<HttpResponse, CallError> {
        let (parts, body) = request.into_parts();
        // As in live mode: nobody signs in over a connection that others can read.
        let request = self.0.request(parts.method, &parts.uri.to_string(), true)?;
        let request = request.headers(parts.headers).header(header::USER_AGENT, USER_AGENT).body(body);
        let answer = request.send().await?;
        let mut response = openidconnect::http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        let bytes = read_at_most(answer, RESPONSE_BYTES_MAX).await?.ok_or(CallError::TooLong)?;
        Ok(response.body(bytes)?)
    }
}

/// The issuer did not do what was asked. What it wrote is not repeated: it can be anything.
fn failed(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::warn!(error = chain(error), "An identity provider did not do what was asked");
    let detail = "the identity provider did not do what was asked: try again, or ask whoever runs it";
    Error::refused(Code::IdentityProviderError, detail)
}

/// Asks an issuer what it offers, and for its keys.
pub(super) async fn discover(
    app: &App,
    issuer: &str,
) -> std::result::Result<Arc<ProviderMetadataWithLogout>, Error> {
    let url = IssuerUrl::new(issuer.to_owned()).map_err(|error| failed(&error))?;
    let http = Http(&app.guarded_client);
    let metadata = ProviderMetadataWithLogout::discover_async(url, &http).await;
    Ok(Arc::new(metadata.map_err(|error| failed(&error))?))
}

/// The same, or what it said at most five minutes ago.
pub(super) async fn discover_soon(app: &App, issuer: &str) -> Result<Arc<ProviderMetadataWithLogout>> {
    if let Some(metadata) = app.discoveries.find(issuer, app.now()) {
        return Ok(metadata);
    }
    let metadata = discover(app, issuer).await?;
    app.discoveries.insert(issuer, &metadata, app.now());
    Ok(metadata)
}

/// What a relying party is to its issuer.
pub(super) struct Registration {
    metadata: Arc<ProviderMetadataWithLogout>,
    client_id: ClientId,
    client_secret: Option<SecretString>,
    redirect_uri: String,
}

/// What a browser carries to the issuer.
pub(super) struct Request {
    pub(super) state: SecretString,
    pub(super) nonce: String,
    pub(super) verifier: SecretString,
}

/// What a browser brings back, and what it is compared with.
pub(super) struct Exchange {
    pub(super) code: String,
    pub(super) nonce_hash: Vec<u8>,
    pub(super) verifier: SecretString,
}

impl Registration {
    /// At a provider of a tenant, as it describes itself.
    pub(super) fn new(
        app: &App,
        scope: usance_db::Scope,
        provider: &IdentityProvider,
        metadata: Arc<ProviderMetadataWithLogout>,
    ) -> Result<Self> {
        Ok(Self {
            metadata,
            client_id: ClientId::new(provider.client_id.clone()),
            client_secret: open_secret(app, scope, provider)?,
            redirect_uri: redirect_uri(app, provider.id)?,
        })
    }

    fn party(&self) -> Result<Party> {
        let secret = self.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let redirect_uri = RedirectUrl::new(self.redirect_uri.clone())
            .map_err(|_| Error::Internal("the public address of this server cannot be read"))?;
        let party =
            CoreClient::from_provider_metadata((*self.metadata).clone(), self.client_id.clone(), secret);
        Ok(party.set_redirect_uri(redirect_uri).set_auth_type(self.auth_type()))
    }

    /// In the header, unless the issuer takes the secret in the body alone (Discovery 1.0, section 3).
    fn auth_type(&self) -> AuthType {
        let methods = self.metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_some_and(|methods| methods.contains(&method));
        if takes(CoreClientAuthMethod::ClientSecretPost) && !takes(CoreClientAuthMethod::ClientSecretBasic) {
            AuthType::RequestBody
        } else {
            AuthType::BasicAuth
        }
    }

    /// The page of the issuer that the browser goes to.
    pub(super) fn authorization_url(&self, request: &Request) -> Result<String> {
        let verifier = PkceCodeVerifier::new(request.verifier.expose_secret().to_owned());
        let (state, nonce) = (request.state.expose_secret().to_owned(), request.nonce.clone());
        let party = self.party()?;
        let authorization = party.authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        );
        let (url, ..) = authorization
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url.into())
    }

    /// Exchanges a code for what the issuer says of whoever came back, and the page on which the browser signs out there.
    pub(super) async fn exchange(
        &self,
        app: &App,
        exchange: Exchange,
        now: Timestamp,
    ) -> Result<(Claims, Option<String>)> {
        let http = Http(&app.guarded_client);
        let party = self.party()?;
        let request = party
            .exchange_code(AuthorizationCode::new(exchange.code))
            .map_err(|error| failed(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(exchange.verifier.expose_secret().to_owned()));
        let tokens = request.request_async(&http).await.map_err(|error| failed(&error))?;
        let id_token = tokens.id_token().ok_or_else(|| failed(&Untrusted("there is no ID token")))?;
        let claims = verify(&party, id_token, &exchange.nonce_hash, now)?;
        let claims = match read(claims) {
            claims if claims.verified_email.is_some() => claims,
            claims => self.complete(&party, &http, &tokens, claims).await?,
        };
        Ok((claims, self.logout_url(app, id_token)))
    }

    /// Asks for what the ID token does not say, if the issuer tells more elsewhere.
    async fn complete(
        &self,
        party: &Party,
        http: &Http<'_>,
        tokens: &CoreTokenResponse,
        claims: Claims,
    ) -> Result<Claims> {
        let subject = openidconnect::SubjectIdentifier::new(claims.subject.clone());
        let Ok(request) = party.user_info(tokens.access_token().clone(), Some(subject)) else {
            return Ok(claims);
        };
        let told: CoreUserInfoClaims = request.request_async(http).await.map_err(|error| failed(&error))?;
        let email = told.email().filter(|_| told.email_verified() == Some(true));
        let name = told.name().and_then(|name| name.get(None)).map(|name| name.to_string());
        Ok(Claims {
            verified_email: email.map(|email| email.to_lowercase()),
            name: claims.name.or(name),
            ..claims
        })
    }

    fn logout_url(&self, app: &App, id_token: &CoreIdToken) -> Option<String> {
        let endpoint = self.metadata.additional_metadata().end_session_endpoint.clone()?;
        let back = PostLogoutRedirectUrl::new(app.public_url.clone()?).ok()?;
        let request = LogoutRequest::from(endpoint)
            .set_id_token_hint(id_token)
            .set_client_id(self.client_id.clone())
            .set_post_logout_redirect_uri(back);
        Some(request.http_get_url().into())
    }
}

/// What the library cannot say.
#[derive(Debug, thiserror::Error)]
#[error("the ID token is not believed: {0}")]
struct Untrusted(&'static str);

fn verify<'a>(
    party: &'a Party,
    id_token: &'a CoreIdToken,
    nonce_hash: &[u8],
    now: Timestamp,
) -> Result<&'a CoreIdTokenClaims> {
    // The library would read the machine's clock; the times are compared below.
    let verifier = party.id_token_verifier().set_allowed_algs(ALGORITHMS).set_time_fn(Default::default);
    let is_asked = |nonce: Option<&Nonce>| {
        let is_same = nonce.is_some_and(|nonce| sha256(nonce.secret().as_bytes()) == nonce_hash);
        if is_same { Ok(()) } else { Err("it answers another request".to_owned()) }
    };
    let claims = id_token.claims(&verifier, is_asked).map_err(|error| failed(&error))?;
    let (issued_at, expires_at) = (claims.issue_time().timestamp(), claims.expiration().timestamp());
    let now = now.as_second();
    if expires_at <= now - SKEW_SECONDS {
        return Err(failed(&Untrusted("it has expired")));
    }
    if issued_at > now + SKEW_SECONDS || issued_at < now - AGE_SECONDS_MAX {
        return Err(failed(&Untrusted("it was not issued now")));
    }
    Ok(claims)
}

fn read(claims: &CoreIdTokenClaims) -> Claims {
    let email = claims.email().filter(|_| claims.email_verified() == Some(true));
    Claims {
        subject: claims.subject().to_string(),
        verified_email: email.map(|email| email.to_lowercase()),
        name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
    }
}
