//! Registering a tenant.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usance_app::{
    error::Code,
    tenants::{self, RegisterTenant, RegisteredTenant},
};
use usance_core::decimal::decimal_text;
use utoipa::ToSchema;

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
    extract::{BodyLimits, from_json, read_body, require_json},
    wire::ProblemView,
};

const BODY_BYTES_MAX: usize = 64 * 1024;

/// Who registers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"company_name": "Acme", "email": "ada@acme.example", "password": "correct horse battery",
    "first_name": "Ada", "last_name": "Lovelace", "domain": "acme.example"}))]
pub(crate) struct RegisterTenantBody {
    company_name: String,
    /// Of the tenant and of its owner.
    email: String,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    domain: Option<String>,
    webhook_url: Option<String>,
}

impl From<RegisterTenantBody> for RegisterTenant {
    fn from(body: RegisterTenantBody) -> Self {
        let RegisterTenantBody { company_name, email, password, first_name, last_name, domain, webhook_url } =
            body;
        Self { company_name, email, password, first_name, last_name, domain, webhook_url }
    }
}

/// A new tenant. Secrets are shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisteredTenantView {
    message: &'static str,
    tenant: TenantView,
    user: MemberView,
    tokens: TokensView,
}

/// A tenant with its keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    id: String,
    company_name: String,
    slug: String,
    email: String,
    domain: Option<String>,
    stripe_connect_account_id: Option<String>,
    stripe_connect_status: String,
    platform_fee_percentage: String,
    webhook_url: Option<String>,
    #[schema(value_type = Object)]
    branding_json: Value,
    is_active: bool,
    is_test_mode: bool,
    subscription_tier: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    api_key_public: String,
    api_key_secret: String,
    api_key_test_public: String,
    api_key_test_secret: String,
    webhook_secret: String,
}

/// A member of a tenant's staff.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    id: String,
    tenant: String,
    tenant_name: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    is_active: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokensView {
    /// Valid for a week, once.
    refresh: String,
    /// A JWT, valid for an hour.
    access: String,
}

impl From<RegisteredTenant> for RegisteredTenantView {
    fn from(registered: RegisteredTenant) -> Self {
        let reveal = |secret: &SecretString| secret.expose_secret().to_owned();
        let RegisteredTenant { tenant, owner, live, test, webhook_secret, access_token, refresh_token } =
            registered;
        let user = MemberView {
            id: owner.id.to_string(),
            tenant: tenant.id.to_string(),
            tenant_name: tenant.company_name.clone(),
            email: owner.email,
            first_name: owner.first_name,
            last_name: owner.last_name,
            role: owner.role,
            is_active: owner.is_active,
            last_login: None,
            created_at: owner.created_at,
            updated_at: owner.created_at,
        };
        let tenant = TenantView {
            id: tenant.id.to_string(),
            company_name: tenant.company_name,
            slug: tenant.slug,
            email: tenant.email,
            domain: tenant.domain,
            stripe_connect_account_id: tenant.stripe_connect_account_id,
            stripe_connect_status: tenant.stripe_connect_status,
            platform_fee_percentage: decimal_text(tenant.platform_fee_percentage),
            webhook_url: tenant.webhook_url,
            branding_json: tenant.branding,
            is_active: tenant.is_active,
            is_test_mode: true,
            subscription_tier: tenant.subscription_tier,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            api_key_public: reveal(&live.publishable),
            api_key_secret: reveal(&live.secret),
            api_key_test_public: reveal(&test.publishable),
            api_key_test_secret: reveal(&test.secret),
            webhook_secret: reveal(&webhook_secret),
        };
        let tokens = TokensView { refresh: reveal(&refresh_token), access: reveal(&access_token) };
        Self { message: "Tenant registered successfully", tenant, user, tokens }
    }
}

/// Register a tenant
///
/// The answer shows every key once. The e-mail address identifies the request: it takes no `Idempotency-Key`, because the
/// answer's secrets are not kept.
#[utoipa::path(post, path = "/auth/tenants/register", tag = "Tenants", security(()), request_body = RegisterTenantBody, responses(
    (status = 201, description = "The tenant with its keys and tokens", body = RegisteredTenantView),
    (status = 400, description = "A field cannot be accepted, or the e-mail address is taken", body = ProblemView),
))]
pub(crate) async fn register_tenant(
    State(state): State<HttpState>,
    request: Request,
) -> ApiResult<(StatusCode, Json<RegisteredTenantView>)> {
    let (parts, body) = request.into_parts();
    require_json(&parts.headers)?;
    let limits = BodyLimits::new(BODY_BYTES_MAX, state.settings.request_timeout);
    let bytes = read_body(body, limits, |_| Ok(())).await?;
    let body: RegisterTenantBody = from_json(&bytes).map_err(|error| as_bad_request(error.into()))?;
    let registered =
        tenants::register(&state.app, body.into()).await.map_err(|error| as_bad_request(error.into()))?;
    Ok((StatusCode::CREATED, Json(registered.into())))
}

/// Clients of this route expect 400 and a list of sentences under each field's name.
fn as_bad_request(mut error: ApiError) -> ApiError {
    let refusal = error.refusal_mut();
    let mut fields: Vec<(String, String)> = refusal
        .fields
        .iter()
        .map(|fault| (fault.pointer.trim_start_matches('/').to_owned(), fault.detail.clone()))
        .collect();
    if refusal.code == Code::EmailTaken {
        fields.push(("email".to_owned(), "A tenant with this email already exists.".to_owned()));
    }
    for (name, sentence) in fields.into_iter().filter(|(name, _)| !name.is_empty()) {
        let sentences = refusal.extensions.entry(name).or_insert_with(|| json!([]));
        if let Some(sentences) = sentences.as_array_mut() {
            sentences.push(sentence.into());
        }
    }
    if matches!(error.code(), Code::InvalidField | Code::EmailTaken) {
        return error.with_status(StatusCode::BAD_REQUEST);
    }
    error
}
