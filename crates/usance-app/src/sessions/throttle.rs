//! The throttle of sign-ins: guesses are few, and no guess locks the owner of an account out.
//!
//! Attempts are counted in the database by account and by source. A network from which the member signed in before is a
//! source of its own, and all other networks together are one: strangers use up the attempts of strangers. An address that
//! nobody has is counted the same way, under a tenant that does not exist.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use usance_core::ids::{MemberId, TenantId};
use usance_db::{
    TenantTx,
    sign_in_attempts::{self, Source},
};
use uuid::Uuid;

use crate::{
    App,
    error::{Code, Error, Refusal, Result},
};

/// Attempts in a window, for each account and source.
const ATTEMPTS_MAX: i32 = 10;
/// How long a window is. It begins with its first attempt.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// How long a network is known after a sign-in.
const NETWORK_KNOWN: SignedDuration = SignedDuration::from_hours(90 * 24);
/// All networks that are not known, as a source.
pub(crate) const STRANGERS: &[u8] = &[];
/// How long a window is kept.
const WINDOW_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// An attempt to prove a password or a second factor.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The account's tenant, or one of 256 that do not exist.
    pub(crate) tenant: TenantId,
    account_hash: Vec<u8>,
    network: Option<Vec<u8>>,
}

impl Attempt {
    /// An attempt that is counted as it was asked for, by address alone or with the slug of a tenant: whether others were
    /// counted must not show where the address is known.
    pub(crate) fn new(
        app: &App,
        account: Option<(TenantId, MemberId)>,
        (email, slug): (&str, Option<&str>),
        address: Option<IpAddr>,
    ) -> Self {
        let account_hash = account_hash(app, email, slug);
        let tenant = account.map_or_else(|| nobody(&account_hash), |(tenant, _)| tenant);
        Self { tenant, account_hash, network: known_as(app, address) }
    }

    /// An attempt to prove the second factor of an account.
    pub(crate) fn of_code(app: &App, account: (TenantId, MemberId), address: Option<IpAddr>) -> Self {
        let account_hash = app.keyring.hash("second factor account", &account.1.to_string());
        Self { tenant: account.0, account_hash, network: known_as(app, address) }
    }

    fn source(&self, network: Vec<u8>) -> Source {
        Source { account_hash: self.account_hash.clone(), source: network }
    }
}

fn account_hash(app: &App, email: &str, slug: Option<&str>) -> Vec<u8> {
    let account = slug.map_or_else(|| email.to_owned(), |slug| format!("{email} {slug}"));
    app.keyring.hash("sign-in account", &account)
}

fn known_as(app: &App, address: Option<IpAddr>) -> Option<Vec<u8>> {
    address.map(|address| app.keyring.hash("sign-in network", &network(address)))
}

/// An id that no tenant has: those of tenants are of version 7.
pub(crate) fn nobody(account_hash: &[u8]) -> TenantId {
    let slot = account_hash.first().copied().unwrap_or_default();
    TenantId::from_uuid(Uuid::from_u128(u128::from(slot)))
}

/// What a provider gives to one customer: an IPv4 address, or the first half of an IPv6 address.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x?}", &address.segments()[..4]),
    }
}

/// Counts an attempt before its password is looked at, so that many at once are not more than the window takes.
pub(crate) async fn count(tx: &mut TenantTx, attempt: &Attempt, now: Timestamp) -> Result<Source> {
    let before = |span| now.saturating_sub(span).unwrap_or(now);
    let own = attempt.source(attempt.network.clone().unwrap_or_default());
    let is_known = sign_in_attempts::is_known(tx, &own, before(NETWORK_KNOWN)).await?;
    let source = if is_known { own } else { attempt.source(STRANGERS.to_vec()) };
    sign_in_attempts::forget(tx, before(WINDOW_KEPT), before(NETWORK_KNOWN)).await?;
    let full = sign_in_attempts::count(tx, &source, ATTEMPTS_MAX, before(WINDOW), now).await?;
    let Some(window_started_at) = full else { return Ok(source) };
    let end = window_started_at.saturating_add(WINDOW).unwrap_or(now);
    let seconds = end.duration_since(now).as_secs().clamp(0, WINDOW.as_secs()) + 1;
    let detail =
        format!("too many attempts to sign in with this e-mail address: come again in {seconds} seconds");
    let refusal = Refusal::new(Code::RateLimitExceeded, detail).with("retry_after_seconds", seconds);
    Err(Error::from(refusal))
}

/// Forgets the attempts of a source, and knows the network from now on.
pub(crate) async fn note_success(
    tx: &mut TenantTx,
    source: &Source,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<()> {
    Ok(sign_in_attempts::note_success(tx, source, attempt.network.as_deref(), now).await?)
}

/// The same for the account of an e-mail address in the tenant with a slug, however its member asks for it.
pub(crate) async fn note_sign_in(
    app: &App,
    tx: &mut TenantTx,
    (email, slug): (&str, &str),
    source: &[u8],
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<()> {
    let network = known_as(app, address);
    for slug in [None, Some(slug)] {
        let source = Source { account_hash: account_hash(app, email, slug), source: source.to_vec() };
        sign_in_attempts::note_success(tx, &source, network.as_deref(), now).await?;
    }
    Ok(())
}
