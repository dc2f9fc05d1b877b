//! The models that price events, seats and whole quantities along a curve.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{check_steps, decimal, rate_model, rate_text, step_text, tiers};
use crate::catalog::price::{ChargeModel, Curve, CurveDiscount, PercentTier, Percentage, PriceTerms, Tier};
use crate::decimal::{decimal_text, parse_decimal};
use crate::programmes::programmes;
use crate::rating::{Charge, Needs, RateError, Run, Usage, curve::exp_of_negative, rate};

fn events(values: &[Decimal]) -> Usage {
    let event_count = u64::try_from(values.len()).unwrap();
    Usage { event_count, events: values.to_vec(), ..Usage::of(values.iter().sum()) }
}

fn rate_events(percentage: &Percentage, values: &[Decimal]) -> Result<Charge, RateError> {
    rate(&PriceTerms::from(ChargeModel::Percentage(percentage.clone())), &events(values), Run::Final)
}

/// A percentage as rate, fee, free units, minimum and maximum; `-` for none.
fn percentage(free_events: Option<u64>, [rate, fee, free_units, min, max]: [&str; 5]) -> Percentage {
    Percentage {
        rate_percent: decimal(rate),
        fixed_amount_per_event: decimal(fee),
        free_events,
        free_units_total: parse_decimal(free_units).ok(),
        per_event_min: parse_decimal(min).ok(),
        per_event_max: parse_decimal(max).ok(),
    }
}

/// The curve of a published price slider, whose figures are in [`a_curve_gives_the_published_prices`].
fn slider() -> Curve {
    let discount = |from, percent| CurveDiscount { from: decimal(from), percent: decimal(percent) };
    Curve {
        unit_floor: decimal("10"),
        unit_spread: decimal("14"),
        decay: decimal("100"),
        minimum: decimal("120"),
        discounts: vec![discount("5", "5"), discount("30", "10"), discount("180", "15")],
    }
}

#[test]
fn what_is_free_of_a_percentage_ends_with_the_first_limit_that_is_passed() {
    let cases = [
        (Some(3), ["1.3", "2", "250", "-", "-"], "11.15"),
        (None, ["1.3", "2", "250", "-", "-"], "11.15"),
        (None, ["1.3", "2", "-", "-", "-"], "18.4"),
        (Some(3), ["1.3", "2", "500", "-", "-"], "7.2"),
        (Some(4), ["1.3", "2", "-", "-", "-"], "0"),
        (Some(0), ["1.3", "2", "250", "-", "-"], "18.4"),
        (None, ["1.3", "2", "800", "-", "-"], "0"),
    ];
    let values = ["50", "100", "250", "400"].map(decimal);
    for (free_events, parameters, expected) in cases {
        let charge = rate_events(&percentage(free_events, parameters), &values).unwrap();
        assert_eq!(decimal_text(charge.exact), expected, "{free_events:?} {parameters:?}");
    }
}

#[test]
fn limits_for_each_event_hold_after_its_fee() {
    let cases = [
        (None, ["2.99", "0", "-", "1.75", "12"], "16.142"),
        (None, ["2.99", "2", "-", "1.75", "12"], "18.691"),
        (Some(2), ["2.99", "0", "-", "1.75", "12"], "12"),
        (None, ["2.99", "0", "30", "1.75", "12"], "13.794"),
    ];
    let values = ["10", "80", "10000"].map(decimal);
    for (free_events, parameters, expected) in cases {
        let charge = rate_events(&percentage(free_events, parameters), &values).unwrap();
        assert_eq!(decimal_text(charge.exact), expected, "{free_events:?} {parameters:?}");
    }
}

#[test]
fn a_percentage_explains_what_is_free_and_what_the_limits_changed() {
    let charge =
        rate_events(&percentage(None, ["2.99", "1", "5", "1.75", "12"]), &["10", "80", "10000"].map(decimal));

    let steps: Vec<String> = charge.unwrap().steps.iter().map(step_text).collect();
    assert_eq!(
        steps,
        [
            "free_units (0, 5] 5 x 0 = 0",
            "percent (-, -] 10085 x 0.0299 = 301.5415",
            "event_fee (-, -] 3 x 1 = 3",
            "event_minimum (-, -] 1 x 0.6005 = 0.6005",
            "event_maximum (-, -] 1 x -288 = -288",
        ]
    );
}

#[test]
fn a_percentage_asks_for_events_only_where_each_one_matters() {
    let cases = [
        (None, ["1", "2", "-", "-", "-"], Needs::Quantity),
        (None, ["1", "0", "250", "-", "-"], Needs::Quantity),
        (None, ["1", "2", "250", "-", "-"], Needs::Events),
        (Some(3), ["1", "0", "-", "-", "-"], Needs::Events),
        (None, ["1", "0", "-", "1", "-"], Needs::Events),
    ];
    for (free_events, parameters, expected) in cases {
        let model = ChargeModel::Percentage(percentage(free_events, parameters));
        assert_eq!(PriceTerms::from(model).needs(), expected, "{free_events:?} {parameters:?}");
    }
}

