//! How many requests are let in: by address without a credential, by member, by key. It comes before everything else that a
//! request costs, but for members: whether a token is still honoured only the database can tell, and one that is not must not
//! use up what its member may do.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use usance_app::{
    auth::{self, Credential, api_key},
    error::{Code, Refusal},
    rate_limits::{RateLimit, Verdict},
};
use usance_core::{
    entitlement::{Reset, SlidingSpan},
    hexadecimal,
};

use crate::{HttpState, access_headers::seconds_until, error::ApiError, extract::credential, permissions};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// Where browsers are sent away to be signed in, which costs calls to others.
const SIGN_IN: &str = "/auth/";
/// What is limited; pages and their parts are not.
const LIMITED: [&str; 2] = ["/api/", SIGN_IN];
/// Where other services send what they have signed, as often as they have something to tell.
const SIGNED: &str = "/api/v1/inbound/";

/// Where passwords are guessed, tenants made up, and mails caused.
const GUESSABLE: [&str; 5] = [
    "/api/v1/auth/tenants/login",
    "/api/v1/auth/tenants/register",
    "/api/v1/auth/tenants/password-reset",
    "/api/v1/auth/tenants/password-reset/request",
    "/api/v1/auth/tenants/verify-email",
];

/// Counts a request, and refuses it where there were too many.
pub(crate) async fn limit(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let now = state.app.now();
    let limits = limits_of(&state, &request, now);
    let tightest = match reserve(&state, limits.before, now).await {
        Ok(tightest) => tightest,
        Err(refused) => return refuse(&refused, now),
    };
    request.extensions_mut().insert(OfMember(limits.of_member));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some((limit, of)) = limits.if_unknown
    {
        let verdict = state.app.rate_limits.reserve(limit, &of, 1, now).await;
        if !verdict.allowed {
            return refuse(&verdict, now);
        }
    }
    if let Some(verdict) = tightest {
        set_headers(response.headers_mut(), &verdict, now);
    }
    response
}

/// Counts a request whose member or customer is known by now, and sets the headers of its answer; `Err` is the answer of a
/// refusal. Another token of a customer is the same customer.
pub(crate) async fn limit_person(
    state: &HttpState,
    request: &mut Request,
    caller: &auth::Caller,
) -> Result<impl FnOnce(&mut Response) + use<>, Response> {
    let now = state.app.now();
    let limits = request.extensions_mut().remove::<OfMember>().map(|limits| limits.0);
    let mut limits = limits.unwrap_or_default();
    if let auth::Caller::Customer(customer) = caller {
        let limit = per(Reset::Hour, "customer", state.app.rate_limits.settings.member_per_hour);
        limits.extend(limit.map(|limit| (limit, customer.id.to_string())));
    }
    let verdict = reserve(state, limits, now).await.map_err(|refused| refuse(&refused, now))?;
    Ok(move |response: &mut Response| {
        if let Some(verdict) = verdict {
            set_headers(response.headers_mut(), &verdict, now);
        }
    })
}

/// Counts under each limit up to the first that refuses. Returns what is nearest to its limit.
async fn reserve(state: &HttpState, limits: Vec<Limit>, now: Timestamp) -> Result<Option<Verdict>, Verdict> {
    let mut tightest: Option<Verdict> = None;
    for (limit, of) in limits {
        let verdict = state.app.rate_limits.reserve(limit, &of, 1, now).await;
        if !verdict.allowed {
            return Err(verdict);
        }
        tightest = Some(tightest.filter(|it| it.remaining <= verdict.remaining).unwrap_or(verdict));
    }
    Ok(tightest)
}

/// A limit, and whom a request is counted for.
type Limit = (RateLimit, String);

/// What waits in a request until its member is known.
#[derive(Debug, Clone)]
struct OfMember(Vec<Limit>);

/// The limits that a request falls under.
#[derive(Default)]
struct Limits {
    before: Vec<Limit>,
    /// What counts once the token turns out to be honoured.
    of_member: Vec<Limit>,
    /// What counts when the key or the token turns out not to be, which only the database can tell.
    if_unknown: Option<Limit>,
}

