//! API keys: the pair that every tenant has in each mode, and keys that may do less.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use usance_core::{access::KeyScopes, ids::ApiKeyId};
use usance_db::{
    TenantTx,
    api_keys::{self, ApiKey, NewApiKey},
    tenants,
};

use crate::{
    App, Cx,
    audit::{self, Audited},
    auth::api_key::{self, KeyKind, PEPPER_VERSION},
    error::{Error, Faults, Result},
    fields::{check_optional_text, check_text},
    outbox::announce,
};

/// The longest time that replaced keys may go on working.
const GRACE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
const SCOPES_MAX: usize = 32;

/// Which keys are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySet {
    /// Those of live mode.
    Live,
    /// Those of test mode.
    Test,
    /// Those of both.
    All,
}

impl KeySet {
    const fn modes(self) -> &'static [bool] {
        match self {
            Self::Live => &[true],
            Self::Test => &[false],
            Self::All => &[true, false],
        }
    }
}

/// The two keys of a mode.
#[derive(Debug)]
pub struct KeyPair {
    /// Whose data they reach.
    pub livemode: bool,
    /// For servers; stored as a hash only.
    pub secret: SecretString,
    /// For browsers.
    pub publishable: SecretString,
}

/// A key that is wanted.
#[derive(Debug)]
pub struct CreateKey {
    /// What it is for.
    pub name: String,
    /// What it may do, such as `usage:write`.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Lists the keys of both modes that still work: live ones first.
pub async fn list_working(cx: &Cx) -> Result<Vec<ApiKey>> {
    let mut tx = cx.begin().await?;
    let mut keys = Vec::new();
    for livemode in KeySet::All.modes() {
        tx.switch_mode(*livemode).await?;
        keys.extend(api_keys::list_working(&mut tx, cx.now).await?);
    }
    Ok(keys)
}

/// Finds the publishable key of the caller's mode, unless it was revoked.
pub async fn find_publishable(cx: &Cx, tx: &mut TenantTx) -> Result<Option<String>> {
    let keys = api_keys::list_working(tx, cx.now).await?;
    Ok(keys.into_iter().rev().find_map(|key| key.publishable_key))
}

/// Looks every key up again, because some were revoked here. Other instances do so after a second.
pub fn forget_found(app: &App) {
    app.key_cache.clear();
}

/// Makes the pair of the transaction's mode. Telling of it is the caller's.
async fn insert_pair(cx: &Cx, tx: &mut TenantTx) -> Result<(KeyPair, [ApiKey; 2])> {
    let livemode = tx.scope().livemode;
    let (secret_key, secret) = insert(cx, tx, KeyKind::Secret, None).await?;
    let (publishable_key, publishable) = insert(cx, tx, KeyKind::Publishable, None).await?;
    Ok((KeyPair { livemode, secret, publishable }, [secret_key, publishable_key]))
}

/// The pair of a tenant that registers: the audit log names its keys, and nobody is told of them yet.
pub(crate) async fn insert_first_pair(cx: &Cx, tx: &mut TenantTx) -> Result<KeyPair> {
    let (pair, stored) = insert_pair(cx, tx).await?;
    for key in &stored {
        record(cx, tx, "api_key.created", None, key, None).await?;
    }
    Ok(pair)
}

/// Puts new pairs in the place of the old ones, which work on for `grace`. Other keys stay.
pub async fn regenerate(cx: &Cx, keys: KeySet, grace: SignedDuration) -> Result<Vec<KeyPair>> {
    if grace.is_negative() || grace > GRACE_MAX {
        let detail = format!("must be 0 to {} seconds, which are 30 days", GRACE_MAX.as_secs());
        return Err(Error::field("/grace_seconds", "out_of_range", detail));
    }
    let mut tx = cx.begin().await?;
    tenants::lock(&mut tx).await?;
    let mut pairs = Vec::new();
    for livemode in keys.modes() {
        tx.switch_mode(*livemode).await?;
        for key in api_keys::list_working(&mut tx, cx.now).await? {
            if key.name.is_none() {
                retire(cx, &mut tx, &key, grace).await?;
            }
        }
        let (pair, stored) = insert_pair(cx, &mut tx).await?;
        for key in &stored {
            tell(cx, &mut tx, "api_key.created", None, key, None).await?;
        }
        pairs.push(pair);
    }
    tx.commit().await?;
    forget_found(&cx.app);
    Ok(pairs)
}

async fn retire(cx: &Cx, tx: &mut TenantTx, key: &ApiKey, grace: SignedDuration) -> Result<()> {
    if grace.is_zero() {
        return revoke_found(cx, tx, key, "regenerated").await;
    }
    let end = cx.now.saturating_add(grace).unwrap_or(cx.now);
    let end = key.expires_at.map_or(end, |expires_at| expires_at.min(end));
    api_keys::expire(tx, key.id, end).await?;
    let after = ApiKey { expires_at: Some(end), ..key.clone() };
    tell(cx, tx, "api_key.rotated", Some(key), &after, None).await
}

/// Revokes every key of a mode, or of both. Returns those that still worked.
pub async fn revoke_all(cx: &Cx, tx: &mut TenantTx, keys: KeySet, reason: &str) -> Result<Vec<ApiKey>> {
    let reason = read_reason(reason)?;
    tenants::lock(tx).await?;
    let own_mode = tx.scope().livemode;
    let mut revoked = Vec::new();
    for livemode in keys.modes() {
        tx.switch_mode(*livemode).await?;
        for key in api_keys::list_working(tx, cx.now).await? {
            revoke_found(cx, tx, &key, reason).await?;
            revoked.push(key);
        }
    }
    // The answer is kept under the caller's mode.
    tx.switch_mode(own_mode).await?;
    Ok(revoked)
}

/// Revokes one key of the caller's mode; one that was revoked stays as it is.
pub async fn revoke(cx: &Cx, tx: &mut TenantTx, id: &str, reason: &str) -> Result<ApiKey> {
    let reason = read_reason(reason)?;
    let id: ApiKeyId = id.parse().map_err(|_| Error::not_found("API key"))?;
    let key = api_keys::lock(tx, id).await?.ok_or_else(|| Error::not_found("API key"))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    revoke_found(cx, tx, &key, reason).await?;
    api_keys::lock(tx, id).await?.ok_or_else(|| Error::not_found("API key"))
}

async fn revoke_found(cx: &Cx, tx: &mut TenantTx, key: &ApiKey, reason: &str) -> Result<()> {
    api_keys::revoke(tx, key.id, reason, cx.now).await?;
    let after = ApiKey { revoked_at: Some(cx.now), revoked_reason: Some(reason.to_owned()), ..key.clone() };
    tell(cx, tx, "api_key.revoked", Some(key), &after, Some(reason)).await
}

/// Why keys are revoked, as it is kept.
pub fn read_reason(reason: &str) -> Result<&str> {
    let reason = reason.trim();
    let mut faults = Faults::default();
    check_optional_text(&mut faults, "/reason", reason);
    faults.check()?;
    Ok(if reason.is_empty() { "not given" } else { reason })
}

/// Makes a secret key of the caller's mode that may do less than everything. It is shown here and never again.
pub async fn create(cx: &Cx, input: CreateKey) -> Result<(ApiKey, SecretString)> {
    let mut faults = Faults::default();
    check_text(&mut faults, "/name", &input.name);
    if input.scopes.is_empty() || input.scopes.len() > SCOPES_MAX {
        faults.add("/scopes", "out_of_range", format!("must name 1 to {SCOPES_MAX} scopes"));
    }
    for (place, scope) in input.scopes.iter().enumerate() {
        if let Err(error) = KeyScopes::parse([scope.as_str()]) {
            faults.add(&format!("/scopes/{place}"), "unknown_scope", error.to_string());
        }
    }
    if input.expires_at.is_some_and(|at| at <= cx.now) {
        faults.add("/expires_at", "out_of_range", "must lie in the future");
    }
    faults.check()?;
    let mut tx = cx.begin().await?;
    let (key, secret) = insert(cx, &mut tx, KeyKind::Secret, Some(input)).await?;
    tell(cx, &mut tx, "api_key.created", None, &key, None).await?;
    tx.commit().await?;
    Ok((key, secret))
}

async fn insert(
    cx: &Cx,
    tx: &mut TenantTx,
    kind: KeyKind,
    wanted: Option<CreateKey>,
) -> Result<(ApiKey, SecretString)> {
    let livemode = tx.scope().livemode;
    let key = api_key::generate(cx.app.random.as_ref(), kind, livemode);
    let publishable = match kind {
        KeyKind::Secret => None,
        KeyKind::Publishable => Some(key.expose_secret().to_owned()),
    };
    let (name, scopes, expires_at) = match wanted {
        Some(CreateKey { name, scopes, expires_at }) => (Some(name), scopes, expires_at),
        None => (None, vec!["all".to_owned()], None),
    };
    let new = NewApiKey {
        id: ApiKeyId::from_uuid(cx.app.ids.next()),
        kind: kind.as_str(),
        key_hash: api_key::hash(&cx.app.keyring, &key),
        pepper_version: PEPPER_VERSION,
        masked: publishable.clone().unwrap_or_else(|| api_key::mask(&key)),
        publishable_key: publishable,
        name,
        scopes,
        expires_at,
        created_at: cx.now,
    };
    api_keys::insert(tx, &new).await?;
    let stored = api_keys::lock(tx, new.id).await?.ok_or(Error::Internal("a new API key is missing"))?;
    Ok((stored, key))
}

/// Writes what happened to a key into the audit log and the outbox, in the key's mode.
async fn tell(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    before: Option<&ApiKey>,
    after: &ApiKey,
    reason: Option<&str>,
) -> Result<()> {
    record(cx, tx, action, before, after, reason).await?;
    announce(cx, tx, action, described(after)).await
}

async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    before: Option<&ApiKey>,
    after: &ApiKey,
    reason: Option<&str>,
) -> Result<()> {
    let audited = Audited {
        action,
        subject_type: "api_key",
        subject_id: after.id.to_string(),
        livemode: Some(after.livemode),
        before: before.map(described),
        after: Some(described(after)),
        reason: reason.map(str::to_owned),
    };
    audit::record(cx, tx, audited).await
}

/// A key without the key.
fn described(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "kind": key.kind,
        "masked": key.masked,
        "name": key.name,
        "scopes": key.scopes,
        "mode": audit::mode(key.livemode),
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    })
}
