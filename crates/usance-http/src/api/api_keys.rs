//! API keys of a mode: those that every tenant has, and those that may do less.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use usance_app::api_keys::{self, CreateKey};
use usance_db::api_keys::ApiKey;
use utoipa::ToSchema;

use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, Path, Query, SecretBody},
    wire::{ListView, ProblemView},
};

/// A key as it may be shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyView {
    id: String,
    /// `secret` or `publishable`.
    kind: String,
    /// The key itself, if it is publishable.
    publishable_key: Option<String>,
    masked: String,
    /// What it is for; null for the pair that every tenant has in each mode.
    name: Option<String>,
    /// What it may do, such as `usage:write`, or `all`.
    scopes: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<String>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            kind: key.kind,
            publishable_key: key.publishable_key,
            masked: key.masked,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
            revoked_reason: key.revoked_reason,
        }
    }
}

/// A key that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Usage of the web shop", "scopes": ["usage:write", "entitlements:read"]}))]
pub(crate) struct CreateApiKey {
    /// What it is for.
    name: String,
    /// `all`, or an area and a right: `catalog`, `customers`, `subscriptions`, `usage`, `entitlements`, `invoices`,
    /// `payments`, `wallets`, `settings` or `webhooks` with `:read` or `:write`. Writing includes reading, and `webhooks` what events
    /// tell of all areas.
    scopes: Vec<String>,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new key, which is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedApiKeyView {
    #[serde(flatten)]
    fields: ApiKeyView,
    key: String,
}

/// Create a secret key that may do less
///
/// In the mode that `Usance-Mode` names. The answer's secret is not kept, so the route takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/api-keys", tag = "API keys", request_body = CreateApiKey, responses(
    (status = 201, description = "The key", body = CreatedApiKeyView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_api_key(
    Authorized(cx): Authorized,
    body: SecretBody<CreateApiKey>,
) -> ApiResult<(StatusCode, Json<CreatedApiKeyView>)> {
    let CreateApiKey { name, scopes, expires_at } = body.read()?;
    let (stored, key) = api_keys::create(&cx, CreateKey { name, scopes, expires_at }).await?;
    let view = CreatedApiKeyView { fields: stored.into(), key: key.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Json(view)))
}

/// List keys
///
/// Of the mode that `Usance-Mode` names, also those that were revoked.
#[utoipa::path(get, path = "/api-keys", tag = "API keys", params(ListQuery), responses(
    (status = 200, description = "A page of keys", body = ListView<ApiKeyView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_api_keys(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<ApiKeyView>>> {
    let mut tx = cx.begin().await?;
    let page = usance_db::api_keys::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |key| key.id.uuid(), ApiKeyView::from)))
}

/// Why a key is revoked.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "The key was in a log"}))]
pub(crate) struct RevokeApiKey {
    /// For the audit log.
    #[serde(default)]
    reason: String,
}

/// Revoke a key
///
/// All servers refuse it within a second. A key that was revoked before stays as it is.
#[utoipa::path(post, path = "/api-keys/{id}/revoke", tag = "API keys", params(("id" = String, Path)), request_body = RevokeApiKey, responses(
    (status = 200, description = "The key", body = ApiKeyView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn revoke_api_key(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    request: Mutation<RevokeApiKey>,
) -> ApiResult<Response> {
    let answer = request
        .run(StatusCode::OK, move |cx, tx, body: RevokeApiKey| {
            async move { Ok(ApiKeyView::from(api_keys::revoke(cx, tx, &id, &body.reason).await?)) }.boxed()
        })
        .await;
    api_keys::forget_found(&state.app);
    answer
}
