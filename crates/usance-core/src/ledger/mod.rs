//! The ledger: double entry in minor units. What happens to money is a transfer from one account to another, which are the
//! two legs of one value, so that nothing can be posted on one side alone.

mod chart;
mod posting;
#[cfg(test)]
mod tests;
mod transfer;

pub use chart::{Account, AccountCode, Owner, Side};
pub use posting::{BalanceReason, Posting};
pub use transfer::{Kind, Pending, Reason, Transfer, Unit};
