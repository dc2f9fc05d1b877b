//! The Python of tests, with the packages that they are checked against.

use std::path::PathBuf;

/// The interpreter that `scripts/test` prepares; absent where the tests run without the script.
pub fn python() -> Option<PathBuf> {
    std::env::var_os("USANCE_TEST_PYTHON").map(PathBuf::from)
}
