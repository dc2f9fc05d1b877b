//! Four servers work through the same due cycles while one of them is killed in the midst of it: every subscription cycles
//! once, every event is billed once, and what the killed server had claimed is done by another one within the lease.

mod crew;
mod moment;
mod overtaken;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;
use usance_testkit::{Client, TestDatabase};

use crate::{hold::Hold, program::DEADLINE};
use crew::{Crew, LEASE_MS, SERVERS, WORKERS};
use moment::Moment;

const ROUNDS_VARIABLE: &str = "USANCE_T11_ROUNDS";
const ROUNDS_DEFAULT: i64 = 5;
const SUBSCRIPTIONS: i64 = 200;
/// The first ones have a payment method.
const PAYING: i64 = 20;
/// Subscriptions begin at different hours, so that a cycle is due in as many batches.
const START_HOURS: [i64; 4] = [0, 6, 12, 18];
/// Events of each subscription and cycle.
const EVENTS: i64 = 2;
/// Requests of the preparation that are in flight.
const AT_ONCE: usize = 8;
const FIRST_DAY: &str = "2024-01-01T00:00:00Z";
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[expect(clippy::disallowed_methods, reason = "a soak asks for more rounds than a test")]
fn rounds() -> i64 {
    std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS_DEFAULT, |text| text.parse().expect("a whole number"))
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn first_day() -> Timestamp {
    FIRST_DAY.parse().unwrap()
}

fn start_of(subscription: i64) -> Timestamp {
    let group = usize::try_from(subscription).unwrap() % START_HOURS.len();
    first_day() + hours(START_HOURS[group])
}

