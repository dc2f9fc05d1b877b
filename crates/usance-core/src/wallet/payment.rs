//! What credits of money pay, and what it costs to buy credits.

use rust_decimal::Decimal;
use thiserror::Error;

use super::WalletError;
use crate::decimal::exact_mul;
use crate::money::{Currency, Money, MoneyError};

/// What credits pay of the lines of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedCredits {
    /// What is paid of each line, in the order of the lines.
    pub by_line: Vec<Money>,
    /// What is used of each credit, in the order of the credits.
    pub by_credit: Vec<Money>,
}

/// Credits that are bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopUp {
    /// The credits, rounded half-up to as many digits as the currency has.
    pub credits: Decimal,
    /// What they cost, rounded half-up.
    pub price: Money,
}

/// Why credits cannot be bought.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopUpError {
    /// The credits or their rate are negative or too precise.
    #[error(transparent)]
    Credits(#[from] WalletError),
    /// The price cannot be represented.
    #[error("the price of the credits cannot be represented")]
    Price(#[from] MoneyError),
}

/// Pays lines with credits, each in the order given; lines and credits at or below zero are left alone.
pub fn apply_credits(lines: &[Money], credits: &[Money]) -> Result<AppliedCredits, MoneyError> {
    let mut left: Vec<Money> = credits.to_vec();
    let mut by_line = Vec::with_capacity(lines.len());
    for line in lines {
        let mut due = *line;
        for credit in &mut left {
            let paid = prepaid_applied(due, *credit)?;
            due = due.checked_sub(paid)?;
            *credit = credit.checked_sub(paid)?;
        }
        by_line.push(line.checked_sub(due)?);
    }
    let used = credits.iter().zip(left).map(|(credit, left)| credit.checked_sub(left));
    Ok(AppliedCredits { by_line, by_credit: used.collect::<Result<_, _>>()? })
}

/// Computes what a balance pays of an invoice's total: never more than either, and nothing if one is not above zero.
pub fn prepaid_applied(total: Money, balance: Money) -> Result<Money, MoneyError> {
    let lower = if total.checked_sub(balance)?.minor() < 0 { total } else { balance };
    Ok(if lower.minor() < 0 { Money::zero(total.currency()) } else { lower })
}

/// Rounds credits at the edge of the wallet, so that no noise of a client's arithmetic gets in, and prices what is left.
pub fn topup(credits: Decimal, rate: Decimal, currency: Currency) -> Result<TopUp, TopUpError> {
    if credits < Decimal::ZERO || rate < Decimal::ZERO {
        return Err(WalletError::Negative.into());
    }
    let credits = Money::from_exact(credits, currency)?.to_decimal().normalize();
    let price = Money::from_exact(exact_mul(credits, rate).map_err(WalletError::Inexact)?, currency)?;
    Ok(TopUp { credits, price })
}
