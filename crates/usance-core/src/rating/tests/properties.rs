use proptest::prelude::*;
use rust_decimal::Decimal;

use super::rate_model;
use crate::catalog::price::{ChargeModel, PackageRounding, Tier};
use crate::decimal::{exact_add, exact_mul, exact_sub};
use crate::programmes::programmes;

/// A quantity below 10^9 with up to nine digits after the point.
pub(super) fn any_quantity() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        Just(Decimal::ZERO),
        (0_i64..1_000).prop_map(Decimal::from),
        (0_i64..1_000_000_000_000_000_000).prop_map(|digits| Decimal::new(digits, 9)),
    ]
}

/// A price below 1000 with up to six digits after the point, often zero.
fn any_price() -> impl Strategy<Value = Decimal> {
    prop_oneof![Just(Decimal::ZERO), (0_i64..1_000_000_000).prop_map(|digits| Decimal::new(digits, 6))]
}

fn any_tiers() -> impl Strategy<Value = Vec<Tier>> {
    let bounded = prop::collection::vec((1_i64..1_000_000, any_price(), any_price()), 1..6);
    (bounded, any_price(), any_price()).prop_map(|(bounded, unit, flat)| {
        let mut bound = 0;
        let mut tiers: Vec<Tier> = bounded
            .into_iter()
            .map(|(width, unit, flat)| {
                bound += width;
                Tier { up_to: Some(Decimal::new(bound, 3)), unit, flat, cap: None }
            })
            .collect();
        tiers.push(Tier { up_to: None, unit, flat, cap: None });
        tiers
    })
}

/// Any model but volume, whose larger quantities may fall into a cheaper tier.
fn any_monotone_model() -> impl Strategy<Value = ChargeModel> {
    let rounding = prop_oneof![Just(PackageRounding::Up), Just(PackageRounding::Down)];
    prop_oneof![
        any_price().prop_map(|amount| ChargeModel::Flat { amount }),
        any_price().prop_map(|unit| ChargeModel::PerUnit { unit }),
        any_tiers().prop_map(|tiers| ChargeModel::Graduated { tiers }),
        (any_price(), 1_i64..1_000_000, any_price(), rounding).prop_map(
            |(amount, size, free_units, rounding)| {
                ChargeModel::Package { amount, package_size: Decimal::new(size, 3), free_units, rounding }
            }
        ),
    ]
}

pub(super) fn any_model() -> impl Strategy<Value = ChargeModel> {
    prop_oneof![4 => any_monotone_model(), 1 => any_tiers().prop_map(|tiers| ChargeModel::Volume { tiers })]
}

