//! Windows, their commitments and the times of day.

use rust_decimal::Decimal;

use super::{decimal, step_text, tiers};
use crate::catalog::price::{
    ChargeModel, Commitment, Committed, PriceTerms, TimeOfDay, WindowPricing, WindowSize,
};
use crate::rating::{Charge, CommitmentUse, Needs, Run, Usage, WindowUsage, rate};

fn windowed(model: ChargeModel, commitment: Option<Commitment>, times_of_day: Vec<TimeOfDay>) -> PriceTerms {
    let window = WindowPricing { size: WindowSize::Hour, commitment, times_of_day };
    PriceTerms { window: Some(window), ..PriceTerms::from(model) }
}

fn amount(amount: &str, true_up: bool) -> Commitment {
    Commitment { committed: Committed::Amount(decimal(amount)), overage_factor: decimal("2"), true_up }
}

fn rated(terms: &PriceTerms, windows: &[(u8, &str)], run: Run) -> Charge {
    let windows = windows
        .iter()
        .map(|(hour, quantity)| WindowUsage { hour: *hour, quantity: decimal(quantity) })
        .collect();
    rate(terms, &Usage { windows, ..Usage::default() }, run).unwrap()
}

fn steps(charge: &Charge) -> Vec<String> {
    charge.steps.iter().map(step_text).collect()
}

#[test]
fn each_window_starts_in_the_first_tier_and_all_are_explained_together() {
    let rows = [("10", "0.10", "1"), ("null", "0.05", "0")];
    let terms = windowed(ChargeModel::Graduated { tiers: tiers(&rows) }, None, Vec::new());

    let charge = rated(&terms, &[(0, "9"), (1, "15"), (2, "0")], Run::Final);

    assert_eq!(
        steps(&charge),
        [
            "tier_unit (0, 10] 19 x 0.1 = 1.9",
            "tier_flat (0, 10] 2 x 1 = 2",
            "tier_unit (10, -] 5 x 0.05 = 0.25"
        ]
    );
    assert_eq!((charge.exact, charge.quantity), (decimal("4.15"), decimal("24")));
}

#[test]
fn usage_beyond_the_commitment_costs_more_and_unused_commitment_is_charged_at_the_end() {
    let terms = windowed(ChargeModel::PerUnit { unit: decimal("2") }, Some(amount("10", true)), Vec::new());
    let windows = [(0, "2"), (1, "8"), (2, "0")];

    assert_eq!(
        steps(&rated(&terms, &windows, Run::Final)),
        ["unit (-, -] 10 x 2 = 20", "overage (-, -] 6 x 1 = 6", "true_up (-, -] 1 x 16 = 16"]
    );
    assert_eq!(
        steps(&rated(&terms, &windows, Run::Interim)),
        ["unit (-, -] 10 x 2 = 20", "overage (-, -] 6 x 1 = 6"]
    );
    assert_eq!(terms.needs(), Needs::Windows { size: WindowSize::Hour, empty: true });
}

#[test]
fn hours_of_the_day_have_prices_and_commitments_of_their_own() {
    let night = TimeOfDay {
        from_hour: 22,
        to_hour: 6,
        model: Some(ChargeModel::PerUnit { unit: decimal("1") }),
        commitment: Some(Commitment { committed: Committed::Quantity(decimal("4")), ..amount("0", false) }),
    };
    let terms = windowed(ChargeModel::PerUnit { unit: decimal("3") }, None, vec![night]);

    let charge = rated(&terms, &[(23, "10"), (5, "1"), (6, "5")], Run::Final);

    let expected = CommitmentUse { utilized: decimal("20"), overage: decimal("12"), true_up: Decimal::ZERO };
    assert_eq!((charge.exact, charge.commitment), (decimal("32"), Some(expected)));
    assert_eq!(terms.needs(), Needs::Windows { size: WindowSize::Hour, empty: false });
}

#[test]
fn no_windows_cost_nothing() {
    let terms = windowed(ChargeModel::PerUnit { unit: decimal("3") }, Some(amount("10", true)), Vec::new());

    assert_eq!(rated(&terms, &[], Run::Final).exact, Decimal::ZERO);
}
