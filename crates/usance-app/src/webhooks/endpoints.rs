//! Endpoints of a tenant, and their secrets.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use usance_core::{
    ids::WebhookEndpointId,
    webhook::{EndpointHealth, SigningSecret},
};
use usance_db::{
    TenantTx, tenants, webhook_deliveries,
    webhook_endpoints::{self, SealedSecret, WebhookEndpoint},
};
use uuid::Uuid;

use super::sending::Target;
use crate::{
    App, Cx,
    audit::{self, Audited},
    auth::api_key,
    error::{Code, Error, Faults, Result},
    fields::check_optional_text,
    outbox::EVENT_TYPES,
};

const URL_LENGTH_MAX: usize = 2_048;
const EVENT_TYPES_MAX: usize = 100;
const ENDPOINTS_MAX: i64 = 20;
/// How long an old secret signs beside the new one if nothing else is asked for.
pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// And at most.
const GRACE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An endpoint to be made.
#[derive(Debug, Default)]
pub struct NewEndpoint {
    /// `https`, in test mode also `http`; on the public internet, or in a network that the operator allows.
    pub url: String,
    /// May be empty.
    pub description: String,
    /// The types of events that it is told; none means all.
    pub event_types: Vec<String>,
}

/// What changes about an endpoint; absent fields stay.
#[derive(Debug, Default)]
pub struct ChangeEndpoint {
    /// The new address.
    pub url: Option<String>,
    /// The new words.
    pub description: Option<String>,
    /// The new filter.
    pub event_types: Option<Vec<String>>,
    /// Whether it is told nothing.
    pub disabled: Option<bool>,
}

/// Makes an endpoint and its secret.
pub async fn create(cx: &Cx, new: NewEndpoint) -> Result<(WebhookEndpoint, SecretString)> {
    let mut faults = Faults::default();
    let url = check_url(cx, &mut faults, &new.url);
    check_optional_text(&mut faults, "/description", &new.description);
    check_event_types(&mut faults, &new.event_types);
    faults.check()?;
    let mut tx = cx.begin().await?;
    tenants::lock(&mut tx).await?;
    if webhook_endpoints::count(&mut tx).await? >= ENDPOINTS_MAX {
        let detail = format!("a mode has at most {ENDPOINTS_MAX} endpoints: remove one first");
        return Err(Error::refused(Code::WebhookEndpointState, detail));
    }
    let endpoint = WebhookEndpoint {
        description: new.description,
        event_types: new.event_types,
        ..blank(cx, Some(url), false)
    };
    webhook_endpoints::insert(&mut tx, &endpoint).await?;
    let secret = SigningSecret::generate(cx.app.random.as_ref());
    set_secret(cx, &mut tx, endpoint.id, &secret, SignedDuration::ZERO).await?;
    record(cx, &mut tx, "webhook_endpoint.created", None, Some(&endpoint)).await?;
    tx.commit().await?;
    Ok((endpoint, secret.reveal()))
}

/// Makes the default endpoint of the transaction's mode.
pub(crate) async fn create_default(
    cx: &Cx,
    tx: &mut TenantTx,
    url: Option<String>,
    secret: &SigningSecret,
) -> Result<WebhookEndpoint> {
    let endpoint = blank(cx, url, true);
    webhook_endpoints::insert(tx, &endpoint).await?;
    set_secret(cx, tx, endpoint.id, secret, SignedDuration::ZERO).await?;
    Ok(endpoint)
}

fn blank(cx: &Cx, url: Option<String>, is_default: bool) -> WebhookEndpoint {
    WebhookEndpoint {
        id: WebhookEndpointId::from_uuid(cx.app.ids.next()),
        url,
        description: String::new(),
        event_types: Vec::new(),
        is_default,
        disabled: None,
        health: EndpointHealth::default(),
        created_at: cx.now,
        updated_at: cx.now,
    }
}

/// Changes an endpoint. One that is enabled again begins with a clean record.
pub async fn update(
    cx: &Cx,
    tx: &mut TenantTx,
    id: WebhookEndpointId,
    change: ChangeEndpoint,
) -> Result<WebhookEndpoint> {
    let before = lock(tx, id).await?;
    let mut endpoint = before.clone();
    let mut faults = Faults::default();
    if let Some(url) = change.url {
        endpoint.url = Some(check_url(cx, &mut faults, &url));
    }
    if let Some(description) = change.description {
        check_optional_text(&mut faults, "/description", &description);
        endpoint.description = description;
    }
    if let Some(event_types) = change.event_types {
        check_event_types(&mut faults, &event_types);
        endpoint.event_types = event_types;
    }
    faults.check()?;
    match change.disabled {
        Some(true) if endpoint.disabled.is_none() => {
            endpoint.disabled = Some((cx.now, "by_tenant".to_owned()));
            webhook_deliveries::give_up(tx, id, cx.now).await?;
        }
        Some(false) => {
            endpoint.disabled = None;
            endpoint.health = EndpointHealth::default();
        }
        Some(true) | None => {}
    }
    endpoint.updated_at = cx.now;
    webhook_endpoints::update(tx, &endpoint).await?;
    record(cx, tx, "webhook_endpoint.updated", Some(&before), Some(&endpoint)).await?;
    Ok(endpoint)
}

