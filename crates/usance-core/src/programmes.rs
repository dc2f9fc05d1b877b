//! How many random cases a property test tries.

use proptest::prelude::ProptestConfig;

/// The number of cases for a cheap property, unless the environment asks for more or fewer.
const CASES_CHEAP: u32 = 10_000;

/// The number of cases for a property whose inputs are lists of lists.
const CASES_COSTLY: u32 = 1_000;

/// Reads the number of cases from `USANCE_PROGRAMMES`, so that a soak can run a million.
pub(crate) fn programmes() -> ProptestConfig {
    config(CASES_CHEAP)
}

/// Reads the number of cases of a costly property.
pub(crate) fn costly_programmes() -> ProptestConfig {
    config(CASES_COSTLY)
}

fn config(default: u32) -> ProptestConfig {
    let cases = cases_asked_for().unwrap_or(default);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads the number of cases that the environment asks for.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
pub(crate) fn cases_asked_for() -> Option<u32> {
    std::env::var("USANCE_PROGRAMMES").ok()?.parse().ok()
}
