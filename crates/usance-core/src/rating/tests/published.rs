//! Worked examples published by other billing systems, with the figures of their documents and test suites.
//!
//! The names are those of the project's conformance cases, which also give each one's source. Cases with a minimum
//! or maximum are about the plan and not the model, and are elsewhere.

use super::{decimal, package, rate_model, rate_text, tiers};
use crate::catalog::price::{ChargeModel, PackageRounding};
use crate::decimal::{decimal_text, exact_mul};
use crate::money::{Currency, Money};
use crate::rating::StepKind;

/// Tiers, and the cases (name, quantity, amount) that share them.
type TierCases = (
    &'static [(&'static str, &'static str, &'static str)],
    &'static [(&'static str, &'static str, &'static str)],
);

const GRADUATED: &[TierCases] = &[
    (
        &[("10", "10", "2"), ("20", "5", "3"), ("null", "5", "3")],
        &[
            ("lago-graduated-1", "1", "12"),
            ("lago-graduated-11", "11", "110"),
            ("lago-graduated-12", "12", "115"),
            ("lago-graduated-21", "21", "163"),
            ("lago-graduated-0", "0", "2"),
        ],
    ),
    (
        &[("0.1", "10", "0"), ("1", "5", "0"), ("null", "2", "0")],
        &[("lago-graduated-decimal-0.05", "0.05", "0.5")],
    ),
    (&[("5", "10", "100"), ("null", "5", "50")], &[("lago-graduated-scn-8", "8", "215")]),
    (
        &[("5", "0", "100"), ("10", "0", "50"), ("15", "5", "0"), ("null", "1", "0")],
        &[("om-graduated-22", "22", "182")],
    ),
    (
        &[("5", "0", "100"), ("10", "0", "50"), ("15", "10", "0"), ("null", "5", "0")],
        &[
            ("om-graduated2-3", "3", "100"),
            ("om-graduated2-5", "5", "100"),
            ("om-graduated2-7", "7", "150"),
            ("om-graduated2-12", "12", "170"),
            ("om-graduated2-22", "22", "235"),
            ("om-graduated2-0", "0", "100"),
        ],
    ),
    (
        &[("10", "50", "0"), ("20", "40", "0"), ("null", "30", "0")],
        &[("fp-graduated-5", "5", "250"), ("fp-graduated-25", "25", "1050")],
    ),
    (
        &[("5", "0", "0"), ("10", "2", "0"), ("null", "3", "0")],
        &[
            ("fp-slab0-3", "3", "0"),
            ("fp-slab0-5", "5", "0"),
            ("fp-slab0-7", "7", "4"),
            ("fp-slab0-11", "11", "13"),
            ("fp-slab0-15", "15", "25"),
        ],
    ),
    (
        &[("5", "0", "1"), ("10", "1", "2"), ("null", "2", "0")],
        &[("fp-slabflat-7", "7", "5"), ("fp-slabflat-12", "12", "12")],
    ),
    (
        &[("1", "10", "0"), ("2", "20", "0"), ("null", "30", "0")],
        &[("fp-slabedge-1", "1", "10"), ("fp-slabedge-2", "2", "30")],
    ),
    (&[("null", "1", "10")], &[("met-flatfee-5", "5", "15")]),
    (
        &[("1000", "0.10", "0"), ("10000", "0.05", "0"), ("null", "0.01", "0")],
        &[("zuplo-graduated-15000", "15000", "600")],
    ),
    (
        &[("1000", "0.01", "0"), ("10000", "0.008", "0"), ("null", "0.005", "0")],
        &[("autumn-graduated-15000", "15000", "107")],
    ),
];

const VOLUME: &[TierCases] = &[
    (
        &[("100", "2", "10"), ("200", "1", "0"), ("null", "0.5", "50")],
        &[("lago-volume-1", "1", "12"), ("lago-volume-101", "101", "101"), ("lago-volume-0", "0", "10")],
    ),
    (&[("1", "0", "0"), ("100", "2", "10"), ("null", "0.5", "50")], &[("lago-volume-0-noflat", "0", "0")]),
    (
        &[("5", "0", "100"), ("10", "0", "150"), ("15", "10", "0"), ("null", "5", "0")],
        &[
            ("om-volume-3", "3", "100"),
            ("om-volume-14", "14", "140"),
            ("om-volume-15", "15", "150"),
            ("om-volume-16", "16", "80"),
            ("om-volume-100", "100", "500"),
            ("om-volume-0", "0", "100"),
        ],
    ),
    (&[("null", "5", "0")], &[("om-volume-0-unit-only", "0", "0")]),
    (
        &[("10", "50", "0"), ("20", "40", "0"), ("null", "30", "0")],
        &[("fp-volume-5", "5", "250"), ("fp-volume-15", "15", "600")],
    ),
    (&[("100", "1", "0"), ("200", "0.5", "0"), ("null", "0.25", "0")], &[("met-volume-150", "150", "75")]),
    (
        &[("5", "5", "0"), ("10", "4", "0"), ("15", "3", "0"), ("20", "2", "0"), ("null", "1", "0")],
        &[("stripe-volume-1", "1", "5"), ("stripe-volume-5", "5", "25"), ("stripe-volume-6", "6", "24")],
    ),
    (
        &[("5", "7", "0"), ("10", "6.5", "0"), ("null", "6", "0")],
        &[
            ("stripe2-volume-5", "5", "35"),
            ("stripe2-volume-20", "20", "120"),
            ("stripe2-volume-25", "25", "150"),
        ],
    ),
    (&[("10", "0.50", "0"), ("1000", "0.40", "0")], &[("orb-bulk-101", "101", "40.40")]),
    (
        &[
            ("10000", "0.0010", "10"),
            ("50000", "0.0008", "10"),
            ("100000", "0.0006", "10"),
            ("null", "0.0004", "10"),
        ],
        &[("lago-docs-volume-65000", "65000", "49")],
    ),
    (
        &[("1000", "0.10", "0"), ("10000", "0.05", "0"), ("null", "0.01", "0")],
        &[("zuplo-volume-15000", "15000", "150")],
    ),
];