/// Removes an endpoint. What waits for it is given up. The default one only loses its address: its secret stays.
pub async fn delete(cx: &Cx, tx: &mut TenantTx, id: WebhookEndpointId) -> Result<()> {
    let before = lock(tx, id).await?;
    webhook_deliveries::give_up(tx, id, cx.now).await?;
    if before.is_default {
        let endpoint = WebhookEndpoint { url: None, updated_at: cx.now, ..before.clone() };
        webhook_endpoints::update(tx, &endpoint).await?;
    } else {
        webhook_endpoints::delete(tx, id, cx.now).await?;
        webhook_endpoints::remove_secrets(tx, id, cx.now).await?;
    }
    record(cx, tx, "webhook_endpoint.deleted", Some(&before), None).await
}

/// Finds an endpoint and keeps others from changing it.
pub(super) async fn lock(tx: &mut TenantTx, id: WebhookEndpointId) -> Result<WebhookEndpoint> {
    existing(webhook_endpoints::lock(tx, Some(id)).await?)
}

fn existing(found: Option<WebhookEndpoint>) -> Result<WebhookEndpoint> {
    found.filter(|it| it.url.is_some()).ok_or_else(|| Error::not_found("webhook endpoint"))
}

/// Finds an endpoint, and what may be shown of its secret.
pub async fn get(cx: &Cx, id: WebhookEndpointId) -> Result<(WebhookEndpoint, Option<String>)> {
    let mut tx = cx.begin().await?;
    let endpoint = existing(webhook_endpoints::find(&mut tx, Some(id)).await?)?;
    let masked = masked_secret(cx, &mut tx, id).await?;
    Ok((endpoint, masked))
}

/// Gives an endpoint a new secret. The old one signs beside it until the grace is over, which is at most a week.
pub async fn rotate(
    cx: &Cx,
    id: WebhookEndpointId,
    grace: SignedDuration,
) -> Result<(WebhookEndpoint, SecretString)> {
    check_grace(grace)?;
    let mut tx = cx.begin().await?;
    let endpoint = lock(&mut tx, id).await?;
    let secret = renew_secret(cx, &mut tx, &endpoint, grace).await?;
    tx.commit().await?;
    Ok((endpoint, secret))
}

pub(super) fn check_grace(grace: SignedDuration) -> Result<()> {
    if grace.is_negative() || grace > GRACE_MAX {
        let detail = format!("must be from 0 to {}", GRACE_MAX.as_secs());
        return Err(Error::field("/grace_seconds", "out_of_range", detail));
    }
    Ok(())
}

pub(super) async fn renew_secret(
    cx: &Cx,
    tx: &mut TenantTx,
    endpoint: &WebhookEndpoint,
    grace: SignedDuration,
) -> Result<SecretString> {
    let secret = SigningSecret::generate(cx.app.random.as_ref());
    set_secret(cx, tx, endpoint.id, &secret, grace).await?;
    let audited = Audited {
        action: "webhook_endpoint.secret_rotated",
        after: Some(json!({ "grace_seconds": grace.as_secs() })),
        ..about(cx, endpoint.id)
    };
    audit::record(cx, tx, audited).await?;
    Ok(secret.reveal())
}

async fn set_secret(
    cx: &Cx,
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    secret: &SigningSecret,
    grace: SignedDuration,
) -> Result<()> {
    let id = cx.app.ids.next();
    let place = place(endpoint, id);
    let place = place.each_ref().map(String::as_str);
    let sealed = cx.app.keyring.seal(cx.app.random.as_ref(), &place, secret.reveal().expose_secret());
    let grace_ends: Timestamp = cx.now.checked_add(grace).unwrap_or(cx.now);
    let sealed = SealedSecret { id, sealed, expires_at: None };
    Ok(webhook_endpoints::rotate_secret(tx, endpoint, &sealed, grace_ends, cx.now).await?)
}

