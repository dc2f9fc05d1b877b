//! Periods that are billed in parts.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::properties::{any_model, any_quantity};
use super::{decimal, step_text, tiers};
use crate::catalog::price::{ChargeModel, PriceTerms};
use crate::decimal::{exact_add, exact_sub};
use crate::money::{Currency, Money, MoneyError};
use crate::programmes::costly_programmes;
use crate::rating::{RateError, Run, Usage, delta, rate};

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

/// Books each quantity, which is all usage so far, and returns what each rating booked.
fn book_all(terms: &PriceTerms, cumulative: &[Decimal]) -> Vec<Money> {
    let mut total = Money::zero(usd());
    let mut booked = Vec::new();
    for quantity in cumulative {
        let booking = delta::book(terms, [&Usage::of(*quantity)], total, Run::Interim).unwrap();
        total = total.checked_add(booking.amount).unwrap();
        booked.push(booking.amount);
    }
    booked
}

fn booked_text(terms: &PriceTerms, cumulative: &[&str]) -> Vec<String> {
    let cumulative: Vec<Decimal> = cumulative.iter().map(|text| decimal(text)).collect();
    book_all(terms, &cumulative).iter().map(ToString::to_string).collect()
}

#[test]
fn a_cheaper_volume_tier_gives_money_back() {
    let rows = [("15", "10", "0"), ("null", "5", "0")];
    let terms = PriceTerms::from(ChargeModel::Volume { tiers: tiers(&rows) });

    assert_eq!(booked_text(&terms, &["15", "16", "16"]), ["USD 150.00", "USD -70.00", "USD 0.00"]);
}

#[test]
fn rounding_does_not_drift() {
    let terms = PriceTerms::from(ChargeModel::PerUnit { unit: decimal("0.001") });

    assert_eq!(booked_text(&terms, &["333", "666", "999"]), ["USD 0.33", "USD 0.34", "USD 0.33"]);
}

#[test]
fn parts_of_the_usage_are_rated_each_on_its_own_and_rounded_together() {
    let terms =
        PriceTerms::from(ChargeModel::Graduated { tiers: tiers(&[("1", "0.004", "0"), ("null", "1", "0")]) });
    let part = Usage::of(decimal("1"));

    let booking = delta::book(&terms, [&part, &part], Money::zero(usd()), Run::Final).unwrap();

    assert_eq!((booking.exact, booking.amount), (decimal("0.008"), Money::new(1, usd())));
    assert_eq!(booking.charges.len(), 2);
}

#[test]
fn fewer_units_give_money_back() {
    let terms = PriceTerms::from(ChargeModel::PerUnit { unit: decimal("10") });

    assert_eq!(booked_text(&terms, &["5", "0"]), ["USD 50.00", "USD -50.00"]);
}

#[test]
fn the_minimum_is_booked_once_at_the_end() {
    let terms = PriceTerms {
        minimum: Some(decimal("100")),
        ..PriceTerms::from(ChargeModel::PerUnit { unit: decimal("1") })
    };
    let usage = Usage::of(decimal("10"));

    let first = delta::book(&terms, [&usage], Money::zero(usd()), Run::Interim).unwrap();
    let last = delta::book(&terms, [&usage], first.amount, Run::Final).unwrap();
    let again = delta::book(&terms, [&usage], Money::new(10_000, usd()), Run::Final).unwrap();

    assert_eq!([first, last, again].map(|booking| booking.amount.minor()), [1_000, 9_000, 0]);
}

#[test]
fn what_cannot_be_booked_is_an_error() {
    let terms = PriceTerms::from(ChargeModel::PerUnit { unit: decimal("1000") });
    let usage = Usage::of(decimal("1e15"));

    let result = delta::book(&terms, [&usage], Money::zero(usd()), Run::Final);

    assert_eq!(result, Err(RateError::Unbookable(MoneyError::TooLarge)));
}

#[test]
fn the_difference_is_explained_by_the_steps_that_changed() {
    let rows = [("5", "0", "100"), ("15", "5", "0"), ("null", "1", "0")];
    let explain = |model: ChargeModel, before: &str, after: &str| {
        let terms = PriceTerms { maximum: Some(decimal("140")), ..PriceTerms::from(model) };
        let [before, after] = [before, after]
            .map(|quantity| rate(&terms, &Usage::of(decimal(quantity)), Run::Interim).unwrap());
        delta::difference(&before, &after).unwrap().iter().map(step_text).collect::<Vec<_>>()
    };

    assert_eq!(
        explain(ChargeModel::Graduated { tiers: tiers(&rows) }, "12", "22"),
        ["tier_unit (5, 15] 3 x 5 = 15", "tier_unit (15, -] 7 x 1 = 7", "maximum (-, -] 1 x -17 = -17"]
    );
    assert_eq!(
        explain(ChargeModel::Volume { tiers: tiers(&rows) }, "15", "16"),
        ["tier_unit (5, 15] -15 x 5 = -75", "tier_unit (15, -] 16 x 1 = 16"]
    );
}

/// A quantity below a million with up to six digits, which leaves digits for a price and a discount.
fn short_quantity() -> impl Strategy<Value = Decimal> {
    (0_i64..1_000_000_000_000).prop_map(|digits| Decimal::new(digits, 6))
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn a_period_costs_the_same_in_parts_and_at_once(
        model in any_model(),
        quantities in prop::collection::vec(short_quantity(), 1..8),
        maximum in prop::option::of(short_quantity()),
        discount in prop::option::of(0_i64..=100),
    ) {
        // given usage that goes up and down, also below what was booked before
        let discount_percent = discount.map(Decimal::from);
        let terms = PriceTerms { discount_percent, maximum, ..PriceTerms::from(model) };
        let whole = *quantities.last().unwrap();

        // when it is booked in parts
        let parts = book_all(&terms, &quantities);

        // then the parts are the whole
        let total = parts.into_iter().try_fold(Money::zero(usd()), Money::checked_add).unwrap();
        let exact = rate(&terms, &Usage::of(whole), Run::Interim).unwrap().exact;
        prop_assert_eq!(Ok(total), Money::from_exact(exact, usd()));
    }

    #[test]
    fn the_steps_of_a_difference_add_up_to_it(model in any_model(), before in any_quantity(), after in any_quantity()) {
        let terms = PriceTerms::from(model);
        let [before, after] = [before, after].map(|quantity| rate(&terms, &Usage::of(quantity), Run::Final).unwrap());

        let steps = delta::difference(&before, &after).unwrap();

        let sum = steps.iter().try_fold(Decimal::ZERO, |sum, step| exact_add(sum, step.amount));
        prop_assert_eq!(sum, exact_sub(after.exact, before.exact));
    }
}
