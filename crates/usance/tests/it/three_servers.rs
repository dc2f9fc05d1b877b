//! Three servers, each a process, on one database and one Redis: what is limited is limited for all of them together.

use futures_util::future::join_all;
use serde_json::{Value, json};
use usance_testkit::{Client, RedisServer, Reply, TempDir, TestDatabase};

use crate::program::Instance;

/// Requests under way at once.
const LANES: usize = 12;

/// The servers; dropping them kills them.
struct Site {
    _dir: TempDir,
    database: TestDatabase,
    redis: RedisServer,
    servers: Vec<Instance>,
}

impl Site {
    /// Starts them; none where there is no Redis.
    async fn start() -> Option<Self> {
        let redis = RedisServer::start().await?;
        let dir = TempDir::new("usance-three").unwrap();
        let database = TestDatabase::new().await;
        let settings = [
            ("REDIS_URL", redis.url()),
            // A server that gives it up counts for itself for a while.
            ("USANCE_REDIS_TIMEOUT_MS", "60000"),
            ("USANCE_RATE_LIMIT_LOOPBACK", "true"),
        ];
        let mut servers = Vec::new();
        for name in ["first", "second", "third"] {
            servers.push(Instance::start(dir.path(), name, database.url(), &settings).await);
        }
        Some(Self { _dir: dir, database, redis, servers })
    }

    /// A client of each server with a key or a token.
    fn clients(&self, key: &str) -> Vec<Client> {
        self.servers.iter().map(|server| Client::new(&server.url).with_key(key)).collect()
    }

    async fn stop(self) {
        for server in self.servers {
            assert!(server.process.end_by("TERM").await.success());
        }
        self.database.check_invariants().await;
        self.redis.stop().await;
    }
}

/// Asks all servers in turn, in several lanes at once, and counts the answers with two statuses; there may be no other.
async fn count<F: Future<Output = Reply>>(
    clients: &[Client],
    requests: usize,
    statuses: [u16; 2],
    ask: impl Fn(Client, usize) -> F,
) -> [usize; 2] {
    let lanes = (0..LANES).map(|lane| {
        let ask = &ask;
        async move {
            let mut counts = [0, 0];
            for number in (lane..requests).step_by(LANES) {
                let reply = ask(clients[number % clients.len()].clone(), number).await;
                let place = statuses.iter().position(|status| *status == reply.status);
                counts[place.unwrap_or_else(|| panic!("{}: {}", reply.status, reply.text))] += 1;
            }
            counts
        }
    });
    let counts = join_all(lanes).await;
    [0, 1].map(|place| counts.iter().map(|of_lane| of_lane[place]).sum())
}

#[tokio::test]
async fn the_limits_of_a_free_plan_hold_for_three_servers_together() {
    // given
    let Some(site) = Site::start().await else { return };
    let seller = Client::new(&site.servers[0].url).tenant("free").await;
    seller.put("/test-clock", json!({ "now": "2024-01-01T12:00:00Z" })).await.expect(200);
    let mut granted = Vec::new();
    for (code, limit, reset) in
        [("api_calls", "1000", "hour"), ("tokens", "100000", "hour"), ("websockets", "10", "minute")]
    {
        seller.post("/features", json!({ "code": code })).await.expect(201);
        granted.push(json!({ "feature": code, "limit": limit, "reset": reset, "window": "sliding" }));
    }
    let plan = json!({ "code": "free", "name": "Free", "currency": "USD", "interval": "month", "prices": [],
        "entitlements": granted });
    seller.post("/plans", plan).await.expect(201);
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    seller.post("/customers", customer).await.expect(201);
    seller.post("/subscriptions", json!({ "customer": "ada", "plan": "free" })).await.expect(201);
    let clients = site.clients(seller.key());

    // when
    let consume = async |feature: &'static str, quantity: &'static str, times: usize| {
        count(&clients, times, [200, 429], |client, number| async move {
            let body = json!({ "id": format!("{feature}-{number}"), "customer": "ada", "feature": feature,
                "quantity": quantity });
            client.post("/entitlements/consume", body).await
        })
        .await
    };
    let calls = consume("api_calls", "1", 1_001).await;
    let tokens = consume("tokens", "1000", 103).await;
    let websockets = consume("websockets", "1", 12).await;

    // then
    assert_eq!((calls, tokens, websockets), ([1_000, 1], [100, 3], [10, 2]));
    let check = "/entitlements/check?customer=ada&feature=api_calls";
    for client in &clients {
        let answer = client.get(check).await.expect(200);
        assert_eq!((&answer["allowed"], &answer["used"]), (&json!(false), &json!("1000")));
    }
    site.stop().await;
}

