use rust_decimal::Decimal;

use super::{
    ChargeModel, Commitment, Committed, ConversionOperation, Curve, CurveDiscount, FirstTierFlat,
    PackageRounding, PayTiming, PercentTier, Percentage, PriceTerms, QuantityBasis, TIERS_MAX, Tier,
    TimeOfDay, UnitConversion, WindowPricing, WindowSize,
};
use crate::catalog::rounding::{QuantityRounding, RoundingMode};
use crate::decimal::parse_decimal;

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

/// Tiers as `up_to`, unit price and flat fee.
type Rows = &'static [(&'static str, &'static str, &'static str)];

fn tiers(rows: &[(&str, &str, &str)]) -> Vec<Tier> {
    rows.iter()
        .map(|(up_to, unit, flat)| Tier {
            up_to: (*up_to != "null").then(|| decimal(up_to)),
            unit: decimal(unit),
            flat: decimal(flat),
            cap: None,
        })
        .collect()
}

fn package(amount: &str, package_size: &str, free_units: &str) -> ChargeModel {
    ChargeModel::Package {
        amount: decimal(amount),
        package_size: decimal(package_size),
        free_units: decimal(free_units),
        rounding: PackageRounding::Up,
    }
}

fn seats(minimum_seats: Option<Decimal>, maximum_seats: Option<Decimal>) -> ChargeModel {
    ChargeModel::Seat { unit: Decimal::ONE, minimum_seats, maximum_seats }
}

/// A curve with discounts as threshold and percentage.
fn curve(discounts: &[(&str, &str)]) -> Curve {
    let discount =
        |(from, percent): &(&str, &str)| CurveDiscount { from: decimal(from), percent: decimal(percent) };
    Curve {
        unit_floor: Decimal::ONE,
        unit_spread: Decimal::ONE,
        decay: Decimal::ONE,
        minimum: Decimal::ZERO,
        discounts: discounts.iter().map(discount).collect(),
    }
}

#[track_caller]
fn check_terms(terms: &PriceTerms, expected: &[&str]) {
    let faults: Vec<String> = terms.faults().iter().map(ToString::to_string).collect();
    assert_eq!(faults, expected);
}

#[track_caller]
fn check(model: &ChargeModel, expected: &[&str]) {
    let faults: Vec<String> = model.faults().iter().map(ToString::to_string).collect();
    assert_eq!(faults, expected);
    assert_eq!(
        model.validate().map_err(|error| error.to_string()).err().as_deref(),
        expected.first().copied()
    );
}

#[test]
fn well_formed_prices_have_no_faults() {
    check(&ChargeModel::Flat { amount: decimal("10") }, &[]);
    check(&ChargeModel::PerUnit { unit: decimal("0.000000000001") }, &[]);
    check(&ChargeModel::PerUnit { unit: decimal("0") }, &[]);
    check(
        &ChargeModel::Graduated { tiers: tiers(&[("0.1", "10", "0"), ("1", "5", "0"), ("null", "2", "0")]) },
        &[],
    );
    check(&ChargeModel::Volume { tiers: tiers(&[("null", "5", "0")]) }, &[]);
    check(&package("1.25", "1000000", "0"), &[]);
}

#[test]
fn every_parameter_that_breaks_a_rule_is_named() {
    check(&ChargeModel::Flat { amount: decimal("-0.01") }, &["`amount` must not be negative"]);
    check(
        &ChargeModel::PerUnit { unit: decimal("0.0000000000001") },
        &["`unit` must have at most 12 digits after the point and 16 before it"],
    );
    check(
        &package("1e16", "0", "-1"),
        &[
            "`amount` must have at most 12 digits after the point and 16 before it",
            "`package_size` must be greater than zero",
            "`free_units` must not be negative",
        ],
    );
    check(&package("1", "-5", "0"), &["`package_size` must not be negative"]);
}

