//! Stripe Connect: a tenant connects an account of its own at Stripe, to which its customers' money goes.
//!
//! A member is sent to Stripe with a state, and a browser comes back with it: the state is the only credential of the return.
//! It is stored as a hash, valid once and for ten minutes (a day while Stripe asks for
//! documents), and worth what the member who began may still do.

mod begin;
mod connection;
mod disconnect;
mod finish;
mod notices;

pub use begin::{Begun, begin};
pub use connection::status;
pub use disconnect::disconnect;
pub use finish::{Connected, Return, finish};
pub use notices::take_notice;

use usance_db::{
    TenantTx,
    tenants::{self, Tenant},
};

use crate::{
    App,
    error::{Code, Error, Refusal, Result},
    stripe::{StripeError, not_configured},
};

/// Where a browser comes back to, after the address of this server. Stripe compares it letter by letter.
const CALLBACK_PATH: &str = "/api/v1/auth/tenants/stripe/callback/";

fn callback_url(app: &App) -> Result<String> {
    let base = app.public_url.as_deref().ok_or_else(|| not_configured("USANCE_PUBLIC_URL"))?;
    Ok(format!("{base}{CALLBACK_PATH}"))
}

async fn own_tenant(tx: &mut TenantTx) -> Result<Tenant> {
    tenants::find(tx).await?.ok_or(Error::Internal("the caller's own tenant is missing"))
}

fn refuse_second_account(tenant: &Tenant) -> Result<()> {
    let Some(account_id) = &tenant.stripe_connect_account_id else { return Ok(()) };
    let detail = "a Stripe account is connected: disconnect it before you connect another one";
    let refusal = Refusal::new(Code::StripeAlreadyConnected, detail);
    Err(refusal
        .with("error", "Stripe account already connected")
        .with("account_id", account_id.as_str())
        .into())
}

/// The log gets nothing that Stripe wrote but its word and the name of the request; its sentence is for the caller.
fn failed(error: &StripeError) -> Error {
    let StripeError { kind, status, code, request_id, message: _ } = error;
    tracing::warn!(
        ?kind,
        status,
        code,
        stripe.request_id = request_id,
        "Stripe did not do what was asked: {error}"
    );
    let detail = "Stripe did not do what was asked: details says why";
    let refusal = Refusal::new(Code::StripeError, detail);
    refusal.with("error", "Stripe API error").with("details", error.details()).into()
}
