//! A double of Stripe Connect: a server on loopback that asks for an account's consent, and answers in Stripe's own shapes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use aws_lc_rs::hmac;
use axum::{
    Form, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};
use usance_core::hexadecimal;

type Fields = HashMap<String, String>;

/// What an account at the double is like.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "Stripe describes an account so")]
pub struct PeerAccount {
    /// Whether it takes payments.
    pub charges_enabled: bool,
    /// Whether it is paid out.
    pub payouts_enabled: bool,
    /// Whether its owner has completed the questions.
    pub details_submitted: bool,
    /// Whether the platform may use it.
    pub is_connected: bool,
}

/// How the double misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeVice {
    /// It answers 500.
    Fault,
    /// It answers 200 and no JSON.
    Garbage,
    /// It answers 200 and more than anybody wants to read.
    Endless,
    /// It refuses with a message and a code that repeat the key.
    Gossip,
    /// It sends the caller elsewhere.
    Redirect,
}

/// A request that the double was sent.
#[derive(Debug, Clone)]
pub struct StripeCall {
    /// For example `POST /oauth/token`.
    pub route: String,
    /// As they came.
    pub headers: HeaderMap,
    /// The fields of the form.
    pub fields: Fields,
}

#[derive(Debug, Default)]
struct World {
    accounts: HashMap<String, PeerAccount>,
    /// What a code is exchanged for.
    codes: HashMap<String, String>,
    /// Made accounts by their idempotency key.
    made: HashMap<String, String>,
    /// Return address and account of each link.
    links: HashMap<String, (String, String)>,
    /// Whose owner consents next; nobody means that the owner refuses.
    consenting: Option<String>,
    vice: Option<StripeVice>,
    /// What the next answer about an account waits for.
    gate: Option<Arc<Notify>>,
    calls: Vec<StripeCall>,
    numbers: u32,
}

/// A running double. Dropping it closes it.
pub struct StripePeer {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    server: AbortHandle,
}

impl StripePeer {
    /// The key that it accepts.
    pub const SECRET_KEY: &str = "sk_test_peer0hush0hush0hush";
    /// The platform that it knows.
    pub const CLIENT_ID: &str = "ca_peer";
    /// What it signs its notices of connected accounts with.
    pub const CONNECT_WEBHOOK_SECRET: &str = "whsec_peer0hush0hush";

    /// Starts a double on 127.0.0.1 with one account that consents: `acct_1`.
    #[expect(clippy::disallowed_methods, reason = "the double ends when it is dropped")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new()
            .route("/oauth/authorize", get(authorize))
            .route("/express/oauth/authorize", get(authorize))
            .route("/oauth/token", post(exchange))
            .route("/oauth/deauthorize", post(deauthorize))
            .route("/v1/accounts", post(create_account))
            .route("/v1/accounts/{id}", get(show_account))
            .route("/v1/account_links", post(create_link))
            .route("/setup/{link}", get(complete))
            .with_state(Arc::clone(&world));
        let serve = async move { axum::serve(listener, router).await };
        let peer = Self { address, world, server: tokio::spawn(serve).abort_handle() };
        peer.consent("acct_1");
        peer
    }

    /// Its address, for both the API and OAuth.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on the owner of this account consents; it is there from then on.
    pub fn consent(&self, account: &str) {
        let mut world = self.world();
        world.consenting = Some(account.to_owned());
        world.accounts.entry(account.to_owned()).or_default();
    }

    /// From now on the owner refuses.
    pub fn refuse(&self) {
        self.world().consenting = None;
    }

    /// Changes an account.
    pub fn change(&self, account: &str, change: impl FnOnce(&mut PeerAccount)) {
        change(self.world().accounts.get_mut(account).unwrap());
    }

    /// Reads an account.
    pub fn account(&self, account: &str) -> PeerAccount {
        self.world().accounts[account].clone()
    }

    /// How many accounts there are.
    pub fn count_accounts(&self) -> usize {
        self.world().accounts.len()
    }

    /// From now on it misbehaves towards the platform, or no longer.
    pub fn misbehave(&self, vice: Option<StripeVice>) {
        self.world().vice = vice;
    }

    /// The next answer about an account is as old as its question, and comes when the gate opens.
    pub fn hold_back(&self, gate: &Arc<Notify>) {
        self.world().gate = Some(Arc::clone(gate));
    }

    /// Everything that the platform has asked for.
    pub fn calls(&self) -> Vec<StripeCall> {
        self.world().calls.clone()
    }

    /// Opens a page as a browser does; returns where it leads.
    pub async fn visit(&self, url: &str) -> String {
        let policy = reqwest::redirect::Policy::none();
        let browser = reqwest::Client::builder().redirect(policy).no_proxy().build().unwrap();
        let response = browser.get(url).send().await.unwrap();
        let (status, location) = (response.status(), response.headers().get(header::LOCATION).cloned());
        let text = response.text().await.unwrap();
        assert_eq!(status.as_u16(), 302, "{text}");
        location.unwrap().to_str().unwrap().to_owned()
    }

    /// The header with which Stripe sends these bytes.
    pub fn signature(secret: &str, at: Timestamp, body: &str) -> String {
        let seconds = at.as_second();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
        format!("t={seconds},v1={}", hexadecimal(signed.as_ref()))
    }

    /// A notice in Stripe's shape. A disconnected account is named beside the object, which is the platform.
    pub fn notice(kind: &str, account: &str) -> String {
        let object = if kind == "account.application.deauthorized" {
            json!({ "id": Self::CLIENT_ID, "name": "Usance", "object": "application" })
        } else {
            json!({ "id": account, "object": "account" })
        };
        let event = json!({
            "id": "evt_1", "object": "event", "account": account, "api_version": "2026-08-26.dahlia", "created": 1_795_000_000,
            "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null }, "type": kind,
        });
        event.to_string()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for StripePeer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Shared = State<Arc<Mutex<World>>>;

fn next(world: &mut World) -> u32 {
    world.numbers += 1;
    world.numbers
}

fn redirect(to: &Url) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to.to_string())]).into_response()
}

