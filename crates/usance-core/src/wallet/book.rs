//! The book of one wallet: its balance, what is reserved of it, its debt limit and its grants, and what changes them.
//!
//! A book decides before it changes anything: a refusal leaves it as it was.

use jiff::Timestamp;
use rust_decimal::Decimal;
use thiserror::Error;

use super::{Grant, WalletError, burn_down};
use crate::decimal::{exact_add, stored_decimal};
use crate::money::{Currency, Money, MoneyError};

/// What a wallet has at one moment. Amounts are in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The currency.
    pub currency: Currency,
    /// What was put in less what was taken out; below zero it is a debt.
    pub balance: i64,
    /// What open holds reserve.
    pub held: i64,
    /// How far the balance may go below zero.
    pub debt_limit: i64,
    /// Grants that are not used up.
    pub grants: Vec<Grant>,
    /// Usage that is priced more finely than the currency.
    pub usage: UsageTotal,
}

/// The sum of all usage that draws on a wallet, and what of it was debited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// Major units, exact.
    pub exact: Decimal,
    /// The rounded sum, in minor units.
    pub debited: i64,
}

/// Whether a debit may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debit {
    /// It is asked for before the work: the debt limit holds.
    Asked,
    /// The work is done: it is recorded, also above the limit.
    AlreadyUsed,
}

/// What a change did to the balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The balance before.
    pub before: i64,
    /// The balance after.
    pub after: i64,
    /// Whether the debt limit would have refused it.
    pub over_limit: bool,
}

impl Moved {
    /// What was taken out, or put in if it is below zero.
    pub fn amount(&self) -> i64 {
        self.before.saturating_sub(self.after)
    }

    /// Whether the balance fell below a mark that it was not below before.
    pub const fn crosses(&self, mark: i64) -> bool {
        self.before >= mark && self.after < mark
    }
}

/// A debit or hold that would go beyond the debt limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The balance, which stays.
    pub balance: i64,
    /// What open holds reserve of it.
    pub held: i64,
    /// The limit.
    pub debt_limit: i64,
    /// What was asked for.
    pub attempted: i64,
    /// The balance that it would have led to.
    pub would_be: i64,
    /// By how much that is beyond the limit.
    pub over_limit: i64,
}

/// Why a book does not change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BookError {
    /// The debt limit is in the way.
    #[error("the debt limit would be exceeded by {}", .0.over_limit)]
    Limit(Box<LimitExceeded>),
    /// The balance would be beyond 64 bits.
    #[error("the balance of the wallet would be too large")]
    TooLarge,
    /// The grants cannot be computed.
    #[error(transparent)]
    Grants(#[from] WalletError),
}

impl From<MoneyError> for BookError {
    fn from(_: MoneyError) -> Self {
        Self::TooLarge
    }
}

impl Book {
    /// What may be debited or held now. Usage that is not debited yet because it is less than half a minor unit counts as
    /// a whole one.
    pub fn available(&self) -> i64 {
        let wide = self.headroom() - i128::from(self.has_rest());
        i64::try_from(wide.max(0)).unwrap_or(i64::MAX)
    }

    /// What of the debt limit is left.
    pub fn debt_capacity(&self) -> i64 {
        i64::try_from((i128::from(self.balance) + i128::from(self.debt_limit)).max(0)).unwrap_or(i64::MAX)
    }

    /// Usage that is not debited yet, in major units; below zero what was debited too much by rounding up.
    pub fn unrounded(&self) -> Decimal {
        self.usage.exact - Money::new(self.usage.debited, self.currency).to_decimal()
    }

    fn has_rest(&self) -> bool {
        self.unrounded() > Decimal::ZERO
    }

    fn headroom(&self) -> i128 {
        i128::from(self.balance) - i128::from(self.held) + i128::from(self.debt_limit)
    }

    /// What was used on credit: what grants no longer cover of the balance.
    fn debt(&self) -> Result<Decimal, BookError> {
        Ok(self.left()? - Decimal::from(self.balance))
    }

    fn left(&self) -> Result<Decimal, BookError> {
        let mut sum = Decimal::ZERO;
        for grant in &self.grants {
            sum = exact_add(sum, grant.amount).map_err(WalletError::Inexact)?;
        }
        Ok(sum)
    }

    /// Puts a grant in. It pays what was used on credit first; what is left of it is returned with the change.
    pub fn put_in(&mut self, grant: Grant) -> Result<Moved, BookError> {
        let amount = whole(grant.amount)?;
        let after = self.balance.checked_add(amount).ok_or(BookError::TooLarge)?;
        let paid = self.debt()?.max(Decimal::ZERO).min(grant.amount);
        let moved = Moved { before: self.balance, after, over_limit: false };
        self.grants.push(Grant { amount: grant.amount - paid, ..grant });
        self.balance = after;
        Ok(moved)
    }

