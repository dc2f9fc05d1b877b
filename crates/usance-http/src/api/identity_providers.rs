//! The identity providers of a tenant, and sign-in by them.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use usance_app::{
    error::{Code, Error},
    oidc::{self, Begun, ChangeProvider, CreateProvider, OwnerProof, ProviderFields, Return, SignedInBy},
};
use usance_db::identity_providers::IdentityProvider;
use utoipa::{IntoParams, ToSchema};

use super::{customer_tokens::NewCustomerTokenView, customers::CustomerView, tenants::sessions::LoginView};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path, Query, SecretBody, Visitor},
    wire::{ListView, ProblemView},
};

const NEVER_STORED: (header::HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// An identity provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdentityProviderView {
    id: String,
    name: String,
    /// `members` or `customers`: who signs in by it.
    audience: String,
    /// `test` or `live`: whose customers sign in; null for members.
    mode: Option<String>,
    issuer: String,
    client_id: String,
    /// Whether there is a secret; it is never shown.
    has_client_secret: bool,
    /// The currency of customers who sign up by signing in; null where strangers are refused.
    sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here; without it such members are refused.
    trusts_second_factor: bool,
    /// Where a browser begins to sign in.
    login_path: String,
    /// To be registered with the provider, after the address of this server.
    callback_path: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<IdentityProvider> for IdentityProviderView {
    fn from(provider: IdentityProvider) -> Self {
        let id = provider.id;
        Self {
            id: id.to_string(),
            name: provider.name,
            audience: provider.audience,
            mode: provider.mode,
            issuer: provider.issuer,
            client_id: provider.client_id,
            has_client_secret: provider.client_secret_sealed.is_some(),
            sign_up_currency: provider.sign_up_currency,
            trusts_second_factor: provider.trusts_second_factor,
            login_path: format!("/auth/{id}/login"),
            callback_path: format!("/auth/{id}/callback"),
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}

/// A new identity provider.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Google", "audience": "members", "issuer": "https://accounts.google.com",
    "client_id": "1234.apps.googleusercontent.com", "client_secret": "GOCSPX-…", "password": "correct horse battery"}))]
pub(crate) struct CreateIdentityProvider {
    /// For people.
    name: String,
    /// `members` or `customers`: who signs in by it. One for customers serves the mode of the request.
    audience: String,
    /// As in its discovery document: `https://accounts.google.com`, `https://keycloak.example.com/realms/acme`.
    issuer: String,
    /// What the provider knows this server as.
    client_id: String,
    /// Absent for a public client.
    #[schema(value_type = Option<String>, format = Password)]
    client_secret: Option<SecretString>,
    /// Lets strangers become customers, who pay in this currency (ISO 4217).
    sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here; false if absent.
    #[serde(default)]
    trusts_second_factor: bool,
    /// Your own: an open session alone must not decide who is let in.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Of your authenticator, or a recovery code, if you have a second factor.
    #[schema(value_type = Option<String>)]
    code: Option<SecretString>,
}

/// What is to change of an identity provider; absent fields stay. Another issuer is another provider.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"client_secret": "GOCSPX-…", "password": "correct horse battery"}))]
pub(crate) struct UpdateIdentityProvider {
    /// For people.
    name: Option<String>,
    /// What the provider knows this server as.
    client_id: Option<String>,
    /// The new secret.
    #[schema(value_type = Option<String>, format = Password)]
    client_secret: Option<SecretString>,
    /// Empty to refuse strangers from now on.
    sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here.
    trusts_second_factor: Option<bool>,
    /// Your own.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Of your authenticator, or a recovery code, if you have a second factor.
    #[schema(value_type = Option<String>)]
    code: Option<SecretString>,
}