/// What may be shown of the current secret; nothing if it cannot be opened.
pub(super) async fn masked_secret(
    cx: &Cx,
    tx: &mut TenantTx,
    id: WebhookEndpointId,
) -> Result<Option<String>> {
    let current = open_secrets(cx, tx, id).await?.into_iter().next();
    Ok(current.map(|secret| api_key::mask(&secret.reveal())))
}

/// Where an endpoint is and what signs for it; none without an address.
pub(super) async fn target_of(
    cx: &Cx,
    tx: &mut TenantTx,
    endpoint: WebhookEndpoint,
) -> Result<Option<Target>> {
    let Some(url) = endpoint.url else { return Ok(None) };
    let secrets = open_secrets(cx, tx, endpoint.id).await?;
    Ok(Some(Target { url, livemode: cx.scope.livemode, secrets }))
}

/// Opens the secrets of an endpoint that sign now, the current one first; none if that one cannot be opened. Those that have
/// expired are removed.
async fn open_secrets(cx: &Cx, tx: &mut TenantTx, endpoint: WebhookEndpointId) -> Result<Vec<SigningSecret>> {
    let stored = webhook_endpoints::list_secrets(tx, endpoint).await?;
    let now = cx.app.now();
    let has_expired = |secret: &SealedSecret| secret.expires_at.is_some_and(|expires_at| expires_at <= now);
    if stored.iter().any(has_expired) {
        webhook_endpoints::remove_secrets(tx, endpoint, now).await?;
    }
    let mut opened = Vec::new();
    for secret in stored.iter().filter(|secret| !has_expired(secret)) {
        match open(cx, endpoint, secret) {
            Some(secret) => opened.push(secret),
            None if secret.expires_at.is_none() => return Ok(Vec::new()),
            None => {}
        }
    }
    Ok(opened)
}

fn open(cx: &Cx, endpoint: WebhookEndpointId, secret: &SealedSecret) -> Option<SigningSecret> {
    let text =
        cx.app.keyring.open(&place(endpoint, secret.id).each_ref().map(String::as_str), &secret.sealed);
    let opened = text.ok().and_then(|text| SigningSecret::parse(text.expose_secret()).ok());
    if opened.is_none() {
        tracing::error!(%endpoint, secret = %secret.id, "A stored signing secret cannot be opened");
    }
    opened
}

/// Where a sealed secret belongs: it can be opened nowhere else.
fn place(endpoint: WebhookEndpointId, secret: Uuid) -> [String; 3] {
    ["webhook_secret".to_owned(), endpoint.to_string(), secret.to_string()]
}

/// Reads the address of an endpoint in the caller's mode.
pub(super) fn check_url(cx: &Cx, faults: &mut Faults, url: &str) -> String {
    read_url(&cx.app, faults, "/url", url, cx.scope.livemode)
}

/// Reads an address that is to be told something.
pub(crate) fn read_url(app: &App, faults: &mut Faults, pointer: &str, url: &str, livemode: bool) -> String {
    if url.len() > URL_LENGTH_MAX {
        faults.add(pointer, "too_long", format!("must have at most {URL_LENGTH_MAX} bytes"));
    }
    match app.guarded_client.check(url, livemode) {
        Ok(url) => url.into(),
        Err(fault) => {
            faults.add(pointer, "invalid_url", fault.to_string());
            String::new()
        }
    }
}

fn check_event_types(faults: &mut Faults, event_types: &[String]) {
    if event_types.len() > EVENT_TYPES_MAX {
        faults.add("/event_types", "too_many", format!("must have at most {EVENT_TYPES_MAX} types"));
        return;
    }
    for (index, event_type) in event_types.iter().enumerate() {
        if !EVENT_TYPES.contains(&event_type.as_str()) {
            let detail = "is no type of events: see GET /webhook-event-types";
            faults.add(&format!("/event_types/{index}"), "unknown_word", detail);
        }
    }
}

pub(super) async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    before: Option<&WebhookEndpoint>,
    after: Option<&WebhookEndpoint>,
) -> Result<()> {
    let Some(endpoint) = before.or(after) else { return Ok(()) };
    let audited =
        Audited { action, before: before.map(seen), after: after.map(seen), ..about(cx, endpoint.id) };
    audit::record(cx, tx, audited).await
}

fn about(cx: &Cx, endpoint: WebhookEndpointId) -> Audited {
    Audited {
        subject_type: "webhook_endpoint",
        subject_id: endpoint.to_string(),
        livemode: Some(cx.scope.livemode),
        ..Audited::default()
    }
}

fn seen(endpoint: &WebhookEndpoint) -> Value {
    json!({
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "disabled": endpoint.disabled.is_some(),
    })
}
