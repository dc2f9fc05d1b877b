//! Tenants, their members and keys: the routes under `/auth/tenants`, in the shapes that their clients know.

pub(crate) mod keys;
pub(crate) mod mailed;
pub(crate) mod second_factor;
pub(crate) mod sessions;
pub(crate) mod stripe;
pub(crate) mod webhooks;

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{
    auth::Caller,
    sessions::Tokens,
    tenants::{self, RegisterTenant, RegisteredTenant},
};
use usance_core::{
    access::{Area, Right, Role},
    decimal::decimal_text,
};
use usance_db::{members::Member, tenants::Tenant};
use utoipa::ToSchema;

use crate::{
    HttpState,
    error::ApiResult,
    extract::{SecretBody, Visitor, as_bad_request},
    wire::ProblemView,
};

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
    tenant: TenantDetailView,
    user: MemberView,
    tokens: TokensView,
}

/// What every view of a tenant holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantFieldsView {
    id: String,
    company_name: String,
    slug: String,
    /// Not shown to a publishable key.
    email: Option<String>,
    domain: Option<String>,
    stripe_connect_account_id: Option<String>,
    stripe_connect_status: String,
    platform_fee_percentage: String,
    /// Shown to those who may look at the endpoints of webhooks.
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
}

impl TenantFieldsView {
    fn new(tenant: Tenant, livemode: bool) -> Self {
        Self {
            id: tenant.id.to_string(),
            company_name: tenant.company_name,
            slug: tenant.slug,
            email: Some(tenant.email),
            domain: tenant.domain,
            stripe_connect_account_id: tenant.stripe_connect_account_id,
            stripe_connect_status: tenant.stripe_connect_status,
            platform_fee_percentage: decimal_text(tenant.platform_fee_percentage),
            webhook_url: tenant.webhook_url,
            branding_json: tenant.branding,
            is_active: tenant.is_active,
            is_test_mode: !livemode,
            subscription_tier: tenant.subscription_tier,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

/// A tenant with its publishable key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    #[serde(flatten)]
    fields: TenantFieldsView,
    api_keys: PublicKeysView,
}

/// The keys of a tenant that are not secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublicKeysView {
    /// The publishable key of the request's mode; null if it was revoked.
    public: Option<String>,
}

impl TenantView {
    fn new(tenant: Tenant, livemode: bool, public: Option<String>) -> Self {
        Self { fields: TenantFieldsView::new(tenant, livemode), api_keys: PublicKeysView { public } }
    }

    /// What a caller may see.
    fn seen_by(self, caller: Option<&Caller>) -> Self {
        match caller {
            Some(Caller::Member(member)) => self.seen_with(member.role),
            Some(Caller::SecretKey(_, scopes)) if scopes.allows(Area::Webhooks, Right::Read) => self,
            Some(Caller::SecretKey(..)) => self.without_webhook(),
            // Browsers and buyers.
            Some(Caller::PublishableKey(_) | Caller::Customer(_)) | None => {
                let mut public = self.without_webhook();
                public.fields.email = None;
                public.fields.stripe_connect_account_id = None;
                public
            }
        }
    }

    fn seen_with(self, role: Role) -> Self {
        if role >= Role::Developer { self } else { self.without_webhook() }
    }

    /// The address of a webhook may hold a secret: it is for those who may look at endpoints.
    fn without_webhook(mut self) -> Self {
        self.fields.webhook_url = None;
        self
    }
}

/// A tenant with all of its keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantDetailView {
    #[serde(flatten)]
    fields: TenantFieldsView,
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
    /// When it was known that the member reads what is sent to the address.
    #[schema(value_type = Option<String>, format = DateTime)]
    email_verified_at: Option<Timestamp>,
    /// Whether a sign-in needs a code of an authenticator.
    second_factor: bool,
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

impl MemberView {
    fn new(member: Member, tenant: &Tenant) -> Self {
        Self {
            id: member.id.to_string(),
            tenant: tenant.id.to_string(),
            tenant_name: tenant.company_name.clone(),
            email: member.email,
            first_name: member.first_name,
            last_name: member.last_name,
            role: member.role,
            is_active: member.is_active,
            email_verified_at: member.email_verified_at,
            second_factor: member.second_factor_at.is_some(),
            last_login: member.last_login_at,
            created_at: member.created_at,
            updated_at: member.updated_at,
        }
    }
}

impl From<Tokens> for TokensView {
    fn from(tokens: Tokens) -> Self {
        Self { refresh: reveal(&tokens.refresh), access: reveal(&tokens.access) }
    }
}

/// Writes a secret into the one answer that shows it.
fn reveal(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

impl From<RegisteredTenant> for RegisteredTenantView {
    fn from(registered: RegisteredTenant) -> Self {
        let RegisteredTenant { tenant, owner, live, test, webhook_secret, tokens } = registered;
        let user = MemberView::new(owner, &tenant);
        let tenant = TenantDetailView {
            fields: TenantFieldsView::new(tenant, false),
            api_key_public: reveal(&live.publishable),
            api_key_secret: reveal(&live.secret),
            api_key_test_public: reveal(&test.publishable),
            api_key_test_secret: reveal(&test.secret),
            webhook_secret: reveal(&webhook_secret),
        };
        Self { message: "Tenant registered successfully", tenant, user, tokens: tokens.into() }
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
    Visitor(origin): Visitor,
    body: SecretBody<RegisterTenantBody>,
) -> ApiResult<(StatusCode, Json<RegisteredTenantView>)> {
    let body = body.read_or_bad_request()?;
    let registered = tenants::register(&state.app, body.into(), origin).await.map_err(as_bad_request)?;
    Ok((StatusCode::CREATED, Json(registered.into())))
}
