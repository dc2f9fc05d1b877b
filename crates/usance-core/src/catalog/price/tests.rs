use rust_decimal::Decimal;

use super::{ChargeModel, PackageRounding, PayTiming, TIERS_MAX, Tier};
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
    let tier = Tier { up_to: None, unit: Decimal::ONE, flat: Decimal::ZERO };

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
    assert_eq!((PayTiming::parse("later"), PackageRounding::parse("half_up")), (None, None));
}
