//! Grants: which of them pays for a quantity, and what is left of each.

use std::cmp::Ordering;

use jiff::Timestamp;
use rust_decimal::Decimal;
use thiserror::Error;

use crate::decimal::{DecimalError, exact_add, exact_sub};

/// Credits that were given at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What the grant is known by.
    pub id: String,
    /// What is left of it.
    pub amount: Decimal,
    /// When it is used: lower numbers first.
    pub priority: u16,
    /// The first instant at which it can be used.
    pub effective_at: Timestamp,
    /// The first instant at which it can no longer be used, if it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// An amount of one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantBalance {
    /// The grant.
    pub id: String,
    /// What was taken of it, or what is left.
    pub amount: Decimal,
}

/// What a quantity took of the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnDown {
    /// What was taken of each grant that was needed, in the order they were used.
    pub taken: Vec<GrantBalance>,
    /// What is left of every grant, in the order they were given.
    pub balances: Vec<GrantBalance>,
    /// What no grant paid for.
    pub overage: Decimal,
}

/// What happens to balances when a usage period starts over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResetTerms {
    /// The most that a grant keeps; without it, everything.
    pub max_rollover: Option<Decimal>,
    /// The least that a grant has afterwards.
    pub min_rollover: Decimal,
    /// Whether usage that no grant paid for burns down the new balances.
    pub preserve_overage: bool,
}

/// The balances after a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// What is left of every grant, in the order they were given.
    pub balances: Vec<GrantBalance>,
    /// The overage that is carried on because the new balances do not cover it.
    pub overage: Decimal,
}

/// Why grants cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalletError {
    /// A quantity, balance or credit is below zero.
    #[error("a quantity of credits is negative")]
    Negative,
    /// Something is given back to a grant that is not there.
    #[error("there is no grant `{id}`")]
    UnknownGrant {
        /// What the grant is known by.
        id: String,
    },
    /// An amount needs more digits than are computed exactly.
    #[error("an amount of credits has more digits than can be computed exactly")]
    Inexact(#[from] DecimalError),
}

impl Grant {
    fn is_usable(&self, at: Timestamp) -> bool {
        self.effective_at <= at && self.expires_at.is_none_or(|expires_at| at < expires_at)
    }

    /// Compares by priority, then expiry with those that never expire last, then age, then id.
    fn compare_use(&self, other: &Self) -> Ordering {
        let expiry = |grant: &Self| grant.expires_at.unwrap_or(Timestamp::MAX);
        let order = self.priority.cmp(&other.priority);
        let order = order.then_with(|| expiry(self).cmp(&expiry(other)));
        order.then_with(|| self.created_at.cmp(&other.created_at)).then_with(|| self.id.cmp(&other.id))
    }
}

/// Takes a quantity off the grants that can be used at an instant: by priority, then the one that expires first, then
/// the oldest.
pub fn burn_down(grants: &[Grant], quantity: Decimal, at: Timestamp) -> Result<BurnDown, WalletError> {
    if quantity < Decimal::ZERO || grants.iter().any(|grant| grant.amount < Decimal::ZERO) {
        return Err(WalletError::Negative);
    }
    let mut places: Vec<usize> = (0..grants.len()).filter(|place| grants[*place].is_usable(at)).collect();
    places.sort_by(|a, b| grants[*a].compare_use(&grants[*b]));
    let mut balances: Vec<GrantBalance> = grants.iter().map(balance).collect();
    let (mut taken, mut overage) = (Vec::new(), quantity);
    for place in places {
        let amount = overage.min(balances[place].amount);
        if amount > Decimal::ZERO {
            overage = exact_sub(overage, amount)?;
            balances[place].amount = exact_sub(balances[place].amount, amount)?;
            taken.push(GrantBalance { id: grants[place].id.clone(), amount });
        }
    }
    Ok(BurnDown { taken, balances, overage })
}

/// Gives each grant back what a quantity took of it, for usage that is voided.
pub fn give_back(grants: &[Grant], taken: &[GrantBalance]) -> Result<Vec<GrantBalance>, WalletError> {
    let mut balances: Vec<GrantBalance> = grants.iter().map(balance).collect();
    for part in taken {
        let known = balances.iter_mut().find(|balance| balance.id == part.id);
        let known = known.ok_or_else(|| WalletError::UnknownGrant { id: part.id.clone() })?;
        known.amount = exact_add(known.amount, part.amount)?;
    }
    Ok(balances)
}

/// Starts a usage period over: each grant keeps its balance within the rollover bounds, of which the maximum wins, and
/// overage burns the result where it is preserved.
pub fn reset(
    grants: &[Grant],
    terms: &ResetTerms,
    overage: Decimal,
    at: Timestamp,
) -> Result<Reset, WalletError> {
    let rolled: Vec<Grant> = grants
        .iter()
        .map(|grant| {
            let least = grant.amount.max(terms.min_rollover);
            Grant { amount: terms.max_rollover.map_or(least, |most| least.min(most)), ..grant.clone() }
        })
        .collect();
    let burning = if terms.preserve_overage { overage } else { Decimal::ZERO };
    let burnt = burn_down(&rolled, burning, at)?;
    Ok(Reset { balances: burnt.balances, overage: burnt.overage })
}

fn balance(grant: &Grant) -> GrantBalance {
    GrantBalance { id: grant.id.clone(), amount: grant.amount }
}
