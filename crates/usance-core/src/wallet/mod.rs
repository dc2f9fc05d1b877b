//! Wallets: prepaid credits, the order in which grants of them burn down, what they pay of an invoice, and the book of a
//! wallet with its debt limit and holds.

mod book;
#[cfg(test)]
mod book_tests;
mod grants;
mod hold;
mod payment;
#[cfg(test)]
mod tests;

pub use book::{Book, BookError, Debit, LimitExceeded, Moved, UsageTotal};
pub use grants::{
    BurnDown, Grant, GrantBalance, Reset, ResetTerms, WalletError, burn_down, give_back, reset,
};
pub use hold::{Hold, HoldCommand, HoldError, HoldStatus};
pub use payment::{AppliedCredits, TopUp, TopUpError, apply_credits, prepaid_applied, topup};
