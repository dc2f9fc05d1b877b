//! What Stripe tells by itself of an account that a tenant has connected. Notices come late, twice and in any order, so that
//! one says no more than that Stripe is to be asked how the account is now. Stripe sends it again, for three days, until that
//! was done: nothing of it is stored here.

use serde::Deserialize;
use usance_db::{Scope, tenants};

use super::status;
use crate::{
    App, Cx,
    error::{Code, Error, Result},
};

/// Notices after which an account may be another one than before.
const CHANGES: [&str; 2] = ["account.updated", "account.application.deauthorized"];

/// What is read of a notice; Stripe adds fields as it likes.
#[derive(Deserialize)]
struct Notice {
    #[serde(rename = "type")]
    kind: String,
    /// The connected account; none of the operator's own.
    account: Option<String>,
}

/// Takes a notice as it came. What is of no interest here is taken too, or Stripe would send it again.
pub async fn take_notice(app: &App, signature: &str, body: &[u8]) -> Result<()> {
    app.stripe.verify_connect_notice(signature, body, app.now())?;
    let notice: Notice = serde_json::from_slice(body).map_err(|error| {
        Error::refused(Code::MalformedJson, format!("the body is not an event of Stripe: {error}"))
    })?;
    match notice.account {
        Some(account_id) if CHANGES.contains(&notice.kind.as_str()) => note_changed(app, &account_id).await,
        _ => Ok(()),
    }
}

/// Looks after the connection to an account that has changed or was disconnected at Stripe.
async fn note_changed(app: &App, account_id: &str) -> Result<()> {
    let mut tx = app.db.system().await?;
    let tenant = tenants::find_id_by_stripe_account(&mut tx, account_id).await?;
    drop(tx);
    if let Some(tenant) = tenant {
        let cx = Cx::of_work(app, Scope { tenant, livemode: false });
        status(&cx).await?;
    }
    Ok(())
}
