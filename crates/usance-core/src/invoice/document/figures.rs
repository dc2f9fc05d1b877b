//! Figures and dates as they are printed, the same in every rendering.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::decimal::decimal_text;
use crate::money::{Currency, Money};

/// The digits between two separators.
const GROUP_DIGITS: usize = 3;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes an amount without its currency and with all digits of the minor unit, such as `-1,234.50`.
pub fn amount_text(amount: Money) -> String {
    grouped(&amount.to_decimal().to_string())
}

/// Writes an amount that is taken off, such as `-12.00` for 12.00.
pub fn deduction_text(amount: Money) -> String {
    let deduction = -amount.to_decimal();
    // A negative zero would keep its sign.
    grouped(deduction.to_string().as_str().trim_start_matches(if deduction.is_zero() { "-" } else { "" }))
}

/// Writes a quantity or a percentage in full, without trailing zeros, such as `1,250,000.5`.
pub fn grouped_text(value: Decimal) -> String {
    grouped(&decimal_text(value))
}

/// Writes a price of one unit in full, with at least the digits that the currency has, such as `0.00012` or `19.00`.
pub fn unit_price_text(price: Decimal, currency: Currency) -> String {
    let text = decimal_text(price);
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let missing = usize::try_from(currency.exponent()).unwrap_or(0).saturating_sub(digits);
    let point = if digits == 0 && missing > 0 { "." } else { "" };
    grouped(&format!("{text}{point}{}", "0".repeat(missing)))
}

/// Writes a day so that no country can misread it, such as `1 Feb 2026`.
pub fn date_text(date: Date) -> String {
    let month = usize::from(date.month().unsigned_abs()).saturating_sub(1);
    let month = MONTHS.get(month).copied().unwrap_or_default();
    format!("{} {month} {}", date.day(), date.year())
}

fn grouped(plain: &str) -> String {
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain), |digits| ("-", digits));
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut separated = String::with_capacity(plain.len() * 2);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(GROUP_DIGITS) {
            separated.push(',');
        }
        separated.push(digit);
    }
    format!("{sign}{separated}{fraction}")
}
