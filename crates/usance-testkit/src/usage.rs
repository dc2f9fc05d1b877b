//! Plans and files that several tests use.

use std::path::PathBuf;

/// $10 a month in arrears, $0.001 a call, $0.00002 a token.
pub const STARTER_PRICES: &str = r#"[
    {"code": "base", "charge_model": "flat", "amount": "10", "pay": "arrears"},
    {"code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "0.001"},
    {"code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.00002"}
]"#;

/// A file of the shared test data. Without `USANCE_SHARED` the test is skipped with a printed reason; with it, a missing
/// file is a failure.
#[expect(clippy::print_stderr, reason = "the reason of a skipped test is printed")]
pub fn shared_file(path: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment says whether shared test data is there")]
    let Ok(shared) = std::env::var("USANCE_SHARED") else {
        eprintln!("skipped: USANCE_SHARED is not set, and the test needs {path}");
        return None;
    };
    // Test binaries run in the directory of their crate; a relative path is meant from the repository.
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join(shared).join(path);
    assert!(file.is_file(), "USANCE_SHARED is set, but {} is missing", file.display());
    Some(file)
}
