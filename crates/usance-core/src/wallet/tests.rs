use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{
    Grant, GrantBalance, ResetTerms, WalletError, apply_credits, burn_down, give_back, prepaid_applied,
    reset, topup,
};
use crate::decimal::parse_decimal;
use crate::money::{Currency, Money};
use crate::programmes::costly_programmes;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn grant(id: &str, amount: i64, priority: u16) -> Grant {
    Grant {
        id: id.to_owned(),
        amount: Decimal::from(amount),
        priority,
        effective_at: at(0),
        expires_at: None,
        created_at: at(0),
    }
}

fn shown(balances: &[GrantBalance]) -> Vec<String> {
    balances.iter().map(|balance| format!("{} {}", balance.id, balance.amount)).collect()
}

#[test]
fn grants_burn_by_priority_then_expiry_then_age() {
    // given grants in an order that is not that of their use
    let grants = [
        Grant { created_at: at(5), ..grant("younger", 10, 2) },
        Grant { expires_at: Some(at(900)), created_at: at(5), ..grant("expires", 10, 2) },
        Grant { created_at: at(1), ..grant("older", 10, 2) },
        Grant { created_at: at(9), ..grant("first", 10, 1) },
    ];

    // when more is used than the first three hold
    let burnt = burn_down(&grants, Decimal::from(32), at(100)).unwrap();

    // then the younger one is used last
    assert_eq!(shown(&burnt.taken), ["first 10", "expires 10", "older 10", "younger 2"]);
    assert_eq!(shown(&burnt.balances), ["younger 8", "expires 0", "older 0", "first 0"]);
    assert_eq!(burnt.overage, Decimal::ZERO);
}

#[test]
fn a_grant_is_used_only_between_its_times() {
    let timed = Grant { effective_at: at(10), expires_at: Some(at(20)), ..grant("timed", 10, 1) };
    for (second, taken) in [(9, 0), (10, 4), (19, 4), (20, 0)] {
        let burnt = burn_down(std::slice::from_ref(&timed), Decimal::from(4), at(second)).unwrap();
        assert_eq!(burnt.overage, Decimal::from(4 - taken), "{second}");
    }
}

#[test]
fn what_no_grant_pays_for_is_overage() {
    let burnt = burn_down(&[grant("g1", 100, 1)], Decimal::from(110), at(0)).unwrap();

    assert_eq!((shown(&burnt.balances), burnt.overage), (vec!["g1 0".to_owned()], Decimal::TEN));
    assert_eq!(burn_down(&[], Decimal::TEN, at(0)).unwrap().overage, Decimal::TEN);
}

#[test]
fn a_reset_keeps_balances_within_the_rollover_and_burns_preserved_overage() {
    let terms = |min: i64, max: Option<i64>, preserve_overage| ResetTerms {
        min_rollover: Decimal::from(min),
        max_rollover: max.map(Decimal::from),
        preserve_overage,
    };
    for (balance, terms, overage, expected) in [
        (90, terms(0, Some(50), false), 0, (50, 0)),
        (0, terms(50, Some(50), true), 10, (40, 0)),
        (0, terms(50, Some(50), false), 10, (50, 0)),
        (90, terms(0, None, false), 0, (90, 0)),
        (20, terms(0, Some(0), true), 30, (0, 30)),
        (10, terms(80, Some(50), false), 0, (50, 0)),
    ] {
        let after = reset(&[grant("g1", balance, 1)], &terms, Decimal::from(overage), at(0)).unwrap();
        assert_eq!(
            (after.balances[0].amount, after.overage),
            (Decimal::from(expected.0), Decimal::from(expected.1))
        );
    }
}

#[test]
fn credits_pay_lines_in_order() {
    let minors = |amounts: &[Money]| amounts.iter().map(Money::minor).collect::<Vec<_>>();
    for (lines, credits, by_line, by_credit) in [
        (&[100, 50][..], &[150][..], &[100, 50][..], &[150][..]),
        (&[100, 50, 5], &[150], &[100, 50, 0], &[150]),
        (&[100, 50], &[75, 75], &[100, 50], &[75, 75]),
        (&[100, 50, 50], &[175], &[100, 50, 25], &[175]),
        (&[-20, 50], &[-5, 60], &[0, 50], &[0, 50]),
    ] {
        let (lines, credits) =
            [lines, credits].map(|list| list.iter().map(|minor| usd(*minor)).collect::<Vec<_>>()).into();
        let applied = apply_credits(&lines, &credits).unwrap();
        assert_eq!(
            (minors(&applied.by_line), minors(&applied.by_credit)),
            (by_line.to_vec(), by_credit.to_vec())
        );
    }
}

#[test]
fn a_balance_pays_at_most_the_total() {
    for (total, balance, expected) in [(300, 10_000, 300), (300, 200, 200), (-5, 10, 0), (5, -10, 0)] {
        assert_eq!(prepaid_applied(usd(total), usd(balance)), Ok(usd(expected)));
    }
    assert!(prepaid_applied(usd(1), Money::new(1, Currency::parse("EUR").unwrap())).is_err());
}