/// The page on which the owner consents or refuses; this one does so at once.
async fn authorize(State(world): Shared, Query(query): Query<Fields>) -> Response {
    let mut world = world.lock().unwrap();
    let is_known = query.get("client_id").is_some_and(|id| id == StripePeer::CLIENT_ID)
        && query.get("response_type").is_some_and(|it| it == "code")
        && query.get("scope").is_some_and(|it| it == "read_write");
    let (Some(target), Some(state), true) = (query.get("redirect_uri"), query.get("state"), is_known) else {
        let error = json!({ "error": { "message": format!("No application matches: {query:?}") } });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let mut target = Url::parse(target).unwrap();
    match world.consenting.clone() {
        Some(account) => {
            let code = format!("ac_{}", next(&mut world));
            target.query_pairs_mut().append_pair("scope", "read_write").append_pair("code", &code);
            world.codes.insert(code, account);
        }
        None => {
            target
                .query_pairs_mut()
                .append_pair("error", "access_denied")
                .append_pair("error_description", "The user denied your request");
        }
    }
    target.query_pairs_mut().append_pair("state", state);
    redirect(&target)
}

/// The page that completes an account; this one does so at once.
async fn complete(State(world): Shared, Path(link): Path<String>) -> Response {
    let mut world = world.lock().unwrap();
    let (target, account) = world.links.remove(&link).unwrap();
    let account = world.accounts.get_mut(&account).unwrap();
    account.details_submitted = true;
    account.charges_enabled = true;
    account.payouts_enabled = true;
    redirect(&Url::parse(&target).unwrap())
}

fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": description }))).into_response()
}

fn api_error(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({ "code": code, "message": message, "type": "invalid_request_error" });
    (status, [("request-id", "req_peer")], Json(json!({ "error": error }))).into_response()
}