/// Name, unit price, quantity, amount.
const PER_UNIT: &[(&str, &str, &str, &str)] = &[
    ("fp-flat-5", "100", "5", "500"),
    ("met-perunit", "0.001", "100", "0.10"),
    ("stripe-perunit-5", "5", "5", "25"),
    ("stripe-perunit-6", "5", "6", "30"),
    ("stripe-perunit-20", "5", "20", "100"),
    ("stripe-perunit-25", "5", "25", "125"),
    ("zuplo-unit-100000", "0.001", "100000", "100"),
];

/// Name; price, size and free units of a package; rounding; quantity; amount.
type PackageCase = (&'static str, [&'static str; 3], PackageRounding, &'static str, &'static str);

const PACKAGE: &[PackageCase] = &[
    ("lago-package-121-free0", ["100", "10", "0"], PackageRounding::Up, "121", "1300"),
    ("lago-package-121-free200", ["100", "10", "200"], PackageRounding::Up, "121", "0"),
    ("fp-package-25", ["50", "10", "0"], PackageRounding::Up, "25", "150"),
    ("fp-package100-2", ["1", "100", "0"], PackageRounding::Up, "2", "1"),
    ("fp-package100-100", ["1", "100", "0"], PackageRounding::Up, "100", "1"),
    ("fp-package100-150", ["1", "100", "0"], PackageRounding::Up, "150", "2"),
    ("fp-package100-300", ["1", "100", "0"], PackageRounding::Up, "300", "3"),
    ("fp-package100-0", ["1", "100", "0"], PackageRounding::Up, "0", "0"),
    ("fp-package100-99", ["1", "100", "0"], PackageRounding::Up, "99", "1"),
    ("fp-package-round-down-50", ["1", "100", "0"], PackageRounding::Down, "50", "0"),
    ("fp-package-round-down-250", ["1", "100", "0"], PackageRounding::Down, "250", "2"),
    ("met-package-45", ["5", "20", "0"], PackageRounding::Up, "45", "15"),
    ("lago-docs-package-201", ["5", "100", "100"], PackageRounding::Up, "201", "10"),
    ("chargebee-package-10", ["1.25", "1000000", "0"], PackageRounding::Up, "10", "1.25"),
    ("chargebee-package-1000000", ["1.25", "1000000", "0"], PackageRounding::Up, "1000000", "1.25"),
    ("chargebee-package-1500000", ["1.25", "1000000", "0"], PackageRounding::Up, "1500000", "2.50"),
];

#[track_caller]
fn check(name: &str, model: &ChargeModel, quantity: &str, expected: &str) {
    let expected = decimal_text(decimal(expected));
    assert_eq!(rate_text(model, quantity), Ok(expected), "{name}");
}

#[test]
fn published_graduated_figures_are_reproduced() {
    for (rows, cases) in GRADUATED {
        let model = ChargeModel::Graduated { tiers: tiers(rows) };
        for (name, quantity, expected) in *cases {
            check(name, &model, quantity, expected);
        }
    }
}

#[test]
fn published_volume_figures_are_reproduced() {
    for (rows, cases) in VOLUME {
        let model = ChargeModel::Volume { tiers: tiers(rows) };
        for (name, quantity, expected) in *cases {
            check(name, &model, quantity, expected);
        }
    }
}

#[test]
fn published_flat_and_per_unit_figures_are_reproduced() {
    check("om-flat", &ChargeModel::Flat { amount: decimal("100") }, "1", "100");
    for (name, unit, quantity, expected) in PER_UNIT {
        check(name, &ChargeModel::PerUnit { unit: decimal(unit) }, quantity, expected);
    }
}

#[test]
fn published_package_figures_are_reproduced() {
    for (name, [amount, size, free], rounding, quantity, expected) in PACKAGE {
        check(name, &package(amount, size, free, *rounding), quantity, expected);
    }
}

#[test]
fn published_rounded_amounts_are_reproduced() {
    let cases = [
        ("fp-usage-round-frac", "0.50", "USD", "123.456", "USD 61.73"),
        ("fp-usage-round-jpy", "10.5", "JPY", "50", "JPY 525"),
    ];
    for (name, unit, code, quantity, expected) in cases {
        let charge = rate_model(&ChargeModel::PerUnit { unit: decimal(unit) }, decimal(quantity)).unwrap();
        let money = Money::from_exact(charge.exact, Currency::parse(code).unwrap()).unwrap();
        assert_eq!(money.to_string(), expected, "{name}");
    }
}

#[test]
fn published_package_counts_are_reproduced() {
    let cases = [
        ("om-package-count-1", "1", "1", "10"),
        ("om-package-count-9", "9", "1", "10"),
        ("om-package-count-10", "10", "1", "10"),
        ("om-package-count-11", "11", "2", "20"),
        ("orb-package-4", "4", "1", "10"),
        ("orb-package-11", "11", "2", "20"),
    ];
    let (model, size) = (package("1", "10", "0", PackageRounding::Up), decimal("10"));
    for (name, quantity, packages, billed_units) in cases {
        let charge = rate_model(&model, decimal(quantity)).unwrap();
        let step = charge.steps.last().unwrap();
        assert_eq!((step.kind, step.quantity), (StepKind::Package, decimal(packages)), "{name}");
        assert_eq!(exact_mul(step.quantity, size), Ok(decimal(billed_units)), "{name}");
    }
}
