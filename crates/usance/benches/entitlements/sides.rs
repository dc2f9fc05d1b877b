//! The three servers, and a tenant whose customers all have a limit.

use crate::options::Options;
use anyhow::{Context, Result, ensure};
use axum::{Router, routing::get};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use usance::server::{Outside, RunningServer, start};
use usance_app::config::{Settings, Sources};
use usance_http::HttpSettings;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Which server is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A constant answer alone.
    Bare,
    /// The product's middleware and authentication before a constant answer.
    Constant,
    /// The product.
    Check,
}

impl Side {
    /// In the order of a round.
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Constant, Self::Check];

    /// Returns what the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "constant",
            Self::Constant => "constant, authenticated",
            Self::Check => "check",
        }
    }
}

/// The running servers.
pub(crate) struct Sides {
    server: RunningServer,
    key: String,
    customers: usize,
    check: SocketAddr,
    constant: SocketAddr,
    bare: SocketAddr,
    /// Ends with the process that holds it.
    _serving: JoinSet<()>,
}

impl Sides {
    /// Starts the servers and makes everything that checks need.
    pub(crate) async fn start(dir: &Path, options: &Options) -> Result<Self> {
        let flags = vec![
            ("listen", "127.0.0.1:0".to_owned()),
            ("data_dir", dir.to_string_lossy().into_owned()),
            ("log", "warn".to_owned()),
        ];
        let settings = Settings::load(Sources { flags, file: None, environment: &|_| None })?;
        let request_timeout = settings.request_timeout;
        let server = start(&settings, Outside::system(None), CancellationToken::new()).await?;
        let check = server.address().context("the server listens nowhere")?;
        let mut serving = JoinSet::new();
        let http = HttpSettings { request_timeout, metrics: None };
        let constant = serve(&mut serving, usance_http::constant_router(server.app().clone(), http)).await?;
        let bare = serve(&mut serving, Router::new().route("/constant", get(async || "ok"))).await?;
        let key = set_up(&format!("http://{check}"), options.customers.max(1)).await?;
        let customers = options.customers.max(1);
        Ok(Self { server, key, customers, check, constant, bare, _serving: serving })
    }

    /// Returns where a side is.
    pub(crate) fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Bare => self.bare,
            Side::Constant => self.constant,
            Side::Check => self.check,
        }
    }

    /// Returns the requests that are made of a side in turn.
    pub(crate) fn requests(&self, side: Side) -> Vec<Vec<u8>> {
        let request = |path: &str| {
            let Self { key, check, .. } = self;
            format!("GET {path} HTTP/1.1\r\nhost: {check}\r\nauthorization: Bearer {key}\r\n\r\n")
                .into_bytes()
        };
        match side {
            Side::Bare => vec![request("/constant")],
            Side::Constant => vec![request("/api/v1/constant")],
            Side::Check => (0..self.customers)
                .map(|index| request(&format!("/api/v1/entitlements/check?customer=c{index}&feature=calls")))
                .collect(),
        }
    }

    /// Stops the product.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await
    }
}

async fn serve(serving: &mut JoinSet<()>, router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    serving.spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        drop(axum::serve(listener, service).await);
    });
    Ok(address)
}

/// Registers the tenant and subscribes its customers, and returns the tenant's key.
async fn set_up(base: &str, customers: usize) -> Result<String> {
    let client = reqwest::Client::builder().timeout(CALL_TIMEOUT).no_proxy().build()?;
    let registration = json!({ "company_name": "Benchmark", "email": "bench@usance.example",
        "password": "a long enough passphrase 1" });
    let registered = post(&client, base, "", "/auth/tenants/register", &registration).await?;
    let key = registered.pointer("/tenant/api_key_test_secret").and_then(Value::as_str);
    let key = key.context("the registration returned no tenant.api_key_test_secret")?.to_owned();
    let meter = json!({ "code": "calls", "event_type": "call", "aggregation": "count" });
    post(&client, base, &key, "/meters", &meter).await?;
    post(&client, base, &key, "/features", &json!({ "code": "calls", "meter": "calls" })).await?;
    let plan = json!({ "code": "starter", "name": "Starter", "currency": "USD", "interval": "month", "prices": [],
        "entitlements": [{ "feature": "calls", "limit": "1000" }] });
    post(&client, base, &key, "/plans", &plan).await?;
    for index in 0..customers {
        let customer = format!("c{index}");
        let body = json!({ "external_id": customer, "name": customer, "currency": "USD" });
        post(&client, base, &key, "/customers", &body).await?;
        let body = json!({ "customer": customer, "plan": "starter" });
        post(&client, base, &key, "/subscriptions", &body).await?;
    }
    Ok(key)
}

async fn post(client: &reqwest::Client, base: &str, key: &str, path: &str, body: &Value) -> Result<Value> {
    let mut request = client.post(format!("{base}/api/v1{path}")).json(body);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{path}: {status}: {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}
