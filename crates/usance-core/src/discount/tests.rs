use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Coupon, CouponDuration, CouponOrder, CouponValue, DiscountError, allocate, discount};
use crate::money::{Currency, Money};
use crate::programmes::costly_programmes;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn percent(value: i64) -> Coupon {
    Coupon { value: CouponValue::Percent(Decimal::from(value)) }
}

fn fixed(minor: i64) -> Coupon {
    Coupon { value: CouponValue::Fixed(usd(minor)) }
}

fn minors(amounts: &[Money]) -> Vec<i64> {
    amounts.iter().map(Money::minor).collect()
}

/// The amounts that coupons take and that lines lose.
#[track_caller]
fn check(order: CouponOrder, coupons: &[Coupon], lines: &[i64], by_coupon: &[i64], by_line: &[i64]) {
    let lines: Vec<Money> = lines.iter().map(|minor| usd(*minor)).collect();
    let found = discount(usd(0).currency(), coupons, order, &lines).unwrap();
    assert_eq!((minors(&found.by_coupon), minors(&found.by_line)), (by_coupon.to_vec(), by_line.to_vec()));
    assert_eq!(found.total.minor(), by_coupon.iter().sum::<i64>());
}

#[test]
fn percentages_compound() {
    check(CouponOrder::PercentBeforeFixed, &[percent(10), percent(25)], &[10_000], &[750, 2_500], &[3_250]);
    check(CouponOrder::AsApplied, &[percent(10), percent(25)], &[10_000], &[1_000, 2_250], &[3_250]);
    check(CouponOrder::AsApplied, &[percent(100), percent(25)], &[10_000], &[10_000, 0], &[10_000]);
}

#[test]
fn the_order_decides_whether_a_percentage_sees_a_fixed_amount() {
    let coupons = [fixed(5_000), percent(10)];

    check(CouponOrder::PercentBeforeFixed, &coupons, &[10_000], &[5_000, 1_000], &[6_000]);
    check(CouponOrder::AsApplied, &coupons, &[10_000], &[5_000, 500], &[5_500]);
    check(CouponOrder::ProRataOnRemaining, &coupons, &[10_000], &[5_000, 500], &[5_500]);
}

#[test]
fn a_fixed_amount_takes_only_what_is_left() {
    check(CouponOrder::default(), &[fixed(1_000), fixed(11_000)], &[10_000], &[1_000, 9_000], &[10_000]);
    check(CouponOrder::default(), &[fixed(1_000)], &[], &[0], &[]);
    check(CouponOrder::default(), &[], &[500], &[], &[0]);
}

#[test]
fn what_percentages_take_together_is_rounded_half_up() {
    // 50 % of 3 is 1.5, and with 50 % of the rest 2.25; 25 % of 10.02 is 2.505.
    check(CouponOrder::AsApplied, &[percent(50), percent(50)], &[3], &[2, 0], &[2]);
    check(CouponOrder::AsApplied, &[percent(25)], &[1_002], &[251], &[251]);
    check(CouponOrder::AsApplied, &[percent(50), fixed(1)], &[1], &[1, 0], &[1]);
}

#[test]
fn a_line_at_or_below_zero_is_left_alone() {
    check(CouponOrder::default(), &[percent(50)], &[1_000, -400, 0], &[500], &[500, 0, 0]);
}

#[test]
fn the_remainder_is_given_to_the_largest_fractions() {
    assert_eq!(allocate(100, &[333, 333, 334]), [33, 33, 34]);
    assert_eq!(allocate(1_000, &[10_000, 5_000, 3_000, 2_000]), [500, 250, 150, 100]);
    assert_eq!(allocate(2, &[1, 1, 1]), [1, 1, 0]);
    assert_eq!(allocate(5, &[1, 1]), [1, 1]);
    assert_eq!(allocate(5, &[]), [0_i64; 0]);
    assert_eq!(allocate(-5, &[1, -1]), [0, 0]);
}

#[test]
fn pro_rata_on_the_remaining_amount_divides_each_coupon_on_its_own() {
    // given two coupons of which the first leaves the lines equal
    let (lines, coupons) = ([2, 1], [fixed(1), fixed(1)]);

    // when and then: the second starts from what is left, or both are divided at once
    check(CouponOrder::ProRataOnRemaining, &coupons, &lines, &[1, 1], &[2, 0]);
    check(CouponOrder::AsApplied, &coupons, &lines, &[1, 1], &[1, 1]);
    check(CouponOrder::ProRataOnRemaining, &[fixed(3), fixed(3)], &[5, 5], &[3, 3], &[3, 3]);
}