    /// Takes an amount out, of the grants that can be used now.
    pub fn take_out(&mut self, amount: i64, debit: Debit, now: Timestamp) -> Result<Moved, BookError> {
        let needed = i128::from(amount) + i128::from(self.has_rest());
        let over_limit = needed > self.headroom();
        if over_limit && debit == Debit::Asked {
            return Err(self.refuse(amount));
        }
        self.burn(amount, over_limit, now)
    }

    /// Adds usage and takes out what the rounded sum of all usage has grown by.
    pub fn use_up(&mut self, exact: Decimal, debit: Debit, now: Timestamp) -> Result<Moved, BookError> {
        let sum = exact_add(self.usage.exact, exact).map_err(WalletError::Inexact)?;
        let sum = stored_decimal(sum).map_err(|_| BookError::TooLarge)?;
        let rounded = Money::from_exact(sum, self.currency)?.minor();
        let amount = rounded.checked_sub(self.usage.debited).ok_or(BookError::TooLarge)?;
        let rest = sum > Money::new(rounded, self.currency).to_decimal();
        let over_limit = i128::from(amount) + i128::from(rest) > self.headroom();
        if over_limit && debit == Debit::Asked {
            return Err(self.refuse(amount + i64::from(rest)));
        }
        let moved = self.burn(amount, over_limit && amount > 0, now)?;
        self.usage = UsageTotal { exact: sum, debited: rounded };
        Ok(moved)
    }

    /// Reserves an amount.
    pub fn hold(&mut self, amount: i64) -> Result<(), BookError> {
        if i128::from(amount) + i128::from(self.has_rest()) > self.headroom() {
            return Err(self.refuse(amount));
        }
        self.held = self.held.checked_add(amount).ok_or(BookError::TooLarge)?;
        Ok(())
    }

    /// Takes of what a hold reserved since `held_at`, of the grants that could be used then, and frees the rest.
    /// [`Self::expire`] must follow.
    pub fn settle(&mut self, held: i64, amount: i64, held_at: Timestamp) -> Result<Moved, BookError> {
        let moved = self.burn(amount, false, held_at)?;
        self.free(held);
        Ok(moved)
    }

    /// Frees what a hold reserved. [`Self::expire`] must follow: what the hold alone kept is not for others.
    pub fn free(&mut self, held: i64) {
        self.held = self.held.saturating_sub(held);
    }

    /// Takes out what has expired and no hold reserves; the rest expires when it is free. Returns the grants that lost
    /// something with the change that each made.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<(String, Moved)>, BookError> {
        let is_over = |grant: &Grant| grant.expires_at.is_some_and(|at| at <= now);
        let mut over = 0;
        for grant in self.grants.iter().filter(|grant| is_over(grant)) {
            over += i128::from(whole(grant.amount)?);
        }
        let mut free = (over - i128::from(self.held)).max(0);
        let mut expired = Vec::new();
        for grant in self.grants.iter_mut().filter(|grant| is_over(grant)) {
            let lost =
                i64::try_from(free.min(i128::from(whole(grant.amount)?))).map_err(|_| BookError::TooLarge)?;
            if lost > 0 {
                let after = self.balance.checked_sub(lost).ok_or(BookError::TooLarge)?;
                // After usage above the limit nothing is left of it for what expires.
                let room = i128::from(after) - i128::from(self.held) + i128::from(self.debt_limit);
                let moved = Moved { before: self.balance, after, over_limit: room < 0 };
                expired.push((grant.id.clone(), moved));
                grant.amount -= Decimal::from(lost);
                self.balance = after;
                free -= i128::from(lost);
            }
        }
        Ok(expired)
    }

    fn burn(&mut self, amount: i64, over_limit: bool, at: Timestamp) -> Result<Moved, BookError> {
        let after = self.balance.checked_sub(amount).ok_or(BookError::TooLarge)?;
        let burnt = burn_down(&self.grants, Decimal::from(amount), at)?;
        for (grant, left) in self.grants.iter_mut().zip(burnt.balances) {
            grant.amount = left.amount;
        }
        let moved = Moved { before: self.balance, after, over_limit };
        self.balance = after;
        Ok(moved)
    }

    fn refuse(&self, attempted: i64) -> BookError {
        let over_limit = i128::from(attempted) - i128::from(self.available());
        BookError::Limit(Box::new(LimitExceeded {
            balance: self.balance,
            held: self.held,
            debt_limit: self.debt_limit,
            attempted,
            would_be: self.balance.saturating_sub(attempted),
            over_limit: i64::try_from(over_limit).unwrap_or(i64::MAX),
        }))
    }
}

fn whole(amount: Decimal) -> Result<i64, BookError> {
    i64::try_from(amount).map_err(|_| BookError::TooLarge)
}
