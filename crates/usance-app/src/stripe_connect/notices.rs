//! What Stripe tells by itself of an account that a tenant has connected. Notices come late, twice and in any order, so that
//! Stripe is asked how the account is now.

use usance_db::{Scope, tenants};

use super::connection::refresh;
use crate::{App, Cx, error::Result};

/// Looks after the connection to an account that has changed or was disconnected at Stripe; says whether it is connected.
pub async fn note_changed(app: &App, account_id: &str) -> Result<bool> {
    let mut tx = app.db.system().await?;
    let Some(tenant) = tenants::find_id_by_stripe_account(&mut tx, account_id).await? else {
        return Ok(false);
    };
    drop(tx);
    let cx = Cx::of_work(app, Scope { tenant, livemode: false });
    Ok(refresh(&cx, account_id).await?.is_some())
}
