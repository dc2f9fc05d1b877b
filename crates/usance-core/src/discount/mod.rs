//! Coupons: what each takes off an invoice, and how that is divided over the lines.
//!
//! Percentages compound: each is taken of what the coupons before it left. What they take together is
//! kept far below the minor unit and rounded half-up only to say what each coupon took, so that these amounts add up. A discount never
//! exceeds the lines that may be discounted.

mod allocation;
mod coupon;
#[cfg(test)]
mod tests;

pub use allocation::allocate;
pub use coupon::{Coupon, CouponDuration, CouponOrder, CouponValue};

use thiserror::Error;

use crate::fraction::Fraction;
use crate::money::{Currency, Money};

/// How far below the minor unit compounded percentages are kept: 64 bits of minor units and 18 digits
/// fit 128 bits.
const FINE: i128 = 10_i128.pow(18);

/// What coupons take off an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// What each coupon took, in the order the coupons were given.
    pub by_coupon: Vec<Money>,
    /// What each line is reduced by, in the order of the lines.
    pub by_line: Vec<Money>,
    /// The sum, by coupon as by line.
    pub total: Money,
}

/// Why coupons cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DiscountError {
    /// A percentage is not between 0 and 100, or has more than 12 digits after the point.
    #[error("a coupon's percentage is not between 0 and 100 with at most 12 digits after the point")]
    Percent,
    /// A fixed discount is below zero.
    #[error("a coupon's fixed amount is negative")]
    Negative,
    /// A coupon or line is in another currency than the invoice.
    #[error("a coupon is in {coupon} and the invoice in {invoice}")]
    Currency {
        /// The currency of the coupon or line.
        coupon: Currency,
        /// The currency of the invoice.
        invoice: Currency,
    },
    /// The lines add up to more than 64 bits of minor units.
    #[error("the lines add up to more than can be represented")]
    TooLarge,
}

/// Computes what coupons take off the given line amounts; a line at or below zero is left alone.
pub fn discount(
    currency: Currency,
    coupons: &[Coupon],
    order: CouponOrder,
    lines: &[Money],
) -> Result<Discount, DiscountError> {
    let weights = weights(currency, lines)?;
    if coupons.is_empty() {
        let zero = Money::zero(currency);
        return Ok(Discount { by_coupon: Vec::new(), by_line: vec![zero; lines.len()], total: zero });
    }
    let sum: i128 = weights.iter().copied().map(i128::from).sum();
    let sum = i64::try_from(sum).map_err(|_| DiscountError::TooLarge)?;
    let taken = take(currency, coupons, order, sum)?;
    let total: i64 = taken.iter().sum();
    let by_line = match order {
        CouponOrder::PercentBeforeFixed | CouponOrder::AsApplied => allocate(total, &weights),
        CouponOrder::ProRataOnRemaining => allocate_in_turn(&taken, &weights),
    };
    let money = |minors: Vec<i64>| minors.into_iter().map(|minor| Money::new(minor, currency)).collect();
    Ok(Discount { by_coupon: money(taken), by_line: money(by_line), total: Money::new(total, currency) })
}

/// The amounts that a discount can be taken from, in minor units.
fn weights(currency: Currency, lines: &[Money]) -> Result<Vec<i64>, DiscountError> {
    let weight = |line: &Money| {
        same_currency(currency, *line)?;
        Ok(line.minor().max(0))
    };
    lines.iter().map(weight).collect()
}

/// Computes what each coupon takes of a sum, in minor units and in the order given.
fn take(
    currency: Currency,
    coupons: &[Coupon],
    order: CouponOrder,
    sum: i64,
) -> Result<Vec<i64>, DiscountError> {
    let sum_fine = i128::from(sum) * FINE;
    let mut taken = vec![0; coupons.len()];
    let (mut total, mut total_fine) = (0, 0);
    for index in order.sequence(coupons) {
        let left_fine = sum_fine - total_fine;
        total_fine += match coupons[index].value {
            CouponValue::Percent(percent) => {
                Fraction::of_percent(percent).ok_or(DiscountError::Percent)?.share_of(left_fine)
            }
            CouponValue::Fixed(amount) => {
                same_currency(currency, amount)?;
                let fixed = u64::try_from(amount.minor()).map_err(|_| DiscountError::Negative)?;
                left_fine.min(i128::from(fixed) * FINE)
            }
        };
        let total_after = rounded(total_fine);
        taken[index] = total_after - total;
        total = total_after;
    }
    Ok(taken)
}

fn allocate_in_turn(taken: &[i64], weights: &[i64]) -> Vec<i64> {
    let mut remaining = weights.to_vec();
    for amount in taken {
        let shares = allocate(*amount, &remaining);
        for (left, share) in remaining.iter_mut().zip(shares) {
            *left -= share;
        }
    }
    weights.iter().zip(remaining).map(|(weight, left)| weight - left).collect()
}

fn same_currency(invoice: Currency, amount: Money) -> Result<(), DiscountError> {
    let coupon = amount.currency();
    if coupon == invoice { Ok(()) } else { Err(DiscountError::Currency { coupon, invoice }) }
}

/// Rounds what is taken to minor units, half-up.
fn rounded(taken_fine: i128) -> i64 {
    let minor = taken_fine / FINE + i128::from(taken_fine % FINE >= FINE / 2);
    i64::try_from(minor).expect("no more is taken than the sum, which fits 64 bits")
}