#[test]
fn coupons_that_cannot_be_applied_are_refused() {
    let currency = usd(0).currency();
    let euro = Money::new(1, Currency::parse("EUR").unwrap());
    let other = Coupon { value: CouponValue::Fixed(euro) };
    let mismatch = DiscountError::Currency { coupon: euro.currency(), invoice: currency };
    let apply = |coupon, line| discount(currency, &[coupon], CouponOrder::default(), &[line, usd(i64::MAX)]);

    for value in [-1, 101] {
        assert_eq!(
            discount(currency, &[percent(value)], CouponOrder::AsApplied, &[usd(5)]),
            Err(DiscountError::Percent)
        );
    }
    assert_eq!(apply(fixed(-1), usd(0)), Err(DiscountError::Negative));
    assert_eq!(apply(other, usd(0)), Err(mismatch));
    assert_eq!(apply(fixed(1), euro), Err(mismatch));
    assert_eq!(apply(fixed(1), usd(1)), Err(DiscountError::TooLarge));
    assert_eq!(apply(percent(50), usd(0)).map(|found| found.total), Ok(usd(i64::MAX / 2 + 1)));
}

#[test]
fn a_coupon_is_used_up_after_its_invoices() {
    for (duration, left) in [
        (CouponDuration::Once, [Some(CouponDuration::Once), None, None]),
        (
            CouponDuration::Repeating(2),
            [Some(CouponDuration::Repeating(2)), Some(CouponDuration::Repeating(1)), None],
        ),
        (CouponDuration::Forever, [Some(CouponDuration::Forever); 3]),
    ] {
        assert_eq!([0, 1, 2].map(|used| duration.remaining_after(used)), left);
    }
}

#[test]
fn words_are_read_back() {
    for order in CouponOrder::ALL {
        assert_eq!(CouponOrder::parse(order.as_str()), Some(order));
    }
    assert_eq!(CouponOrder::parse("fixed_first"), None);
}

fn any_coupons() -> impl Strategy<Value = Vec<Coupon>> {
    let percent =
        (0_i64..=10_000).prop_map(|digits| Coupon { value: CouponValue::Percent(Decimal::new(digits, 2)) });
    let coupon = prop_oneof![percent, (0_i64..20_000).prop_map(fixed)];
    prop::collection::vec(coupon, 0..8)
}

fn any_lines() -> impl Strategy<Value = Vec<Money>> {
    prop::collection::vec((-5_000_i64..50_000).prop_map(usd), 0..8)
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn coupons_and_lines_lose_the_same_and_never_more_than_there_is(coupons in any_coupons(), lines in any_lines(), order in 0_usize..3) {
        let found = discount(usd(0).currency(), &coupons, CouponOrder::ALL[order], &lines).unwrap();

        let positive: i64 = minors(&lines).iter().filter(|minor| **minor > 0).sum();
        prop_assert_eq!(found.total.minor(), minors(&found.by_coupon).iter().sum::<i64>());
        prop_assert_eq!(found.total.minor(), minors(&found.by_line).iter().sum::<i64>());
        prop_assert!((0..=positive).contains(&found.total.minor()));
        prop_assert!(found.by_coupon.iter().all(|taken| taken.minor() >= 0));
        for (line, share) in lines.iter().zip(&found.by_line) {
            prop_assert!(0 <= share.minor() && share.minor() <= line.minor().max(0));
        }
    }

    #[test]
    fn the_default_order_does_not_depend_on_the_order_given(coupons in any_coupons(), lines in any_lines(), turn in 0_usize..8) {
        let mut turned = coupons.clone();
        turned.reverse();
        turned.rotate_left(turn % coupons.len().max(1));

        let totals = [coupons, turned].map(|coupons| discount(usd(0).currency(), &coupons, CouponOrder::default(), &lines).unwrap());

        prop_assert_eq!(totals[0].total, totals[1].total);
        prop_assert_eq!(&totals[0].by_line, &totals[1].by_line);
    }

    #[test]
    fn each_part_is_its_share_rounded_up_or_down(weights in prop::collection::vec(0_i64..1_000_000, 1..20), part in 0_u64..1_000) {
        let sum: i64 = weights.iter().sum();
        let amount = i64::try_from(u64::try_from(sum).unwrap() * part / 1_000).unwrap();

        let parts = allocate(amount, &weights);

        prop_assert_eq!(parts.iter().sum::<i64>(), amount);
        for (weight, part) in weights.iter().zip(parts) {
            prop_assert!((part * sum - weight * amount).abs() < sum.max(1));
        }
    }
}
