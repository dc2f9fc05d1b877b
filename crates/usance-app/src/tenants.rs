//! Registering a tenant: its first member, its keys, and the tokens of the first session.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use usance_core::{
    ids::{MemberId, TenantId},
    webhook::SigningSecret,
};
use usance_db::{
    Scope, TenantTx,
    members::{self, Member},
    tenants::{self, Tenant},
};

use crate::{
    App, Cx,
    api_keys::{self, KeyPair},
    audit::{self, Audited},
    auth::{api_key, password},
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, check_text, read_email},
    members::begin_verification,
    sessions::{self, Origin, Tokens},
    webhooks,
};

const SLUG_LENGTH_MAX: usize = 48;
const SLUG_SUFFIX_LENGTH: usize = 6;
const SLUG_ATTEMPTS_MAX: usize = 5;

/// Who registers.
#[derive(Debug)]
pub struct RegisterTenant {
    /// Name of the company.
    pub company_name: String,
    /// Of the tenant and of its owner.
    pub email: String,
    /// Of the owner.
    pub password: SecretString,
    /// Of the owner; may be empty.
    pub first_name: String,
    /// Of the owner; may be empty.
    pub last_name: String,
    /// The tenant's own domain.
    pub domain: Option<String>,
    /// Where webhooks of both modes go at first.
    pub webhook_url: Option<String>,
}

/// A new tenant with everything that is shown once.
#[derive(Debug)]
pub struct RegisteredTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its owner.
    pub owner: Member,
    /// The keys of live mode.
    pub live: KeyPair,
    /// The keys of test mode.
    pub test: KeyPair,
    /// Signs webhooks.
    pub webhook_secret: SecretString,
    /// Of the owner's first session.
    pub tokens: Tokens,
}

/// A tenant that is about to be stored.
#[derive(Debug, Clone)]
struct NewTenant {
    tenant: Tenant,
    owner: Member,
    webhook_secret: SigningSecret,
    origin: Origin,
}

/// Registers a tenant.
pub async fn register(app: &App, input: RegisterTenant, origin: Origin) -> Result<RegisteredTenant> {
    let now = app.now();
    let mut faults = Faults::default();
    check_text(&mut faults, "/company_name", &input.company_name);
    check_optional_text(&mut faults, "/first_name", &input.first_name);
    check_optional_text(&mut faults, "/last_name", &input.last_name);
    let email = read_email(&mut faults, "/email", &input.email);
    password::check(
        &mut faults,
        "/password",
        &input.password,
        &[&email, &input.company_name, &input.first_name, &input.last_name],
    );
    if let Some(domain) = &input.domain {
        check_text(&mut faults, "/domain", domain);
    }
    // It is told of live mode too.
    let webhook_url =
        input.webhook_url.map(|url| webhooks::read_url(app, &mut faults, "/webhook_url", &url, true));
    faults.check()?;
    // Slow, and therefore before the transaction.
    let password_hash = app.password_hashing.hash(app.random.as_ref(), input.password).await?;
    let id = TenantId::from_uuid(app.ids.next());
    let tenant = Tenant {
        id,
        slug: free_slug(app, &input.company_name).await?,
        company_name: input.company_name,
        email: email.clone(),
        domain: input.domain,
        is_active: true,
        subscription_tier: "free".to_owned(),
        platform_fee_percentage: rust_decimal::Decimal::new(1500, 2),
        stripe_connect_account_id: None,
        stripe_connect_revision: 0,
        stripe_connect_status: "pending".to_owned(),
        branding: serde_json::json!({}),
        webhook_url,
        invoice_prefix: "INV".to_owned(),
        created_at: now,
        updated_at: now,
    };
    let owner = Member {
        id: MemberId::from_uuid(app.ids.next()),
        email,
        password_hash,
        first_name: input.first_name,
        last_name: input.last_name,
        role: "owner".to_owned(),
        is_active: true,
        email_verified_at: None,
        second_factor_at: None,
        last_login_at: None,
        created_at: now,
        updated_at: now,
    };
    let webhook_secret = SigningSecret::generate(app.random.as_ref());
    let new = NewTenant { tenant, owner, webhook_secret, origin };
    store_under_free_slug(app, new, now).await
}

