//! `usance demo`, with a PostgreSQL of its own.

use serde_json::json;
use usance_testkit::{Client, TempDir};

use crate::{
    program::{Running, finish, usance},
    starter_invoice::Usage,
};

/// The invoice that the README shows.
const TOTAL_MINOR: i64 = 25_928;
const TOTAL: &str = "259.28";

/// The words of the first line that begins with a word.
fn words<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_else(|| panic!("no line begins with {first}\n{text}")).split_whitespace().collect()
}

#[tokio::test]
async fn the_demo_ends_with_a_paid_invoice_that_the_api_confirms() {
    // given
    let dir = TempDir::new("usance-demo").unwrap();
    let arguments = ["demo", "--data-dir", "data"];

    // when
    let shown = finish(usance(dir.path(), &[arguments.as_slice(), &["--exit"]].concat())).await.expect(0);

    // then
    let text = &shown.stdout;
    assert_eq!(words(text, "Invoice"), ["Invoice", "INV-000001", "PAID"]);
    assert_eq!(words(text, "total"), ["total", TOTAL]);
    assert_eq!(words(text, "tokens"), ["tokens", "11,253,626", "×", "0.00002", "=", "225.07"]);
    assert!(text.contains("the same file again: nothing changed, 5,000 replayed"), "{text}");
    assert_eq!(shown.stderr, "");
    let usage = Usage::of(&dir.path().join("data/sample-usage.csv"));
    assert_eq!((usage, usage.total()), (Usage { calls: 5_000, tokens: 11_253_626 }, TOTAL_MINOR));

    // when: a second run leaves the server up
    let mut demo = Running::start(usance(dir.path(), &arguments), &dir.path().join("demo.log"));
    let total = demo.line_with(" total ").await;
    let line = demo.line_with("curl -H").await;

    // then
    assert!(total.ends_with(&format!(" {TOTAL}")), "{total}");
    let key = line.split_once("Bearer ").and_then(|(_, rest)| rest.split('\'').next()).unwrap();
    let address = line.split_whitespace().last().unwrap().strip_suffix("/api/v1/invoices").unwrap();
    let invoices = Client::new(address).with_key(key).get("/invoices").await.expect(200);
    assert_eq!(invoices["data"][0]["total"], json!({ "amount_minor": TOTAL_MINOR, "currency": "USD" }));
    assert_eq!(demo.end_by("INT").await.code(), Some(0));
}
