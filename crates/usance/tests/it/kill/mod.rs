//! Kills of the server and of its PostgreSQL during imports: no acknowledged event is lost, none is counted twice.

mod message;
mod relay;
mod usage_file;

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use usance_testkit::{Client, TempDir, TestDatabase, shared_file};

use crate::{
    program::{Finished, Server, finish, usance},
    random::SplitMix64,
    starter_invoice::Usage,
};
use relay::{Fault, Moment, Relay, Victim, next};

const KILLS_VARIABLE: &str = "USANCE_KILLS";
const KILLS_DEFAULT: u64 = 5;
const SEED_VARIABLE: &str = "USANCE_KILL_SEED";
const SEED_DEFAULT: u64 = 20_231_116;
const BATCH_ROWS: u64 = 100;
/// So many rows must still be missing at the last kill that the importer cannot end without noticing it.
const ROWS_AFTER_LAST: u64 = 5 * BATCH_ROWS;
const CUSTOMER: &str = "conv";

/// An installation in a directory of its own, and a file to import into it.
struct Site {
    dir: TempDir,
    file: PathBuf,
    usage: Usage,
    client: Client,
}

impl Site {
    /// Starts a server, registers a tenant and subscribes its customer.
    async fn prepare() -> (Self, Server) {
        let dir = TempDir::new("usance-kill").unwrap();
        let file = shared_file("data/AzureLLMInferenceTrace_conv.csv")
            .unwrap_or_else(|| usage_file::write(dir.path()));
        let server = Server::start(dir.path()).await;
        let client = Client::new(&server.url).tenant("kill").await;
        client.prepare_starter_plan().await;
        client.subscribe_to_starter(CUSTOMER).await;
        let usage = Usage::of(&file);
        (Self { dir, file, usage, client }, server)
    }

    fn checkpoint(&self) -> PathBuf {
        self.dir.path().join("checkpoint")
    }

    /// The rows that an unfinished import has behind it.
    fn rows_kept(&self) -> u64 {
        let Ok(text) = std::fs::read(self.checkpoint()) else { return 0 };
        let checkpoint: Value = serde_json::from_slice(&text).unwrap();
        checkpoint["counts"]["read"].as_u64().unwrap()
    }

    async fn import(&self, url: &str, retry_for: &str) -> Finished {
        let arguments = ["import", "--batch", "100", "--concurrency", "2", "--retry-for", retry_for];
        let mut command = usance(self.dir.path(), &arguments);
        command.args(["--url", url, "--customer", CUSTOMER, "--type", "llm_call"]);
        command.args(["--map", "tokens=ContextTokens+GeneratedTokens", "--checkpoint"]);
        command.arg(self.checkpoint()).arg(&self.file).env("USANCE_API_KEY", self.client.key());
        finish(command).await
    }

    /// Every row is stored once, counted once and billed once.
    async fn check_totals(&self, server: &Server) {
        let rows = self.usage.calls;
        let database = server.database();
        check_stored(&database, rows).await;

        let client = Client::new(&server.url).with_key(self.client.key());
        client.advance("2023-12-01T00:00:00Z").await;
        let invoices = client.get(&format!("/customers/{CUSTOMER}/invoices")).await.expect(200);
        let invoice = &invoices["data"][0];
        let quantity = |line: usize| invoice["lines"][line]["quantity"].as_str().unwrap().to_owned();
        assert_eq!((quantity(1), quantity(2)), (rows.to_string(), self.usage.tokens.to_string()));
        let amounts: Vec<_> = (0..3).map(|line| &invoice["lines"][line]["amount"]["amount_minor"]).collect();
        assert_eq!(json!(amounts), json!(self.usage.lines()));
        assert_eq!(invoice["total"], json!({ "amount_minor": self.usage.total(), "currency": "USD" }));
        database.check_invariants().await;
    }
}

async fn check_stored(database: &TestDatabase, rows: i64) {
    for table in ["event_keys", "events"] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
    let meters = format!(
        "SELECT count(*) FROM (SELECT sum(event_count) AS events FROM usage_buckets GROUP BY meter_id) m WHERE events = {rows}"
    );
    assert_eq!(database.count(&meters).await, 2, "both meters count every event");
}

/// The printed counts of a finished import: read, accepted, replayed; nothing else may have happened.
fn counts(finished: &Finished) -> [u64; 3] {
    let count = |name: &str| {
        let line = finished.stdout.lines().find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap()
    };
    assert_eq!([count("unbilled"), count("conflict"), count("rejected")], [0; 3], "{}", finished.stdout);
    [count("read"), count("accepted"), count("replayed")]
}

