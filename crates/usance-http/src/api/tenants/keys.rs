//! A tenant's own pair of keys in each mode.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use usance_app::{
    api_keys::{self, KeyPair, KeySet},
    audit,
    error::{Code, Error, FieldFault, Refusal, Result},
    tenants,
};
use usance_db::api_keys::ApiKey;
use utoipa::ToSchema;

use super::{TenantView, reveal};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Mutation, SecretBody, as_bad_request},
    wire::ProblemView,
};

/// A key that is honoured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedKeyView {
    valid: bool,
    tenant: TenantView,
    /// `test` or `live`.
    mode: &'static str,
}

/// The tenant behind a credential.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantDetailsView {
    tenant: TenantView,
    /// `test` or `live`.
    mode: &'static str,
}

/// Verify a key
#[utoipa::path(get, path = "/auth/tenants/verify", tag = "API keys", responses(
    (status = 200, description = "The key is honoured", body = VerifiedKeyView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn verify_key(Authorized(cx): Authorized) -> ApiResult<Json<VerifiedKeyView>> {
    let (tenant, public) = tenants::details(&cx).await?;
    let livemode = cx.scope.livemode;
    let tenant = TenantView::new(tenant, livemode, public).seen_by(cx.caller.as_ref());
    Ok(Json(VerifiedKeyView { valid: true, tenant, mode: audit::mode(livemode) }))
}

/// Show the tenant behind a key or token
#[utoipa::path(get, path = "/auth/tenants/details", tag = "Tenants", responses(
    (status = 200, description = "The tenant", body = TenantDetailsView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_details(Authorized(cx): Authorized) -> ApiResult<Json<TenantDetailsView>> {
    let (tenant, public) = tenants::details(&cx).await?;
    let livemode = cx.scope.livemode;
    let tenant = TenantView::new(tenant, livemode, public).seen_by(cx.caller.as_ref());
    Ok(Json(TenantDetailsView { tenant, mode: audit::mode(livemode) }))
}

/// A key of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantKeyView {
    id: String,
    /// `live_public`, `live_secret`, `test_public` or `test_secret`.
    #[serde(rename = "type")]
    key_type: String,
    /// A publishable key; of a secret one what may be shown.
    key: String,
    masked: String,
    /// What it is for; null for the pair that every tenant has in each mode.
    name: Option<String>,
    scopes: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

fn key_type(key: &ApiKey) -> String {
    let kind = if key.publishable_key.is_some() { "public" } else { "secret" };
    format!("{}_{kind}", audit::mode(key.livemode))
}

impl From<ApiKey> for TenantKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            key_type: key_type(&key),
            key: key.publishable_key.unwrap_or_else(|| key.masked.clone()),
            masked: key.masked,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// The keys of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantKeysView {
    keys: Vec<TenantKeyView>,
    warning: &'static str,
}

/// List the keys of both modes
///
/// Secret keys are masked: they are shown once, when they are made.
#[utoipa::path(get, path = "/auth/tenants/api-keys", tag = "API keys", responses(
    (status = 200, description = "The keys that still work", body = TenantKeysView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_tenant_keys(Authorized(cx): Authorized) -> ApiResult<Json<TenantKeysView>> {
    let keys = api_keys::list_working(&cx).await?;
    let warning = "Secret keys are shown once, when they are made. Keep them on servers only.";
    Ok(Json(TenantKeysView { keys: keys.into_iter().map(Into::into).collect(), warning }))
}

/// Which keys are replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key_type": "test", "confirm": true}))]
pub(crate) struct RegenerateKeysBody {
    /// `live`, `test` or `all`, which is the default.
    key_type: Option<String>,
    /// Must be true.
    #[serde(default)]
    confirm: bool,
    /// How long the old keys go on working, 0 to 2592000; 0 by default.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    grace_seconds: i64,
}

/// Which keys are revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key_type": "test", "reason": "The key was in a log", "confirm": true}))]
pub(crate) struct RevokeKeysBody {
    /// `live`, `test` or `all`, which is the default.
    key_type: Option<String>,
    /// For the audit log.
    #[serde(default)]
    reason: String,
    /// Must be true.
    #[serde(default)]
    confirm: bool,
}

fn key_set(word: Option<&str>, confirm: bool) -> Result<KeySet> {
    if !confirm {
        let detail = "set confirm to true: the keys stop working";
        return Err(refused_with("/confirm", "required", detail, "Confirmation required"));
    }
    match word.unwrap_or("all") {
        "live" => Ok(KeySet::Live),
        "test" => Ok(KeySet::Test),
        "all" => Ok(KeySet::All),
        _ => Err(refused_with("/key_type", "unknown_word", "must be live, test or all", "Invalid key_type")),
    }
}

fn refused_with(pointer: &str, code: &'static str, detail: &'static str, error: &'static str) -> Error {
    let mut refusal = Refusal::new(Code::InvalidField, format!("{pointer}: {detail}"));
    refusal.fields.push(FieldFault { pointer: pointer.to_owned(), code, detail: detail.to_owned() });
    refusal.with("error", error).with("message", detail).into()
}

/// New keys. They are shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegeneratedKeysView {
    message: &'static str,
    /// By `live_public`, `live_secret`, `test_public` and `test_secret`.
    #[schema(value_type = Object)]
    keys: BTreeMap<String, String>,
    warning: &'static str,
}

fn named(pair: KeyPair) -> [(String, String); 2] {
    let KeyPair { livemode, secret, publishable } = pair;
    let mode = audit::mode(livemode);
    [(format!("{mode}_secret"), reveal(&secret)), (format!("{mode}_public"), reveal(&publishable))]
}

/// Regenerate keys
///
/// The tenant's own pair of each mode that is named gets new keys; keys with a name stay. The answer's secrets are not kept,
/// so the route takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/auth/tenants/api-keys/regenerate", tag = "API keys", request_body = RegenerateKeysBody, responses(
    (status = 200, description = "The new keys", body = RegeneratedKeysView),
    (status = 400, description = "Not confirmed, or a field cannot be accepted", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn regenerate_tenant_keys(
    Authorized(cx): Authorized,
    body: SecretBody<RegenerateKeysBody>,
) -> ApiResult<Json<RegeneratedKeysView>> {
    let body = body.read_or_bad_request()?;
    let keys = key_set(body.key_type.as_deref(), body.confirm).map_err(as_bad_request)?;
    let grace = SignedDuration::from_secs(body.grace_seconds);
    let pairs = api_keys::regenerate(&cx, keys, grace).await.map_err(as_bad_request)?;
    Ok(Json(RegeneratedKeysView {
        message: "API keys regenerated successfully",
        keys: pairs.into_iter().flat_map(named).collect(),
        warning: "Keep these keys: the secret ones are not shown again.",
    }))
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedKeysView {
    message: &'static str,
    /// `live_public`, `live_secret`, `test_public` or `test_secret`, once for each key.
    revoked_keys: Vec<String>,
    reason: String,
    warning: &'static str,
}

/// Revoke keys
///
/// Every key of each mode that is named, also those with a name of their own. All servers refuse them within a second.
#[utoipa::path(post, path = "/auth/tenants/api-keys/revoke", tag = "API keys", request_body = RevokeKeysBody, responses(
    (status = 200, description = "What was revoked", body = RevokedKeysView),
    (status = 400, description = "Not confirmed, or a field cannot be accepted", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn revoke_tenant_keys(
    State(state): State<HttpState>,
    request: ApiResult<Mutation<RevokeKeysBody>>,
) -> ApiResult<Response> {
    let request = request.map_err(as_bad_request)?;
    let body = request.body();
    let keys = key_set(body.key_type.as_deref(), body.confirm).map_err(as_bad_request)?;
    api_keys::read_reason(&body.reason).map_err(as_bad_request)?;
    let answer = request
        .run(StatusCode::OK, move |cx, tx, body: RevokeKeysBody| {
            async move {
                let revoked = api_keys::revoke_all(cx, tx, keys, &body.reason).await?;
                Ok(RevokedKeysView {
                    message: "API keys revoked successfully",
                    revoked_keys: revoked.iter().map(key_type).collect(),
                    reason: body.reason,
                    warning: "Requests with these keys are refused. Regenerate keys to go on.",
                })
            }
            .boxed()
        })
        .await;
    api_keys::forget_found(&state.app);
    answer
}