/// The caller's tenant, and the publishable key of the caller's mode unless it was revoked.
pub async fn details(cx: &Cx) -> Result<(Tenant, Option<String>)> {
    let mut tx = cx.begin().await?;
    let tenant =
        tenants::find(&mut tx).await?.ok_or(Error::Internal("the caller's own tenant is missing"))?;
    Ok((tenant, api_keys::find_publishable(cx, &mut tx).await?))
}

/// Of tenants of one name that register at the same moment, one gets the name and the others a random end.
async fn store_under_free_slug(app: &App, mut new: NewTenant, now: Timestamp) -> Result<RegisteredTenant> {
    let wanted = new.tenant.slug.clone();
    for _ in 1..SLUG_ATTEMPTS_MAX {
        match store(app, new.clone(), now).await {
            Err(Error::Db(error)) if error.is_conflict("tenants_slug_key") => {
                new.tenant.slug = with_random_end(app, &wanted);
            }
            outcome => return outcome,
        }
    }
    store(app, new, now).await
}

async fn store(app: &App, new: NewTenant, now: Timestamp) -> Result<RegisteredTenant> {
    let NewTenant { tenant, owner, webhook_secret, origin } = new;
    let scope = Scope { tenant: tenant.id, livemode: false };
    let mut tx = app.db.tenant(scope).await?;
    let taken = |error| {
        Error::on_conflict(
            error,
            "tenants_email_key",
            Code::EmailTaken,
            "a tenant with this email already exists",
        )
    };
    tenants::insert(&mut tx, &tenant).await.map_err(taken)?;
    members::insert(&mut tx, &owner).await?;
    let (tokens, signed_in) = sessions::begin(app, &mut tx, &owner, &origin, now).await?;
    let account = (owner.email.as_str(), tenant.slug.as_str());
    sessions::note_sign_in(app, &mut tx, account, sessions::STRANGERS, origin.address, now).await?;
    let cx = sessions::cx_of(app, scope, signed_in, &origin, now);
    audit::record(&cx, &mut tx, registered(&tenant, &owner)).await?;
    begin_verification(app, &mut tx, &owner, &tenant).await?;
    let test = prepare_mode(&cx, &mut tx, &tenant, &webhook_secret).await?;
    tx.switch_mode(true).await?;
    let live = prepare_mode(&Cx { scope: tx.scope(), ..cx }, &mut tx, &tenant, &webhook_secret).await?;
    tx.commit().await?;
    let webhook_secret = webhook_secret.reveal();
    Ok(RegisteredTenant { tenant, owner, live, test, webhook_secret, tokens })
}

/// The keys and the default endpoint of webhooks that a tenant has in each mode.
async fn prepare_mode(
    cx: &Cx,
    tx: &mut TenantTx,
    tenant: &Tenant,
    webhook_secret: &SigningSecret,
) -> Result<KeyPair> {
    webhooks::create_default(cx, tx, tenant.webhook_url.clone(), webhook_secret).await?;
    api_keys::insert_first_pair(cx, tx).await
}

fn registered(tenant: &Tenant, owner: &Member) -> Audited {
    Audited {
        action: "tenant.registered",
        subject_type: "tenant",
        subject_id: tenant.id.to_string(),
        after: Some(json!({ "company_name": tenant.company_name, "slug": tenant.slug, "owner": owner.id })),
        ..Audited::default()
    }
}

/// The company's name in letters, digits and hyphens, with a random end if another tenant has it.
async fn free_slug(app: &App, company_name: &str) -> Result<String> {
    let mut slug = String::new();
    for symbol in company_name.to_lowercase().chars().take(SLUG_LENGTH_MAX) {
        if symbol.is_ascii_alphanumeric() {
            slug.push(symbol);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "tenant",
        slug => slug,
    };
    let mut tx = app.db.system().await?;
    if !tenants::slug_exists(&mut tx, slug).await? {
        return Ok(slug.to_owned());
    }
    Ok(with_random_end(app, slug))
}

fn with_random_end(app: &App, slug: &str) -> String {
    let suffix = api_key::random_text(app.random.as_ref(), SLUG_SUFFIX_LENGTH).to_lowercase();
    format!("{slug}-{suffix}")
}
