//! Exact shares: a numerator over a denominator, applied to an amount with a single rounding at the end.

#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

use crate::decimal::power_of_ten;

/// The largest denominator, which keeps the product of two denominators within 128 bits.
const DENOMINATOR_MAX: i128 = i64::MAX as i128;

/// A share of a whole, from 0 to 1, kept as it was counted: 14 of 28 days stay 14/28, and equal 1/2.
#[derive(Debug, Clone, Copy)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    /// Nothing of it.
    pub const NONE: Self = Self { numerator: 0, denominator: 1 };

    /// All of it.
    pub const WHOLE: Self = Self { numerator: 1, denominator: 1 };

    /// Takes a share between 0 and 1; the denominator is positive and below 2^63.
    pub const fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let is_share = 0 <= numerator && numerator <= denominator;
        if is_share && 0 < denominator && denominator <= DENOMINATOR_MAX {
            Some(Self { numerator, denominator })
        } else {
            None
        }
    }

    /// Takes the ratio of two decimals, which is a share if the part is not negative and not above the whole.
    pub fn of_decimals(part: Decimal, whole: Decimal) -> Option<Self> {
        let (part, whole) = (part.normalize(), whole.normalize());
        let scale = part.scale().max(whole.scale());
        let numerator = part.mantissa().checked_mul(power_of_ten(scale - part.scale()))?;
        let denominator = whole.mantissa().checked_mul(power_of_ten(scale - whole.scale()))?;
        Self::new(numerator, denominator)
    }

    /// Takes a percentage between 0 and 100.
    pub fn of_percent(percent: Decimal) -> Option<Self> {
        Self::of_decimals(percent, Decimal::ONE_HUNDRED)
    }

    /// Returns what was counted.
    pub const fn numerator(self) -> i128 {
        self.numerator
    }

    /// Returns what it was counted out of.
    pub const fn denominator(self) -> i128 {
        self.denominator
    }

    /// Returns what is missing to the whole.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self { numerator: self.denominator - self.numerator, denominator: self.denominator }
    }

    /// Takes the share of an integer, rounded half-up, away from zero at one half.
    pub const fn share_of(self, value: i128) -> i128 {
        let (whole, rest) = self.split(value.unsigned_abs());
        let magnitude = if 2 * rest >= self.denominator { whole + 1 } else { whole };
        // The magnitude of i128::MIN reads as i128::MIN, which is its own negative.
        if value < 0 { magnitude.wrapping_neg() } else { magnitude }
    }

    /// Takes the share of a decimal as an integer of `10^-scale`, rounded half-up once from the exact ratio; nothing is
    /// returned if the result is beyond 128 bits.
    pub fn share_of_decimal(self, value: Decimal, scale: u32) -> Option<i128> {
        let value = value.normalize();
        if value.scale() <= scale {
            let raised = value.mantissa().checked_mul(10_i128.checked_pow(scale - value.scale())?)?;
            return Some(self.share_of(raised));
        }
        // Half of a power of ten is whole, so the fraction that is cut off here cannot decide the rounding.
        let (whole, _) = self.split(value.mantissa().unsigned_abs());
        let divisor = power_of_ten(value.scale() - scale);
        let magnitude = whole / divisor + i128::from(whole % divisor >= divisor / 2);
        Some(if value.is_sign_negative() { -magnitude } else { magnitude })
    }

    /// Multiplies without overflow: the whole part of the share, and what is left over the denominator.
    const fn split(self, magnitude: u128) -> (i128, i128) {
        let (numerator, denominator) = (self.numerator.unsigned_abs(), self.denominator.unsigned_abs());
        let (quotient, remainder) = (magnitude / denominator, magnitude % denominator);
        let product = remainder * numerator;
        let whole = quotient * numerator + product / denominator;
        (whole.cast_signed(), (product % denominator).cast_signed())
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.numerator * other.denominator == other.numerator * self.denominator
    }
}

impl Eq for Fraction {}