#[test]
fn tiers_ascend_from_zero_and_only_the_last_is_open() {
    let cases: [(Rows, &[&str]); 6] = [
        (&[], &["`tiers` must have at least one tier"]),
        (
            &[("10", "1", "0"), ("10", "1", "0"), ("null", "1", "0")],
            &["`tiers/1/up_to` must be greater than the bound of the tier before it"],
        ),
        (
            &[("0", "1", "0"), ("null", "1", "0")],
            &["`tiers/0/up_to` must be greater than the bound of the tier before it"],
        ),
        (
            &[("null", "1", "0"), ("10", "1", "0")],
            &[
                "`tiers/0/up_to` must not be null, except in the last tier",
                "`tiers/1/up_to` must be null in the last tier",
            ],
        ),
        (&[("10", "1", "0"), ("20", "1", "0")], &["`tiers/1/up_to` must be null in the last tier"]),
        (
            &[("10", "-1", "0"), ("null", "1", "-2")],
            &["`tiers/0/unit` must not be negative", "`tiers/1/flat` must not be negative"],
        ),
    ];
    for (rows, expected) in cases {
        check(&ChargeModel::Graduated { tiers: tiers(rows) }, expected);
        check(&ChargeModel::Volume { tiers: tiers(rows) }, expected);
    }
}

#[test]
fn the_number_of_tiers_has_a_limit() {
    let tier = Tier { up_to: None, unit: Decimal::ONE, flat: Decimal::ZERO, cap: None };

    check(
        &ChargeModel::Volume { tiers: vec![tier; TIERS_MAX + 1] },
        &["`tiers` must have at most 1000 tiers"],
    );
}

#[test]
fn words_are_those_of_the_api() {
    let kinds = [
        (ChargeModel::Flat { amount: Decimal::ONE }, "flat", false),
        (ChargeModel::PerUnit { unit: Decimal::ONE }, "per_unit", true),
        (ChargeModel::Graduated { tiers: Vec::new() }, "graduated", true),
        (ChargeModel::Volume { tiers: Vec::new() }, "volume", true),
        (package("1", "1", "0"), "package", true),
        (ChargeModel::Percentage(Percentage::default()), "percentage", true),
        (ChargeModel::GraduatedPercentage { tiers: Vec::new() }, "graduated_percentage", true),
        (ChargeModel::Dynamic { multiplier: Decimal::ONE }, "dynamic", true),
        (seats(None, None), "seat", false),
        (ChargeModel::Curve(curve(&[])), "curve", false),
    ];
    for (model, kind, is_usage) in kinds {
        assert_eq!((model.kind(), model.is_usage()), (kind, is_usage));
    }
    for timing in [PayTiming::Advance, PayTiming::Arrears] {
        assert_eq!(PayTiming::parse(timing.as_str()), Some(timing));
    }
    for rounding in [PackageRounding::Up, PackageRounding::Down] {
        assert_eq!(PackageRounding::parse(rounding.as_str()), Some(rounding));
    }
    assert_eq!(seats(None, None).basis(), QuantityBasis::Subscription);
    for operation in [ConversionOperation::Multiply, ConversionOperation::Divide] {
        assert_eq!(ConversionOperation::parse(operation.as_str()), Some(operation));
    }
    for policy in [FirstTierFlat::Charge, FirstTierFlat::Skip] {
        assert_eq!(FirstTierFlat::parse(policy.as_str()), Some(policy));
    }
    for size in [WindowSize::Hour, WindowSize::Day] {
        assert_eq!(WindowSize::parse(size.as_str()), Some(size));
    }
    assert_eq!((PayTiming::parse("later"), PackageRounding::parse("half_up")), (None, None));
}

