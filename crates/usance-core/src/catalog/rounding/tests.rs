use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{QuantityRounding, RoundingMode};
use crate::decimal::{DecimalError, decimal_text, exact_mul, exact_sub, parse_decimal};

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn rounding(mode: RoundingMode, scale: i8) -> QuantityRounding {
    QuantityRounding { mode, scale }
}

#[test]
fn values_go_to_the_neighbour_that_the_mode_names() {
    let cases = [
        (RoundingMode::HalfUp, 2, "123.456", "123.46"),
        (RoundingMode::HalfUp, -2, "123.456", "100"),
        (RoundingMode::HalfUp, 0, "2.5", "3"),
        (RoundingMode::HalfUp, 0, "-2.5", "-3"),
        (RoundingMode::HalfUp, -2, "150", "200"),
        (RoundingMode::Ceil, 0, "123.456", "124"),
        (RoundingMode::Ceil, -2, "123.456", "200"),
        (RoundingMode::Ceil, 0, "-1.5", "-1"),
        (RoundingMode::Floor, -2, "123.456", "100"),
        (RoundingMode::Floor, 0, "-1.5", "-2"),
        (RoundingMode::Floor, 12, "0.000000000001", "0.000000000001"),
    ];
    for (mode, scale, value, expected) in cases {
        let rounded = rounding(mode, scale).round(decimal(value)).map(decimal_text);
        assert_eq!(rounded.as_deref(), Ok(expected), "{mode:?} {scale} {value}");
    }
}

#[test]
fn a_quotient_is_rounded_once_from_its_exact_value() {
    let third = QuantityRounding::STORED.divide(decimal("1"), decimal("3")).map(decimal_text);
    let twice = rounding(RoundingMode::HalfUp, 0).divide(decimal("1.4999999999999"), decimal("1"));

    assert_eq!(third.as_deref(), Ok("0.333333333333"));
    assert_eq!(twice, Ok(Decimal::ONE));
    assert_eq!(rounding(RoundingMode::Ceil, 0).divide(decimal("1400"), decimal("1000")), Ok(decimal("2")));
    assert_eq!(
        QuantityRounding::STORED.divide(Decimal::ONE, Decimal::ZERO),
        Err(DecimalError::DivisionByZero)
    );
}

proptest! {
    #[test]
    fn a_rounded_value_is_a_multiple_of_its_unit_and_less_than_one_unit_away(
        digits in any::<i64>(),
        places in 0_u32..=12,
        scale in -6_i8..=12,
        mode in prop::sample::select(RoundingMode::ALL.to_vec()),
    ) {
        let value = Decimal::new(digits, places);
        let rounded = rounding(mode, scale).round(value).unwrap();

        let unit = if scale < 0 { Decimal::new(10_i64.pow(scale.unsigned_abs().into()), 0) } else {
            Decimal::new(1, scale.unsigned_abs().into())
        };
        let distance = exact_sub(rounded, value).unwrap();
        prop_assert!(distance.abs() < unit);
        match mode {
            RoundingMode::HalfUp => prop_assert!(exact_mul(distance.abs(), decimal("2")).unwrap() <= unit),
            RoundingMode::Ceil => prop_assert!(distance >= Decimal::ZERO),
            RoundingMode::Floor => prop_assert!(distance <= Decimal::ZERO),
        }
        prop_assert_eq!(rounding(mode, scale).round(rounded), Ok(rounded));
    }
}
