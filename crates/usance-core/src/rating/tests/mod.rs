mod delta;
mod models;
mod properties;
mod published;
mod terms;
mod window;

use rust_decimal::Decimal;

use super::{Charge, RateError, Run, Step, StepKind, Usage, rate};
use crate::catalog::price::{ChargeModel, PackageRounding, PriceTerms, Tier};
use crate::decimal::{DecimalError, decimal_text, parse_decimal};

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

/// Builds tiers from rows of `up_to`, unit price and flat fee.
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

fn package(amount: &str, package_size: &str, free_units: &str, rounding: PackageRounding) -> ChargeModel {
    ChargeModel::Package {
        amount: decimal(amount),
        package_size: decimal(package_size),
        free_units: decimal(free_units),
        rounding,
    }
}

/// Rates a quantity at a model that nothing happens before or after.
fn rate_model(model: &ChargeModel, quantity: Decimal) -> Result<Charge, RateError> {
    rate(&PriceTerms::from(model.clone()), &Usage::of(quantity), Run::Final)
}

fn rate_text(model: &ChargeModel, quantity: &str) -> Result<String, RateError> {
    rate_model(model, decimal(quantity)).map(|charge| decimal_text(charge.exact))
}

fn step_text(step: &Step) -> String {
    let bound = |value: Option<Decimal>| value.map_or("-".to_owned(), decimal_text);
    let [quantity, unit, amount] = [step.quantity, step.unit, step.amount].map(decimal_text);
    format!(
        "{} ({}, {}] {quantity} x {unit} = {amount}",
        step.kind.as_str(),
        bound(step.from),
        bound(step.up_to)
    )
}

#[track_caller]
fn check_steps(model: &ChargeModel, quantity: &str, expected: &[&str]) {
    let charge = rate_model(model, decimal(quantity)).unwrap();
    let steps: Vec<String> = charge.steps.iter().map(step_text).collect();
    assert_eq!(steps, expected);
}

#[test]
fn the_steps_explain_each_model() {
    check_steps(&ChargeModel::Flat { amount: decimal("10") }, "7", &["flat (-, -] 1 x 10 = 10"]);
    check_steps(
        &ChargeModel::PerUnit { unit: decimal("0.001") },
        "8819",
        &["unit (-, -] 8819 x 0.001 = 8.819"],
    );
    let rows = [("10", "10", "2"), ("20", "5", "0"), ("null", "5", "3")];
    check_steps(
        &ChargeModel::Graduated { tiers: tiers(&rows) },
        "21.5",
        &[
            "tier_unit (0, 10] 10 x 10 = 100",
            "tier_flat (0, 10] 1 x 2 = 2",
            "tier_unit (10, 20] 10 x 5 = 50",
            "tier_unit (20, -] 1.5 x 5 = 7.5",
            "tier_flat (20, -] 1 x 3 = 3",
        ],
    );
    check_steps(&ChargeModel::Volume { tiers: tiers(&rows) }, "20", &["tier_unit (10, 20] 20 x 5 = 100"]);
    check_steps(
        &package("5", "100", "100", PackageRounding::Up),
        "201",
        &["free_units (0, 100] 100 x 0 = 0", "package (100, -] 2 x 5 = 10"],
    );
}

#[test]
fn usage_of_zero_is_explained_too() {
    let rows = [("10", "10", "2"), ("null", "5", "3")];
    let first_tier = ["tier_unit (0, 10] 0 x 10 = 0", "tier_flat (0, 10] 1 x 2 = 2"];
    check_steps(&ChargeModel::Graduated { tiers: tiers(&rows) }, "0", &first_tier);
    check_steps(&ChargeModel::Volume { tiers: tiers(&rows) }, "0", &first_tier);
    check_steps(&ChargeModel::PerUnit { unit: decimal("3") }, "0", &["unit (-, -] 0 x 3 = 0"]);
    check_steps(&package("5", "100", "0", PackageRounding::Up), "0", &["package (0, -] 0 x 5 = 0"]);
    check_steps(&ChargeModel::Flat { amount: decimal("10") }, "0", &["flat (-, -] 1 x 10 = 10"]);
}

#[test]
fn packages_are_counted_exactly_in_fractions() {
    let sized = |size| package("1", size, "0", PackageRounding::Up);
    assert_eq!(rate_text(&sized("0.1"), "0.3").as_deref(), Ok("3"));
    assert_eq!(rate_text(&sized("0.1"), "0.300000000001").as_deref(), Ok("4"));
    assert_eq!(rate_text(&sized("3"), "1000000000000000").as_deref(), Ok("333333333333334"));
    assert_eq!(rate_text(&sized("0.000000000003"), "1").as_deref(), Ok("333333333334"));
}

#[test]
fn what_cannot_be_rated_is_refused_with_the_reason() {
    let closed = tiers(&[("10", "1", "0"), ("1000", "1", "0")]);
    let unordered = tiers(&[("10", "1", "0"), ("5", "1", "0"), ("null", "1", "0")]);
    let precise = "123456789012.123456789012";
    let cases = [
        (ChargeModel::PerUnit { unit: decimal("1") }, "-1", RateError::NegativeQuantity),
        (ChargeModel::Flat { amount: decimal("1") }, "-0.1", RateError::NegativeQuantity),
        (ChargeModel::Graduated { tiers: closed.clone() }, "1000.5", RateError::BeyondLastTier),
        (ChargeModel::Volume { tiers: closed }, "1000.5", RateError::BeyondLastTier),
        (ChargeModel::Graduated { tiers: Vec::new() }, "0", RateError::BeyondLastTier),
        (ChargeModel::Graduated { tiers: unordered.clone() }, "11", RateError::TiersNotAscending),
        (ChargeModel::Volume { tiers: unordered }, "11", RateError::TiersNotAscending),
        (package("1", "0", "0", PackageRounding::Up), "1", RateError::PackageSizeNotPositive),
        (
            ChargeModel::PerUnit { unit: decimal("0.123456789012") },
            precise,
            RateError::Inexact(DecimalError::TooPrecise),
        ),
        (ChargeModel::PerUnit { unit: decimal("1e15") }, "1e15", RateError::Inexact(DecimalError::TooLarge)),
    ];
    for (model, quantity, expected) in cases {
        assert_eq!(rate_model(&model, decimal(quantity)), Err(expected), "{model:?}");
    }
}

#[test]
fn words_are_read_back() {
    for kind in StepKind::ALL {
        assert_eq!(StepKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(StepKind::parse("tier"), None);
}