#[test]
fn a_percentage_without_all_its_events_is_refused() {
    let terms = PriceTerms::from(ChargeModel::Percentage(percentage(Some(1), ["1", "0", "-", "-", "-"])));
    let usage = Usage { event_count: 2, ..events(&[decimal("5")]) };

    assert_eq!(rate(&terms, &usage, Run::Final), Err(RateError::EventsMissing));
    assert_eq!(rate(&terms, &events(&[decimal("-5")]), Run::Final), Err(RateError::NegativeQuantity));
}

#[test]
fn a_graduated_percentage_takes_the_share_of_each_tier() {
    let tier = |up_to: &str, rate, flat| PercentTier {
        up_to: parse_decimal(up_to).ok(),
        rate_percent: decimal(rate),
        flat: decimal(flat),
    };
    let model = ChargeModel::GraduatedPercentage {
        tiers: vec![tier("10", "1", "200"), tier("20", "2", "300"), tier("-", "3", "400")],
    };
    for (quantity, expected) in [("0", "200"), ("1", "200.01"), ("10", "200.1"), ("11", "500.12")] {
        assert_eq!(rate_text(&model, quantity).as_deref(), Ok(expected));
    }
    check_steps(
        &model,
        "11",
        &[
            "tier_percent (0, 10] 10 x 0.01 = 0.1",
            "tier_flat (0, 10] 1 x 200 = 200",
            "tier_percent (10, 20] 1 x 0.02 = 0.02",
            "tier_flat (10, 20] 1 x 300 = 300",
        ],
    );
}

#[test]
fn events_that_carry_their_price_are_charged_at_the_multiplier() {
    let terms = PriceTerms::from(ChargeModel::Dynamic { multiplier: decimal("1.2") });
    let usage = Usage { event_amount: decimal("0.402"), ..Usage::of(decimal("20")) };

    let charge = rate(&terms, &usage, Run::Final).unwrap();

    assert_eq!(
        charge.steps.iter().map(step_text).collect::<Vec<_>>(),
        ["event_price (-, -] 0.402 x 1.2 = 0.4824"]
    );
    assert_eq!(charge.average_unit(), Some(decimal("0.02412")));
    let refund = Usage { event_amount: decimal("-1"), ..Usage::default() };
    assert_eq!(rate(&terms, &refund, Run::Final), Err(RateError::NegativeQuantity));
}

#[test]
fn seats_are_charged_from_a_minimum_up_to_a_maximum() {
    let seats = |minimum: &str, maximum: &str| ChargeModel::Seat {
        unit: decimal("9"),
        minimum_seats: parse_decimal(minimum).ok(),
        maximum_seats: parse_decimal(maximum).ok(),
    };
    let cases = [
        (seats("-", "-"), "3", Ok("27")),
        (seats("5", "-"), "3", Ok("45")),
        (seats("5", "10"), "10", Ok("90")),
        (seats("5", "10"), "11", Err(RateError::TooManySeats)),
    ];
    for (model, quantity, expected) in cases {
        assert_eq!(rate_text(&model, quantity), expected.map(str::to_owned));
    }
}

#[test]
fn a_tier_costs_at_most_its_cap() {
    let capped = |rows: &[(&str, &str, &str)], cap: &str| -> Vec<Tier> {
        tiers(rows).into_iter().map(|tier| Tier { cap: Some(decimal(cap)), ..tier }).collect()
    };
    check_steps(
        &ChargeModel::Graduated { tiers: capped(&[("10", "1", "2"), ("null", "2", "0")], "3") },
        "11",
        &[
            "tier_unit (0, 10] 10 x 1 = 10",
            "tier_cap (0, 10] 1 x -7 = -7",
            "tier_flat (0, 10] 1 x 2 = 2",
            "tier_unit (10, -] 1 x 2 = 2",
        ],
    );
    check_steps(
        &ChargeModel::Volume { tiers: capped(&[("null", "1", "0")], "3") },
        "5",
        &["tier_unit (0, -] 5 x 1 = 5", "tier_cap (0, -] 1 x -2 = -2"],
    );
}

#[test]
fn a_curve_gives_the_published_prices() {
    let published = [
        ("5", "120"),
        ("10", "216"),
        ("20", "408"),
        ("29", "564"),
        ("30", "550"),
        ("50", "833"),
        ("100", "1364"),
        ("179", "1987"),
        ("180", "1884"),
        ("200", "2022"),
        ("500", "5000"),
        ("1000", "10000"),
    ];
    for (quantity, expected) in published {
        assert_eq!(rate_text(&ChargeModel::Curve(slider()), quantity).as_deref(), Ok(expected), "{quantity}");
    }
}

