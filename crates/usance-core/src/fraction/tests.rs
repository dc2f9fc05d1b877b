use proptest::prelude::*;
use rust_decimal::Decimal;

use super::Fraction;
use crate::programmes::programmes;

fn fraction(numerator: i128, denominator: i128) -> Fraction {
    Fraction::new(numerator, denominator).unwrap()
}

#[test]
fn only_shares_of_a_whole_are_fractions() {
    for (numerator, denominator) in [(0, 0), (-1, 2), (3, 2), (0, -1), (1, i128::MAX)] {
        assert_eq!(Fraction::new(numerator, denominator), None, "{numerator}/{denominator}");
    }
    assert_eq!(Fraction::of_decimals(Decimal::new(125, 1), Decimal::ONE_HUNDRED), Fraction::new(1, 8));
    assert_eq!(Fraction::of_decimals(Decimal::ONE, Decimal::ZERO), None);
    assert_ne!(fraction(1, 3), fraction(333, 1_000));
}

#[test]
fn one_half_is_rounded_away_from_zero() {
    let half = fraction(14, 28);

    assert_eq!([1, -1, 3, -3, 0].map(|value| half.share_of(value)), [1, -1, 2, -2, 0]);
    assert_eq!(half.share_of(i128::MAX), i128::MAX / 2 + 1);
    assert_eq!(half.share_of(i128::MIN), i128::MIN / 2);
    assert_eq!(Fraction::WHOLE.share_of(i128::MIN), i128::MIN);
}

#[test]
fn the_share_of_a_decimal_is_rounded_once() {
    // 1.5 times 0.9999 is 1.49985, which is 1 at once and would be 2 by way of 1.5.
    assert_eq!(fraction(9_999, 10_000).share_of_decimal(Decimal::new(15, 1), 0), Some(1));
    assert_eq!(fraction(1, 3).share_of_decimal(Decimal::new(-5, 2), 4), Some(-167));
    assert_eq!(fraction(1, 1).share_of_decimal(Decimal::new(5, 3), 2), Some(1));
    assert_eq!(Fraction::WHOLE.share_of_decimal(Decimal::MAX, 12), None);
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn a_share_is_the_nearest_integer(value in any::<i64>(), denominator in 1_i64.., part in any::<u64>()) {
        let share = fraction(i128::from(part) % (i128::from(denominator) + 1), i128::from(denominator));

        let rounded = share.share_of(i128::from(value));

        let error = i128::from(value) * share.numerator() - rounded * share.denominator();
        prop_assert!(2 * error.abs() <= share.denominator());
        prop_assert!(2 * error.abs() < share.denominator() || rounded.signum() == i128::from(value).signum());
        prop_assert!(rounded.abs() <= i128::from(value).abs());
    }

    #[test]
    fn a_share_and_its_rest_differ_from_the_whole_by_at_most_one(value in any::<i64>(), whole in 1_i64.., part in any::<u64>()) {
        let share = fraction(i128::from(part) % (i128::from(whole) + 1), i128::from(whole));

        let sum = share.share_of(i128::from(value)) + share.rest().share_of(i128::from(value));

        prop_assert!((sum - i128::from(value)).abs() <= 1);
        prop_assert_eq!(share.rest().rest(), share);
    }

    #[test]
    fn decimals_and_integers_are_shared_alike(digits in any::<i64>(), scale in 0_u32..=12, target in 0_u32..=6, whole in 1_i128..400, part in 0_i128..400) {
        let share = fraction(part.min(whole), whole);
        let value = Decimal::new(digits, scale);

        let rounded = share.share_of_decimal(value, target).unwrap();

        // Both sides are brought to the denominator times ten to both scales.
        let exact = i128::from(digits) * share.numerator() * 10_i128.pow(target);
        let error = exact - rounded * share.denominator() * 10_i128.pow(scale);
        prop_assert!(2 * error.abs() <= share.denominator() * 10_i128.pow(scale));
    }
}
