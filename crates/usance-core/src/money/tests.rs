use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Currency, Money, MoneyError};
use crate::decimal::parse_decimal;

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn rounded(exact: &str, code: &str) -> String {
    Money::from_exact(parse_decimal(exact).unwrap(), currency(code)).unwrap().to_string()
}

#[test]
fn currencies_have_the_exponent_of_iso_4217() {
    for (code, exponent) in
        [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4)]
    {
        assert_eq!(currency(code).exponent(), exponent, "{code}");
        assert_eq!(currency(code).code(), code);
    }
}

#[test]
fn text_that_is_no_payable_currency_is_refused() {
    for code in ["", "usd", "US", "USDT", "ABC", "XXX", "XAU", "XTS", "U$D", "\u{20ac}"] {
        assert!(Currency::parse(code).is_err(), "{code}");
    }
}

// Figures published as "fp-round-*" in the conformance cases, and their mirror images below zero.
#[test]
fn an_exact_amount_is_rounded_half_up_to_the_exponent() {
    let cases = [
        ("10.278798", "USD", "USD 10.28"),
        ("10.271", "USD", "USD 10.27"),
        ("10.275", "USD", "USD 10.28"),
        ("1023.45", "JPY", "JPY 1023"),
        ("1023.5", "JPY", "JPY 1024"),
        ("99.996", "EUR", "EUR 100.00"),
        ("99999999.999", "USD", "USD 100000000.00"),
        ("0.9", "JPY", "JPY 1"),
        ("100.5", "JPY", "JPY 101"),
        ("-10.275", "USD", "USD -10.28"),
        ("-10.2749999999999999999999999", "USD", "USD -10.27"),
        ("0.0005", "KWD", "KWD 0.001"),
        ("7", "KWD", "KWD 7.000"),
        ("0.004999999999999999999999999", "USD", "USD 0.00"),
    ];
    for (exact, code, expected) in cases {
        assert_eq!(rounded(exact, code), expected, "{exact} {code}");
    }
}

#[test]
fn an_amount_beyond_64_bits_is_refused() {
    let usd = currency("USD");
    let largest = Money::new(i64::MAX, usd);

    assert_eq!(Money::from_exact(largest.to_decimal(), usd), Ok(largest));
    assert_eq!(
        Money::from_exact(parse_decimal("92233720368547758.075").unwrap(), usd),
        Err(MoneyError::TooLarge)
    );
    assert_eq!(Money::from_exact(Decimal::MAX, currency("CLF")), Err(MoneyError::TooLarge));
    assert_eq!(largest.checked_add(Money::new(1, usd)), Err(MoneyError::TooLarge));
    assert_eq!(Money::new(i64::MIN, usd).checked_sub(Money::new(1, usd)), Err(MoneyError::TooLarge));
    assert_eq!(Money::new(i64::MIN, usd).to_string(), "USD -92233720368547758.08");
}

#[test]
fn two_currencies_are_not_added() {
    let (left, right) = (currency("USD"), currency("EUR"));

    let sum = Money::new(1, left).checked_add(Money::new(1, right));

    assert_eq!(sum, Err(MoneyError::CurrencyMismatch { left, right }));
    assert_eq!(
        Money::zero(left).checked_sub(Money::zero(right)),
        Err(MoneyError::CurrencyMismatch { left, right })
    );
}

proptest! {
    #[test]
    fn an_amount_survives_its_decimal(minor in any::<i64>(), index in 0_usize..3) {
        let currency = currency(["JPY", "USD", "KWD"][index]);
        let money = Money::new(minor, currency);

        prop_assert_eq!(Money::from_exact(money.to_decimal(), currency), Ok(money));
    }

    #[test]
    fn rounding_is_odd_and_moves_by_at_most_half_a_unit(digits in -1_000_000_000_000_i64..1_000_000_000_000, scale in 0_u32..=12) {
        let (exact, usd) = (Decimal::new(digits, scale), currency("USD"));

        let money = Money::from_exact(exact, usd).unwrap();

        prop_assert_eq!(Money::from_exact(-exact, usd).unwrap().minor(), -money.minor());
        prop_assert!((money.to_decimal() - exact).abs() <= Decimal::new(5, 3));
    }
}