#[test]
fn noise_is_rounded_off_when_credits_are_bought() {
    let eur = Currency::parse("EUR").unwrap();
    let buy =
        |credits: &str, rate: &str| topup(parse_decimal(credits).unwrap(), parse_decimal(rate).unwrap(), eur);

    let bought = buy("17.9699999999999988631316", "1").unwrap();
    assert_eq!((bought.credits.to_string(), bought.price.minor()), ("17.97".to_owned(), 1_797));
    assert_eq!(buy("100", "0.005").unwrap().price.minor(), 50);
    assert!(buy("-1", "1").is_err() && buy("1", "-1").is_err());
    assert!(topup(Decimal::MAX, Decimal::ONE, eur).is_err());
}

#[test]
fn what_cannot_be_burnt_or_given_back_is_refused() {
    let unknown = GrantBalance { id: "g2".to_owned(), amount: Decimal::ONE };

    assert_eq!(burn_down(&[], -Decimal::ONE, at(0)), Err(WalletError::Negative));
    assert_eq!(burn_down(&[grant("g1", -1, 1)], Decimal::ONE, at(0)), Err(WalletError::Negative));
    assert_eq!(
        give_back(&[grant("g1", 1, 1)], &[unknown]),
        Err(WalletError::UnknownGrant { id: "g2".to_owned() })
    );
}

fn any_grants() -> impl Strategy<Value = Vec<Grant>> {
    let parts = (0_i64..100_000, 0_u16..4, 0_i64..10, prop::option::of(0_i64..10), 0_i64..5);
    prop::collection::vec(parts, 0..8).prop_map(|grants| {
        let numbered = grants.into_iter().enumerate();
        numbered
            .map(|(number, (digits, priority, effective, expires, created))| Grant {
                amount: Decimal::new(digits, 3),
                effective_at: at(effective),
                expires_at: expires.map(at),
                created_at: at(created),
                ..grant(&format!("g{number}"), 0, priority)
            })
            .collect()
    })
}

/// The grants with the balances that are left of them.
fn after(grants: &[Grant], balances: &[GrantBalance]) -> Vec<Grant> {
    grants
        .iter()
        .zip(balances)
        .map(|(grant, balance)| Grant { amount: balance.amount, ..grant.clone() })
        .collect()
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn nothing_is_lost_and_a_void_gives_back_exactly_what_was_taken(grants in any_grants(), digits in 0_i64..500_000, second in 0_i64..10) {
        let quantity = Decimal::new(digits, 3);

        let burnt = burn_down(&grants, quantity, at(second)).unwrap();
        let restored = give_back(&after(&grants, &burnt.balances), &burnt.taken).unwrap();

        let taken: Decimal = burnt.taken.iter().map(|part| part.amount).sum();
        prop_assert_eq!(taken + burnt.overage, quantity);
        prop_assert!(burnt.balances.iter().all(|balance| balance.amount >= Decimal::ZERO));
        prop_assert_eq!(after(&grants, &restored), grants);
    }

    #[test]
    fn usage_in_parts_burns_like_usage_at_once(grants in any_grants(), parts in prop::collection::vec(0_i64..50_000, 0..6), second in 0_i64..10) {
        let whole = burn_down(&grants, Decimal::new(parts.iter().sum(), 3), at(second)).unwrap();
        let (mut left, mut overage) = (grants, Decimal::ZERO);
        for part in parts {
            let burnt = burn_down(&left, Decimal::new(part, 3), at(second)).unwrap();
            left = after(&left, &burnt.balances);
            overage += burnt.overage;
        }

        prop_assert_eq!(after(&left, &whole.balances), left);
        prop_assert_eq!(overage, whole.overage);
    }

    #[test]
    fn the_order_in_which_grants_are_listed_changes_nothing(grants in any_grants(), digits in 0_i64..500_000, second in 0_i64..10) {
        let reversed: Vec<Grant> = grants.iter().rev().cloned().collect();

        let forward = burn_down(&grants, Decimal::new(digits, 3), at(second)).unwrap();
        let mut backward = burn_down(&reversed, Decimal::new(digits, 3), at(second)).unwrap();

        backward.balances.reverse();
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn credits_pay_no_more_than_lines_or_credits(lines in prop::collection::vec(-100_i64..1_000, 0..6), credits in prop::collection::vec(0_i64..1_000, 0..6)) {
        let (lines, credits): (Vec<Money>, Vec<Money>) = (lines.into_iter().map(usd).collect(), credits.into_iter().map(usd).collect());
        let sum = |amounts: &[Money]| amounts.iter().map(|amount| amount.minor().max(0)).sum::<i64>();

        let applied = apply_credits(&lines, &credits).unwrap();

        prop_assert_eq!(sum(&applied.by_line), sum(&applied.by_credit));
        prop_assert_eq!(sum(&applied.by_line), sum(&lines).min(sum(&credits)));
        prop_assert!(applied.by_line.iter().zip(&lines).all(|(paid, line)| paid.minor() <= line.minor().max(0)));
    }
}
