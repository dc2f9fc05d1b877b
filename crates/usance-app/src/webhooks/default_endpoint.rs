//! The one endpoint of a mode that older clients know: configured, shown, taken away while its secret stays.

use jiff::SignedDuration;
use secrecy::SecretString;
use usance_core::webhook::{EndpointHealth, SigningSecret};
use usance_db::{
    TenantTx, tenants,
    webhook_endpoints::{self, WebhookEndpoint},
};

use super::endpoints::{check_grace, create_default, delete, masked_secret, read_url, record, renew_secret};
use crate::{
    Cx,
    error::{Faults, Result},
};

/// The default endpoint after it was configured.
#[derive(Debug)]
pub struct Configured {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// Its secret, if it is new.
    pub new_secret: Option<SecretString>,
}

/// Sets the address of the default endpoint, and makes it anew if there is none. It is enabled and begins with a clean record.
/// With a grace it gets a new secret; the old one signs beside it so long.
pub async fn configure(cx: &Cx, url: &str, new_secret: Option<SignedDuration>) -> Result<Configured> {
    let mut faults = Faults::default();
    let url = read_url(&cx.app, &mut faults, "/webhook_url", url, cx.scope.livemode);
    faults.check()?;
    if let Some(grace) = new_secret {
        check_grace(grace)?;
    }
    let mut tx = cx.begin().await?;
    tenants::lock(&mut tx).await?;
    let configured = if let Some(before) = webhook_endpoints::lock(&mut tx, None).await? {
        reconfigure(cx, &mut tx, before, url, new_secret).await?
    } else {
        let secret = SigningSecret::generate(cx.app.random.as_ref());
        let endpoint = create_default(cx, &mut tx, Some(url), &secret).await?;
        record(cx, &mut tx, "webhook_endpoint.created", None, Some(&endpoint)).await?;
        Configured { endpoint, new_secret: Some(secret.reveal()) }
    };
    tx.commit().await?;
    Ok(configured)
}

async fn reconfigure(
    cx: &Cx,
    tx: &mut TenantTx,
    before: WebhookEndpoint,
    url: String,
    new_secret: Option<SignedDuration>,
) -> Result<Configured> {
    let endpoint = WebhookEndpoint {
        url: Some(url),
        disabled: None,
        health: EndpointHealth::default(),
        updated_at: cx.now,
        ..before.clone()
    };
    webhook_endpoints::update(tx, &endpoint).await?;
    record(cx, tx, "webhook_endpoint.updated", Some(&before), Some(&endpoint)).await?;
    let new_secret = match new_secret {
        Some(grace) => Some(renew_secret(cx, tx, &endpoint, grace).await?),
        None => None,
    };
    Ok(Configured { endpoint, new_secret })
}

/// Finds the default endpoint, and what may be shown of its secret.
pub async fn find_default(cx: &Cx) -> Result<Option<(WebhookEndpoint, Option<String>)>> {
    let mut tx = cx.begin().await?;
    let Some(endpoint) = webhook_endpoints::find(&mut tx, None).await? else { return Ok(None) };
    let masked = masked_secret(cx, &mut tx, endpoint.id).await?;
    Ok(Some((endpoint, masked)))
}

/// Takes the address of the default endpoint away, if it has one.
pub async fn remove_default(cx: &Cx, tx: &mut TenantTx) -> Result<()> {
    match webhook_endpoints::lock(tx, None).await?.filter(|it| it.url.is_some()) {
        Some(endpoint) => delete(cx, tx, endpoint.id).await,
        None => Ok(()),
    }
}
