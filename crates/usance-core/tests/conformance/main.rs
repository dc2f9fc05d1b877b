//! Published worked examples of pricing and billing, run through the product's own arithmetic.
//!
//! The file of cases is named by `PRICING_CASES`, or else is `conformance/pricing_cases.json` in the directory that
//! `USANCE_SHARED` names. An adapter only translates the names and units of a case: no rule is written here twice.
//! What a `policy:` tag names is chosen by that tag, and never by the id of a case. A `vendor:` case states a rule
//! that Usance does not share, and is skipped with the reason.

mod billing;
mod case;
mod rating;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Write, stdout},
    path::PathBuf,
};

use case::Case;
use serde_json::Value;

/// What came of a case: nothing, or what the product answered instead.
type Outcome = Result<(), String>;

/// What the run came to.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
    /// One line for each model and vendor whose rule Usance does not share.
    differences: BTreeSet<String>,
}

#[test]
fn the_published_cases_come_out_as_published() {
    // given the cases, where this machine has them
    let Some(path) = cases_path() else {
        return say("skipped: set PRICING_CASES or USANCE_SHARED to run the published cases");
    };
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the file is a list of cases");
    assert!(!cases.is_empty(), "{} holds no cases", path.display());

    // when each of them is run
    let tally = run_all(&cases);

    // then none comes out differently
    for line in tally.failed.iter().chain(&tally.skipped).chain(&tally.differences) {
        say(line);
    }
    say(&format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed.len(), tally.skipped.len()));
    assert!(tally.failed.is_empty(), "{} published cases fail", tally.failed.len());
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration to read its settings")]
fn cases_path() -> Option<PathBuf> {
    if let Ok(path) = env::var("PRICING_CASES") {
        return Some(PathBuf::from(path));
    }
    let shared = env::var("USANCE_SHARED").ok()?;
    Some(PathBuf::from(shared).join("conformance").join("pricing_cases.json"))
}

/// Prints past the capture of the test harness, so that the closing line is seen when all is well too.
fn say(line: &str) {
    writeln!(stdout().lock(), "{line}").expect("the standard output is open");
}

fn run_all(cases: &[Value]) -> Tally {
    let mut tally = Tally::default();
    for value in cases {
        let case = Case::new(value);
        let name = format!("{} ({}, {})", case.id(), case.model(), case.portability());
        match case.vendor() {
            Some(vendor) => {
                let reason =
                    rating::vendor_reason(case.model()).or_else(|| billing::vendor_reason(case.model()));
                let reason = reason.unwrap_or("the rule is that vendor's own");
                tally.skipped.push(format!("SKIPPED {name}"));
                tally.differences.insert(format!("DIFFERS {vendor:<10} {:<34} {reason}", case.model()));
            }
            None => match run(&case) {
                Ok(()) => tally.passed += 1,
                Err(reason) => tally.failed.push(format!("FAILED  {name}: {reason}")),
            },
        }
    }
    tally
}

/// Runs a case by the first module that knows its model; an expectation that nothing looked at is a failure.
fn run(case: &Case) -> Outcome {
    let outcome = rating::run(case).or_else(|| billing::run(case));
    outcome.unwrap_or_else(|| Err("unsupported: no adapter knows this model".to_owned()))?;
    case.all_expectations_read()
}
