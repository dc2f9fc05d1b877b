//! Reading a decimal from its literal text.

use rust_decimal::Decimal;

use super::{DIGITS_MAX, DecimalError};

/// Beyond this, an exponent makes any number that is not zero too large or too precise.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// Reads a number as JSON writes it, also with a leading `+` or leading zeros, without ever rounding it.
///
/// Zeros at either end do not count as digits: `1e3` and `0.50` are read as 1000 and 0.5. A value of more than
/// 28 significant digits or 28 digits after the point is [`DecimalError::TooPrecise`], one of more than 28 digits
/// before the point [`DecimalError::TooLarge`]. Whether it may be *stored* is [`super::stored_decimal`]'s question.
pub fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, exponent) = split_exponent(unsigned)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (digits_of(whole)?, digits_of(fraction)?),
        None => (digits_of(number)?, ""),
    };
    let fraction_len = i64::try_from(fraction.len()).map_err(|_| DecimalError::TooPrecise)?;
    let (digits, scale) = trimmed(whole, fraction, fraction_len - exponent);
    let value = assemble(&digits, scale)?;
    Ok(if negative && !value.is_zero() { -value } else { value })
}

fn split_exponent(text: &str) -> Result<(&str, i64), DecimalError> {
    let Some((number, exponent)) = text.split_once(['e', 'E']) else { return Ok((text, 0)) };
    let (negative, unsigned) = match exponent.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let size = digits_of(unsigned)?.parse::<i64>().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Ok((number, if negative { -size } else { size }))
}

fn digits_of(text: &str) -> Result<&str, DecimalError> {
    let only_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if only_digits { Ok(text) } else { Err(DecimalError::Malformed) }
}

/// Drops the zeros at both ends; every trailing one makes the scale one smaller, also below zero.
fn trimmed(whole: &str, fraction: &str, scale: i64) -> (Vec<u8>, i64) {
    let (mut digits, mut scale) = (Vec::new(), scale);
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !digits.is_empty() || byte != b'0' {
            digits.push(byte - b'0');
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
        scale -= 1;
    }
    (digits, scale)
}

fn assemble(digits: &[u8], scale: i64) -> Result<Decimal, DecimalError> {
    if digits.is_empty() {
        return Ok(Decimal::ZERO);
    }
    let limit = i64::from(DIGITS_MAX);
    let count = i64::try_from(digits.len()).map_err(|_| DecimalError::TooPrecise)?;
    if count - scale > limit {
        return Err(DecimalError::TooLarge);
    }
    if count > limit || scale > limit {
        return Err(DecimalError::TooPrecise);
    }
    let mantissa = digits.iter().fold(0_i128, |value, digit| value * 10 + i128::from(*digit));
    let zeros = u32::try_from(-scale).unwrap_or(0);
    let scale = u32::try_from(scale).unwrap_or(0);
    Decimal::try_from_i128_with_scale(mantissa * super::power_of_ten(zeros), scale)
        .map_err(|_| DecimalError::TooLarge)
}
