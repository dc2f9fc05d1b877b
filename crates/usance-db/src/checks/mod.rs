//! What must hold in the rows of one tenant and mode: each query finds the rows that break one invariant.

pub mod billing;
pub mod feature_holds;
pub mod ledger;
pub mod wallets;

/// Rows that one query reports at most: a broken invariant is often broken many times.
const FINDINGS_MAX: i64 = 100;

/// A row that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which row: its table and key, in the words of the API where it has some.
    pub row: String,
    /// What is wrong with it.
    pub detail: String,
}
