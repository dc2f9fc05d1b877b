use proptest::prelude::*;

use super::{
    ClosingCredit, Progress, Threshold, ThresholdFault, ThresholdScope, UsageAmount, closing_credit, cross,
    validate,
};
use crate::money::{Currency, Money};
use crate::programmes::programmes;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn thresholds(scope: ThresholdScope, amounts: &[i64]) -> Vec<Threshold> {
    amounts.iter().map(|amount| Threshold { amount: usd(*amount), scope }).collect()
}

/// Runs usage, as period number and increase, through the thresholds; gives each invoice or 0, and the sum in the last period.
fn run(thresholds: &[Threshold], increases: &[(u32, i64)]) -> (Vec<i64>, i64) {
    let (mut crossed, mut invoiced) = (Vec::new(), 0);
    let (mut lifetime, mut period, mut period_number) = (0, 0, 0);
    let mut invoices = Vec::new();
    for (number, increase) in increases {
        if *number != period_number {
            (period, invoiced, period_number) = (0, 0, *number);
            crossed.retain(|threshold: &Threshold| threshold.scope == ThresholdScope::Lifetime);
        }
        (lifetime, period) = (lifetime + increase, period + increase);
        let usage = UsageAmount { lifetime: usd(lifetime), period: usd(period) };
        let crossing =
            cross(thresholds, Progress { crossed: &crossed, invoiced: usd(invoiced) }, usage).unwrap();
        let amount = crossing.map_or(0, |crossing| {
            crossed.extend(crossing.crossed);
            crossing.invoice.map_or(0, |amount| amount.minor())
        });
        invoiced += amount;
        invoices.push(amount);
    }
    (invoices, invoiced)
}

// Published as "lago-progressive-*" in the conformance cases.
#[test]
fn an_invoice_asks_for_all_usage_that_none_has_asked_for() {
    let one = thresholds(ThresholdScope::EachPeriod, &[20_000]);
    let two = thresholds(ThresholdScope::EachPeriod, &[20_000, 50_000]);

    assert_eq!(run(&one, &[(0, 20_000), (0, 20_000)]), (vec![20_000, 0], 20_000));
    assert_eq!(run(&two, &[(0, 20_000), (0, 20_000), (0, 20_000)]), (vec![20_000, 0, 40_000], 60_000));
    assert_eq!(run(&two, &[(0, 19_999), (0, 40_000)]), (vec![0, 59_999], 59_999));
}

#[test]
fn a_lifetime_threshold_is_crossed_once_and_a_period_threshold_in_each_period() {
    let usage = [(1, 20_000), (2, 40_000), (3, 60_000)];

    assert_eq!(run(&thresholds(ThresholdScope::Lifetime, &[20_000]), &usage).0, [20_000, 0, 0]);
    assert_eq!(run(&thresholds(ThresholdScope::EachPeriod, &[20_000]), &usage).0, [20_000, 40_000, 60_000]);
    assert_eq!(run(&thresholds(ThresholdScope::Lifetime, &[100_000]), &usage).0, [0, 0, 60_000]);
}

#[test]
fn a_threshold_stays_crossed_when_usage_falls_below_it() {
    let limits = thresholds(ThresholdScope::EachPeriod, &[100]);

    assert_eq!(run(&limits, &[(0, 150), (0, -100), (0, 150)]).0, [150, 0, 0]);
}

#[test]
fn a_crossing_that_earlier_invoices_cover_asks_for_nothing() {
    // given more invoiced in the period than is used
    let limits = thresholds(ThresholdScope::Lifetime, &[100]);
    let usage = UsageAmount { lifetime: usd(120), period: usd(20) };

    // when the lifetime threshold is crossed
    let crossing = cross(&limits, Progress { crossed: &[], invoiced: usd(30) }, usage).unwrap().unwrap();

    // then it is remembered without an invoice
    assert_eq!((crossing.crossed, crossing.invoice), (limits, None));
}

#[test]
fn the_closing_invoice_credits_no_more_than_its_fees() {
    for (fees, invoiced, credit, excess) in
        [(43_100, 20_000, 20_000, 0), (100, 150, 100, 50), (-20, 30, 0, 30), (10, 0, 0, 0)]
    {
        let expected = ClosingCredit { credit: usd(credit), excess: usd(excess) };
        assert_eq!(closing_credit(usd(fees), usd(invoiced)), Ok(expected));
    }
}

#[test]
fn thresholds_that_cannot_be_crossed_one_by_one_are_refused() {
    let check = |amounts: &[i64]| validate(&thresholds(ThresholdScope::Lifetime, amounts));

    assert_eq!(check(&[100, 200]), Ok(()));
    assert_eq!(check(&[0]), Err(ThresholdFault::NotPositive));
    assert_eq!(check(&[100, 100]), Err(ThresholdFault::Twice));
    for scope in [ThresholdScope::Lifetime, ThresholdScope::EachPeriod] {
        assert_eq!(ThresholdScope::parse(scope.as_str()), Some(scope));
    }
    assert_eq!(ThresholdScope::parse("once"), None);
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn threshold_invoices_and_the_closing_invoice_add_up_to_the_usage(
        amounts in prop::collection::btree_set(1_i64..5_000, 0..5),
        increases in prop::collection::vec(0_i64..1_000, 0..12),
    ) {
        let amounts: Vec<i64> = amounts.into_iter().collect();
        let used: i64 = increases.iter().sum();
        let steps: Vec<(u32, i64)> = increases.iter().map(|increase| (0, *increase)).collect();

        let (invoices, invoiced) = run(&thresholds(ThresholdScope::EachPeriod, &amounts), &steps);

        let closing = closing_credit(usd(used), usd(invoiced)).unwrap();
        prop_assert_eq!(closing.excess, usd(0));
        prop_assert_eq!(invoices.iter().sum::<i64>() + used - closing.credit.minor(), used);
        prop_assert!(invoices.iter().filter(|invoice| **invoice > 0).count() <= amounts.len());
        let reached = amounts.iter().filter(|amount| **amount <= used).max();
        prop_assert!(reached.is_none_or(|amount| *amount <= invoiced));
    }
}