fn exact(model: &ChargeModel, quantity: Decimal) -> Decimal {
    rate_model(model, quantity).unwrap().exact
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn the_steps_add_up_and_each_is_a_product(model in any_model(), quantity in any_quantity()) {
        let charge = rate_model(&model, quantity).unwrap();

        let mut sum = Decimal::ZERO;
        for step in &charge.steps {
            prop_assert_eq!(exact_mul(step.quantity, step.unit), Ok(step.amount));
            sum = exact_add(sum, step.amount).unwrap();
        }
        prop_assert_eq!(sum, charge.exact);
        prop_assert!(!charge.steps.is_empty());
        prop_assert_eq!(model.validate(), Ok(()));
    }

    #[test]
    fn more_units_never_cost_less_where_no_single_tier_decides(
        model in any_monotone_model(),
        quantity in any_quantity(),
        more in any_quantity(),
    ) {
        let larger = exact_add(quantity, more).unwrap();

        prop_assert!(exact(&model, larger) >= exact(&model, quantity));
    }

    #[test]
    fn units_cost_the_same_together_and_apart(unit in any_price(), first in any_quantity(), second in any_quantity()) {
        let model = ChargeModel::PerUnit { unit };
        let together = exact(&model, exact_add(first, second).unwrap());
        let apart = exact_add(exact(&model, first), exact(&model, second)).unwrap();

        prop_assert_eq!(together, apart);
    }

    #[test]
    fn graduated_units_are_divided_over_the_tiers_without_rest(tiers in any_tiers(), quantity in any_quantity()) {
        let flat_free: Vec<Tier> = tiers.into_iter().map(|tier| Tier { flat: Decimal::ZERO, ..tier }).collect();
        let charge = rate_model(&ChargeModel::Graduated { tiers: flat_free }, quantity).unwrap();

        let units = charge.steps.iter().try_fold(Decimal::ZERO, |sum, step| exact_add(sum, step.quantity));
        prop_assert_eq!(units, Ok(quantity));
        for step in &charge.steps {
            prop_assert!(step.up_to.is_none_or(|up_to| exact_sub(up_to, step.from.unwrap()).unwrap() >= step.quantity));
        }
    }

    #[test]
    fn a_bound_is_the_last_quantity_of_its_tier(tiers in any_tiers(), index in any::<prop::sample::Index>()) {
        // given the quantity at a bound, and one just above it
        let index = index.index(tiers.len() - 1);
        let bound = tiers[index].up_to.unwrap();
        let step = Decimal::new(1, 12);
        let above = exact_add(bound, step).unwrap();
        let next = tiers[index + 1].clone();
        let this = tiers[index].clone();

        // when both are rated in both models
        let [graduated, volume] = [ChargeModel::Graduated { tiers: tiers.clone() }, ChargeModel::Volume { tiers }];

        // then the smallest step up enters the next tier, and only that
        let entry = exact_add(exact_mul(step, next.unit).unwrap(), next.flat).unwrap();
        prop_assert_eq!(exact_sub(exact(&graduated, above), exact(&graduated, bound)), Ok(entry));
        let at_bound = exact_add(exact_mul(bound, this.unit).unwrap(), this.flat);
        let past_bound = exact_add(exact_mul(above, next.unit).unwrap(), next.flat);
        prop_assert_eq!(Ok(exact(&volume, bound)), at_bound);
        prop_assert_eq!(Ok(exact(&volume, above)), past_bound);
    }

    #[test]
    fn one_tier_is_a_price_per_unit_and_a_fee(unit in any_price(), flat in any_price(), quantity in any_quantity()) {
        let tiers = vec![Tier { up_to: None, unit, flat, cap: None }];
        let expected = exact_add(exact(&ChargeModel::PerUnit { unit }, quantity), flat).unwrap();

        prop_assert_eq!(exact(&ChargeModel::Graduated { tiers: tiers.clone() }, quantity), expected);
        prop_assert_eq!(exact(&ChargeModel::Volume { tiers }, quantity), expected);
    }

    #[test]
    fn packages_cover_the_units_with_less_than_one_to_spare(size in 1_i64..1_000_000, free in any_price(), quantity in any_quantity()) {
        let size = Decimal::new(size, 3);
        let count = |rounding| exact(
            &ChargeModel::Package { amount: Decimal::ONE, package_size: size, free_units: free, rounding },
            quantity,
        );
        let charged = exact_sub(quantity.max(free), free).unwrap();
        let spare = exact_sub(exact_mul(count(PackageRounding::Up), size).unwrap(), charged).unwrap();
        let missing = exact_sub(charged, exact_mul(count(PackageRounding::Down), size).unwrap()).unwrap();

        prop_assert!(Decimal::ZERO <= spare && spare < size);
        prop_assert!(Decimal::ZERO <= missing && missing < size);
    }

    #[test]
    fn no_model_makes_rating_panic(
        digits in any::<[i64; 6]>(),
        scales in prop::array::uniform6(0_u32..=28),
        open in any::<bool>(),
    ) {
        let value = |index: usize| Decimal::new(digits[index], scales[index]);
        let tiers = vec![
            Tier { up_to: Some(value(0)), unit: value(1), flat: value(2), cap: None },
            Tier { up_to: (!open).then(|| value(3)), unit: value(4), flat: value(2), cap: None },
        ];
        let package = ChargeModel::Package {
            amount: value(0),
            package_size: value(1),
            free_units: value(2),
            rounding: PackageRounding::Up,
        };
        for model in [ChargeModel::Graduated { tiers: tiers.clone() }, ChargeModel::Volume { tiers }, package] {
            if let Ok(charge) = rate_model(&model, value(5)) {
                prop_assert!(!charge.steps.is_empty());
            }
        }
    }
}
