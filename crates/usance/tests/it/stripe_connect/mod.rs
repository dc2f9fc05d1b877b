//! Stripe Connect, seen by a tenant's owner, the owner's browser and a double of Stripe.

mod account_links;
mod connecting;
mod disconnecting;
mod notices;
mod secrets;
mod states;
mod status;

use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};
use usance_app::{config::Settings, stripe::ConnectStyle};
use usance_testkit::{Client, MovableClock, Reply, StripePeer, TestDatabase, TestServer};

const CONNECT: &str = "/auth/tenants/stripe/connect/";
const STATUS: &str = "/auth/tenants/stripe/status/";
const DISCONNECT: &str = "/auth/tenants/stripe/disconnect/";
const CALLBACK: &str = "/auth/tenants/stripe/callback/";
/// Where the owner's browser reaches the server.
const PUBLIC_URL: &str = "https://billing.example.com";
const REDIRECT_URI: &str = "https://billing.example.com/api/v1/auth/tenants/stripe/callback/";

/// A server that takes the double for Stripe.
fn speaks_with(peer: &StripePeer, style: ConnectStyle) -> impl FnOnce(&mut Settings) + use<> {
    let base = peer.base();
    move |settings| {
        settings.public_url = Some(PUBLIC_URL.to_owned());
        settings.stripe.secret_key = Some(SecretString::from(StripePeer::SECRET_KEY));
        settings.stripe.connect_client_id = Some(StripePeer::CLIENT_ID.to_owned());
        settings.stripe.connect_style = style;
        settings.stripe.connect_webhook_secret = Some(SecretString::from(StripePeer::CONNECT_WEBHOOK_SECRET));
        settings.stripe.api_base.clone_from(&base);
        settings.stripe.connect_base = base;
    }
}

/// A double of Stripe, a server by a clock that stands still, and a tenant.
struct Scene {
    peer: StripePeer,
    server: TestServer,
    clock: MovableClock,
    registered: Value,
    owner: Client,
}

impl Scene {
    async fn new() -> Self {
        Self::with(ConnectStyle::Express).await
    }

    async fn with(style: ConnectStyle) -> Self {
        let (peer, clock) = (StripePeer::start().await, MovableClock::default());
        let change = speaks_with(&peer, style);
        let server = TestServer::start_by(&clock, TestDatabase::new().await, change).await;
        let (registered, owner) = tenant(&server, "acme").await;
        Self { peer, server, clock, registered, owner }
    }

    /// Begins to connect; returns the answer.
    async fn begin(&self, owner: &Client) -> Value {
        owner.post(CONNECT, json!({})).await.expect(200)
    }

    /// Goes through Stripe as a browser does; returns the path and query that it comes back to.
    async fn browse(&self, begun: &Value) -> String {
        let location = self.peer.visit(text(begun, "/url")).await;
        let back = location.strip_prefix(REDIRECT_URI).unwrap_or_else(|| panic!("{location}"));
        format!("{CALLBACK}{back}")
    }

    /// Connects an account of the double.
    async fn connect(&self, owner: &Client) -> Reply {
        let begun = self.begin(owner).await;
        let back = self.browse(&begun).await;
        // A browser has no credential of ours.
        self.server.client.get(&back).await
    }

    /// How far the connection is, and with which account, as the owner's own tenant says.
    async fn stored(&self, owner: &Client) -> (String, Value) {
        let me = owner.get("/auth/tenants/me/").await.expect(200);
        let tenant = &me["tenant"];
        (text(tenant, "/stripe_connect_status").to_owned(), tenant["stripe_connect_account_id"].clone())
    }

    /// The entries of the audit log about Stripe, the oldest first.
    async fn audited(&self) -> Vec<Value> {
        let log = self.owner.get("/audit-log?limit=100").await.expect(200);
        let entries = log["data"].as_array().unwrap().iter().rev();
        entries.filter(|entry| text(entry, "/action").starts_with("stripe.")).cloned().collect()
    }

    /// The last change of the tenant that each mode is told.
    async fn told(&self) -> Vec<Value> {
        let sql = "SELECT coalesce(jsonb_agg(data ORDER BY sequence), '[]')::text FROM (
            SELECT DISTINCT ON (livemode) data, sequence FROM outbox_events WHERE type = 'tenant.updated'
            ORDER BY livemode, sequence DESC
        ) AS last";
        serde_json::from_str(&self.server.database.text_as_superuser(sql).await).unwrap()
    }

    /// The routes that the double was asked for.
    fn asked(&self) -> Vec<String> {
        self.peer.calls().into_iter().map(|call| call.route).collect()
    }
}

/// Registers a tenant; returns the answer and a client of its owner.
async fn tenant(server: &TestServer, name: &str) -> (Value, Client) {
    let registered = server.client.register(name).await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    (registered, owner)
}

/// Adds a member to the tenant; returns the member's id and a client.
async fn join(server: &TestServer, owner: &Client, email: &str, role: &str) -> (String, Client) {
    let invitation = json!({ "email": email, "role": role });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);
    let acceptance = json!({ "token": invitation["token"], "password": "gravel tulip nine bone", "first_name": "Grace",
        "last_name": "Hopper" });
    let joined = server.client.post("/auth/tenants/invitations/accept/", acceptance).await.expect(201);
    (text(&joined, "/user/id").to_owned(), server.client.with_key(text(&joined, "/tokens/access")))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// A parameter of an address.
fn parameter(address: &str, name: &str) -> Option<String> {
    let url = Url::parse(PUBLIC_URL).unwrap().join(address).unwrap();
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}
