//! The identity providers of a tenant.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use usance_core::{access::Role, ids::IdentityProviderId};
use usance_db::{
    TenantTx,
    identity_providers::{self, IdentityProvider},
    sessions, tenants,
};

use super::{in_use, party::discover, secret_place};
use crate::{
    Cx,
    audit::{self, Audited},
    auth::role_of,
    error::{Code, Error, Faults, Result},
    fields::{check_text, read_currency},
    members::{ProvedPassword, own_role, require_rank},
    second_factor::demand,
};

const PROVIDERS_MAX: usize = 20;
const AUDIENCES: [&str; 2] = ["members", "customers"];

/// What the owner proves: an open session alone must not decide who is let in from now on.
#[derive(Debug)]
pub struct OwnerProof {
    /// The owner's own password.
    pub password: SecretString,
    /// A code, where the owner has a second factor.
    pub code: Option<SecretString>,
}

/// A provider that is wanted.
#[derive(Debug)]
pub struct CreateProvider {
    /// Of whoever adds it.
    pub proof: OwnerProof,
    /// For people.
    pub name: String,
    /// `members` or `customers`.
    pub audience: String,
    /// As in the issuer's own discovery document.
    pub issuer: String,
    /// What the issuer knows us as.
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<SecretString>,
    /// The currency of customers who sign up by signing in.
    pub sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here.
    pub trusts_second_factor: bool,
}

/// What is to change of a provider; absent fields stay.
#[derive(Debug)]
pub struct ChangeProvider {
    /// Of whoever changes it.
    pub proof: OwnerProof,
    /// The fields.
    pub fields: ProviderFields,
}

/// Fields of a provider that change.
#[derive(Debug, Default)]
pub struct ProviderFields {
    /// For people.
    pub name: Option<String>,
    /// What the issuer knows us as.
    pub client_id: Option<String>,
    /// A new secret.
    pub client_secret: Option<SecretString>,
    /// The currency of customers who sign up by signing in; empty where they do not any more.
    pub sign_up_currency: Option<String>,
    /// Whether a sign-in there stands in for a member's second factor here.
    pub trusts_second_factor: Option<bool>,
}

/// Adds a provider; one for customers serves the mode of the caller. Its issuer is asked first whether it is one.
pub async fn create(cx: &Cx, input: CreateProvider) -> Result<IdentityProvider> {
    let id = IdentityProviderId::from_uuid(cx.app.ids.next());
    let mut faults = Faults::default();
    if !AUDIENCES.contains(&input.audience.as_str()) {
        faults.add("/audience", "unknown_word", "must be members or customers");
    }
    // The library compares it letter by letter with what the issuer says of itself.
    if let Err(fault) = cx.app.guarded_client.check(&input.issuer, true) {
        faults.add("/issuer", "invalid_url", fault.to_string());
    }
    let is_of_customers = input.audience == "customers";
    let mut provider = IdentityProvider {
        id,
        name: String::new(),
        mode: is_of_customers.then(|| audit::mode(cx.scope.livemode).to_owned()),
        audience: input.audience,
        issuer: input.issuer,
        client_id: String::new(),
        client_secret_sealed: None,
        sign_up_currency: None,
        trusts_second_factor: input.trusts_second_factor,
        created_at: cx.now,
        updated_at: cx.now,
    };
    let rest = ProviderFields {
        name: Some(input.name),
        client_id: Some(input.client_id),
        client_secret: input.client_secret,
        sign_up_currency: input.sign_up_currency,
        trusts_second_factor: None,
    };
    apply(cx, &mut faults, &mut provider, rest);
    faults.check()?;
    let proved = ProvedPassword::of_caller(cx, "/password", input.proof.password).await?;
    // Slow, and therefore before the transaction.
    discover(&cx.app, &provider.issuer).await.map_err(|_| {
        let detail =
            "answers no OpenID Connect discovery of this issuer at /.well-known/openid-configuration";
        Error::field("/issuer", "no_issuer", detail)
    })?;
    let mut tx = begin_as_owner(cx, &proved, input.proof.code.as_ref()).await?;
    if identity_providers::list(&mut tx).await?.len() >= PROVIDERS_MAX {
        let detail = format!("a tenant has {PROVIDERS_MAX} identity providers at most: remove one first");
        return Err(Error::refused(Code::Forbidden, detail));
    }
    identity_providers::insert(&mut tx, &provider).await?;
    record(cx, &mut tx, "identity_provider.created", None, Some(&provider)).await?;
    tx.commit().await?;
    Ok(provider)
}

