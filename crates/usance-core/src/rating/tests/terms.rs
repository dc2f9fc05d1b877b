//! What happens before and after the model.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{decimal, step_text, tiers};
use crate::catalog::price::{
    ChargeModel, Commitment, Committed, ConversionOperation, FirstTierFlat, PercentTier, Percentage,
    PriceTerms, TimeOfDay, UnitConversion, WindowPricing, WindowSize,
};
use crate::catalog::rounding::{QuantityRounding, RoundingMode};
use crate::decimal::{decimal_text, exact_add, exact_mul};
use crate::programmes::costly_programmes;
use crate::rating::{Run, Usage, WindowUsage, rate};

fn per_unit(unit: &str) -> PriceTerms {
    PriceTerms::from(ChargeModel::PerUnit { unit: decimal(unit) })
}

fn exact(terms: &PriceTerms, quantity: &str, run: Run) -> String {
    decimal_text(rate(terms, &Usage::of(decimal(quantity)), run).unwrap().exact)
}

fn thousands(rounding: Option<RoundingMode>) -> UnitConversion {
    UnitConversion {
        operation: ConversionOperation::Divide,
        factor: decimal("1000"),
        rounding: rounding.map(|mode| QuantityRounding { mode, scale: 0 }),
    }
}

#[test]
fn a_quantity_is_converted_then_rounded_then_freed() {
    let converted = PriceTerms { conversion: Some(thousands(Some(RoundingMode::Ceil))), ..per_unit("10") };
    let freed = PriceTerms { usage_discount: Some(decimal("0.5")), ..converted.clone() };
    let unrounded = PriceTerms { conversion: Some(thousands(None)), ..per_unit("10") };
    let multiplied = PriceTerms {
        conversion: Some(UnitConversion {
            operation: ConversionOperation::Multiply,
            factor: decimal("1.5"),
            rounding: Some(QuantityRounding { mode: RoundingMode::Floor, scale: 0 }),
        }),
        ..per_unit("10")
    };

    assert_eq!(exact(&converted, "1400", Run::Final), "20");
    assert_eq!(exact(&freed, "1400", Run::Final), "15");
    assert_eq!(exact(&unrounded, "1400", Run::Final), "14");
    assert_eq!(exact(&multiplied, "3", Run::Final), "40");
}

#[test]
fn a_quotient_without_end_is_cut_to_twelve_digits() {
    let third =
        Some(UnitConversion { operation: ConversionOperation::Divide, factor: decimal("3"), rounding: None });
    let terms = PriceTerms { conversion: third, ..per_unit("1") };

    assert_eq!(exact(&terms, "1", Run::Final), "0.333333333333");
}

#[test]
fn the_discount_comes_before_the_maximum_and_the_minimum_comes_last() {
    // given all three
    let terms = PriceTerms {
        discount_percent: Some(decimal("50")),
        maximum: Some(decimal("100")),
        minimum: Some(decimal("30")),
        ..per_unit("10")
    };

    // when much is used, and little, in the middle of a period and at its end
    let steps = |quantity: &str, run| {
        let charge = rate(&terms, &Usage::of(decimal(quantity)), run).unwrap();
        charge.steps.iter().map(step_text).collect::<Vec<_>>()
    };

    // then each is a step of its own
    assert_eq!(
        steps("27", Run::Interim),
        ["unit (-, -] 27 x 10 = 270", "discount (-, -] 270 x -0.5 = -135", "maximum (-, -] 1 x -35 = -35"]
    );
    assert_eq!(steps("2", Run::Interim), ["unit (-, -] 2 x 10 = 20", "discount (-, -] 20 x -0.5 = -10"]);
    assert_eq!(
        steps("2", Run::Final),
        ["unit (-, -] 2 x 10 = 20", "discount (-, -] 20 x -0.5 = -10", "minimum (-, -] 1 x 20 = 20"]
    );
}

#[test]
fn the_rated_quantity_is_told_without_what_is_free() {
    let terms = PriceTerms { usage_discount: Some(decimal("10")), ..per_unit("1") };
    let charge = rate(&terms, &Usage::of(decimal("25")), Run::Final).unwrap();

    assert_eq!(charge.quantity, decimal("15"));
    assert_eq!(
        charge.steps.iter().map(step_text).collect::<Vec<_>>(),
        ["usage_discount (0, 10] 10 x 0 = 0", "unit (-, -] 15 x 1 = 15"]
    );
    assert_eq!(rate(&terms, &Usage::of(decimal("4")), Run::Final).unwrap().quantity, Decimal::ZERO);
}