#[test]
fn the_exponential_is_right_to_25_digits() {
    // The expected digits are those of mathematical tables.
    let known = [
        ("0", "1"),
        ("1", "0.3678794411714423215955237702"),
        ("0.5", "0.6065306597126334236037995349"),
        ("10", "0.0000453999297624848515355915"),
        ("64", "0"),
        ("1000000000000", "0"),
    ];
    for (x, expected) in known {
        let difference = exp_of_negative(decimal(x)).unwrap() - decimal(expected);
        assert!(difference.abs() < Decimal::new(1, 25), "{x} is off by {difference}");
    }
}

#[test]
fn a_curve_without_decay_or_beyond_all_bounds_is_refused() {
    let still = Curve { decay: Decimal::ZERO, ..slider() };
    assert_eq!(rate_text(&ChargeModel::Curve(still), "1"), Err(RateError::DecayNotPositive));
    assert!(rate_text(&ChargeModel::Curve(slider()), "9999999999999999999999999999").is_err());
}

/// An amount below 1000 with up to six digits after the point, or none at all.
fn maybe_amount() -> impl Strategy<Value = Option<Decimal>> {
    prop_oneof![Just(None), (0_i64..1_000_000_000).prop_map(|digits| Some(Decimal::new(digits, 6)))]
}

fn any_percentage() -> impl Strategy<Value = Percentage> {
    let free_events = prop_oneof![Just(None), (0_u64..6).prop_map(Some)];
    let amounts = (maybe_amount(), maybe_amount(), maybe_amount(), maybe_amount(), maybe_amount());
    (free_events, amounts).prop_map(|(free_events, (rate, fee, free_units_total, min, max))| {
        let (per_event_min, per_event_max) = match (min, max) {
            (Some(min), Some(max)) => (Some(min.min(max)), Some(min.max(max))),
            limits => limits,
        };
        Percentage {
            rate_percent: rate.unwrap_or_default(),
            fixed_amount_per_event: fee.unwrap_or_default(),
            free_events,
            free_units_total,
            per_event_min,
            per_event_max,
        }
    })
}

fn any_values() -> impl Strategy<Value = Vec<Decimal>> {
    prop::collection::vec((0_i64..1_000_000_000).prop_map(|digits| Decimal::new(digits, 6)), 0..8)
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn a_paid_event_costs_between_its_limits(percentage in any_percentage(), value in any_values()) {
        // given a percentage of which nothing is free
        let percentage = Percentage { free_events: None, free_units_total: None, ..percentage };
        for value in value {
            // when a single event is rated, with its number as all that is known where that is enough
            let charge = rate_events(&percentage, &[value]).unwrap();

            // then it keeps to the limits
            prop_assert!(percentage.per_event_min.is_none_or(|minimum| charge.exact >= minimum));
            prop_assert!(percentage.per_event_max.is_none_or(|maximum| charge.exact <= maximum));
        }
    }

    #[test]
    fn one_more_event_never_makes_a_percentage_cheaper(percentage in any_percentage(), values in any_values()) {
        let mut before = Decimal::ZERO;
        for count in 0..=values.len() {
            let charge = rate_events(&percentage, &values[..count]).unwrap();
            prop_assert!(charge.exact >= before);
            before = charge.exact;
        }
    }

    #[test]
    fn free_and_paid_units_are_all_units(percentage in any_percentage(), values in any_values()) {
        let charge = rate_events(&percentage, &values).unwrap();

        let units: Decimal = charge.steps.iter().filter(|step| ["free_units", "percent"].contains(&step.kind.as_str()))
            .map(|step| step.quantity).sum();
        prop_assert_eq!(units, values.iter().sum::<Decimal>());
    }

    #[test]
    fn the_exponential_falls_and_multiplies(a in 0_i64..30_000_000, b in 0_i64..30_000_000) {
        let (a, b) = (Decimal::new(a, 6), Decimal::new(b, 6));
        let [of_a, of_b, of_both] = [a, b, a + b].map(|x| exp_of_negative(x).unwrap());

        prop_assert!((of_a * of_b - of_both).abs() < Decimal::new(1, 24));
        prop_assert!(of_both <= of_a && of_a <= Decimal::ONE);
    }

    #[test]
    fn no_parameters_make_a_curve_panic(digits in any::<[i64; 5]>(), scales in prop::array::uniform5(0_u32..=28)) {
        let value = |index: usize| Decimal::new(digits[index], scales[index]);
        let discounts = vec![CurveDiscount { from: value(0), percent: value(1) }];
        let curve = Curve { unit_floor: value(0), unit_spread: value(1), decay: value(2), minimum: value(3), discounts };
        if let Ok(charge) = rate_model(&ChargeModel::Curve(curve), value(4)) {
            prop_assert_eq!(charge.steps.len(), 1);
        }
    }
}