/// Notes a call of the platform. It is answered at once if it is not the double's day or the key is another one.
fn refuse(world: &mut World, route: &str, headers: HeaderMap, fields: Fields) -> Option<Response> {
    let is_known = headers.get(header::AUTHORIZATION).is_some_and(|it| {
        it.to_str().is_ok_and(|text| text.strip_prefix("Bearer ") == Some(StripePeer::SECRET_KEY))
    });
    world.calls.push(StripeCall { route: route.to_owned(), headers, fields });
    if !is_known {
        return Some(api_error(StatusCode::UNAUTHORIZED, "api_key_invalid", "Invalid API Key provided"));
    }
    let key = StripePeer::SECRET_KEY;
    match world.vice {
        None => None,
        Some(StripeVice::Fault) => {
            Some((StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>").into_response())
        }
        Some(StripeVice::Garbage) => Some("\u{0}{\"id\": [[[".into_response()),
        Some(StripeVice::Endless) => Some("[".repeat(2 * 1024 * 1024).into_response()),
        Some(StripeVice::Gossip) => {
            Some(api_error(StatusCode::UNAUTHORIZED, key, &format!("Invalid API Key: {key}")))
        }
        Some(StripeVice::Redirect) => {
            Some((StatusCode::FOUND, [(header::LOCATION, "/v1/accounts/acct_1")]).into_response())
        }
    }
}

async fn exchange(State(world): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let mut world = world.lock().unwrap();
    if let Some(refused) = refuse(&mut world, "POST /oauth/token", headers, fields.clone()) {
        return refused;
    }
    if fields.get("grant_type").is_none_or(|it| it != "authorization_code") {
        let description = "grant_type must be authorization_code";
        return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
    }
    let code = fields.get("code").cloned().unwrap_or_default();
    let Some(account) = world.codes.remove(&code) else {
        let description = format!("Authorization code does not exist: {code}");
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", &description);
    };
    world.accounts.get_mut(&account).unwrap().is_connected = true;
    Json(json!({
        "access_token": "sk_test_token0of0the0account",
        "livemode": false,
        "refresh_token": "rt_token0of0the0account",
        "token_type": "bearer",
        "stripe_publishable_key": "pk_test_account",
        "stripe_user_id": account,
        "scope": "read_write",
    }))
    .into_response()
}

async fn deauthorize(State(world): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let mut world = world.lock().unwrap();
    if let Some(refused) = refuse(&mut world, "POST /oauth/deauthorize", headers, fields.clone()) {
        return refused;
    }
    let id = fields.get("stripe_user_id").cloned().unwrap_or_default();
    let is_platform = fields.get("client_id").is_some_and(|id| id == StripePeer::CLIENT_ID);
    let Some(account) = world.accounts.get_mut(&id).filter(|it| it.is_connected && is_platform) else {
        let description = format!(
            "This application is not connected to stripe account {id}, or that account does not exist."
        );
        return oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", &description);
    };
    account.is_connected = false;
    Json(json!({ "stripe_user_id": id })).into_response()
}

async fn create_account(State(world): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let mut world = world.lock().unwrap();
    let key = headers.get("idempotency-key").map(|it| it.to_str().unwrap().to_owned());
    if let Some(refused) = refuse(&mut world, "POST /v1/accounts", headers, fields) {
        return refused;
    }
    let fresh = format!("acct_made{}", next(&mut world));
    let id = world.made.entry(key.unwrap()).or_insert(fresh).clone();
    let account = world.accounts.entry(id.clone()).or_default();
    account.is_connected = true;
    Json(described(&id, account)).into_response()
}

async fn show_account(State(world): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let (answer, gate) = {
        let mut world = world.lock().unwrap();
        (describe_account(&mut world, &id, headers), world.gate.take())
    };
    if let Some(gate) = gate {
        gate.notified().await;
    }
    answer
}

fn describe_account(world: &mut World, id: &str, headers: HeaderMap) -> Response {
    if let Some(refused) = refuse(world, "GET /v1/accounts/{id}", headers, Fields::new()) {
        return refused;
    }
    let Some(account) = world.accounts.get(id).filter(|account| account.is_connected) else {
        let message = format!(
            "The provided key 'sk_test_*****hush' does not have access to account '{id}' (or that account does \
             not exist). Application access may have been revoked."
        );
        return api_error(StatusCode::FORBIDDEN, "account_invalid", &message);
    };
    Json(described(id, account)).into_response()
}

async fn create_link(State(world): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let mut world = world.lock().unwrap();
    let host = headers.get(header::HOST).unwrap().to_str().unwrap().to_owned();
    if let Some(refused) = refuse(&mut world, "POST /v1/account_links", headers, fields.clone()) {
        return refused;
    }
    let given = ["account", "return_url", "refresh_url"].map(|name| fields.get(name).cloned());
    let [Some(account), Some(return_url), Some(_)] = given else {
        return api_error(StatusCode::BAD_REQUEST, "parameter_missing", "Missing required param");
    };
    if !world.accounts.get(&account).is_some_and(|account| account.is_connected) {
        return api_error(StatusCode::FORBIDDEN, "account_invalid", "no access");
    }
    let link = format!("link{}", next(&mut world));
    world.links.insert(link.clone(), (return_url, account));
    let url = format!("http://{host}/setup/{link}");
    Json(json!({ "object": "account_link", "created": 1, "expires_at": 301, "url": url })).into_response()
}

fn described(id: &str, account: &PeerAccount) -> Value {
    let due = if account.charges_enabled { json!([]) } else { json!(["external_account"]) };
    let disabled = (!account.charges_enabled).then_some("requirements.past_due");
    json!({
        "id": id,
        "object": "account",
        "type": "express",
        "charges_enabled": account.charges_enabled,
        "payouts_enabled": account.payouts_enabled,
        "details_submitted": account.details_submitted,
        "business_type": "company",
        "country": "US",
        "default_currency": "usd",
        "email": "ada@acme.example",
        "requirements": {
            "alternatives": null,
            "currently_due": due,
            "disabled_reason": disabled,
            "eventually_due": due,
            "past_due": [],
        },
    })
}
