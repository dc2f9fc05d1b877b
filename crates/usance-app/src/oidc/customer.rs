//! Customers who come back from a provider.

use secrecy::SecretString;
use serde_json::json;
use usance_core::ids::CustomerId;
use usance_db::{
    Scope, TenantTx,
    customer_tokens::CustomerToken,
    customers::{self as stored, Customer},
    identity_providers::{self, Identity, IdentityProvider},
};

use super::{
    Claims, denied,
    member::{already_linked, unverified},
};
use crate::{
    App, Cx,
    audit::{self, Audited},
    customer_tokens,
    customers::{self, CreateCustomer},
    error::{Error, Result},
    sessions::{Origin, cx_of_stranger},
};

/// As much of a name as fits, whatever its letters are.
const NAME_CHARS_MAX: usize = 60;

/// A customer who signed in.
#[derive(Debug)]
pub struct SignedInCustomer {
    /// Who.
    pub customer: Customer,
    /// What it reads its own by.
    pub token: CustomerToken,
    /// The token as it is presented.
    pub secret: SecretString,
}

/// Signs in the customer whom the subject is known as; the first time, the one with the address that the issuer has verified,
/// or a new one, where the provider lets strangers sign up.
pub(super) async fn sign_in(
    app: &App,
    scope: Scope,
    provider: &IdentityProvider,
    claims: &Claims,
    origin: &Origin,
) -> Result<SignedInCustomer> {
    let cx = cx_of_stranger(app, scope, origin);
    // Two browsers can come back for the first time at once: the slower one finds what the faster one has done.
    for _ in 0..2 {
        let mut tx = cx.begin().await?;
        // It may have been removed while it was asked.
        super::in_use(&mut tx, provider.id).await?;
        let Some(customer) = known_as(&cx, &mut tx, provider, claims).await? else { continue };
        let (token, secret) =
            customer_tokens::insert(&cx, &mut tx, customer.id, customer_tokens::LIFETIME).await?;
        record(&cx, &mut tx, "customer.signed_in", provider, customer.id).await?;
        tx.commit().await?;
        return Ok(SignedInCustomer { customer, token, secret });
    }
    Err(already_linked())
}

/// None if another browser was faster.
async fn known_as(
    cx: &Cx,
    tx: &mut TenantTx,
    provider: &IdentityProvider,
    claims: &Claims,
) -> Result<Option<Customer>> {
    let known = identity_providers::find_identity(tx, provider.id, &claims.subject).await?;
    if let Some(Identity::Customer(id)) = known {
        let customer = stored::find(tx, id).await?;
        return customer.map(Some).ok_or_else(unknown);
    }
    let email = claims.verified_email.as_deref().ok_or_else(unverified)?;
    let customer = match stored::find_by_email(tx, email).await?[..] {
        [id] => stored::find(tx, id).await?.ok_or_else(unknown)?,
        [] => sign_up(cx, tx, provider, claims, email).await?,
        [..] => {
            let detail = "several customers have this e-mail address: ask whoever sells to you";
            return Err(denied("ambiguous_email", detail));
        }
    };
    let identity = Identity::Customer(customer.id);
    let is_new = identity_providers::link(tx, provider.id, &claims.subject, identity, cx.now).await?;
    if is_new {
        record(cx, tx, "customer.identity_linked", provider, customer.id).await?;
    }
    Ok(is_new.then_some(customer))
}

async fn sign_up(
    cx: &Cx,
    tx: &mut TenantTx,
    provider: &IdentityProvider,
    claims: &Claims,
    email: &str,
) -> Result<Customer> {
    let currency = provider.sign_up_currency.clone().ok_or_else(unknown)?;
    let input = CreateCustomer {
        external_id: None,
        name: name_of(claims).unwrap_or_else(|| email.to_owned()),
        email: Some(email.to_owned()),
        currency,
        timezone: None,
        tax: None,
        address: None,
        metadata: None,
    };
    customers::create(cx, tx, input).await
}

/// What of a provider's words can be stored.
fn name_of(claims: &Claims) -> Option<String> {
    let visible = claims.name.as_deref()?.chars().filter(|symbol| !symbol.is_control());
    let name: String = visible.take(NAME_CHARS_MAX).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    provider: &IdentityProvider,
    customer: CustomerId,
) -> Result<()> {
    let audited = Audited {
        action,
        subject_type: "customer",
        subject_id: customer.to_string(),
        livemode: Some(cx.scope.livemode),
        after: Some(json!({ "identity_provider": provider.id })),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}

fn unknown() -> Error {
    denied("unknown_identity", "no customer is known by this identity")
}