#[tokio::test]
async fn our_own_limits_hold_for_three_servers_together() {
    // given
    let Some(site) = Site::start().await else { return };
    let registered = Client::new(&site.servers[0].url).register("seller").await;
    let token = registered["tokens"]["access"].as_str().unwrap();
    let (nobody, members) = (site.clients(""), site.clients(token));

    // when
    let attempts = count(&nobody, 6, [400, 429], |client, _| async move {
        client.post("/auth/tenants/register", json!({})).await
    });
    let attempts = attempts.await;
    let pages =
        count(&nobody, 100, [404, 429], |client, _| async move { client.get("/pricing/nobody").await });
    let pages = pages.await;
    let payments = count(&members, 12, [404, 429], |client, _| async move {
        client.post("/invoices/inv_none/pay", json!({})).await
    });
    let payments = payments.await;
    let reads = count(&members, 1_000, [200, 429], |client, _| async move { client.get("/plans").await });
    let reads = reads.await;

    // then: registering was the first of the minute and of the hour
    assert_eq!(attempts, [4, 2]);
    assert_eq!(pages, [100 - 1 - 4, 1 + 4]);
    assert_eq!(payments, [10, 2]);
    assert_eq!(reads, [1_000 - 10, 10]);
    site.stop().await;
}

/// The published vectors: a fresh wallet may owe 500; with 100 in it, 400 is taken, 600 is refused, 200 comes to exactly
/// -500, and not one more is.
#[tokio::test]
async fn the_vectors_of_the_debt_limit_hold_whichever_server_is_asked() {
    // given
    let Some(site) = Site::start().await else { return };
    let seller = Client::new(&site.servers[0].url).tenant("calls").await;
    let customer = json!({ "external_id": "acme", "name": "Acme", "currency": "USD" });
    seller.post("/customers", customer).await.expect(201);
    let clients = site.clients(seller.key());
    let usd = |amount_minor: i64| json!({ "amount_minor": amount_minor, "currency": "USD" });
    let fresh = clients[1].get("/customers/acme/wallet").await.expect(200);
    let wallet = format!("/wallets/{}", fresh["id"].as_str().unwrap());
    clients[2].post(&format!("{wallet}/grants"), json!({ "amount": usd(100) })).await.expect(201);

    // when
    let mut outcomes = Vec::new();
    for (call, amount) in [400, 600, 200, 1].into_iter().enumerate() {
        let body = json!({ "id": format!("call-{call}"), "amount": usd(amount) });
        let reply = clients[call % 3].post(&format!("{wallet}/debits"), body.clone()).await;
        let again = clients[(call + 1) % 3].post(&format!("{wallet}/debits"), body).await;
        let balance = clients[(call + 2) % 3].get(&wallet).await.expect(200);
        assert_eq!(reply.status, again.status, "{}", again.text);
        outcomes.push((reply.status, balance["balance"]["amount_minor"].clone()));
    }

    // then
    assert_eq!(fresh["debt_limit"], usd(500));
    let minor = |amount: i64| Value::from(amount);
    assert_eq!(outcomes, [(201, minor(-300)), (402, minor(-300)), (201, minor(-500)), (402, minor(-500))]);
    site.stop().await;
}