#[expect(clippy::disallowed_methods, reason = "a soak asks for more kills than a test, or for others")]
fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Faults at seeded numbers of rows and at seeded moments, each moment in its turn among the first.
fn server_kills(count: u64, rows: u64, seed: u64) -> Vec<Fault> {
    let mut random = SplitMix64(seed);
    let mut numbers: Vec<_> = (0..count).map(|_| 1 + random.below(rows - ROWS_AFTER_LAST)).collect();
    numbers.sort_unstable();
    let moments = (0..).map(|index| Moment::ALL.get(index).copied());
    let faults = numbers.into_iter().zip(moments).map(|(after_rows, moment)| {
        let drawn = Moment::ALL[usize::try_from(random.below(3)).expect("a number below 3")];
        Fault { victim: Victim::Server, moment: moment.unwrap_or(drawn), after_rows }
    });
    faults.collect()
}

/// Imports again and again; each run but the last ends with a kill, and the next one goes on behind it.
async fn import_through_kills(
    site: &Site,
    relay: &Relay,
    strikes: &mut UnboundedReceiver<Fault>,
    kills: u64,
) -> Finished {
    for kill in 1..=kills {
        let kept = site.rows_kept();
        let failed = site.import(&relay.url, "0").await.expect(1);
        let fault = next(strikes).await.unwrap_or_else(|| panic!("no kill: {}", failed.stderr));
        tell(kill, fault, kept, relay.rows());
        check_resumed(&failed, kept);
        relay.forward_to(Server::start(site.dir.path()).await);
    }
    let kept = site.rows_kept();
    let finished = site.import(&relay.url, "0").await.expect(0);
    check_resumed(&finished, kept);
    assert!(strikes.try_recv().is_err(), "more kills than were asked for");
    finished
}

#[expect(clippy::print_stderr, reason = "a failed run is understood from its kills")]
fn tell(kill: u64, fault: Fault, kept: u64, rows: u64) {
    eprintln!("kill {kill}: {fault:?} at {rows} acknowledged rows, in a run that began behind row {kept}");
}

fn check_resumed(run: &Finished, kept: u64) {
    let notice = format!("Continuing behind row {kept},");
    assert_eq!(run.stderr.contains(&notice), kept > 0, "{kept} rows are kept\n{}", run.stderr);
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the seed repeats a failed run")]
async fn an_import_through_kills_of_the_server_counts_every_row_once() {
    // given
    let kills = number_from(KILLS_VARIABLE, KILLS_DEFAULT);
    let seed = number_from(SEED_VARIABLE, SEED_DEFAULT);
    eprintln!("{KILLS_VARIABLE}={kills} {SEED_VARIABLE}={seed}");
    let (site, server) = Site::prepare().await;
    let rows = u64::try_from(site.usage.calls).unwrap();
    let (relay, mut strikes) = Relay::start(server_kills(kills, rows, seed)).await;
    relay.forward_to(server);

    // when
    let finished = import_through_kills(&site, &relay, &mut strikes, kills).await;

    // then
    let [read, accepted, replayed] = counts(&finished);
    assert_eq!((read, accepted + replayed), (rows, rows));
    assert!(kills < 2 || replayed >= BATCH_ROWS, "an answer that was lost is a replay the second time");
    assert!(relay.rows() >= rows && relay.forgotten() == 0, "{} batches were lost", relay.forgotten());
    let server = relay.take_server();
    site.check_totals(&server).await;
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn an_import_survives_kills_of_postgres_under_a_server_that_stays_up() {
    // given
    let (site, server) = Site::prepare().await;
    let (pid, first_postmaster) = (server.process.pid(), server.postmaster());
    let rows = u64::try_from(site.usage.calls).unwrap();
    let faults: Vec<_> = (1..)
        .zip(Moment::ALL)
        .map(|(part, moment)| Fault { victim: Victim::Postmaster, moment, after_rows: part * rows / 5 })
        .collect();
    let (relay, mut strikes) = Relay::start(faults.clone()).await;
    relay.forward_to(server);

    // when
    let finished = site.import(&relay.url, "60").await.expect(0);

    // then
    for fault in faults {
        assert_eq!(next(&mut strikes).await, Some(fault));
    }
    let server = relay.take_server();
    assert_eq!(server.process.log().matches("is started again").count(), 3);
    assert_ne!(server.postmaster(), first_postmaster);
    assert_eq!(server.process.pid(), pid);
    let [read, accepted, replayed] = counts(&finished);
    assert_eq!((read, accepted + replayed), (rows, rows));
    assert!(replayed >= BATCH_ROWS, "an answer that was lost is a replay the second time");
    assert_eq!(relay.forgotten(), 0);
    site.check_totals(&server).await;
    assert!(server.process.end_by("TERM").await.success());
}

#[test]
fn the_shared_trace_comes_to_the_known_total() {
    let Some(file) = shared_file("data/AzureLLMInferenceTrace_conv.csv") else { return };

    let usage = Usage::of(&file);

    assert_eq!(usage, Usage { calls: 19_366, tokens: 26_450_535 });
    assert_eq!((usage.lines(), usage.total()), ([1_000, 1_937, 52_901], 60_305));
}
