//! Numbers as people read them.

use rust_decimal::Decimal;
use usance_core::money::{Currency, Money as Exact};

use super::answers::Money;

/// A decimal without needless zeros, its thousands parted by commas.
pub(super) fn grouped(number: Decimal) -> String {
    group(&number.normalize().to_string())
}

/// An amount in major units with all digits of its currency, without the currency's code.
pub(super) fn major(money: &Money) -> String {
    match Currency::parse(&money.currency) {
        Ok(currency) => group(&Exact::new(money.amount_minor, currency).to_decimal().to_string()),
        Err(_) => format!("{} minor units", group(&money.amount_minor.to_string())),
    }
}

fn group(number: &str) -> String {
    let (whole, fraction) =
        number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}