#[test]
fn the_models_of_events_seats_and_curves_name_what_breaks_a_rule() {
    let percentage = Percentage {
        rate_percent: decimal("-1"),
        per_event_min: Some(decimal("2")),
        per_event_max: Some(decimal("1")),
        ..Percentage::default()
    };
    check(
        &ChargeModel::Percentage(percentage),
        &[
            "`rate_percent` must not be negative",
            "`per_event_max` must not be less than the lower limit beside it",
        ],
    );
    let tier = PercentTier { up_to: Some(decimal("5")), rate_percent: decimal("-1"), flat: Decimal::ZERO };
    check(
        &ChargeModel::GraduatedPercentage { tiers: vec![tier] },
        &["`tiers/0/up_to` must be null in the last tier", "`tiers/0/rate_percent` must not be negative"],
    );
    check(&ChargeModel::Dynamic { multiplier: decimal("-1") }, &["`multiplier` must not be negative"]);
    check(
        &seats(Some(decimal("5")), Some(decimal("4"))),
        &["`maximum_seats` must not be less than the lower limit beside it"],
    );
    let broken = Curve { decay: Decimal::ZERO, ..curve(&[("5", "101"), ("5", "10")]) };
    check(
        &ChargeModel::Curve(broken),
        &[
            "`decay` must be greater than zero",
            "`discounts/0/percent` must be at most 100 percent",
            "`discounts/1/from` must be greater than the threshold of the discount before it",
        ],
    );
    check(&ChargeModel::Curve(curve(&[("0", "5"), ("30", "100")])), &[]);
    let capped = Tier { up_to: None, unit: Decimal::ONE, flat: Decimal::ZERO, cap: Some(decimal("-3")) };
    check(&ChargeModel::Volume { tiers: vec![capped] }, &["`tiers/0/cap` must not be negative"]);
}

#[test]
fn terms_that_contradict_the_model_or_each_other_are_named() {
    let conversion = UnitConversion {
        operation: ConversionOperation::Divide,
        factor: Decimal::ZERO,
        rounding: Some(QuantityRounding { mode: RoundingMode::Ceil, scale: 13 }),
    };
    let flat = PriceTerms {
        conversion: Some(conversion),
        usage_discount: Some(Decimal::ONE),
        discount_percent: Some(decimal("100.5")),
        minimum: Some(decimal("2")),
        maximum: Some(decimal("1")),
        ..PriceTerms::from(ChargeModel::Flat { amount: decimal("-1") })
    };
    check_terms(
        &flat,
        &[
            "`amount` must not be negative",
            "`unit_config/factor` must be greater than zero",
            "`unit_config/precision` must be between -6 and 12",
            "`unit_config` is not allowed with this charge model: leave it out",
            "`usage_discount` is not allowed with this charge model: leave it out",
            "`discount_percent` must be at most 100 percent",
            "`maximum_amount` must not be less than the lower limit beside it",
        ],
    );
    check_terms(&PriceTerms::from(ChargeModel::PerUnit { unit: Decimal::ONE }), &[]);
}

#[test]
fn windows_and_times_of_day_that_contradict_each_other_are_named() {
    let commitment = Commitment {
        committed: Committed::Amount(decimal("-1")),
        overage_factor: decimal("-2"),
        true_up: true,
    };
    let time = |from_hour, to_hour, model| TimeOfDay { from_hour, to_hour, model, commitment: None };
    let seat = Some(seats(None, None));
    let window = WindowPricing {
        size: WindowSize::Day,
        commitment: Some(commitment),
        times_of_day: vec![time(22, 6, None), time(5, 8, seat), time(24, 25, None)],
    };
    let terms = PriceTerms {
        usage_discount: Some(Decimal::ONE),
        window: Some(window),
        ..PriceTerms::from(ChargeModel::PerUnit { unit: Decimal::ONE })
    };
    check_terms(
        &terms,
        &[
            "`usage_discount` is not allowed with windows: leave it out",
            "`window/commitment/amount` must not be negative",
            "`window/commitment/overage_factor` must not be negative",
            "`window/times_of_day` is only allowed with windows of an hour",
            "`window/times_of_day/1/charge_model` is not allowed with this charge model: leave it out",
            "`window/times_of_day/1` must not overlap with a time of day before it",
            "`window/times_of_day/2/from_hour` must be an hour of the day: 0 to 23 to start with, and 1 to 24 to end with",
            "`window/times_of_day/2/to_hour` must be an hour of the day: 0 to 23 to start with, and 1 to 24 to end with",
        ],
    );
}
