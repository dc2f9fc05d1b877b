//! Wallets: prepaid credits, the order in which grants of them burn down, and what they pay of an invoice.

mod grants;
mod payment;
#[cfg(test)]
mod tests;

pub use grants::{
    BurnDown, Grant, GrantBalance, Reset, ResetTerms, WalletError, burn_down, give_back, reset,
};
pub use payment::{AppliedCredits, TopUp, TopUpError, apply_credits, prepaid_applied, topup};