/// $1 a day in arrears, one cent a call, a tenth of a cent a token.
async fn prepare_tenant(client: &Client) {
    client.put("/test-clock", json!({ "now": FIRST_DAY })).await.expect(200);
    // Who has no payment method is not dunned before the test ends.
    client.patch("/tenant", json!({ "payment_terms_days": 365 })).await.expect(200);
    let calls = json!({ "code": "calls", "event_type": "llm_call", "aggregation": "count" });
    client.post("/meters", calls).await.expect(201);
    let tokens = json!({ "code": "tokens", "event_type": "llm_call", "aggregation": "sum", "value_property": "tokens" });
    client.post("/meters", tokens).await.expect(201);
    let plan = json!({ "code": "daily", "name": "Daily", "currency": "USD", "interval": "day", "alignment": "anniversary",
        "prices": [
            { "code": "base", "charge_model": "flat", "amount": "1", "pay": "arrears" },
            { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "0.01" },
            { "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.001" },
        ] });
    client.post("/plans", plan).await.expect(201);
    let subscribing = (0..SUBSCRIPTIONS).map(|subscription| subscribe(client, subscription));
    futures_util::stream::iter(subscribing).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn subscribe(client: &Client, subscription: i64) {
    let customer = format!("c{subscription}");
    let body = json!({ "external_id": customer, "name": customer, "currency": "USD", "timezone": "UTC" });
    client.post("/customers", body).await.expect(201);
    if subscription < PAYING {
        let method = json!({ "type": "card", "token": "tok_success" });
        client.post(&format!("/customers/{customer}/payment-methods"), method).await.expect(201);
    }
    let body =
        json!({ "customer": customer, "plan": "daily", "start_at": start_of(subscription).to_string() });
    client.post("/subscriptions", body).await.expect(201);
}

/// Tokens of one event: sums that end in every digit, so that rounding is seen.
fn tokens(round: i64, subscription: i64, event: i64) -> i64 {
    (7 * round + 3 * subscription + event) % 50
}

/// The sum of the invoices of a round, each of whose lines is rounded half-up.
fn expected_minor(round: i64) -> i64 {
    let invoice = |subscription| {
        let used: i64 = (0..EVENTS).map(|event| tokens(round, subscription, event)).sum();
        100 + EVENTS + (used + 5) / 10
    };
    (0..SUBSCRIPTIONS).map(invoice).sum()
}

/// Usage in the cycle of a round, for each subscription at its own hours.
async fn send_usage(client: &Client, round: i64) {
    let mut events: Vec<Value> = Vec::new();
    for subscription in 0..SUBSCRIPTIONS {
        for event in 0..EVENTS {
            let at = start_of(subscription) + hours(24 * round + 1 + event);
            events.push(json!({ "id": format!("{round}-{subscription}-{event}"), "type": "llm_call",
                "customer": format!("c{subscription}"), "time": at.to_string(),
                "properties": { "tokens": tokens(round, subscription, event) } }));
        }
    }
    let receipt = client.post("/events", json!({ "events": events })).await.expect(200);
    assert_eq!(receipt["accepted"], SUBSCRIPTIONS * EVENTS, "{receipt}");
}

/// The database, seen past row-level security.
struct Books(PgConnection);

impl Books {
    async fn number(&mut self, sql: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap();
        row.get(0)
    }

    /// Moves the tenant's time, and does nothing of what becomes due.
    async fn set_clock(&mut self, to: Timestamp) {
        let sql = format!(
            "UPDATE test_clocks SET frozen_at = '{to}'; UPDATE catalog_versions SET version = version + 1"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await.unwrap();
    }

    async fn is_idle(&mut self) -> bool {
        let due = "SELECT count(*) FROM due_work w, test_clocks c WHERE w.due_at <= c.frozen_at OR w.leased_until IS NOT NULL";
        self.number(due).await == 0
    }

    /// Claimed work that no other worker can claim: by a transaction, and by a lease that will end in time.
    async fn claims(&mut self) -> (i64, i64) {
        let all = self.number("SELECT count(*) FROM due_work").await;
        let free = self.number("SELECT count(*) FROM (SELECT FROM due_work FOR UPDATE SKIP LOCKED) w").await;
        let longer = format!(
            "SELECT count(*) FROM due_work WHERE leased_until > clock_timestamp() + interval '{LEASE_MS} milliseconds'"
        );
        assert_eq!(self.number(&longer).await, 0, "no lease is longer");
        let leases = self.number("SELECT count(leased_until) FROM due_work").await;
        (all - free, leases)
    }

    /// Everything of the cycles up to a round, and nothing twice.
    async fn check(&mut self, round: i64) {
        let cycles = round + 1;
        let invoices = cycles * SUBSCRIPTIONS;
        // Overlap is impossible in the table: as many periods of one day, from the first to the last, are a tiling.
        let tiled = format!(
            "SELECT count(*) FROM (
                SELECT item_id, min(lower(period)) AS first, max(upper(period)) AS last FROM billing_periods
                WHERE invoice_id IS NOT NULL GROUP BY item_id
                HAVING count(*) = {cycles} AND count(DISTINCT invoice_id) = {cycles}
            ) t
            JOIN subscription_items i ON i.id = t.item_id
            JOIN subscriptions s ON s.id = i.subscription_id
            WHERE t.first = s.start_at AND t.last = s.start_at + {cycles} * interval '1 day' AND s.period_start = t.last"
        );
        assert_eq!(self.number(&tiled).await, SUBSCRIPTIONS, "every subscription cycled once a round");
        let numbers = "SELECT count(*) FROM invoices WHERE sequence <= (SELECT count(*) FROM invoices) AND status IN ('finalized', 'paid')";
        assert_eq!(self.number(numbers).await, invoices, "the numbers have no gap");
        assert_eq!(self.number("SELECT count(*) FROM invoices").await, invoices);
        assert_eq!(self.number("SELECT last FROM invoice_sequences").await, invoices);
        let lines = format!(
            "SELECT count(*) FROM line_items l JOIN prices p ON p.id = l.price_id AND p.meter_id IS NOT NULL
            JOIN invoices i ON i.id = l.invoice_id
            WHERE i.sequence > {} AND l.event_count = {EVENTS} AND (l.event_count, l.quantity) = (
                SELECT count(*), CASE p.code WHEN 'calls' THEN count(*) ELSE sum((e.properties::jsonb ->> 'tokens')::bigint) END
                FROM events e
                WHERE e.customer_id = i.customer_id AND e.occurred_at >= l.period_start AND e.occurred_at < l.period_end
            )",
            round * SUBSCRIPTIONS
        );
        assert_eq!(self.number(&lines).await, 2 * SUBSCRIPTIONS, "every event is on one line of each price");
        assert_eq!(self.number("SELECT count(*) FROM line_items").await, 3 * invoices);
        let total: i64 = (0..cycles).map(expected_minor).sum();
        assert_eq!(self.number("SELECT sum(total_minor)::bigint FROM invoices").await, total);
        let paid = "SELECT count(DISTINCT invoice_id) FROM payments WHERE status = 'succeeded'";
        assert_eq!(self.number(paid).await, cycles * PAYING, "every invoice that can be collected is");
        assert_eq!(self.number("SELECT count(*) FROM payments").await, cycles * PAYING, "and once");
        let unhealthy = "SELECT count(*) FROM due_work WHERE parked OR leased_until IS NOT NULL";
        assert_eq!(self.number(unhealthy).await, 0);
    }
}

/// One cycle: the victim alone comes to a moment, the others join, the victim is killed, the others end the cycle.
async fn run_round(crew: &mut Crew, books: &mut Books, database: &TestDatabase, key: &str, round: i64) {
    let index = usize::try_from(round).unwrap();
    let moment = Moment::ALL[index % Moment::ALL.len()];
    // Every server is killed at every moment.
    let victim = (index + index / SERVERS) % SERVERS;
    send_usage(&crew.client((victim + 1) % SERVERS).with_key(key), round).await;

    crew.halt_all_but(victim).await;
    let mut hold = Hold::place(database, moment.statement()).await;
    books.set_clock(first_day() + hours(18) + DAY * i32::try_from(round + 1).unwrap()).await;
    hold.reached().await;
    let (locked, leased) = books.claims().await;
    match moment {
        Moment::Claimed | Moment::Numbered | Moment::Settling => assert!(locked > 1, "a batch is claimed"),
        Moment::Collecting => assert!(leased > 0, "a collection is leased"),
    }
    crew.resume_all_but(victim).await;
    hold.crowded(WORKERS + 1).await;
    crew.kill(victim).await;
    hold.release().await;

    let finish = async {
        while !books.is_idle().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, finish).await.expect("the others end the cycle in time");
    crew.replace(victim).await;
    books.check(round).await;
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a failed run is understood from its rounds")]
async fn four_schedulers_bill_each_cycle_once_though_one_is_killed_after_its_claim() {
    // given
    let database = TestDatabase::new().await;
    let mut crew = Crew::start(&database).await;
    let client = crew.client(0).tenant("schedulers").await;
    prepare_tenant(&client).await;
    moment::prepare(&database).await;
    let mut books = Books(database.connect_as_superuser().await);

    // when, then
    for round in 0..rounds() {
        eprintln!("round {round}");
        run_round(&mut crew, &mut books, &database, client.key(), round).await;
    }
    crew.stop().await;
    database.check_invariants().await;
}