fn limits_of(state: &HttpState, request: &Request, now: Timestamp) -> Limits {
    let settings = &state.app.rate_limits.settings;
    let path = request.uri().path();
    if !LIMITED.iter().any(|part| path.starts_with(part)) {
        return Limits::default();
    }
    let of_address =
        |limit: Option<RateLimit>| limit.zip(address(state, request)).filter(|_| !path.starts_with(SIGNED));
    let anonymous = || of_address(per(Reset::Hour, "anonymous", settings.anonymous_per_hour));
    let mut limits = Limits::default();
    let is_guessable = request.method() == Method::POST && GUESSABLE.contains(&path.trim_end_matches('/'));
    if is_guessable || path.starts_with(SIGN_IN) {
        // Whatever credential comes with it: a made-up one must not open a way around the limit.
        limits.before.extend(of_address(per(Reset::Minute, "auth", settings.auth_per_minute)));
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // On a route that asks for no credential nobody finds out whether one is made up.
    let is_open = route.is_some_and(|route| permissions::is_open(request.method(), route));
    let caller = if is_open { Caller::Nobody } else { caller(state, request.headers(), now) };
    match caller {
        Caller::Key(key) => {
            limits.before.extend(per(Reset::Minute, "key", settings.key_per_minute).zip(key));
            limits.if_unknown = anonymous();
        }
        // What leads nowhere asks for no credential either.
        Caller::Member(_) if !route.is_some_and(|route| permissions::is_served(request.method(), route)) => {
            limits.before.extend(anonymous());
        }
        Caller::Member(member) => {
            if pays(request.method(), path) {
                let limit = per(Reset::Minute, "payment", settings.payment_per_minute);
                limits.of_member.extend(limit.map(|limit| (limit, member.clone())));
            }
            let limit = per(Reset::Hour, "member", settings.member_per_hour);
            limits.of_member.extend(limit.map(|limit| (limit, member)));
            limits.if_unknown = anonymous();
        }
        Caller::Nobody => limits.before.extend(anonymous()),
    }
    limits
}

/// A limit that is not turned off.
fn per(reset: Reset, name: &'static str, limit: u32) -> Option<RateLimit> {
    let span = SlidingSpan::of(reset)?;
    (limit > 0).then_some(RateLimit { name, limit, span })
}

/// Who a request says it is from, as far as that can be told without the database.
enum Caller {
    /// A well-formed API key or a customer's token; its hash, if keys are limited.
    Key(Option<String>),
    /// A member whose token is valid.
    Member(String),
    /// Anybody else.
    Nobody,
}

fn caller(state: &HttpState, headers: &HeaderMap, now: Timestamp) -> Caller {
    let is_limited = state.app.rate_limits.settings.key_per_minute > 0;
    let of_key = |key: &SecretString| {
        Caller::Key(is_limited.then(|| hexadecimal(&api_key::hash(&state.app.keyring, key))))
    };
    match credential(headers) {
        Ok(Credential::ApiKey(key)) if api_key::is_well_formed(key.expose_secret()) => of_key(&key),
        Ok(Credential::CustomerToken(token)) => of_key(&token),
        Ok(Credential::AccessToken { token, .. }) => {
            let verified = state.app.access_tokens.verify(token.expose_secret(), now);
            verified.map_or(Caller::Nobody, |claims| Caller::Member(claims.member.to_string()))
        }
        Ok(Credential::ApiKey(_)) | Err(_) => Caller::Nobody,
    }
}

/// Whether a request pays, gives back or names what is charged.
fn pays(method: &Method, path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let paying = ["pay", "refunds", "payment-methods", "checkout-sessions", "portal-sessions", "topups"];
    method == Method::POST && paying.contains(&last)
}

/// The address that a request is counted for; none on the server's own machine, unless that is wanted.
fn address(state: &HttpState, request: &Request) -> Option<String> {
    let settings = &state.app.rate_limits.settings;
    let address = client_address(state, request.extensions(), request.headers())?;
    (settings.loopback || !address.is_loopback()).then(|| network(address))
}

/// Where a request comes from.
pub(crate) fn client_address(
    state: &HttpState,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let trusted_proxies = usize::from(state.app.rate_limits.settings.trusted_proxies);
    Some(forwarded_for(headers, trusted_proxies).unwrap_or_else(|| peer.ip()).to_canonical())
}

/// The address that the outermost of the trusted proxies was called from. What stands before it can be made up.
fn forwarded_for(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    let place = trusted_proxies.checked_sub(1)?;
    // What the client wrote may be any bytes, and must not hide what the proxies added.
    let lists = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let addresses: Vec<&[u8]> = lists.flat_map(|list| list.split(|byte| *byte == b',')).collect();
    let address = str::from_utf8(addresses.iter().rev().nth(place)?).ok()?.trim();
    // Some proxies write brackets, or add the port.
    let with_port = || address.parse::<SocketAddr>().ok().map(|address| address.ip());
    address.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

/// An IPv4 address, or the network of an IPv6 address that one customer of a provider has.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
    }
}

fn refuse(verdict: &Verdict, now: Timestamp) -> Response {
    let seconds = verdict.reset_at.map_or(1, |at| seconds_until(at, now));
    let detail = format!(
        "more than {} requests came in too short a time: send the same request again in {seconds} seconds",
        verdict.limit
    );
    let refusal = Refusal::new(Code::RateLimitExceeded, detail).with("retry_after_seconds", seconds);
    let mut response = ApiError::from(refusal).into_response();
    set_headers(response.headers_mut(), verdict, now);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn set_headers(headers: &mut HeaderMap, verdict: &Verdict, now: Timestamp) {
    headers.insert(LIMIT, HeaderValue::from(verdict.limit));
    headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
    let seconds = verdict.reset_at.map_or(0, |at| seconds_until(at, now));
    headers.insert(RESET, HeaderValue::from(seconds));
}

#[cfg(test)]
mod tests;
