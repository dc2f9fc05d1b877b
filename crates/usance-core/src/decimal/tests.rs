use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{
    DecimalError, decimal_text, div_power_of_ten_half_up, exact_add, exact_div_rem, exact_mul, exact_sub,
    parse_decimal, stored_decimal,
};

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn read(text: &str) -> Result<String, DecimalError> {
    parse_decimal(text).map(decimal_text)
}

#[test]
fn text_is_read_exactly_and_written_in_its_one_form() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000e-5", "0"),
        ("+7", "7"),
        ("007.50", "7.5"),
        ("0.50", "0.5"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("-12.5e-1", "-1.25"),
        ("1200e-2", "12"),
        ("0e999999999999999999999", "0"),
        ("9999999999999999999999999999", "9999999999999999999999999999"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("1.0000000000000000000000000000000000000000", "1"),
        ("0.00000000000000000000000000000000000001e38", "1"),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn text_that_cannot_be_kept_exactly_is_refused_with_the_reason() {
    let cases = [
        ("", DecimalError::Malformed),
        ("-", DecimalError::Malformed),
        ("+-1", DecimalError::Malformed),
        (".5", DecimalError::Malformed),
        ("5.", DecimalError::Malformed),
        ("1_000", DecimalError::Malformed),
        ("1,5", DecimalError::Malformed),
        (" 1", DecimalError::Malformed),
        ("1e", DecimalError::Malformed),
        ("1e1.5", DecimalError::Malformed),
        ("1e1e1", DecimalError::Malformed),
        ("NaN", DecimalError::Malformed),
        ("Infinity", DecimalError::Malformed),
        ("0x10", DecimalError::Malformed),
        ("\u{661}", DecimalError::Malformed),
        ("12345678901234567890123456789", DecimalError::TooLarge),
        ("1e28", DecimalError::TooLarge),
        ("-1e99999999999999999999", DecimalError::TooLarge),
        ("1.2345678901234567890123456789", DecimalError::TooPrecise),
        ("1e-29", DecimalError::TooPrecise),
        ("1e-99999999999999999999", DecimalError::TooPrecise),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), Err(expected), "{text}");
    }
}

#[test]
fn a_stored_decimal_has_sixteen_digits_before_the_point_and_twelve_after_it() {
    assert_eq!(
        stored_decimal(decimal("9999999999999999.999999999999")).map(decimal_text).as_deref(),
        Ok("9999999999999999.999999999999")
    );
    assert_eq!(stored_decimal(decimal("10000000000000000")), Err(DecimalError::TooLarge));
    assert_eq!(stored_decimal(decimal("-10000000000000000")), Err(DecimalError::TooLarge));
    assert_eq!(stored_decimal(decimal("0.0000000000001")), Err(DecimalError::TooPrecise));
    assert_eq!(stored_decimal(Decimal::new(10, 13)).map(|value| value.scale()), Ok(12));
}

#[test]
fn a_product_that_the_library_would_round_is_an_error() {
    // given a product of 34 digits
    let (a, b) = (decimal("123456789.123456789012"), decimal("987654321.987654321098"));

    // when it is computed by the library and exactly
    let rounded = a.checked_mul(b);
    let exact = exact_mul(a, b);

    // then only the exact one says so
    assert!(rounded.is_some());
    assert_eq!(exact, Err(DecimalError::TooPrecise));
}

#[test]
fn products_are_exact_or_refused() {
    let cases = [
        ("0.001", "8819", Ok("8.819")),
        ("0.00002", "18305870", Ok("366.1174")),
        ("-0.5", "0.2", Ok("-0.1")),
        ("0", "9999999999999999999999999999", Ok("0")),
        ("0.00000000000005", "0.00000000000002", Ok("0.000000000000000000000000001")),
        // 2^90 * 5^38 * 10^-24 ends in 38 zeros, which takes it through a product of 54 digits.
        ("1237940039285380.274899124224", "363797880709171295166015625", Err(DecimalError::TooLarge)),
        ("12379400392.85380274899124224", "0.363797880709171295166015625", Ok("4503599627.370496")),
        ("0.1237940039285380274899124224", "363797880709171295.166015625", Ok("45035996273704960")),
        ("99999999999999", "999999999999999", Err(DecimalError::TooLarge)),
        ("0.00000000000001", "0.000000000000001", Err(DecimalError::TooPrecise)),
    ];
    for (a, b, expected) in cases {
        let product = exact_mul(decimal(a), decimal(b)).map(decimal_text);
        assert_eq!(product, expected.map(str::to_owned), "{a} * {b}");
    }
}

