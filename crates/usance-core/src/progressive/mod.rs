//! Progressive billing: usage is invoiced when it crosses a threshold, before its period ends.
//!
//! A threshold is crossed once usage is equal to it or above. The invoice asks for all usage of the period that no
//! invoice has asked for yet, and the invoice that closes the period charges everything and credits those amounts. All
//! amounts are before tax.

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::money::{Money, MoneyError};

/// An amount of usage at which an invoice is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// The amount, above zero.
    pub amount: Money,
    /// What usage is compared with it.
    pub scope: ThresholdScope,
}

/// Over what time usage counts towards a threshold, which is crossed once in that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThresholdScope {
    /// Since the subscription started.
    Lifetime,
    /// Since the billing period started.
    EachPeriod,
}

/// The rounded amount of usage up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageAmount {
    /// Since the subscription started.
    pub lifetime: Money,
    /// Since the billing period started, which the lifetime includes.
    pub period: Money,
}

/// What threshold invoices have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The thresholds that were crossed: those of the lifetime ever, the others in this period.
    pub crossed: &'a [Threshold],
    /// The sum of the threshold invoices of this period.
    pub invoiced: Money,
}

/// Thresholds that usage has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The newly crossed thresholds, to be remembered, in the order they were given.
    pub crossed: Vec<Threshold>,
    /// The amount of the one invoice for all of them; nothing if earlier invoices cover the usage.
    pub invoice: Option<Money>,
}

/// What the invoice that closes a period owes to its threshold invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosingCredit {
    /// What is taken off the closing invoice, as a positive amount.
    pub credit: Money,
    /// What was invoiced beyond the fees of the period, such as usage that was voided later; due to the customer.
    pub excess: Money,
}

/// Why thresholds cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ThresholdFault {
    /// A threshold is zero or negative and would be crossed by no usage.
    #[error("a threshold has to be above zero")]
    NotPositive,
    /// Two thresholds are equal.
    #[error("a threshold is named twice")]
    Twice,
}

impl ThresholdScope {
    /// Reads `lifetime` or `each_period`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Lifetime, Self::EachPeriod].into_iter().find(|scope| scope.as_str() == text)
    }

    /// Returns `lifetime` or `each_period`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::EachPeriod => "each_period",
        }
    }
}

/// Refuses thresholds that could not be crossed one by one.
pub fn validate(thresholds: &[Threshold]) -> Result<(), ThresholdFault> {
    for (place, threshold) in thresholds.iter().enumerate() {
        if threshold.amount.minor() <= 0 {
            return Err(ThresholdFault::NotPositive);
        }
        if thresholds[..place].contains(threshold) {
            return Err(ThresholdFault::Twice);
        }
    }
    Ok(())
}

/// Decides whether usage has crossed thresholds, and what is invoiced for it.
pub fn cross(
    thresholds: &[Threshold],
    progress: Progress<'_>,
    usage: UsageAmount,
) -> Result<Option<Crossing>, MoneyError> {
    let mut crossed = Vec::new();
    for threshold in thresholds {
        let reached = match threshold.scope {
            ThresholdScope::Lifetime => usage.lifetime,
            ThresholdScope::EachPeriod => usage.period,
        };
        let above = reached.checked_sub(threshold.amount)?.minor() >= 0;
        if above && !progress.crossed.contains(threshold) {
            crossed.push(*threshold);
        }
    }
    if crossed.is_empty() {
        return Ok(None);
    }
    let amount = usage.period.checked_sub(progress.invoiced)?;
    Ok(Some(Crossing { crossed, invoice: (amount.minor() > 0).then_some(amount) }))
}

/// Computes the credit on the invoice that closes a period, which never makes its fees negative.
pub fn closing_credit(fees: Money, invoiced: Money) -> Result<ClosingCredit, MoneyError> {
    let zero = Money::zero(fees.currency());
    let over = invoiced.checked_sub(if fees.minor() < 0 { zero } else { fees })?;
    let excess = if over.minor() < 0 { zero } else { over };
    Ok(ClosingCredit { credit: invoiced.checked_sub(excess)?, excess })
}
