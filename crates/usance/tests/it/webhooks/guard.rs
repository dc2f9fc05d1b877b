//! Where webhooks may not lead: nothing of a private network is ever called, whatever the address looks like.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::task::TaskTracker;
use usance_app::config::Settings;
use usance_testkit::{Client, Nameserver, Receiver, ReceiverReply, TestDatabase, TestServer};

use crate::program::DEADLINE;

use super::{add_endpoint, all_ended, happen, id, until};

/// The one address of this machine that the server may call.
const ALLOWED: [u8; 4] = [127, 0, 0, 2];

/// Of a tenant in a mode.
const ENDPOINTS_MAX: usize = 20;

/// Hosts that lead to this machine or to a place that is not on the public internet. `{port}` is the canary's.
const HOSTS: [&str; 66] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "0.1.2.3",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "printer.local",
    "metadata.internal",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "3232235521",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
];
/// Not an address at all, or one that hides another.
const DISGUISES: [&str; 10] = [
    "http://user@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com:x@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://[::1%25lo]:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
];

/// A place on this machine that nobody may call, and how often it was.
struct Canary {
    port: u16,
    calls: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let port = Self::listen([127, 0, 0, 1].into(), 0, &calls).await;
        Self::listen("::1".parse().unwrap(), port, &calls).await;
        Self { port, calls }
    }

    async fn listen(address: IpAddr, port: u16, calls: &Arc<AtomicUsize>) -> u16 {
        let listener = TcpListener::bind(SocketAddr::new(address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::clone(calls);
        TaskTracker::new().spawn(async move {
            while listener.accept().await.is_ok() {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        port
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn urls(&self) -> Vec<String> {
        let hosts = HOSTS.iter().map(|host| format!("http://{host}:{{port}}/"));
        let all = hosts.chain(DISGUISES.iter().map(|url| (*url).to_owned()));
        all.map(|url| url.replace("{port}", &self.port.to_string())).collect()
    }
}

fn may_call(networks: &[&str], nameserver: Option<SocketAddr>) -> impl FnOnce(&mut Settings) {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    move |settings| {
        settings.guard.allowed_networks = networks;
        settings.guard.nameserver = nameserver;
        settings.work_interval = Duration::from_millis(10);
    }
}

/// The newest attempt at the one delivery of an endpoint, once there is one.
async fn attempt(client: &Client, endpoint: &Value) -> Value {
    let list = client.get(&format!("/deliveries?endpoint={}", id(endpoint))).await.expect(200);
    let path = format!("/deliveries/{}", id(&list["data"][0]));
    until(client, &path, |it| it["attempt_log"][0].is_object()).await["attempt_log"][0].clone()
}

#[tokio::test]
async fn addresses_that_lead_to_private_networks_are_refused_when_they_are_set() {
    // given a server for which even the port and the scheme of the canary are no hindrance
    let canary = Canary::start().await;
    let nameserver = Nameserver::start().await;
    let server = TestServer::start_with(may_call(&["127.0.0.2/32"], Some(nameserver.address()))).await;
    let client = server.client.tenant("acme").await;

    // when
    let mut accepted = Vec::new();
    for url in canary.urls() {
        let reply = client.post("/webhook-endpoints", json!({ "url": url })).await;
        if reply.status == 201 {
            accepted.push((url, id(&reply.body)));
        } else {
            assert_eq!(reply.expect_code(422, "invalid_field")["errors"][0]["pointer"], "/url");
        }
    }

    // then only names remain, whose meaning shows when they are called
    let names: Vec<_> = accepted.iter().map(|(url, _)| url.split(':').nth(1).unwrap()).collect();
    assert_eq!(
        names,
        [
            "//localhost",
            "//LOCALHOST",
            "//localhost.",
            "//a.localhost",
            "//printer.local",
            "//metadata.internal"
        ]
    );
    for (url, endpoint) in accepted {
        let path = format!("/webhook-endpoints/{endpoint}/test");
        let refused = client.post(&path, json!({})).await;
        assert_eq!(refused.status, 502, "{url}: {}", refused.text);
    }
    server.stop().await;
    assert_eq!(canary.calls(), 0);
    tokio::net::TcpStream::connect(("127.0.0.1", canary.port)).await.unwrap();
    while canary.calls() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn addresses_that_are_not_allowed_any_more_are_not_called() {
    // given endpoints of a time when everything was allowed
    let canary = Canary::start().await;
    let database = TestDatabase::new().await;
    let everything = ["0.0.0.0/0", "::/0"];
    let before = TestServer::start_with_on(&database, |settings| {
        may_call(&everything, None)(settings);
        settings.role = usance_app::config::Role::Api;
    })
    .await;
    for (index, urls) in canary.urls().chunks(ENDPOINTS_MAX).enumerate() {
        let client = before.client.tenant(&format!("acme-{index}")).await;
        for url in urls {
            client.post("/webhook-endpoints", json!({ "url": url })).await;
        }
        happen(&client, "calls").await;
    }
    let count = database.number_as_superuser("SELECT count(*) FROM webhook_deliveries").await;
    assert!(count >= 60, "{count}");
    before.stop().await;

    // when
    let server = TestServer::start_with_on(&database, may_call(&["127.0.0.2/32"], None)).await;

    // then
    let refused = "SELECT count(DISTINCT delivery_id) FROM webhook_attempts WHERE status_code IS NULL";
    let all_refused = async { while database.number_as_superuser(refused).await < count {} };
    timeout(DEADLINE, all_refused).await.expect("everything is attempted in time");
    assert_eq!(canary.calls(), 0);
    server.stop().await;
}

#[tokio::test]
async fn names_that_mean_private_addresses_are_not_called() {
    // given
    let canary = Canary::start().await;
    let nameserver = Nameserver::start().await;
    let server = TestServer::start_with(may_call(&["127.0.0.2/32"], Some(nameserver.address()))).await;
    let client = server.client.tenant("acme").await;
    let addresses = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "fd00::1",
        "fe80::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "::7f00:1",
    ];

    for (index, address) in addresses.iter().enumerate() {
        // when
        let name = format!("host-{index}.example.com");
        nameserver.set(&name, &[address]);
        let url = format!("http://{name}:{}/", canary.port);
        let endpoint = add_endpoint(&client, &url, &[]).await;
        let path = format!("/webhook-endpoints/{}", id(&endpoint));
        let refused =
            client.post(&format!("{path}/test"), json!({})).await.expect_code(502, "webhook_unreachable");

        // then
        assert_eq!(refused["detail"], "the name leads to no address that may be called", "{address}");
        client.delete(&path).await.expect(204);
    }
    server.stop().await;
    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn a_name_that_means_something_else_a_moment_later_gains_nothing() {
    // given a receiver that may be called, under a name that leads to the canary from the second question on
    let canary = Canary::start().await;
    let nameserver = Nameserver::start().await;
    let server = TestServer::start_with(may_call(&["127.0.0.2/32"], Some(nameserver.address()))).await;
    let client = server.client.tenant("acme").await;
    let receiver =
        Receiver::at(ALLOWED.into(), |_| ReceiverReply::status(204).with("connection", "close")).await;
    nameserver.set_in_turn("rebind.example.com", &[&["127.0.0.2"], &["127.0.0.1"]]);
    let url = format!("http://rebind.example.com:{}/", receiver.address().port());
    let endpoint = add_endpoint(&client, &url, &["meter.created"]).await;

    // when
    happen(&client, "first").await;
    let first = receiver.next().await;
    until(&client, "/deliveries", all_ended(1)).await;
    happen(&client, "second").await;
    let second = attempt(&client, &endpoint).await;

    // then
    assert_eq!(first.json()["data"]["object"]["code"], "first");
    assert_eq!(second["error"], "the name leads to no address that may be called");
    assert!(receiver.rest().await.is_empty());

    // when a name means both at once
    nameserver.set("both.example.com", &["127.0.0.1", "127.0.0.2"]);
    let url = format!("http://both.example.com:{}/", receiver.address().port());
    add_endpoint(&client, &url, &["customer.created"]).await;
    client
        .post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);

    // then only the one that may be called is
    assert_eq!(receiver.next().await.json()["type"], "customer.created");
    assert_eq!(canary.calls(), 0);
    server.stop().await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    // given
    let canary = Canary::start().await;
    let server = TestServer::start_with(may_call(&["127.0.0.2/32"], None)).await;
    let client = server.client.tenant("acme").await;
    let targets = [
        format!("http://127.0.0.1:{}/", canary.port),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "/again".to_owned(),
    ];
    for (status, target) in [301, 302, 307, 308].into_iter().zip(targets.iter().cycle()) {
        let target = target.clone();
        let receiver = Receiver::at(ALLOWED.into(), move |_| {
            ReceiverReply::status(status).with("location", target.clone())
        })
        .await;
        let endpoint = add_endpoint(&client, &receiver.url(), &[]).await;

        // when
        let tested =
            client.post(&format!("/webhook-endpoints/{}/test", id(&endpoint)), json!({})).await.expect(200);

        // then
        assert_eq!((&tested["status_code"], &tested["success"]), (&json!(status), &json!(false)));
        assert_eq!(receiver.next().await.path, "/webhooks");
        assert!(receiver.rest().await.is_empty());
    }
    server.stop().await;
    assert_eq!(canary.calls(), 0);
}
