//! The end of a connection that the tenant wants.

use serde_json::{Value, json};
use usance_db::tenants::Tenant;

use super::{
    connection::{about, end},
    own_tenant,
};
use crate::{
    Cx,
    audit::{self, Audited},
    error::{Code, Error, Refusal, Result},
    tenants,
};

/// Disconnects the tenant's account, first here and then at Stripe, whose help is not needed. Returns the tenant and the
/// publishable key of the caller's mode unless it was revoked.
pub async fn disconnect(cx: &Cx) -> Result<(Tenant, Option<String>)> {
    let mut tx = cx.begin().await?;
    let account_id = own_tenant(&mut tx).await?.stripe_connect_account_id.ok_or_else(not_connected)?;
    drop(tx);
    // Whoever did not end it must not take back what somebody has authorised since.
    if !end(cx, &account_id, "disconnected by an owner").await? {
        return Err(not_connected());
    }
    let outcome = deauthorize(cx, &account_id).await;
    let mut tx = cx.begin().await?;
    let tenant = own_tenant(&mut tx).await?;
    let audited = Audited { action: "stripe.deauthorized", after: Some(outcome), ..about(&tenant) };
    audit::record(cx, &mut tx, audited).await?;
    tx.commit().await?;
    tenants::details(cx).await
}

/// Takes the platform's access back; returns how it went, for the audit log.
async fn deauthorize(cx: &Cx, account_id: &str) -> Value {
    let refused = |error: &str| json!({ "account_id": account_id, "deauthorized": false, "error": error });
    let stripe = &cx.app.stripe;
    let (Ok(client), Ok(client_id)) = (stripe.client(), stripe.connect_client_id()) else {
        tracing::warn!(
            "An account was disconnected here but not at Stripe, because Stripe Connect is not configured"
        );
        return refused("not configured");
    };
    match client.deauthorize(client_id, account_id).await {
        Ok(()) => json!({ "account_id": account_id, "deauthorized": true }),
        Err(error) => {
            let (kind, status, code) = (error.kind, error.status, error.code.as_deref());
            if !error.is_not_connected() {
                tracing::warn!(
                    ?kind,
                    status,
                    code,
                    stripe.request_id = error.request_id,
                    "An account was disconnected here but not at Stripe: {error}"
                );
            }
            refused(&code.map_or_else(|| error.to_string(), str::to_owned))
        }
    }
}

fn not_connected() -> Error {
    let detail = "there is no Stripe account to disconnect";
    Refusal::new(Code::StripeNotConnected, detail).with("error", "No Stripe account connected").into()
}
