//! `usance import` against a server.

use std::fs;

use serde_json::{Value, json};
use usance_testkit::{Client, TempDir, TestServer};

use crate::program::{Finished, finish, usance};

const CSV: &str = "\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0787400,110,27
";
const MAPPING: &str = "tokens=ContextTokens+GeneratedTokens";

/// A server with a customer, and a directory with a file for it.
struct Site {
    server: TestServer,
    client: Client,
    dir: TempDir,
}

impl Site {
    async fn prepare(file: &str, content: &str) -> Self {
        let server = TestServer::start().await;
        let client = server.client.tenant("acme").await;
        client.prepare_starter_plan().await;
        client.subscribe_to_starter("code").await;
        let dir = TempDir::new("usance-cli").unwrap();
        fs::write(dir.path().join(file), content).unwrap();
        Self { server, client, dir }
    }

    /// Imports with the tenant's key, which is never repeated.
    async fn import(&self, arguments: &[&str]) -> Finished {
        self.import_with(self.client.key(), arguments).await
    }

    async fn import_with(&self, key: &str, arguments: &[&str]) -> Finished {
        let mut command =
            usance(self.dir.path(), &["import", "--url", self.client.base(), "--type", "llm_call"]);
        command.args(arguments).env("USANCE_API_KEY", key);
        let finished = finish(command).await;
        assert!(!finished.stdout.contains(key) && !finished.stderr.contains(key), "{finished:?}");
        finished
    }

    async fn tokens(&self) -> Value {
        self.client.advance("2023-12-01T00:00:00Z").await;
        let invoices = self.client.get("/customers/code/invoices").await.expect(200);
        invoices["data"][0]["lines"][2]["quantity"].clone()
    }
}

/// The lines behind the first, which tells the time that the import took.
fn summary(finished: &Finished) -> Vec<&str> {
    let mut lines = finished.stdout.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("Imported ") && first.ends_with(" rows/s)"), "{first}");
    lines.map(str::trim).collect()
}

#[tokio::test]
async fn an_import_tells_what_it_did_and_the_second_one_that_nothing_changed() {
    // given
    let site = Site::prepare("usage.csv", CSV).await;
    let arguments = ["usage.csv", "--customer", "code", "--map", MAPPING];

    // when
    let first = site.import(&arguments).await.expect(0);
    let second = site.import(&arguments).await.expect(0);

    // then
    let expected = ["read      3", "accepted  3", "replayed  0", "unbilled  0", "conflict  0", "rejected  0"];
    assert_eq!(summary(&first), expected);
    let expected = [
        "read      3",
        "accepted  0",
        "replayed  3",
        "unbilled  0",
        "conflict  0",
        "rejected  0",
        "Nothing changed: all 3 events were imported before.",
    ];
    assert_eq!(summary(&second), expected);
    assert_eq!(site.tokens().await, "8143");
    let files = fs::read_dir(site.dir.path()).unwrap().count();
    assert_eq!(files, 1, "neither a checkpoint nor rejects stay behind");
    site.server.stop().await;
}

#[tokio::test]
async fn rows_that_are_refused_are_listed_with_their_reasons_and_the_others_are_billed() {
    // given: a time that is none, which is not sent, and tokens that the server refuses
    let csv = "time,tokens\n2023-11-16T00:00:00Z,40\nyesterday,41\n2023-11-16T00:00:01Z,many\n2023-11-16T00:00:02Z,2\n";
    let site = Site::prepare("usage.csv", csv).await;

    // when
    let finished = site.import(&["usage.csv", "--customer", "code"]).await.expect(2);

    // then
    let lines = summary(&finished);
    assert_eq!(lines[..2], ["read      4", "accepted  2"]);
    assert_eq!(lines[5], "rejected  2  (1 not sent, 1 by the server)");
    assert!(finished.stdout.contains("listed with their reasons in usage.csv.rejects.ndjson"), "{lines:?}");
    let rejects = fs::read_to_string(site.dir.path().join("usage.csv.rejects.ndjson")).unwrap();
    let rejects: Vec<Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let listed: Vec<_> = rejects
        .iter()
        .map(|reject| [&reject["line"], &reject["status"], &reject["reason"], &reject["row"]])
        .collect();
    assert_eq!(
        json!(listed),
        json!([
            [3, "rejected", "bad_time", "yesterday,41"],
            [4, "rejected", "malformed_decimal", "2023-11-16T00:00:01Z,many"],
        ])
    );
    assert_eq!(site.tokens().await, "42");
    site.server.stop().await;
}

