//! Calls to addresses that tenants name: only to the public internet, and to networks that the operator allows.
//!
//! What a name means is decided when the connection is made, and the connection is made to what was checked: a name that
//! means something else a moment later gains nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use ipnet::IpNet;
use reqwest::{
    Client, Method, RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Url};
use usance_core::webhook::{is_in, is_public};

use crate::error::chain;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to one host that are kept for the next call.
const IDLE_CONNECTIONS: usize = 2;
/// Receivers of the platform that this one replaces know the first word.
const USER_AGENT: &str = "BillingPlatform-Webhooks/1.0 Usance";

/// A client for addresses that tenants name, and the rule by which they are accepted.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    clients: Option<Clients>,
    allowed: Arc<[IpNet]>,
}

#[derive(Debug, Clone)]
struct Clients {
    /// Reaches the public internet and the networks that the operator allows.
    public: Client,
    /// Reaches these networks alone: for addresses that the public internet would not be called by.
    private: Client,
}

/// Which of the two clients an address is for.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Public,
    Private,
}

/// Why an address is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It cannot be read.
    #[error("must be an absolute URL, for example https://example.com/webhooks")]
    Unreadable,
    /// Its scheme is another one.
    #[error("must begin with https:// (in test mode also http://)")]
    Scheme,
    /// It carries a user or a password.
    #[error("must not contain a user name or a password")]
    Credentials,
    /// Its port is another one.
    #[error("must use port 443 (in test mode also 80)")]
    Port,
    /// It leads to no place on the public internet.
    #[error(
        "must lead to the public internet; the operator can allow other networks with USANCE_ALLOWED_NETWORKS"
    )]
    NotPublic,
    /// The server cannot make calls.
    #[error("this server has no certificates of authorities and can call nobody")]
    NoClient,
}

/// Where a server may call beside the public internet, and whom it asks for addresses.
#[derive(Debug, Clone, Default)]
pub struct GuardSettings {
    /// Networks beside the public internet that may be called, on any port.
    pub allowed_networks: Vec<IpNet>,
    /// Who is asked for the addresses of names; absent for the nameservers of the system.
    pub nameserver: Option<SocketAddr>,
}

impl GuardedClient {
    /// Makes a client that follows no redirects. Without certificates of authorities on this machine it calls nobody.
    pub fn new(settings: GuardSettings) -> Self {
        let allowed: Arc<[IpNet]> = settings.allowed_networks.into();
        let names = build_resolver(settings.nameserver).inspect_err(|error| {
            tracing::warn!(%error, "The nameservers of the system cannot be found out: webhooks reach no names");
        });
        let build = |reach| {
            let resolver =
                GuardedResolver { names: names.as_ref().ok().cloned(), allowed: Arc::clone(&allowed), reach };
            build_client(resolver)
        };
        let clients = build(Reach::Public)
            .and_then(|public| Ok(Clients { public, private: build(Reach::Private)? }))
            .inspect_err(|error| tracing::warn!(error = chain(error), "Webhooks cannot be sent"));
        Self { clients: clients.ok(), allowed }
    }

    /// Begins a call. A literal address is never resolved, so it is decided here whether it may be called.
    pub(crate) fn request(
        &self,
        method: Method,
        text: &str,
        livemode: bool,
    ) -> Result<RequestBuilder, UrlFault> {
        let (url, reach) = self.decide(text, livemode)?;
        let clients = self.clients.as_ref().ok_or(UrlFault::NoClient)?;
        let client = match reach {
            Reach::Public => &clients.public,
            Reach::Private => &clients.private,
        };
        Ok(client.request(method, url))
    }

    /// Reads an address and decides whether it may be called.
    pub fn check(&self, text: &str, livemode: bool) -> Result<Url, UrlFault> {
        Ok(self.decide(text, livemode)?.0)
    }

    fn decide(&self, text: &str, livemode: bool) -> Result<(Url, Reach), UrlFault> {
        let url = Url::parse(text.trim()).map_err(|_| UrlFault::Unreadable)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(UrlFault::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::Credentials);
        }
        match check_public(&url, livemode) {
            Ok(()) => Ok((url, Reach::Public)),
            Err(_) if may_be_in(&self.allowed, &url) => Ok((url, Reach::Private)),
            Err(fault) => Err(fault),
        }
    }
}

fn build_client(resolver: GuardedResolver) -> Result<Client, reqwest::Error> {
    Client::builder()
        .dns_resolver(Arc::new(resolver))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(USER_AGENT)
        .build()
}

/// Whether an address may be called on the public internet.
fn check_public(url: &Url, livemode: bool) -> Result<(), UrlFault> {
    if livemode && url.scheme() != "https" {
        return Err(UrlFault::Scheme);
    }
    let port = url.port_or_known_default();
    if port != Some(443) && (livemode || port != Some(80)) {
        return Err(UrlFault::Port);
    }
    let is_public = match url.host().ok_or(UrlFault::Unreadable)? {
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
        Host::Domain(name) => is_public_name(name),
    };
    if is_public { Ok(()) } else { Err(UrlFault::NotPublic) }
}

/// Whether an address can be in networks that the operator allows; a name may mean anything.
fn may_be_in(allowed: &[IpNet], url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_in(allowed, address.into()),
        Some(Host::Ipv6(address)) => is_in(allowed, address.into()),
        Some(Host::Domain(_)) => !allowed.is_empty(),
        None => false,
    }
}

/// Whether a name can be one of the public internet (RFC 6761, RFC 6762): a first answer to a mistake. What it means is
/// decided when it is called.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.')
        && !["localhost", "local", "internal", "test", "invalid", "onion", "arpa"].contains(&last)
}

fn build_resolver(nameserver: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let Some(nameserver) = nameserver else { return TokioResolver::builder_tokio()?.build() };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = nameserver.port();
        connection
    });
    let server = NameServerConfig::new(nameserver.ip(), true, connections.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
}

#[derive(Clone)]
struct GuardedResolver {
    names: Option<TokioResolver>,
    allowed: Arc<[IpNet]>,
    reach: Reach,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAddress {
    #[error("the name leads to no address that may be called")]
    NotReachable,
    #[error("the name has no address")]
    Unknown(#[from] NetError),
    #[error("this server knows no nameserver")]
    NoNameserver,
}

impl GuardedResolver {
    /// The addresses of a name that may be called.
    fn keep_reachable(&self, addresses: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
        let is_reachable = |address: &IpAddr| {
            is_in(&self.allowed, *address) || matches!(self.reach, Reach::Public) && is_public(*address)
        };
        addresses.filter(is_reachable).map(|address| SocketAddr::new(address, 0)).collect()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let names = this.names.as_ref().ok_or(NoAddress::NoNameserver)?;
            // With its dot it is complete: the search domains of this machine are none of the tenant's.
            let complete = format!("{}.", name.as_str().trim_end_matches('.'));
            let found = names.lookup_ip(complete).await.map_err(NoAddress::Unknown)?;
            let reachable = this.keep_reachable(found.iter());
            if reachable.is_empty() {
                return Err(NoAddress::NotReachable.into());
            }
            Ok(Box::new(reachable.into_iter()) as Addrs)
        })
    }
}
