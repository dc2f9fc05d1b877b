//! kill -9 of a server at any statement of ingest, of a hold and of its settlement, while another server goes on: what was
//! acknowledged is there, what was not is there once when it is sent again, and the books are sound.

mod gate;

use serde_json::{Value, json};
use tokio::time::timeout;
use usance_testkit::{Client, Reply, TempDir, TestDatabase};

use crate::program::{DEADLINE, Instance};
pub(crate) use gate::{COMMIT_AFTER, Gate, Point};

/// Statements of an operation that are points, spread from the first to the last; each before and after it is carried out.
const STATEMENTS: usize = 5;
const AMOUNT: i64 = 7;
const FUNDS: i64 = 100_000;

/// What is asked of the server that dies.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Ingest,
    /// Events whose names the server remembers, and which it stores at once.
    IngestAtOnce,
    Hold,
    Settle,
}

/// A server that dies and one that goes on, on one database.
struct Site {
    dir: TempDir,
    database: TestDatabase,
    gate: Gate,
    other: Instance,
    client: Client,
}

impl Site {
    /// A tenant whose customer has a subscription and money.
    async fn prepare() -> Self {
        let dir = TempDir::new("usance-failpoints").unwrap();
        let database = TestDatabase::new().await;
        let other = Instance::start(dir.path(), "other", database.url(), &[]).await;
        let client = Client::new(&other.url).tenant("failpoints").await;
        client.prepare_starter_plan().await;
        client.subscribe_to_starter("acme").await;
        let wallet = client.get("/customers/acme/wallet").await.expect(200);
        let grants = format!("/wallets/{}/grants", wallet["id"].as_str().unwrap());
        client.post(&grants, json!({ "amount": usd(FUNDS) })).await.expect(201);
        let gate = Gate::open(&database);
        Self { dir, database, gate, other, client }
    }

    /// Starts the server that dies, and waits until it does nothing of its own any more.
    async fn victim(&self) -> Instance {
        // One writer, because each remembers what it has seen.
        let settings = [("USANCE_ROLE", "api"), ("USANCE_INGEST_WRITERS", "1")];
        let victim = Instance::start(self.dir.path(), "victim", &self.gate.url, &settings).await;
        timeout(DEADLINE, self.gate.listens()).await.expect("a server listens for news");
        victim
    }

    /// A server that has done what the operation takes for granted.
    async fn victim_of(&self, operation: Operation, name: &str) -> Instance {
        let victim = self.victim().await;
        if matches!(operation, Operation::IngestAtOnce) {
            let event = event(&format!("{name}-before"));
            let reply = self.ask(&Client::new(&victim.url), &("/events".to_owned(), event)).await;
            check(&reply.expect("nobody killed the server"), operation);
        }
        victim
    }

    /// The statements that come once when a fresh server does the operation, and there was one like it before.
    async fn statements(&self, operation: Operation) -> Vec<String> {
        let first = self.request(operation, &format!("{operation:?}-first")).await;
        check(&self.ask(&self.client, &first).await.expect("nobody killed the server"), operation);
        let name = format!("{operation:?}-whole");
        let victim = self.victim_of(operation, &name).await;
        let request = self.request(operation, &name).await;
        self.gate.arm(None);
        let reply = self.ask(&Client::new(&victim.url), &request).await;
        let all = self.gate.statements();
        check(&reply.expect("nobody killed the server"), operation);
        victim.process.kill().await;
        let is_single = |name: &&String| all.iter().filter(|other| other == name).count() == 1;
        // A key is looked up anew when the server has known it for a second, and its use is noted once a minute.
        all.iter().filter(|name| !name.contains("api_keys::")).filter(is_single).cloned().collect()
    }

    /// Lets a server die at a point of the operation, and asks the other one again.
    async fn strike(&self, operation: Operation, point: Point) {
        let name = format!("{operation:?}-{}-{}", point.statement, point.is_executed);
        let victim = self.victim_of(operation, &name).await;
        let request = self.request(operation, &name).await;
        self.gate.arm(Some((point.clone(), victim.process.pid())));

        let reply = self.ask(&Client::new(&victim.url), &request).await;

        assert!(self.gate.has_struck(), "never at {point:?}: {:?}", self.gate.statements());
        assert!(!victim.process.ended().await.success());
        if let Some(reply) = reply {
            check(&reply, operation);
        }
        let again = self.ask(&self.client, &request).await.expect("the other server goes on");
        if again.body["code"] == "hold_not_open" {
            assert!(point.is_executed, "nothing was settled before {point:?}");
        } else {
            check(&again, operation);
        }
    }

