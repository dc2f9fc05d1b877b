//! Sign-in by OpenID Connect, with a provider in a process of its own.

mod attacks;
mod customers;
mod members;
mod providers;

use std::{path::Path, process::Stdio, time::Duration};

use reqwest::{Url, header, redirect};
use serde_json::{Value, json};
use tokio::process::Command;
use usance_app::config::Settings;
use usance_testkit::{Client, TempDir, TestDatabase, TestServer, python};

use crate::program::Running;

/// Where browsers reach the server.
const PUBLIC_URL: &str = "https://billing.example.com";

/// Of the owner that the scene registers.
const PASSWORD: &str = "correct horse battery";
/// As every member who has followed the mail.
const VERIFIED: &str = "email_verified_at = now()";

/// Changes every member's row, past all rules.
async fn set_members(database: &TestDatabase, what: &str) {
    let sql = format!(
        "WITH changed AS (UPDATE members SET {what} RETURNING id) SELECT count(*)::text FROM changed"
    );
    assert_ne!(database.text_as_superuser(&sql).await, "0");
}

/// What adds a provider.
fn new_provider(provider: &Provider, name: &str, audience: &str) -> Value {
    json!({ "name": name, "audience": audience, "issuer": provider.base, "client_id": "later", "password": PASSWORD })
}

/// A provider that is running, and a client of it without anything of ours.
struct Provider {
    http: reqwest::Client,
    base: String,
    running: Running,
    _dir: TempDir,
}

impl Provider {
    async fn start(python: &Path) -> Self {
        let dir = TempDir::new("usance-oidc").unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oidc/provider.py");
        let mut command = Command::new(python);
        command.args([script, "0"]).stdin(Stdio::null()).kill_on_drop(true);
        let mut running = Running::start(command, &dir.path().join("provider.log"));
        let line = running.line_with("listening on").await;
        let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
        Self { http: browser(), base: format!("http://127.0.0.1:{port}"), running, _dir: dir }
    }

    async fn tell(&self, path: &str, body: Value) {
        let request = match path {
            "/rotate" => self.http.post(format!("{}{path}", self.base)),
            _ => self.http.put(format!("{}{path}", self.base)),
        };
        assert_eq!(request.json(&body).send().await.unwrap().status(), 204);
    }

    /// Lets a person be known to the provider.
    async fn add(&self, subject: &str, claims: Value) {
        self.tell(&format!("/users/{subject}"), claims).await;
    }

    /// Registers a client that comes back to an address.
    async fn register(&self, redirect_uri: &str, auth_method: &str) -> Value {
        let body = json!({ "redirect_uris": [redirect_uri], "token_endpoint_auth_method": auth_method });
        let request = self.http.post(format!("{}/oauth2/clients", self.base)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Signs in there as a person; returns where the browser is sent.
    async fn visit(&self, url: &str, subject: &str) -> String {
        let form = "application/x-www-form-urlencoded";
        let request = self.http.post(url).header(header::CONTENT_TYPE, form).body(format!("sub={subject}"));
        let reply = request.send().await.unwrap();
        let status = reply.status();
        let location = reply.headers().get(header::LOCATION).map(|it| it.to_str().unwrap().to_owned());
        location.unwrap_or_else(|| panic!("{status}"))
    }
}

fn browser() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
    builder.timeout(Duration::from_mins(1)).build().unwrap()
}

/// What a browser was given at the beginning of a sign-in.
#[derive(Clone)]
struct Begun {
    /// Of the provider.
    url: String,
    /// `name=value`.
    cookie: String,
    set_cookie: String,
}

impl Begun {
    /// A parameter of the address of the provider.
    fn parameter(&self, name: &str) -> String {
        let url = Url::parse(&self.url).unwrap();
        let found = url.query_pairs().find(|(found, _)| found == name);
        found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
    }
}

/// A provider, a server, a tenant that trusts the one, and its keys.
struct Scene {
    provider: Provider,
    server: TestServer,
    owner: Client,
    client: Client,
    /// The provider as the tenant knows it.
    trusted: Value,
}

fn calls_loopback(settings: &mut Settings) {
    settings.guard.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    settings.public_url = Some(PUBLIC_URL.to_owned());
}

impl Scene {
    /// None where there is no Python, which is said.
    #[expect(clippy::print_stderr, reason = "why a test is skipped")]
    async fn of(audience: &str, more: Value) -> Option<Self> {
        let Some(python) = python() else {
            eprintln!("skipped: USANCE_TEST_PYTHON is not set, see scripts/test");
            return None;
        };
        let provider = Provider::start(&python).await;
        let server = TestServer::start_with(calls_loopback).await;
        let registered = server.client.register("acme").await;
        let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
        let client = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
        set_members(&server.database, VERIFIED).await;
        let mut body = new_provider(&provider, "Staff", audience);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let trusted = owner.post("/identity-providers", body).await.expect(201);
        let mut scene = Self { provider, server, owner, client, trusted };
        scene.register("client_secret_basic").await;
        Some(scene)
    }

    /// Registers the tenant as a client of the provider.
    async fn register(&mut self, auth_method: &str) {
        let redirect_uri = format!("{PUBLIC_URL}{}", self.trusted["callback_path"].as_str().unwrap());
        let client = self.provider.register(&redirect_uri, auth_method).await;
        let mut body = json!({ "client_id": client["client_id"], "password": PASSWORD });
        if auth_method != "none" {
            body["client_secret"] = client["client_secret"].clone();
        }
        self.trusted = self.owner.patch(&self.path(), body).await.expect(200);
    }

    /// Changes the provider as the owner.
    async fn change(&mut self, field: &str, value: Value) {
        let body = json!({ field: value, "password": PASSWORD });
        self.trusted = self.owner.patch(&self.path(), body).await.expect(200);
    }

    fn path(&self) -> String {
        format!("/identity-providers/{}", self.trusted["id"].as_str().unwrap())
    }

    /// The address of a page on the server.
    fn page(&self, path: &str) -> String {
        format!("{}{path}", self.server.client.base())
    }

    async fn begin(&self) -> Begun {
        let url = self.page(self.trusted["login_path"].as_str().unwrap());
        let reply = browser().get(url).send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        assert_eq!(status, 303, "{}", reply.text().await.unwrap());
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        let text = |name| headers[name].to_str().unwrap().to_owned();
        let set_cookie = text(header::SET_COOKIE);
        let cookie = set_cookie.split(';').next().unwrap().to_owned();
        Begun { url: text(header::LOCATION), cookie, set_cookie }
    }

    /// Goes to the provider as a person; returns the path and the query on which the browser comes back.
    async fn visit(&self, begun: &Begun, subject: &str) -> String {
        let location = self.provider.visit(&begun.url, subject).await;
        location.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{location}")).to_owned()
    }

    async fn come_back(&self, path: &str, cookie: &str) -> (u16, Value) {
        let reply = browser().get(self.page(path)).header(header::COOKIE, cookie).send().await.unwrap();
        (reply.status().as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap())
    }

    /// The whole way of a browser.
    async fn sign_in(&self, subject: &str) -> (u16, Value) {
        let begun = self.begin().await;
        let back = self.visit(&begun, subject).await;
        self.come_back(&back, &begun.cookie).await
    }
}

/// Why nobody was signed in.
fn refusal((status, body): (u16, Value)) -> (u16, String, Value) {
    (status, body["code"].as_str().unwrap_or_default().to_owned(), body["reason"].clone())
}

fn refused(status: u16, code: &str, reason: Value) -> (u16, String, Value) {
    (status, code.to_owned(), reason)
}
