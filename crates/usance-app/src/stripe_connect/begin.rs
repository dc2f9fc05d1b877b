//! The way to Stripe: a state, and the page of Stripe that the owner goes to.

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;
use usance_db::stripe_connect_states::{self, ConnectState};

use super::{callback_url, connection::about, failed, own_tenant, refuse_second_account};
use crate::{
    Cx,
    audit::{self, Audited},
    auth::{keyring::sha256, tenant_token},
    error::{Error, Result},
    sessions::signed_in,
    stripe::{ConnectStyle, StripeClient},
};

/// How long the way to Stripe and back may take, and how long with an account whose owner is asked for documents.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
const LIFETIME_OF_ONBOARDING: SignedDuration = SignedDuration::from_hours(24);
/// How long a state is kept after its end.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
pub(super) const STATE_PREFIX: &str = "scs";

/// A way that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The page of Stripe that the owner's browser goes to. It holds the state.
    pub url: String,
    /// The credential of the return.
    pub state: SecretString,
    /// Where the browser comes back to.
    pub redirect_uri: String,
}

/// Begins to connect an account.
pub async fn begin(cx: &Cx) -> Result<Begun> {
    let stripe = &cx.app.stripe;
    let client = stripe.client()?;
    let redirect_uri = callback_url(&cx.app)?;
    let style = stripe.connect_style;
    match style {
        ConnectStyle::Express | ConnectStyle::Standard => {
            let client_id = stripe.connect_client_id()?;
            let (_, state) = store_state(cx, style, None).await?;
            let url = client
                .authorize_url(style, client_id, &state, &redirect_uri)
                .map_err(|_| Error::Internal("the address of OAuth cannot be read"))?;
            Ok(Begun { url, state, redirect_uri })
        }
        ConnectStyle::AccountLinks => {
            let account_id = prepare_account(cx, client).await?;
            let (id, state) = store_state(cx, style, Some(account_id.clone())).await?;
            let idempotency_key = format!("usance-account-link-{id}");
            let [return_url, refresh_url] = return_urls(&redirect_uri, &state)?;
            let link = client.create_account_link(&account_id, &return_url, &refresh_url, &idempotency_key);
            let url = link.await.map_err(|error| failed(&error))?;
            Ok(Begun { url, state, redirect_uri })
        }
    }
}

/// Where Stripe sends the browser at the end, and where if the page could not be shown any more.
fn return_urls(redirect_uri: &str, state: &SecretString) -> Result<[String; 2]> {
    let state = ("state", state.expose_secret());
    let too_late = [
        state,
        ("error", "link_expired"),
        ("error_description", "The page of Stripe was opened too late or twice"),
    ];
    let with =
        |parameters: &[(&str, &str)]| Url::parse_with_params(redirect_uri, parameters).map(String::from);
    let unreadable = |_| Error::Internal("the public address of this server cannot be read");
    Ok([with(&[state]).map_err(unreadable)?, with(&too_late).map_err(unreadable)?])
}

/// The account that was made for the tenant before, so that its owner goes on where the last visit ended, or a new one.
async fn prepare_account(cx: &Cx, client: &StripeClient) -> Result<String> {
    let mut tx = cx.begin().await?;
    refuse_second_account(&own_tenant(&mut tx).await?)?;
    let newest = stripe_connect_states::find_newest(&mut tx).await?;
    let made = stripe_connect_states::find_made_account(&mut tx).await?;
    drop(tx);
    if let Some(account_id) = &made {
        match client.get_account(account_id).await {
            Ok(account) => return Ok(account.id),
            Err(error) if error.is_account_gone() => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    // Should the answer be lost, the next request of this hour is given the same account. Stripe repeats a failure too.
    let tenant = cx.scope.tenant;
    let hour = cx.now.as_second() / 3_600;
    let after = newest.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let idempotency_key = format!("usance-account-{tenant}-after-{after}-{hour}");
    let account = client.create_account(tenant, &idempotency_key).await;
    Ok(account.map_err(|error| failed(&error))?.id)
}

async fn store_state(
    cx: &Cx,
    style: ConnectStyle,
    account_id: Option<String>,
) -> Result<(uuid::Uuid, SecretString)> {
    let member = signed_in(cx)?;
    let token = tenant_token::generate(cx.app.random.as_ref(), STATE_PREFIX, cx.scope.tenant);
    let lifetime = if account_id.is_some() { LIFETIME_OF_ONBOARDING } else { LIFETIME };
    let after = json!({ "style": style.as_str(), "account_id": account_id });
    let state = ConnectState {
        id: cx.app.ids.next(),
        mode: audit::mode(cx.scope.livemode).to_owned(),
        member: member.id,
        session: member.session,
        account_id,
        created_at: cx.now,
        expires_at: cx.now.saturating_add(lifetime).unwrap_or(cx.now),
    };
    let mut tx = cx.begin().await?;
    let tenant = own_tenant(&mut tx).await?;
    refuse_second_account(&tenant)?;
    stripe_connect_states::forget(&mut tx, cx.now.saturating_sub(KEPT).unwrap_or(cx.now)).await?;
    stripe_connect_states::insert(&mut tx, &state, &sha256(token.expose_secret().as_bytes())).await?;
    let audited = Audited { action: "stripe.connect_started", after: Some(after), ..about(&tenant) };
    audit::record(cx, &mut tx, audited).await?;
    tx.commit().await?;
    Ok((state.id, token))
}