#[test]
fn the_first_flat_fee_without_usage_is_a_matter_of_the_terms() {
    let rows = [("10", "1", "5"), ("null", "1", "7")];
    for model in [ChargeModel::Graduated { tiers: tiers(&rows) }, ChargeModel::Volume { tiers: tiers(&rows) }]
    {
        let charged = PriceTerms::from(model);
        let skipped = PriceTerms { first_tier_flat: FirstTierFlat::Skip, ..charged.clone() };

        assert_eq!(exact(&charged, "0", Run::Final), "5");
        assert_eq!(exact(&skipped, "0", Run::Final), "0");
        assert_eq!(exact(&skipped, "1", Run::Final), exact(&charged, "1", Run::Final));
    }
}

/// Any decimal that fits a column, and some beyond.
fn any_decimal() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        (any::<i64>(), 0_u32..=28).prop_map(|(digits, scale)| Decimal::new(digits, scale)),
        (-9_999_999_999_999_999_999_999_999_999_i128..=9_999_999_999_999_999_999_999_999_999)
            .prop_map(|digits| Decimal::from_i128_with_scale(digits, 12)),
        (-1_000_i64..1_000).prop_map(Decimal::from),
    ]
}

/// Every model whose parameters are single decimals or tiers, with the given ones.
fn models_of(values: &[Decimal]) -> Vec<ChargeModel> {
    let percentage = Percentage {
        rate_percent: values[0],
        fixed_amount_per_event: values[1],
        free_events: Some(1),
        free_units_total: Some(values[2]),
        per_event_min: Some(values[3]),
        per_event_max: Some(values[4]),
    };
    let linear =
        Percentage { rate_percent: values[0], free_units_total: Some(values[1]), ..Percentage::default() };
    let percent_tier = |up_to| PercentTier { up_to, rate_percent: values[1], flat: values[2] };
    vec![
        ChargeModel::PerUnit { unit: values[0] },
        ChargeModel::Percentage(percentage),
        ChargeModel::Percentage(linear),
        ChargeModel::GraduatedPercentage { tiers: vec![percent_tier(Some(values[0])), percent_tier(None)] },
        ChargeModel::Dynamic { multiplier: values[0] },
        ChargeModel::Seat { unit: values[0], minimum_seats: Some(values[1]), maximum_seats: Some(values[2]) },
    ]
}

fn any_terms() -> impl Strategy<Value = PriceTerms> {
    let values = || prop::collection::vec(any_decimal(), 5);
    let model = values().prop_flat_map(|values| prop::sample::select(models_of(&values)));
    let rounding = prop::option::of((prop::sample::select(RoundingMode::ALL.to_vec()), any::<i8>()))
        .prop_map(|rounding| rounding.map(|(mode, scale)| QuantityRounding { mode, scale }));
    (model, values(), rounding, any::<(bool, bool, bool, u8, u8)>()).prop_map(
        |(model, values, rounding, choices)| {
            let (has_window, is_amount, is_product, from_hour, to_hour) = choices;
            let operation =
                if is_product { ConversionOperation::Multiply } else { ConversionOperation::Divide };
            let committed =
                if is_amount { Committed::Amount(values[1]) } else { Committed::Quantity(values[1]) };
            let commitment = Commitment { committed, overage_factor: values[2], true_up: is_product };
            let time = TimeOfDay { from_hour, to_hour, model: None, commitment: Some(commitment.clone()) };
            let window = WindowPricing {
                size: WindowSize::Hour,
                commitment: Some(commitment),
                times_of_day: vec![time],
            };
            PriceTerms {
                conversion: Some(UnitConversion { operation, factor: values[0], rounding }),
                usage_discount: Some(values[1]),
                discount_percent: Some(values[2]),
                minimum: Some(values[3]),
                maximum: Some(values[4]),
                window: has_window.then_some(window),
                ..PriceTerms::from(model)
            }
        },
    )
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn no_terms_make_rating_panic_and_what_is_rated_adds_up(
        terms in any_terms(),
        values in prop::collection::vec(any_decimal(), 3),
        hour in any::<u8>(),
    ) {
        let windows = values.iter().map(|quantity| WindowUsage { hour, quantity: *quantity }).collect();
        let usage = Usage {
            quantity: values[0],
            event_count: 3,
            event_amount: values[1],
            events: values.clone(),
            windows,
        };
        prop_assert!(terms.faults().len() < 100);
        if let Ok(charge) = rate(&terms, &usage, Run::Final) {
            let mut sum = Decimal::ZERO;
            for step in &charge.steps {
                prop_assert_eq!(exact_mul(step.quantity, step.unit), Ok(step.amount));
                sum = exact_add(sum, step.amount).unwrap();
            }
            prop_assert_eq!(sum, charge.exact);
            let minimum = terms.minimum.unwrap_or_default();
            prop_assert!(charge.exact >= minimum);
        }
    }
}