/// The caller must still be an owner: what decides who is let in is decided by nobody else.
async fn begin_as_owner(cx: &Cx, proved: &ProvedPassword, code: Option<&SecretString>) -> Result<TenantTx> {
    let mut tx = cx.begin().await?;
    tenants::lock(&mut tx).await?;
    let member = proved.lock(cx, &mut tx).await?;
    require_rank(role_of(&member.role)?, Role::Owner)?;
    if member.second_factor_at.is_none() {
        return Ok(tx);
    }
    let code = code.ok_or_else(|| Error::field("/code", "required", "must be given"))?;
    demand(cx, tx, &member, code).await
}

fn apply(cx: &Cx, faults: &mut Faults, provider: &mut IdentityProvider, input: ProviderFields) {
    for (pointer, text, field) in
        [("/name", input.name, &mut provider.name), ("/client_id", input.client_id, &mut provider.client_id)]
    {
        if let Some(text) = text {
            check_text(faults, pointer, &text);
            *field = text;
        }
    }
    if let Some(secret) = input.client_secret {
        check_text(faults, "/client_secret", secret.expose_secret());
        let place = secret_place(cx.scope, provider.id);
        let place = place.each_ref().map(String::as_str);
        let sealed = cx.app.keyring.seal(cx.app.random.as_ref(), &place, secret.expose_secret());
        provider.client_secret_sealed = Some(sealed);
    }
    provider.trusts_second_factor = input.trusts_second_factor.unwrap_or(provider.trusts_second_factor);
    if let Some(currency) = input.sign_up_currency {
        provider.sign_up_currency = Some(currency).filter(|currency| !currency.is_empty());
    }
    if let Some(currency) = &provider.sign_up_currency {
        read_currency(faults, "/sign_up_currency", currency);
        if provider.audience != "customers" {
            faults.add("/sign_up_currency", "not_for_members", "is for customers: members are invited");
        }
    }
}

/// Lists the providers of the tenant, the oldest first.
pub async fn list(cx: &Cx) -> Result<Vec<IdentityProvider>> {
    let mut tx = cx.begin().await?;
    Ok(identity_providers::list(&mut tx).await?)
}

/// Changes a provider. Its issuer stays: subjects are known by it.
pub async fn change(cx: &Cx, id: &str, input: ChangeProvider) -> Result<IdentityProvider> {
    let id: IdentityProviderId = id.parse().map_err(|_| Error::not_found("identity provider"))?;
    let proved = ProvedPassword::of_caller(cx, "/password", input.proof.password).await?;
    let mut tx = begin_as_owner(cx, &proved, input.proof.code.as_ref()).await?;
    let before = in_use(&mut tx, id).await?;
    let mut provider = before.clone();
    let mut faults = Faults::default();
    apply(cx, &mut faults, &mut provider, input.fields);
    faults.check()?;
    provider.updated_at = cx.now;
    identity_providers::update(&mut tx, &provider).await?;
    record(cx, &mut tx, "identity_provider.updated", Some(&before), Some(&provider)).await?;
    tx.commit().await?;
    Ok(provider)
}

/// Removes a provider: nobody signs in by it any more, and the sessions of members that began by it end.
pub async fn remove(cx: &Cx, tx: &mut TenantTx, id: &str) -> Result<()> {
    let id: IdentityProviderId = id.parse().map_err(|_| Error::not_found("identity provider"))?;
    tenants::lock(tx).await?;
    require_rank(own_role(cx, tx).await?, Role::Owner)?;
    let provider = in_use(tx, id).await?;
    identity_providers::delete(tx, id, cx.now).await?;
    sessions::revoke_of_provider(tx, id, cx.now).await?;
    record(cx, tx, "identity_provider.deleted", Some(&provider), None).await
}

async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    before: Option<&IdentityProvider>,
    after: Option<&IdentityProvider>,
) -> Result<()> {
    let subject = before.or(after).map(|provider| provider.id.to_string());
    let audited = Audited {
        action,
        subject_type: "identity_provider",
        subject_id: subject.unwrap_or_default(),
        before: before.map(shown),
        after: after.map(shown),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}

/// What the audit log may hold of a provider.
fn shown(provider: &IdentityProvider) -> Value {
    json!({
        "name": provider.name,
        "audience": provider.audience,
        "mode": provider.mode,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "has_client_secret": provider.client_secret_sealed.is_some(),
        "sign_up_currency": provider.sign_up_currency,
        "trusts_second_factor": provider.trusts_second_factor,
    })
}
