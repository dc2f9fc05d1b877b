//! Exact decimals: every operation gives the exact result or an error, never a rounded one.
//!
//! `rust_decimal` rounds a sum or a product that needs more digits than it holds and reports nothing, so its
//! operators are not used on prices and quantities: these functions work on the integer digits.

mod parse;
#[cfg(test)]
mod tests;

pub use parse::parse_decimal;

use rust_decimal::Decimal;
use thiserror::Error;

/// Digits after the point that a stored price or quantity may have, as in the column type `NUMERIC(28,12)`.
pub const SCALE_MAX: u32 = 12;

/// Significant digits of any exact decimal, the largest count that every 96-bit mantissa can hold.
pub const DIGITS_MAX: u32 = 28;

/// The smallest mantissa that has more than [`DIGITS_MAX`] digits.
const MANTISSA_END: i128 = power_of_ten(DIGITS_MAX);

/// The smallest whole number that a stored decimal cannot have, which leaves [`SCALE_MAX`] digits of the column.
const STORED_END: i128 = power_of_ten(DIGITS_MAX - SCALE_MAX);

/// Why a decimal cannot be read, stored or computed without losing a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// The text is not an optional sign, digits, an optional fraction and an optional exponent.
    #[error("is not a decimal number")]
    Malformed,
    /// The value has more significant digits, or digits after the point, than are kept.
    #[error("has more digits than are kept exactly")]
    TooPrecise,
    /// The value is beyond the largest one that is kept.
    #[error("is too large")]
    TooLarge,
    /// A quotient has no value.
    #[error("divides by zero")]
    DivisionByZero,
}

/// Gives the one text of a value: no exponent, no trailing zeros, and `0` for a negative zero.
pub fn decimal_text(value: Decimal) -> String {
    if value.is_zero() { "0".to_owned() } else { value.normalize().to_string() }
}

/// Returns the normalised value if it fits a stored column: at most [`SCALE_MAX`] digits after the point and
/// fewer than 17 before it.
pub fn stored_decimal(value: Decimal) -> Result<Decimal, DecimalError> {
    let value = value.normalize();
    if value.trunc().mantissa().abs() >= STORED_END {
        return Err(DecimalError::TooLarge);
    }
    if value.scale() > SCALE_MAX {
        return Err(DecimalError::TooPrecise);
    }
    Ok(value)
}

/// Adds two decimals; an error means that the sum needs more than [`DIGITS_MAX`] digits.
pub fn exact_add(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    if a.scale() == b.scale() {
        return from_digits(a.mantissa() + b.mantissa(), a.scale());
    }
    let (left, right, scale) = aligned(a, b)?;
    let sum = left.checked_add(right).ok_or(DecimalError::TooPrecise)?;
    from_digits(sum, scale)
}

/// Subtracts `b` from `a`; an error means that the difference needs more than [`DIGITS_MAX`] digits.
pub fn exact_sub(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    exact_add(a, -b)
}

/// Multiplies two decimals; an error means that the product needs more than [`DIGITS_MAX`] digits.
pub fn exact_mul(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    let (left, right) = (a.normalize(), b.normalize());
    let scale = left.scale() + right.scale();
    if let Some(product) = left.mantissa().checked_mul(right.mantissa()) {
        return from_digits(product, scale);
    }
    let (left_digits, right_digits, tens) = without_shared_tens(left.mantissa(), right.mantissa());
    let too_long = if a.checked_mul(b).is_none() { DecimalError::TooLarge } else { DecimalError::TooPrecise };
    // Neither factor brings a trailing zero to the product any more, so digits beyond i128 cannot be dropped.
    let product = left_digits.checked_mul(right_digits).ok_or(too_long)?;
    if tens <= scale {
        return from_digits(product, scale - tens);
    }
    let whole = 10_i128.checked_pow(tens - scale).and_then(|power| product.checked_mul(power));
    from_digits(whole.ok_or(DecimalError::TooLarge)?, 0)
}

/// Divides to a whole quotient and the exact remainder, which has the sign of the dividend as in integer division.
///
/// Two values whose digits together span more than 38 places are refused, which no two stored values do.
pub fn exact_div_rem(dividend: Decimal, divisor: Decimal) -> Result<(Decimal, Decimal), DecimalError> {
    if divisor.is_zero() {
        return Err(DecimalError::DivisionByZero);
    }
    let (dividend, divisor, scale) = aligned(dividend, divisor)?;
    let quotient = from_digits(dividend / divisor, 0)?;
    let remainder = from_digits(dividend % divisor, scale)?;
    Ok((quotient, remainder))
}

/// Divides by a power of ten half-up, away from zero at exactly one half, on integers.
pub(crate) fn div_power_of_ten_half_up(value: i128, power: u32) -> i128 {
    let divisor = power_of_ten(power);
    let (quotient, remainder) = (value / divisor, value % divisor);
    if remainder.abs() >= divisor - remainder.abs() && remainder != 0 {
        quotient + value.signum()
    } else {
        quotient
    }
}

/// Gives 10 to the power, which fits as long as the power is at most 38.
pub(crate) const fn power_of_ten(power: u32) -> i128 {
    10_i128.pow(power)
}

/// Builds the value of `digits * 10^-scale`, dropping trailing zeros only as far as the limits require.
fn from_digits(digits: i128, scale: u32) -> Result<Decimal, DecimalError> {
    let (mut digits, mut scale) = if digits == 0 { (0, 0) } else { (digits, scale) };
    while (digits.abs() >= MANTISSA_END || scale > DIGITS_MAX) && scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if digits.abs() >= MANTISSA_END {
        let whole_digits = digits.abs().ilog10().saturating_sub(scale);
        let error =
            if whole_digits >= DIGITS_MAX { DecimalError::TooLarge } else { DecimalError::TooPrecise };
        return Err(error);
    }
    Decimal::try_from_i128_with_scale(digits, scale).map_err(|_| DecimalError::TooPrecise)
}

/// Brings two values to integers of one scale.
///
/// An overflow means that a sum would lose a digit: the other value then ends in a digit that is not zero, at least
/// 38 places below the first digit of the one that overflowed.
fn aligned(a: Decimal, b: Decimal) -> Result<(i128, i128, u32), DecimalError> {
    let (a, b) = (a.normalize(), b.normalize());
    let scale = a.scale().max(b.scale());
    let left = a.mantissa().checked_mul(power_of_ten(scale - a.scale()));
    let right = b.mantissa().checked_mul(power_of_ten(scale - b.scale()));
    let (Some(left), Some(right)) = (left, right) else { return Err(DecimalError::TooPrecise) };
    Ok((left, right, scale))
}

/// Takes every factor ten out of a product before it is computed: 2s of one factor against 5s of the other.
fn without_shared_tens(a: i128, b: i128) -> (i128, i128, u32) {
    let (mut a, mut b, mut tens) = (a, b, 0);
    while a != 0 && b != 0 {
        if a % 5 == 0 && b % 2 == 0 {
            (a, b) = (a / 5, b / 2);
        } else if a % 2 == 0 && b % 5 == 0 {
            (a, b) = (a / 2, b / 5);
        } else {
            break;
        }
        tens += 1;
    }
    (a, b, tens)
}
