//! Exact decimals as they are written in a file.

use rust_decimal::Decimal;

/// Tells whether the text is a plain decimal: sign, digits, fraction, exponent, and nothing else.
///
/// The grammar is checked here because the parser of `rust_decimal` also accepts underscores.
pub(super) fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    is_digits(whole) && fraction.is_none_or(is_digits) && exponent.is_none_or(is_digits)
}

/// Tells whether the text can stand in JSON as a number as it is: no leading plus or zeros.
pub(super) fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let leading_zero = unsigned.len() > 1 && unsigned[0] == b'0' && unsigned[1].is_ascii_digit();
    is_decimal(text) && !text.starts_with('+') && !leading_zero
}

/// Reads a decimal without rounding; `None` when it is not one or has more digits than can be kept.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    if !is_decimal(text) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    match text.split_once(['e', 'E']) {
        None => Decimal::from_str_exact(text).ok(),
        Some((mantissa, exponent)) => shift(Decimal::from_str_exact(mantissa).ok()?, exponent.parse().ok()?),
    }
}

/// Adds or subtracts without rounding; `None` when the result has more digits than can be kept.
///
/// `Decimal::checked_add` rounds silently past 28 digits, so the sum is taken over integers.
pub(super) fn sum(terms: &[(Sign, Decimal)]) -> Option<Decimal> {
    let scale = terms.iter().map(|(_, value)| value.scale()).max().unwrap_or(0);
    let mut total: i128 = 0;
    for (sign, value) in terms {
        let factor = 10_i128.checked_pow(scale - value.scale())?;
        let aligned = value.mantissa().checked_mul(factor)?;
        total = match sign {
            Sign::Plus => total.checked_add(aligned)?,
            Sign::Minus => total.checked_sub(aligned)?,
        };
    }
    Decimal::try_from_i128_with_scale(total, scale).ok()
}

/// The operator before a term of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The term is added.
    Plus,
    /// The term is subtracted.
    Minus,
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Multiplies by a power of ten.
fn shift(value: Decimal, exponent: i32) -> Option<Decimal> {
    let scale = i32::try_from(value.scale()).ok()?.checked_sub(exponent)?;
    if let Ok(scale) = u32::try_from(scale) {
        return Decimal::try_from_i128_with_scale(value.mantissa(), scale).ok();
    }
    let factor = 10_i128.checked_pow(scale.unsigned_abs())?;
    Decimal::try_from_i128_with_scale(value.mantissa().checked_mul(factor)?, 0).ok()
}