#[test]
fn sums_are_exact_or_refused() {
    let cases = [
        ("0.1", "0.2", Ok("0.3")),
        ("5", "-5.0", Ok("0")),
        ("9999999999999999999999999998", "1", Ok("9999999999999999999999999999")),
        ("9999999999999999999999999999", "1", Err(DecimalError::TooLarge)),
        ("999999999999999999999999999.9", "0.1", Ok("1000000000000000000000000000")),
        ("9999999999999999999999999999", "0.1", Err(DecimalError::TooPrecise)),
        ("1000000000000000", "0.0000000000001", Err(DecimalError::TooPrecise)),
        ("1000000000000000000000000000", "0.0000000000000000000000000001", Err(DecimalError::TooPrecise)),
    ];
    for (a, b, expected) in cases {
        let sum = exact_add(decimal(a), decimal(b)).map(decimal_text);
        assert_eq!(sum, expected.map(str::to_owned), "{a} + {b}");
    }
}

#[test]
fn a_division_gives_the_whole_quotient_and_the_exact_remainder() {
    let cases = [
        ("21", "10", Ok(("2", "1"))),
        ("-21", "10", Ok(("-2", "-1"))),
        ("0.3", "0.1", Ok(("3", "0"))),
        ("1", "0.3", Ok(("3", "0.1"))),
        ("1", "0", Err(DecimalError::DivisionByZero)),
        ("9999999999999999999999999999", "0.000000000001", Err(DecimalError::TooPrecise)),
    ];
    for (dividend, divisor, expected) in cases {
        let result = exact_div_rem(decimal(dividend), decimal(divisor))
            .map(|(quotient, remainder)| (decimal_text(quotient), decimal_text(remainder)));
        let expected = expected.map(|(quotient, remainder)| (quotient.to_owned(), remainder.to_owned()));
        assert_eq!(result, expected, "{dividend} / {divisor}");
    }
}

#[test]
fn halves_are_rounded_away_from_zero() {
    for (value, expected) in
        [(14, 1), (15, 2), (16, 2), (-14, -1), (-15, -2), (4, 0), (5, 1), (-5, -1), (0, 0)]
    {
        assert_eq!(div_power_of_ten_half_up(value, 1), expected, "{value}");
    }
    assert_eq!(div_power_of_ten_half_up(-7, 0), -7);
}

/// Any value of up to 28 digits with any scale.
fn any_decimal() -> impl Strategy<Value = Decimal> {
    (0_u32..=28, 0_u32..=28, any::<bool>())
        .prop_flat_map(|(digits, scale, negative)| {
            (0..10_i128.pow(digits)).prop_map(move |value| (if negative { -value } else { value }, scale))
        })
        .prop_map(|(value, scale)| Decimal::try_from_i128_with_scale(value, scale).unwrap())
}

proptest! {
    #[test]
    fn a_decimal_survives_its_text(value in any_decimal()) {
        prop_assert_eq!(parse_decimal(&decimal_text(value)), Ok(value));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}([eE][-+]?[0-9]{0,25})?|.{0,20}") {
        if let Ok(value) = parse_decimal(&text) {
            prop_assert_eq!(parse_decimal(&decimal_text(value)), Ok(value));
        }
    }

    #[test]
    fn subtraction_undoes_an_exact_sum(a in any_decimal(), b in any_decimal()) {
        if let Ok(sum) = exact_add(a, b) {
            prop_assert_eq!(exact_sub(sum, b), Ok(a));
            prop_assert_eq!(exact_add(b, a), Ok(sum));
        }
    }

    #[test]
    fn an_exact_product_divides_back_without_a_remainder(a in -1_000_000_000_i64..1_000_000_000, b in any_decimal()) {
        let a = Decimal::from(a);
        if let Ok(product) = exact_mul(a, b) && !b.is_zero() {
            prop_assert_eq!(exact_div_rem(product, b), Ok((a, Decimal::ZERO)));
        }
    }

    #[test]
    fn an_exact_product_is_the_product_of_the_digits(a in any::<i64>(), b in any::<i32>(), scale in 0_u32..=14) {
        let product = exact_mul(Decimal::new(a, scale), Decimal::new(i64::from(b), scale));
        let digits = i128::from(a) * i128::from(b);
        if let Ok(product) = product {
            let expected = Decimal::try_from_i128_with_scale(digits, scale * 2).unwrap();
            prop_assert_eq!(product, expected);
        } else {
            prop_assert!(digits.abs() >= 10_i128.pow(28));
        }
    }

    #[test]
    fn quotient_and_remainder_rebuild_the_dividend(
        a in any::<i64>(),
        b in any::<i64>(),
        a_scale in 0_u32..=9,
        b_scale in 0_u32..=9,
    ) {
        prop_assume!(b != 0);
        let (a, b) = (Decimal::new(a, a_scale), Decimal::new(b, b_scale));

        let (quotient, remainder) = exact_div_rem(a, b).unwrap();

        let rebuilt = exact_mul(quotient, b).and_then(|product| exact_add(product, remainder));
        prop_assert_eq!(rebuilt, Ok(a));
        prop_assert_eq!(quotient, quotient.trunc());
        prop_assert!(remainder.abs() < b.abs());
    }
}