    /// The path and the body of an operation that happens once, however often it is asked for.
    async fn request(&self, operation: Operation, name: &str) -> (String, Value) {
        let hold = json!({ "id": name, "customer": "acme", "amount": usd(AMOUNT), "expires_in": 3_600 });
        let (path, body) = match operation {
            Operation::Ingest | Operation::IngestAtOnce => {
                let events = [event(&format!("{name}-a")), event(&format!("{name}-b"))];
                ("/events".to_owned(), json!({ "events": events }))
            }
            Operation::Hold => ("/holds".to_owned(), hold),
            Operation::Settle => {
                let held = self.client.post("/holds", hold).await.expect(201);
                let path = format!("/holds/{}/settle", held["id"].as_str().unwrap());
                (path, json!({ "amount": usd(AMOUNT) }))
            }
        };
        (path, body)
    }

    /// The answer, unless the server dies before it gives one.
    async fn ask(&self, server: &Client, (path, body): &(String, Value)) -> Option<Reply> {
        let client = server.with_key(self.client.key());
        let request = client.request(reqwest::Method::POST, path).json(body);
        client.try_send(request).await
    }

    /// So many operations happened, each once.
    async fn check(&self, operation: Operation, count: i64) {
        let wallet = self.client.get("/customers/acme/wallet").await.expect(200);
        let minor = |name: &str| wallet[name]["amount_minor"].as_i64().unwrap();
        match operation {
            Operation::Ingest | Operation::IngestAtOnce => {
                // All but the first were asked of a server of their own.
                let before = if matches!(operation, Operation::Ingest) { 0 } else { count - 1 };
                let stored = 2 * count + before;
                let usage = "SELECT sum(value_sum)::bigint FROM usage_buckets WHERE value_sum > 0";
                let events = self.database.count("SELECT count(*) FROM events").await;
                assert_eq!((events, self.database.count(usage).await), (stored, stored * AMOUNT));
            }
            Operation::Hold => assert_eq!((minor("balance"), minor("held")), (FUNDS, count * AMOUNT)),
            Operation::Settle => assert_eq!((minor("balance"), minor("held")), (FUNDS - count * AMOUNT, 0)),
        }
        self.database.check_invariants().await;
    }
}

fn usd(amount_minor: i64) -> Value {
    json!({ "amount_minor": amount_minor, "currency": "USD" })
}

fn event(id: &str) -> Value {
    json!({ "id": id, "type": "llm_call", "customer": "acme", "time": "2023-11-01T00:00:00Z",
        "properties": { "tokens": AMOUNT } })
}

#[track_caller]
fn check(reply: &Reply, operation: Operation) {
    let expected = match operation {
        Operation::Ingest | Operation::IngestAtOnce | Operation::Settle => 200,
        Operation::Hold => 201,
    };
    assert_eq!(reply.status, expected, "{}", reply.text);
}

/// Statements from the first to the last that changes something, and what makes events durable.
fn points(operation: Operation, statements: &[String]) -> Vec<&String> {
    let (changing, flush) = match operation {
        Operation::IngestAtOnce => {
            assert_eq!(statements, ["ingest_at_once::store", "db::flush"]);
            return statements.iter().collect();
        }
        Operation::Ingest => statements.split_at(statements.len() - 1),
        Operation::Hold | Operation::Settle => statements.split_at(statements.len()),
    };
    assert!(changing.len() >= STATEMENTS, "{statements:?}");
    assert!(changing.last().unwrap().starts_with(COMMIT_AFTER), "{statements:?}");
    assert!(flush.iter().all(|statement| statement == "db::flush"), "{statements:?}");
    let spread = (0..STATEMENTS).map(|part| &changing[part * (changing.len() - 1) / (STATEMENTS - 1)]);
    spread.chain(flush).collect()
}

#[expect(clippy::print_stderr, reason = "a failed run is understood from its statements")]
async fn survive(operation: Operation) {
    // given
    let site = Site::prepare().await;
    let statements = site.statements(operation).await;
    eprintln!("{operation:?}: {statements:?}");
    let points = points(operation, &statements);

    // when
    let mut count = 2;
    for statement in points {
        for is_executed in [false, true] {
            site.strike(operation, Point { statement: statement.clone(), is_executed }).await;
            count += 1;
        }
    }

    // then
    site.check(operation, count).await;
    assert!(site.other.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn ingest_survives_a_kill_at_any_statement() {
    survive(Operation::Ingest).await;
}

#[tokio::test]
async fn ingest_in_one_round_trip_survives_a_kill_at_any_statement() {
    survive(Operation::IngestAtOnce).await;
}

#[tokio::test]
async fn a_hold_survives_a_kill_at_any_statement() {
    survive(Operation::Hold).await;
}

#[tokio::test]
async fn a_settlement_survives_a_kill_at_any_statement() {
    survive(Operation::Settle).await;
}
