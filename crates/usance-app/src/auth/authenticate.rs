//! From a presented credential to a caller.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use usance_core::ids::{ApiKeyId, MemberId};
use usance_db::{Scope, api_keys::KeyOwner};

use super::api_key;
use crate::{
    App,
    error::{Code, Error, Result},
};

/// How long a key that was found is not looked up again; a revoked key is refused after at most this time.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(1);
/// Keys that are remembered at most.
const CACHE_KEYS_MAX: usize = 100_000;

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
}

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A server of the tenant.
    SecretKey(ApiKeyId),
    /// A browser: it sees what is public.
    PublishableKey(ApiKeyId),
    /// A person of the tenant's staff.
    Member(MemberId),
}

/// A caller, and whose rows it reaches.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Who.
    pub caller: Caller,
    /// Tenant and mode.
    pub scope: Scope,
}

/// Keys that were found a moment ago.
#[derive(Debug, Default)]
pub struct KeyCache(Mutex<HashMap<Vec<u8>, (KeyOwner, Timestamp)>>);

impl KeyCache {
    fn find(&self, key_hash: &[u8], now: Timestamp) -> Option<KeyOwner> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, found_at) = keys.get(key_hash)?;
        (now.duration_since(*found_at) < CACHE_LIFETIME).then_some(*owner)
    }

    fn insert(&self, key_hash: Vec<u8>, owner: KeyOwner, now: Timestamp) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHE_KEYS_MAX {
            keys.clear();
        }
        keys.insert(key_hash, (owner, now));
    }
}

/// Finds the caller behind a credential. Whatever is wrong with it, the answer is the same.
pub async fn authenticate(app: &App, credential: Credential) -> Result<Identity> {
    let now = app.now();
    let identity = match credential {
        Credential::ApiKey(key) => find_key(app, &key, now).await?.map(|owner| Identity {
            caller: if owner.is_secret {
                Caller::SecretKey(owner.id)
            } else {
                Caller::PublishableKey(owner.id)
            },
            scope: owner.scope,
        }),
        Credential::AccessToken { token, livemode } => find_member(app, &token, livemode, now).await?,
    };
    identity
        .ok_or_else(|| Error::refused(Code::Unauthorized, "the key or token is not valid, or it was revoked"))
}

async fn find_key(app: &App, key: &SecretString, now: Timestamp) -> Result<Option<KeyOwner>> {
    if !api_key::is_well_formed(key.expose_secret()) {
        return Ok(None);
    }
    let key_hash = api_key::hash(&app.keyring, key);
    if let Some(owner) = app.key_cache.find(&key_hash, now) {
        return Ok(Some(owner));
    }
    let mut tx = app.db.system().await?;
    let owner = usance_db::api_keys::find_owner(&mut tx, &key_hash).await?;
    if let Some(owner) = owner {
        app.key_cache.insert(key_hash, owner, now);
    }
    Ok(owner)
}

async fn find_member(
    app: &App,
    token: &SecretString,
    livemode: bool,
    now: Timestamp,
) -> Result<Option<Identity>> {
    let Some((tenant, member)) = app.access_tokens.verify(token.expose_secret(), now) else {
        return Ok(None);
    };
    let scope = Scope { tenant, livemode };
    let mut tx = app.db.tenant(scope).await?;
    let role = usance_db::members::find_active_role(&mut tx, member).await?;
    Ok(role.map(|_| Identity { caller: Caller::Member(member), scope }))
}
