//! The connection as it is: what Stripe says of the account, and every change of it with its audit entry and its events.

use serde_json::{Value, json};
use usance_core::connect::ConnectStatus;
use usance_db::{
    TenantTx, stripe_connect_states,
    tenants::{self, Tenant},
};

use super::{failed, own_tenant};
use crate::{
    Cx,
    audit::{self, Audited},
    error::{Code, Error, Refusal, Result},
    outbox::announce,
    stripe::Account,
};

/// How often Stripe is asked in a row while others learn of the connection too.
const ASKED_MAX: usize = 5;

/// Asks Stripe about the connected account, and keeps how far the connection is. Without a connection there is nothing; a
/// connection that Stripe has ended is ended here too.
///
/// Answers come late and overtake each other. One counts only if nothing else was learnt of the connection since it was asked
/// for; then Stripe is asked again.
pub async fn status(cx: &Cx) -> Result<Option<(Account, ConnectStatus)>> {
    for _ in 0..ASKED_MAX {
        let mut tx = cx.begin().await?;
        let tenant = own_tenant(&mut tx).await?;
        drop(tx);
        let revision = tenant.stripe_connect_revision;
        let Some(account_id) = tenant.stripe_connect_account_id else { return Ok(None) };
        match cx.app.stripe.client()?.get_account(&account_id).await {
            Ok(account) => {
                let status = ConnectStatus::of_account(account.charges_enabled, account.payouts_enabled);
                if note_status(cx, &account_id, revision, status).await? {
                    return Ok(Some((account, status)));
                }
            }
            Err(error) if error.is_account_gone() => {
                if end_unless_overtaken(cx, &account_id, revision).await? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    let detail = "the connection to Stripe changes all the time: send the same request again";
    Err(Error::refused(Code::Unavailable, detail))
}

/// Locks the tenant, unless something was learnt of the connection since its revision was read.
async fn begin_unless_overtaken(cx: &Cx, revision: i64) -> Result<Option<(TenantTx, Tenant)>> {
    let (tx, tenant) = begin_locked(cx).await?;
    Ok((tenant.stripe_connect_revision == revision).then_some((tx, tenant)))
}

async fn begin_locked(cx: &Cx) -> Result<(TenantTx, Tenant)> {
    let mut tx = cx.begin().await?;
    tenants::lock(&mut tx).await?;
    let tenant = own_tenant(&mut tx).await?;
    Ok((tx, tenant))
}

/// Says whether the status counts.
async fn note_status(cx: &Cx, account_id: &str, revision: i64, status: ConnectStatus) -> Result<bool> {
    let Some((mut tx, tenant)) = begin_unless_overtaken(cx, revision).await? else { return Ok(false) };
    if tenant.stripe_connect_status == status.as_str() {
        tenants::count_stripe_answer(&mut tx).await?;
        tx.commit().await?;
        return Ok(true);
    }
    store(cx, &mut tx, Some(account_id), status).await?;
    let audited = Audited {
        action: "stripe.status_changed",
        before: Some(seen(Some(account_id), &tenant.stripe_connect_status)),
        after: Some(seen(Some(account_id), status.as_str())),
        ..about(&tenant)
    };
    audit::record(cx, &mut tx, audited).await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends the connection, as Stripe has; says whether that counts.
async fn end_unless_overtaken(cx: &Cx, account_id: &str, revision: i64) -> Result<bool> {
    let Some((tx, tenant)) = begin_unless_overtaken(cx, revision).await? else { return Ok(false) };
    end_in(cx, tx, &tenant, account_id, "deauthorized at Stripe").await?;
    Ok(true)
}

/// Connects an account in the caller's transaction. The tenant must be locked and have none.
pub(super) async fn connect(
    cx: &Cx,
    tx: &mut TenantTx,
    tenant: &Tenant,
    account_id: &str,
    status: ConnectStatus,
) -> Result<()> {
    store(cx, tx, Some(account_id), status).await?;
    let audited = Audited {
        action: "stripe.connected",
        after: Some(seen(Some(account_id), status.as_str())),
        ..about(tenant)
    };
    audit::record(cx, tx, audited).await
}

/// Ends the connection to an account; says whether there was one.
pub(super) async fn end(cx: &Cx, account_id: &str, reason: &'static str) -> Result<bool> {
    let (tx, tenant) = begin_locked(cx).await?;
    // Somebody may have ended it meanwhile, and connected another account.
    if tenant.stripe_connect_account_id.as_deref() != Some(account_id) {
        return Ok(false);
    }
    end_in(cx, tx, &tenant, account_id, reason).await?;
    Ok(true)
}

async fn end_in(
    cx: &Cx,
    mut tx: TenantTx,
    tenant: &Tenant,
    account_id: &str,
    reason: &'static str,
) -> Result<()> {
    store(cx, &mut tx, None, ConnectStatus::Disconnected).await?;
    stripe_connect_states::retire_all(&mut tx, cx.now).await?;
    let audited = Audited {
        action: "stripe.disconnected",
        before: Some(seen(Some(account_id), &tenant.stripe_connect_status)),
        after: Some(seen(None, ConnectStatus::Disconnected.as_str())),
        reason: Some(reason.to_owned()),
        ..about(tenant)
    };
    audit::record(cx, &mut tx, audited).await?;
    Ok(tx.commit().await?)
}

/// An account serves both modes, and so both are told.
async fn store(cx: &Cx, tx: &mut TenantTx, account_id: Option<&str>, status: ConnectStatus) -> Result<()> {
    let stored = tenants::set_stripe_account(tx, account_id, status.as_str(), cx.now).await;
    stored.map_err(|error| {
        if error.is_conflict("tenants_stripe_connect_account_id_key") {
            in_use(account_id)
        } else {
            Error::Db(error)
        }
    })?;
    let livemode = tx.scope().livemode;
    for mode in [livemode, !livemode] {
        tx.switch_mode(mode).await?;
        let data = json!({
            "id": tx.scope().tenant,
            "stripe_connect_account_id": account_id,
            "stripe_connect_status": status.as_str(),
        });
        announce(cx, tx, "tenant.updated", data).await?;
    }
    Ok(tx.switch_mode(livemode).await?)
}

// The platform has one authorisation for the account, which the other tenant lives on: it stays.
fn in_use(account_id: Option<&str>) -> Error {
    let detail =
        "another tenant has connected this Stripe account: take another account, or disconnect it there";
    let refusal =
        Refusal::new(Code::StripeAccountInUse, detail).with("error", "Stripe account already in use");
    refusal.with("account_id", account_id).into()
}

pub(super) fn about(tenant: &Tenant) -> Audited {
    Audited { subject_type: "tenant", subject_id: tenant.id.to_string(), ..Audited::default() }
}

fn seen(account_id: Option<&str>, status: &str) -> Value {
    json!({ "account_id": account_id, "status": status })
}
