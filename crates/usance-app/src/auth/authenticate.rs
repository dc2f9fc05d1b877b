//! From a presented credential to a caller.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use usance_core::{
    access::{KeyScopes, Role},
    ids::{ApiKeyId, CustomerId, CustomerTokenId, MemberId, SessionId},
};
use usance_db::{Scope, api_keys, sessions};

use super::api_key;
use crate::{
    App, customer_tokens,
    error::{Code, Error, Result, chain},
};

/// How long a key that was found is not looked up again; a revoked key is refused after at most this time.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(1);
/// Keys that are remembered at most.
const CACHE_KEYS_MAX: usize = 100_000;
/// How exactly the last use of a key is known.
const USE_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What a request presented.
#[derive(Debug)]
pub enum Credential {
    /// An API key; it decides the mode.
    ApiKey(SecretString),
    /// A member's access token, and the mode that the request chose.
    AccessToken {
        /// The JWT.
        token: SecretString,
        /// Live or test data.
        livemode: bool,
    },
    /// A customer's token; it decides the mode.
    CustomerToken(SecretString),
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A server of the tenant.
    SecretKey(ApiKeyId, KeyScopes),
    /// A browser: it sees what is public.
    PublishableKey(ApiKeyId),
    /// A person of the tenant's staff.
    Member(SignedInMember),
    /// A buyer of the tenant, who sees what is its own.
    Customer(SignedInCustomer),
}

/// A customer who presented a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInCustomer {
    /// Who.
    pub id: CustomerId,
    /// The tenant's own name for it.
    pub external_id: Option<String>,
    /// The token.
    pub token: CustomerTokenId,
}

impl SignedInCustomer {
    /// Whether a name that a request carries is the customer's own.
    pub fn is_named(&self, name: &str) -> bool {
        self.external_id.as_deref() == Some(name) || name.parse() == Ok(self.id)
    }
}

/// A member who presented an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedInMember {
    /// Who.
    pub id: MemberId,
    /// What the member may do.
    pub role: Role,
    /// Where the token is from.
    pub session: SessionId,
}

/// A caller, and whose rows it reaches.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who.
    pub caller: Caller,
    /// Tenant and mode.
    pub scope: Scope,
    /// Whether the caller is a member who may do nothing yet but enrol a second factor.
    pub must_enrol: bool,
}

/// A key that was found, and until when it is honoured.
#[derive(Debug, Clone)]
struct FoundKey {
    identity: Identity,
    expires_at: Option<Timestamp>,
}

impl FoundKey {
    fn is_honoured(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    fn at(self, now: Timestamp) -> Option<Identity> {
        self.is_honoured(now).then_some(self.identity)
    }
}

/// Keys that were found a moment ago.
#[derive(Debug, Default)]
pub struct KeyCache(Mutex<HashMap<Vec<u8>, (FoundKey, Timestamp)>>);

impl KeyCache {
    fn find(&self, key_hash: &[u8], now: Timestamp) -> Option<FoundKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, found_at) = keys.get(key_hash)?;
        // A clock that was set back must not keep a key alive.
        (now.duration_since(*found_at).abs() < CACHE_LIFETIME).then(|| key.clone())
    }

    fn insert(&self, key_hash: Vec<u8>, key: FoundKey, now: Timestamp) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHE_KEYS_MAX {
            keys.clear();
        }
        keys.insert(key_hash, (key, now));
    }

    /// Looks every key up again: some were revoked by this process.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Finds the caller behind a credential. Whatever is wrong with it, the answer is the same.
pub async fn authenticate(app: &App, credential: Credential) -> Result<Identity> {
    let now = app.now();
    let identity = match credential {
        Credential::ApiKey(key) => find_key(app, &key, now).await?,
        Credential::AccessToken { token, livemode } => find_member(app, &token, livemode, now).await?,
        Credential::CustomerToken(token) => customer_tokens::find(app, &token, now).await?,
    };
    identity
        .ok_or_else(|| Error::refused(Code::Unauthorized, "the key or token is not valid, or it was revoked"))
}

async fn find_key(app: &App, key: &SecretString, now: Timestamp) -> Result<Option<Identity>> {
    if !api_key::is_well_formed(key.expose_secret()) {
        return Ok(None);
    }
    let key_hash = api_key::hash(&app.keyring, key);
    if let Some(found) = app.key_cache.find(&key_hash, now) {
        return Ok(found.at(now));
    }
    let mut tx = app.db.system().await?;
    let Some(owner) = api_keys::find_owner(&mut tx, &key_hash).await? else { return Ok(None) };
    drop(tx);
    let caller = if owner.is_secret {
        // What this version does not know permits nothing.
        let scopes = KeyScopes::parse(owner.scopes.iter().map(String::as_str)).unwrap_or_default();
        Caller::SecretKey(owner.id, scopes)
    } else {
        Caller::PublishableKey(owner.id)
    };
    let identity = Identity { caller, scope: owner.scope, must_enrol: false };
    let found = FoundKey { identity, expires_at: owner.expires_at };
    app.key_cache.insert(key_hash, found.clone(), now);
    let noted_before = now.saturating_sub(USE_NOTED_EVERY).unwrap_or(now);
    if found.is_honoured(now) && owner.last_used_at.is_none_or(|at| at < noted_before) {
        note_use(app, owner.scope, owner.id, noted_before, now).await;
    }
    Ok(found.at(now))
}

/// When a key was last used is told to people only: nobody is refused because it could not be noted.
async fn note_use(app: &App, scope: Scope, id: ApiKeyId, noted_before: Timestamp, now: Timestamp) {
    let note = async {
        let mut tx = app.db.tenant(scope).await?;
        api_keys::note_use(&mut tx, id, noted_before, now).await?;
        tx.commit().await
    };
    if let Err(error) = note.await {
        tracing::warn!(error = chain(&error), "The use of an API key could not be noted");
    }
}

async fn find_member(
    app: &App,
    token: &SecretString,
    livemode: bool,
    now: Timestamp,
) -> Result<Option<Identity>> {
    let Some(claims) = app.access_tokens.verify(token.expose_secret(), now) else {
        return Ok(None);
    };
    let scope = Scope { tenant: claims.tenant, livemode };
    let mut tx = app.db.tenant(scope).await?;
    let found = sessions::find_active_member(&mut tx, claims.member, claims.session, claims.token).await?;
    let Some(found) = found else { return Ok(None) };
    if !found.access_used {
        if !sessions::note_access(&mut tx, claims.token, now).await? {
            return Ok(None);
        }
        tx.commit().await?;
    }
    let member = SignedInMember { id: claims.member, role: role_of(&found.role)?, session: claims.session };
    Ok(Some(Identity { caller: Caller::Member(member), scope, must_enrol: found.must_enrol }))
}

/// Reads a stored role.
pub(crate) fn role_of(word: &str) -> Result<Role> {
    Role::parse(word).ok_or(Error::Internal("a stored role is unknown"))
}
