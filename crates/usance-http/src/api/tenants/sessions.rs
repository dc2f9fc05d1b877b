//! Signing in and out, and the signed-in member.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use usance_app::{
    members,
    sessions::{self, SignIn, SignedIn},
};
use usance_core::access::Role;
use usance_db::sessions::Session;
use utoipa::ToSchema;

use super::{MemberView, TenantView, TokensView};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path, SecretBody, Visitor, as_bad_request},
    wire::{ListView, ProblemView},
};

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@acme.example", "password": "correct horse battery"}))]
pub(crate) struct LoginBody {
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Of a member with a second factor: six digits of the authenticator, or a recovery code.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// Slug of the tenant; needed only where the address is a member of several, and another one than the first that it joined is meant.
    tenant: Option<String>,
}

/// A member who signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginView {
    message: &'static str,
    user: MemberView,
    tenant: TenantView,
    tokens: TokensView,
}

impl LoginView {
    pub(crate) fn new(message: &'static str, signed_in: SignedIn) -> Self {
        let SignedIn { tenant, publishable_key, member, tokens } = signed_in;
        let role = Role::parse(&member.role).unwrap_or(Role::Viewer);
        let user = MemberView::new(member, &tenant);
        let tenant = TenantView::new(tenant, false, publishable_key).seen_with(role);
        Self { message, user, tenant, tokens: tokens.into() }
    }
}

/// Sign in
///
/// Attempts are limited by e-mail address and by network; a network from which the member signed in before has attempts of
/// its own. Whether an address is known is not told. A member with a second factor sends a code too: without one the answer to
/// the right password is `second_factor_required`. Each code signs in once.
#[utoipa::path(post, path = "/auth/tenants/login", tag = "Members", security(()), request_body = LoginBody, responses(
    (status = 200, description = "The member and the tokens of a new session", body = LoginView),
    (status = 400, description = "A field is missing", body = ProblemView),
    (status = 401, description = "No member has this address and password, or the second factor is missing or wrong", body = ProblemView),
    (status = 429, description = "Too many attempts", body = ProblemView),
))]
pub(crate) async fn login(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    body: SecretBody<LoginBody>,
) -> ApiResult<Json<LoginView>> {
    let LoginBody { email, password, code, tenant } = body.read_or_bad_request()?;
    let input = SignIn { email, password, code, tenant };
    let signed_in = sessions::sign_in(&state.app, input, origin).await.map_err(as_bad_request)?;
    Ok(Json(LoginView::new("Login successful", signed_in)))
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh": "rt_ten_01h455vb4pex5vsknk084sn02q_4sn02q"}))]
pub(crate) struct RefreshBody {
    #[schema(value_type = String, format = Password)]
    refresh: SecretString,
}

/// Renew the tokens
///
/// A refresh token is used up. One that comes again ends its session; only right after its use, and as long as nobody has
/// used what it was exchanged for, it is answered once more, because the first answer may have been lost.
#[utoipa::path(post, path = "/auth/tenants/token/refresh", tag = "Members", security(()), request_body = RefreshBody, responses(
    (status = 200, description = "New tokens", body = TokensView),
    (status = 401, description = "The token is not valid", body = ProblemView),
))]
pub(crate) async fn refresh_tokens(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    body: SecretBody<RefreshBody>,
) -> ApiResult<Json<TokensView>> {
    let body = body.read_or_bad_request()?;
    Ok(Json(sessions::refresh(&state.app, &body.refresh, origin).await?.into()))
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    pub(super) message: &'static str,
}

/// Sign out
///
/// The access token and the refresh token of the session are refused from now on.
#[utoipa::path(post, path = "/auth/tenants/logout", tag = "Members", responses(
    (status = 200, description = "Signed out", body = MessageView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn logout(request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, |cx, tx, _| {
            async move {
                sessions::sign_out(cx, tx).await?;
                Ok(MessageView { message: "Logout successful" })
            }
            .boxed()
        })
        .await
}

/// A session of the signed-in member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    id: String,
    /// Whether it is the one that asks.
    is_current: bool,
    /// Where it began.
    address: Option<String>,
    user_agent: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its tokens were last renewed.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it ends unless its tokens are renewed.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl SessionView {
    fn new(session: Session, is_current: bool) -> Self {
        Self {
            id: session.id.to_string(),
            is_current,
            address: session.address,
            user_agent: session.user_agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

/// List your sessions
#[utoipa::path(get, path = "/auth/tenants/sessions", tag = "Members", responses(
    (status = 200, description = "The running sessions, newest first, 100 at most", body = ListView<SessionView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_sessions(Authorized(cx): Authorized) -> ApiResult<Json<ListView<SessionView>>> {
    let current = sessions::signed_in(&cx)?.session;
    let sessions = sessions::list(&cx).await?;
    let view = |session: Session| {
        let is_current = session.id == current;
        SessionView::new(session, is_current)
    };
    let data = sessions.into_iter().map(view).collect();
    Ok(Json(ListView { data, has_more: false, next_cursor: None }))
}

/// End a session
#[utoipa::path(delete, path = "/auth/tenants/sessions/{id}", tag = "Members", params(("id" = String, Path)), responses(
    (status = 204, description = "Its tokens are refused from now on"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn revoke_session(Path(id): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { sessions::revoke(cx, tx, &id).await }.boxed()
        })
        .await
}

/// The signed-in member and its tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeView {
    user: MemberView,
    tenant: TenantView,
}

/// Show the signed-in member
#[utoipa::path(get, path = "/auth/tenants/me", tag = "Members", responses(
    (status = 200, description = "The member and its tenant", body = MeView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_me(Authorized(cx): Authorized) -> ApiResult<Json<MeView>> {
    let (member, tenant, public) = members::me(&cx).await?;
    let user = MemberView::new(member, &tenant);
    let tenant = TenantView::new(tenant, cx.scope.livemode, public).seen_by(cx.caller.as_ref());
    Ok(Json(MeView { user, tenant }))
}

/// The password that is, and the one that shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"old_password": "correct horse battery", "new_password": "gravel tulip nine bone"}))]
pub(crate) struct ChangePasswordBody {
    #[schema(value_type = String, format = Password)]
    old_password: SecretString,
    /// At least 12 characters; neither digits alone, nor common, nor similar to your own data.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// Change your password
///
/// Your other sessions end.
#[utoipa::path(post, path = "/auth/tenants/change-password", tag = "Members", request_body = ChangePasswordBody, responses(
    (status = 200, description = "Changed", body = MessageView),
    (status = 400, description = "The old password is wrong, or the new one cannot be accepted", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn change_password(
    Authorized(cx): Authorized,
    body: SecretBody<ChangePasswordBody>,
) -> ApiResult<Json<MessageView>> {
    let ChangePasswordBody { old_password, new_password } = body.read_or_bad_request()?;
    members::change_password(&cx, old_password, new_password).await.map_err(as_bad_request)?;
    Ok(Json(MessageView { message: "Password changed successfully" }))
}