/// Add an identity provider
///
/// Members and customers sign in by OpenID Connect at `login_path`. The issuer is asked first whether it is one.
#[utoipa::path(post, path = "/identity-providers", tag = "Identity providers", request_body = CreateIdentityProvider, responses(
    (status = 201, description = "The provider", body = IdentityProviderView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_identity_provider(
    Authorized(cx): Authorized,
    body: SecretBody<CreateIdentityProvider>,
) -> ApiResult<(StatusCode, Json<IdentityProviderView>)> {
    let body = body.read()?;
    let input = CreateProvider {
        proof: OwnerProof { password: body.password, code: body.code },
        name: body.name,
        audience: body.audience,
        issuer: body.issuer,
        client_id: body.client_id,
        client_secret: body.client_secret,
        sign_up_currency: body.sign_up_currency,
        trusts_second_factor: body.trusts_second_factor,
    };
    Ok((StatusCode::CREATED, Json(oidc::create(&cx, input).await?.into())))
}

/// List the identity providers
#[utoipa::path(get, path = "/identity-providers", tag = "Identity providers", responses(
    (status = 200, description = "All of them, the oldest first", body = ListView<IdentityProviderView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_identity_providers(
    Authorized(cx): Authorized,
) -> ApiResult<Json<ListView<IdentityProviderView>>> {
    let data = oidc::list(&cx).await?.into_iter().map(IdentityProviderView::from).collect();
    Ok(Json(ListView { data, has_more: false, next_cursor: None }))
}

/// Change an identity provider
#[utoipa::path(patch, path = "/identity-providers/{id}", tag = "Identity providers", params(("id" = String, Path)), request_body = UpdateIdentityProvider, responses(
    (status = 200, description = "The provider", body = IdentityProviderView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_identity_provider(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
    body: SecretBody<UpdateIdentityProvider>,
) -> ApiResult<Json<IdentityProviderView>> {
    let body = body.read()?;
    let fields = ProviderFields {
        name: body.name,
        client_id: body.client_id,
        client_secret: body.client_secret,
        sign_up_currency: body.sign_up_currency,
        trusts_second_factor: body.trusts_second_factor,
    };
    let proof = OwnerProof { password: body.password, code: body.code };
    let input = ChangeProvider { proof, fields };
    Ok(Json(oidc::change(&cx, &id, input).await?.into()))
}

/// Remove an identity provider
///
/// Nobody signs in by it any more, and the sessions of members that began by it end.
#[utoipa::path(delete, path = "/identity-providers/{id}", tag = "Identity providers", params(("id" = String, Path)), responses(
    (status = 204, description = "Removed"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn remove_identity_provider(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| async move { oidc::remove(cx, tx, &id).await }.boxed())
        .await
}

/// Begin to sign in by an identity provider
///
/// For a browser: it is sent to the provider, and comes back to the callback within ten minutes.
#[utoipa::path(get, path = "/auth/{provider}/login", tag = "Identity providers", security(()), params(("provider" = String, Path, description = "Id of the provider")), responses(
    (status = 303, description = "To the provider"),
    (status = 502, description = "The provider did not do what was asked", body = ProblemView),
    (status = 503, description = "The server does not know its own address", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn begin_sign_in(
    State(state): State<HttpState>,
    Path(provider): Path<String>,
    method: Method,
) -> ApiResult<Response> {
    refuse_head(&method)?;
    let Begun { url, cookie_name, cookie_value, cookie_seconds } = oidc::begin(&state.app, &provider).await?;
    let is_secure = state.app.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let secure = if is_secure { "; Secure" } else { "" };
    let value = cookie_value.expose_secret();
    // Lax, because the browser comes back from another site.
    let cookie =
        format!("{cookie_name}={value}; Path=/; Max-Age={cookie_seconds}; HttpOnly; SameSite=Lax{secure}");
    let headers = [(header::LOCATION, url), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::SEE_OTHER, [NEVER_STORED], headers).into_response())
}

/// What a provider sends with the browser.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignInReturnQuery {
    /// The state of the beginning.
    #[param(value_type = Option<String>)]
    state: Option<SecretString>,
    /// Names whoever came back.
    code: Option<String>,
    /// Why there is no code, as a word such as `access_denied`.
    error: Option<String>,
}

/// Who signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SignedInView {
    /// A member of the staff.
    Member(Box<MemberSignedInView>),
    /// A customer.
    Customer(Box<CustomerSignedInView>),
}

/// A member who signed in by an identity provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberSignedInView {
    #[serde(flatten)]
    login: LoginView,
    /// Where the browser signs out at the provider too; null where it offers nothing.
    logout_url: Option<String>,
}

/// A customer who signed in by an identity provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerSignedInView {
    customer: CustomerView,
    token: NewCustomerTokenView,
    /// Where the browser signs out at the provider too; null where it offers nothing.
    logout_url: Option<String>,
}

impl From<SignedInBy> for SignedInView {
    fn from(signed_in: SignedInBy) -> Self {
        match signed_in {
            SignedInBy::Member(member, logout_url) => {
                let login = LoginView::new("Login successful", *member);
                Self::Member(Box::new(MemberSignedInView { login, logout_url }))
            }
            SignedInBy::Customer(signed_in, logout_url) => {
                let token = NewCustomerTokenView::new((signed_in.token, signed_in.secret));
                let mut customer = CustomerView::from(signed_in.customer);
                customer.hide_from_customers();
                Self::Customer(Box::new(CustomerSignedInView { customer, token, logout_url }))
            }
        }
    }
}

/// Return from an identity provider
///
/// Only in the browser that began. The state is used up, whatever becomes of it.
#[utoipa::path(get, path = "/auth/{provider}/callback", tag = "Identity providers", security(()), params(("provider" = String, Path, description = "Id of the provider"), SignInReturnQuery), responses(
    (status = 200, description = "Who signed in, and the tokens", body = SignedInView),
    (status = 403, description = "Nobody is signed in; reason says why", body = ProblemView),
    (status = 502, description = "The provider did not do what was asked", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn finish_sign_in(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    Path(provider): Path<String>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<SignInReturnQuery>,
) -> ApiResult<Response> {
    refuse_head(&method)?;
    let SignInReturnQuery { state: of_sign_in, code, error } = query;
    let input = Return { provider, state: of_sign_in, code, error, cookies: cookies(&headers) };
    let signed_in = oidc::finish(&state.app, input, origin).await?;
    Ok(([NEVER_STORED], Json(SignedInView::from(signed_in))).into_response())
}

/// Whoever looks whether the address is there must begin nothing and use nothing up.
fn refuse_head(method: &Method) -> ApiResult<()> {
    if *method == Method::HEAD {
        return Err(Error::refused(Code::MethodNotAllowed, "this changes something: send GET").into());
    }
    Ok(())
}

fn cookies(headers: &HeaderMap) -> Vec<(String, SecretString)> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), SecretString::from(value))).collect()
}
