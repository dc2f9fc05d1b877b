//! Customers' tokens: what a tenant's page sends to read what one customer may see of itself.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::{
    access::{Area, Right},
    ids::{CustomerId, CustomerTokenId},
};
use usance_db::{
    Scope, TenantTx,
    customer_tokens::{self, CustomerToken},
};

use crate::{
    App, Cx,
    audit::{self, Audited},
    auth::{Caller, Identity, SignedInCustomer, keyring::sha256, tenant_token},
    customers,
    error::{Code, Error, Result},
};

const TEST_PREFIX: &str = "ct_test";
const LIVE_PREFIX: &str = "ct_live";
/// An hour, as an access token of a member.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const LIFETIME_MIN: SignedDuration = SignedDuration::from_mins(1);
const LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(24);
/// How long a token is kept after its end.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What a customer's token reads of the customer.
const READ_BY_TOKEN: [Area; 7] = [
    Area::Customers,
    Area::Subscriptions,
    Area::Usage,
    Area::Entitlements,
    Area::Invoices,
    Area::Payments,
    Area::Wallets,
];

/// Whether a credential has the form of a customer's token.
pub fn is_customer_token(text: &str) -> bool {
    text.starts_with("ct_")
}

/// Issues a token for a customer, for an hour unless the caller wants 60 to 86,400 seconds. It is shown here and never again.
pub async fn issue(
    cx: &Cx,
    customer: &str,
    expires_in_seconds: Option<i64>,
) -> Result<(CustomerToken, SecretString)> {
    let lifetime = expires_in_seconds.map_or(LIFETIME, SignedDuration::from_secs);
    if lifetime < LIFETIME_MIN || lifetime > LIFETIME_MAX {
        let detail = format!("must be {} to {}", LIFETIME_MIN.as_secs(), LIFETIME_MAX.as_secs());
        return Err(Error::field("/expires_in_seconds", "out_of_range", detail));
    }
    require_all_that_it_reads(cx)?;
    let mut tx = cx.begin().await?;
    let customer = customers::get(&mut tx, customer).await?.id;
    let issued = insert(cx, &mut tx, customer, lifetime).await?;
    tx.commit().await?;
    Ok(issued)
}

/// A key must not read by a token what it may not read itself.
fn require_all_that_it_reads(cx: &Cx) -> Result<()> {
    let Some(Caller::SecretKey(_, scopes)) = &cx.caller else { return Ok(()) };
    match READ_BY_TOKEN.into_iter().find(|area| !scopes.allows(*area, Right::Read)) {
        None => Ok(()),
        Some(area) => {
            let detail = format!("a customer's token reads what needs the scope {}:read too", area.as_str());
            Err(Error::refused(Code::Forbidden, detail))
        }
    }
}

/// Makes a token.
pub(crate) async fn insert(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: CustomerId,
    lifetime: SignedDuration,
) -> Result<(CustomerToken, SecretString)> {
    let prefix = if cx.scope.livemode { LIVE_PREFIX } else { TEST_PREFIX };
    let secret = tenant_token::generate(cx.app.random.as_ref(), prefix, cx.scope.tenant);
    let token = CustomerToken {
        id: CustomerTokenId::from_uuid(cx.app.ids.next()),
        customer,
        created_at: cx.now,
        expires_at: cx.now.saturating_add(lifetime).unwrap_or(cx.now),
    };
    customer_tokens::purge(tx, customer, cx.now.saturating_sub(KEPT).unwrap_or(cx.now)).await?;
    customer_tokens::insert(tx, &token, &sha256(secret.expose_secret().as_bytes())).await?;
    record(cx, tx, "customer_token.created", token.id, customer).await?;
    Ok((token, secret))
}

async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    id: CustomerTokenId,
    customer: CustomerId,
) -> Result<()> {
    let audited = Audited {
        action,
        subject_type: "customer_token",
        subject_id: id.to_string(),
        livemode: Some(cx.scope.livemode),
        after: Some(json!({ "customer": customer })),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}

/// Lists the tokens of a customer that work, the newest first, 1,000 at most.
pub async fn list(cx: &Cx, customer: &str) -> Result<Vec<CustomerToken>> {
    let mut tx = cx.begin().await?;
    let customer = customers::get(&mut tx, customer).await?.id;
    Ok(customer_tokens::list_working(&mut tx, customer, cx.now).await?)
}

/// Ends a token of a customer at once.
pub async fn revoke(cx: &Cx, tx: &mut TenantTx, customer: &str, id: &str) -> Result<()> {
    let unknown = || Error::not_found("token that works");
    let id: CustomerTokenId = id.parse().map_err(|_| unknown())?;
    let customer = customers::get(tx, customer).await?.id;
    end(cx, tx, customer, id).await?.then_some(()).ok_or_else(unknown)
}

/// Ends the token that the customer presented.
pub async fn sign_out(cx: &Cx) -> Result<()> {
    let Some(Caller::Customer(customer)) = &cx.caller else {
        return Err(Error::Internal("only a customer can end its own token"));
    };
    let mut tx = cx.begin_as_tenant().await?;
    end(cx, &mut tx, customer.id, customer.token).await?;
    Ok(tx.commit().await?)
}

async fn end(cx: &Cx, tx: &mut TenantTx, customer: CustomerId, id: CustomerTokenId) -> Result<bool> {
    let revoked = customer_tokens::revoke(tx, customer, id, cx.now).await?;
    if revoked {
        record(cx, tx, "customer_token.revoked", id, customer).await?;
    }
    Ok(revoked)
}

/// Finds whom a token is of. It is looked up each time, so that one that was revoked is refused at once.
pub(crate) async fn find(app: &App, token: &SecretString, now: Timestamp) -> Result<Option<Identity>> {
    let of_mode =
        |(livemode, prefix)| tenant_token::tenant_of(prefix, token).map(|tenant| Scope { tenant, livemode });
    let Some(scope) = [(false, TEST_PREFIX), (true, LIVE_PREFIX)].into_iter().find_map(of_mode) else {
        return Ok(None);
    };
    let mut tx = app.db.tenant(scope).await?;
    let token_hash = sha256(token.expose_secret().as_bytes());
    let found = customer_tokens::find_working(&mut tx, &token_hash, now).await?;
    Ok(found.map(|found| {
        let customer =
            SignedInCustomer { id: found.customer, external_id: found.external_id, token: found.id };
        Identity { caller: Caller::Customer(customer), scope, must_enrol: false }
    }))
}