#[tokio::test]
async fn a_file_of_json_lines_names_its_customers_and_ids_itself() {
    // given
    let lines = [("a", "code", 40), ("b", "code", 2), ("c", "nobody", 7)].map(|(id, customer, tokens)| {
        json!({ "at": "2023-11-16T00:00:00Z", "request": id, "who": customer, "usage": { "total": tokens } })
    });
    let site = Site::prepare("usage.ndjson", &lines.map(|line| format!("{line}\n")).concat()).await;
    let arguments = [
        "usage.ndjson",
        "--customer-column",
        "who",
        "--id",
        "request",
        "--time",
        "at",
        "--map",
        "tokens=usage.total",
    ];

    // when
    let finished = site.import(&arguments).await.expect(0);

    // then
    assert_eq!(summary(&finished)[..4], ["read      3", "accepted  2", "replayed  0", "unbilled  1"]);
    let listed = site.client.get("/events?customer=code").await.expect(200);
    let mut ids: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(site.tokens().await, "42");
    site.server.stop().await;
}

#[tokio::test]
async fn an_import_that_cannot_begin_says_why_and_stores_nothing() {
    let site = Site::prepare("usage.csv", CSV).await;
    let no_key = "sk_test_0123456789012345678901234567890123456789";
    for (key, arguments, expected) in [
        (
            site.client.key(),
            ["usage.csv", "--customer", "code", "--map", "tokens=Tokens"],
            "the file has no column Tokens; its columns are: TIMESTAMP, ContextTokens, GeneratedTokens",
        ),
        (
            no_key,
            ["usage.csv", "--customer", "code", "--map", MAPPING],
            "check --key, or the variable USANCE_API_KEY",
        ),
        (site.client.key(), ["absent.csv", "--customer", "code", "--map", MAPPING], "absent.csv"),
        ("", ["usage.csv", "--customer", "code", "--map", MAPPING], "--key"),
    ] {
        let failed = match key {
            "" => finish_without_key(&site, &arguments).await.expect(1),
            key => site.import_with(key, &arguments).await.expect(1),
        };

        assert!(
            failed.stderr.starts_with("error: ") || failed.stderr.contains("\nerror: "),
            "{}",
            failed.stderr
        );
        assert!(failed.stderr.contains(expected), "{expected}: {}", failed.stderr);
        assert_eq!(failed.stdout, "");
    }
    assert_eq!(site.server.database.count("SELECT count(*) FROM event_keys").await, 0);
    site.server.stop().await;
}

async fn finish_without_key(site: &Site, arguments: &[&str]) -> Finished {
    let mut command = usance(site.dir.path(), &["import", "--url", site.client.base(), "--type", "llm_call"]);
    command.args(arguments);
    finish(command).await
}

#[tokio::test]
async fn the_key_may_come_from_a_file_but_not_from_two_places() {
    let site = Site::prepare("usage.csv", CSV).await;
    fs::write(site.dir.path().join("key"), format!("{}\n", site.client.key())).unwrap();
    let arguments = ["usage.csv", "--customer", "code", "--map", MAPPING, "--key-file", "key"];

    let both = site.import(&arguments).await.expect(2);
    let finished = finish_without_key(&site, &arguments).await.expect(0);

    assert!(both.stderr.contains("--key") && both.stderr.contains("cannot be used with"), "{}", both.stderr);
    assert_eq!(summary(&finished)[1], "accepted  3");
    site.server.stop().await;
}
