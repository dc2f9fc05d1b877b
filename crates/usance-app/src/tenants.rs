//! Registering a tenant: its first member, its keys, and the tokens of the first session.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use usance_core::ids::{ApiKeyId, MemberId, TenantId};
use usance_db::{
    Scope, TenantTx, api_keys,
    api_keys::NewApiKey,
    members::{self, Member, NewRefreshToken},
    tenants::{self, Tenant},
};

use crate::{
    App,
    auth::{
        access_token::REFRESH_TOKEN_LIFETIME,
        api_key::{self, KeyKind, PEPPER_VERSION},
        keyring::sha256,
        password,
    },
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, check_text, read_email},
};

const SLUG_LENGTH_MAX: usize = 48;
const SLUG_SUFFIX_LENGTH: usize = 6;
const SLUG_ATTEMPTS_MAX: usize = 5;
const WEBHOOK_SECRET_LENGTH: usize = 32;
const REFRESH_TOKEN_LENGTH: usize = 43;

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
    /// Where webhooks go.
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
    /// A JWT, valid for an hour.
    pub access_token: SecretString,
    /// Valid for a week.
    pub refresh_token: SecretString,
}

/// The two keys of a mode.
#[derive(Debug)]
pub struct KeyPair {
    /// For servers; stored as a hash only.
    pub secret: SecretString,
    /// For browsers.
    pub publishable: SecretString,
}

/// Registers a tenant.
pub async fn register(app: &App, input: RegisterTenant) -> Result<RegisteredTenant> {
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
    if let Some(webhook_url) = &input.webhook_url {
        check_webhook_url(&mut faults, webhook_url);
    }
    faults.check()?;
    // Slow, and therefore before the transaction.
    let password_hash = app.password_hashing.hash(app.random.as_ref(), input.password).await?;
    let id = TenantId::from_uuid(app.ids.next());
    let webhook_secret =
        format!("whsec_{}", api_key::random_text(app.random.as_ref(), WEBHOOK_SECRET_LENGTH));
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
        stripe_connect_status: "pending".to_owned(),
        branding: serde_json::json!({}),
        webhook_url: input.webhook_url,
        webhook_secret_sealed: app.keyring.seal(
            app.random.as_ref(),
            &["tenants", &id.to_string(), "webhook_secret"],
            &webhook_secret,
        ),
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
        created_at: now,
    };
    store_under_free_slug(app, tenant, owner, webhook_secret.into(), now).await
}

/// Of tenants of one name that register at the same moment, one gets the name and the others a random end.
async fn store_under_free_slug(
    app: &App,
    mut tenant: Tenant,
    owner: Member,
    webhook_secret: SecretString,
    now: Timestamp,
) -> Result<RegisteredTenant> {
    let wanted = tenant.slug.clone();
    for _ in 1..SLUG_ATTEMPTS_MAX {
        match store(app, tenant.clone(), owner.clone(), webhook_secret.clone(), now).await {
            Err(Error::Db(error)) if error.is_conflict("tenants_slug_key") => {
                tenant.slug = with_random_end(app, &wanted);
            }
            outcome => return outcome,
        }
    }
    store(app, tenant, owner, webhook_secret, now).await
}

fn check_webhook_url(faults: &mut Faults, text: &str) {
    let valid = url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if !valid {
        faults.add("/webhook_url", "invalid_url", "must be an https address without user name and password");
    }
}

async fn store(
    app: &App,
    tenant: Tenant,
    owner: Member,
    webhook_secret: SecretString,
    now: Timestamp,
) -> Result<RegisteredTenant> {
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
    let refresh_token = SecretString::from(api_key::random_text(app.random.as_ref(), REFRESH_TOKEN_LENGTH));
    let stored = NewRefreshToken {
        id: app.ids.next(),
        family_id: app.ids.next(),
        token_hash: sha256(refresh_token.expose_secret().as_bytes()),
        expires_at: now.saturating_add(REFRESH_TOKEN_LIFETIME).unwrap_or(now),
        created_at: now,
    };
    members::insert_refresh_token(&mut tx, owner.id, &stored).await?;
    let test = insert_keys(app, &mut tx, now).await?;
    tx.switch_mode(true).await?;
    let live = insert_keys(app, &mut tx, now).await?;
    tx.commit().await?;
    let access_token = app.access_tokens.issue(tenant.id, owner.id, now)?.into();
    Ok(RegisteredTenant { tenant, owner, live, test, webhook_secret, access_token, refresh_token })
}

async fn insert_keys(app: &App, tx: &mut TenantTx, now: Timestamp) -> Result<KeyPair> {
    let secret = insert_key(app, tx, KeyKind::Secret, now).await?;
    let publishable = insert_key(app, tx, KeyKind::Publishable, now).await?;
    Ok(KeyPair { secret, publishable })
}

async fn insert_key(app: &App, tx: &mut TenantTx, kind: KeyKind, now: Timestamp) -> Result<SecretString> {
    let key = api_key::generate(app.random.as_ref(), kind, tx.scope().livemode);
    let publishable = match kind {
        KeyKind::Secret => None,
        KeyKind::Publishable => Some(key.expose_secret().to_owned()),
    };
    let stored = NewApiKey {
        id: ApiKeyId::from_uuid(app.ids.next()),
        kind: kind.as_str(),
        key_hash: api_key::hash(&app.keyring, &key),
        pepper_version: PEPPER_VERSION,
        masked: publishable.clone().unwrap_or_else(|| api_key::mask(&key)),
        publishable_key: publishable,
        created_at: now,
    };
    api_keys::insert(tx, &stored).await?;
    Ok(key)
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
