use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Aggregated, Carried, Point, aggregate, aggregate_buckets};
use crate::{
    catalog::{
        meter::Aggregation,
        rounding::{QuantityRounding, RoundingMode},
    },
    decimal::{DecimalError, decimal_text, parse_decimal},
    metering::{BucketFold, MeterValue, bucket_start, short_hash},
    period::Period,
    programmes::costly_programmes,
};

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn period(start: &str, end: &str) -> Period {
    Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn august() -> Period {
    period("2023-08-01T00:00:00Z", "2023-09-01T00:00:00Z")
}

fn points(rows: &[(&str, &str)]) -> Vec<Point> {
    let numbered = rows.iter().zip(0_u128..);
    let point = |((at, value), number): (&(&str, &str), u128)| Point {
        at: at.parse().unwrap(),
        id_hash: Uuid::from_u128(number),
        value: MeterValue::Decimal(decimal(value)),
    };
    numbered.map(point).collect()
}

fn quantity(aggregation: Aggregation, rows: &[(&str, &str)]) -> String {
    let aggregated = aggregate(aggregation, None, august(), &Carried::Nothing, &points(rows)).unwrap();
    decimal_text(aggregated.quantity)
}

#[test]
fn each_aggregation_folds_the_events_of_the_period() {
    let rows = [
        ("2023-07-31T23:59:59.999999Z", "1000"),
        ("2023-08-01T00:00:00Z", "2"),
        ("2023-08-03T00:00:00Z", "7.5"),
        ("2023-08-03T00:00:00Z", "-1"),
        ("2023-08-02T00:00:00Z", "3"),
        ("2023-09-01T00:00:00Z", "1000"),
    ];
    let expected = [
        (Aggregation::Count, "4"),
        (Aggregation::Sum, "11.5"),
        (Aggregation::Max, "7.5"),
        (Aggregation::Min, "-1"),
        (Aggregation::Average, "2.875"),
        (Aggregation::Latest, "-1"),
    ];
    for (aggregation, expected) in expected {
        assert_eq!(quantity(aggregation, &rows), expected, "{aggregation:?}");
    }
}

#[test]
fn a_period_without_events_has_a_quantity_of_zero() {
    for aggregation in Aggregation::ALL {
        assert_eq!(quantity(aggregation, &[]), "0", "{aggregation:?}");
    }
}

#[test]
fn equal_values_are_counted_once_and_stay_known() {
    // given a value of an earlier period, and it again beside a new one that occurs twice
    let hash = |text: &str| short_hash(text.as_bytes());
    let opening = Carried::Members([hash("a")].into());
    let point = |number, text| Point {
        at: august().start,
        id_hash: Uuid::from_u128(number),
        value: MeterValue::Hash(hash(text)),
    };
    let points = [point(1, "a"), point(2, "b"), point(3, "b")];

    let carried = aggregate(Aggregation::UniqueCount, None, august(), &opening, &points).unwrap();
    let fresh = aggregate(Aggregation::UniqueCount, None, august(), &Carried::Nothing, &points[1..]).unwrap();

    assert_eq!(carried.quantity, decimal("2"));
    assert_eq!(carried.closing, Carried::Members([hash("a"), hash("b")].into()));
    assert_eq!(fresh.quantity, decimal("1"));
}

#[test]
fn what_was_carried_over_nets_with_the_period() {
    let opening = Carried::Level(decimal("-3"));
    let rows = points(&[("2023-08-05T00:00:00Z", "4")]);

    let sum = aggregate(Aggregation::Sum, None, august(), &opening, &rows).unwrap();
    let unchanged = aggregate(Aggregation::Latest, None, august(), &opening, &[]).unwrap();

    assert_eq!(sum, Aggregated { quantity: decimal("1"), closing: Carried::Level(decimal("1")) });
    assert_eq!(unchanged, Aggregated { quantity: decimal("-3"), closing: opening });
}

#[test]
fn a_weighted_sum_counts_each_value_for_the_rest_of_the_period() {
    let five = Some(QuantityRounding { mode: RoundingMode::HalfUp, scale: 5 });
    let april = period("2023-04-01T00:00:00Z", "2023-05-01T00:00:00Z");
    let carried = Carried::Level(decimal("2500"));
    let rows = points(&[("2023-04-04T00:00:00Z", "-2000"), ("2023-04-06T00:00:00Z", "-200")]);

    let rounded = aggregate(
        Aggregation::WeightedSum,
        five,
        august(),
        &Carried::Nothing,
        &points(&[("2023-08-01T01:00:00Z", "3")]),
    );
    let aggregated = aggregate(Aggregation::WeightedSum, None, april, &carried, &rows).unwrap();

    assert_eq!(rounded.map(|aggregated| decimal_text(aggregated.quantity)).as_deref(), Ok("2.99597"));
    assert_eq!(decimal_text(aggregated.quantity), "533.333333333333");
    assert_eq!(aggregated.closing, Carried::Level(decimal("300")));
}

#[test]
fn a_weighted_sum_is_exact_to_the_microsecond() {
    // given one microsecond of a period of a thousand seconds
    let period = period("2023-08-01T00:00:00Z", "2023-08-01T00:16:40Z");
    let last = points(&[("2023-08-01T00:16:39.999999Z", "1")]);

    let weighted = aggregate(Aggregation::WeightedSum, None, period, &Carried::Nothing, &last);

    assert_eq!(weighted.map(|aggregated| aggregated.quantity), Ok(decimal("0.000000001")));
}

#[test]
fn a_period_of_no_length_has_no_weights() {
    let empty = Period { end: august().start, ..august() };

    let weighted = aggregate(Aggregation::WeightedSum, None, empty, &Carried::Nothing, &[]);

    assert_eq!(weighted, Err(DecimalError::DivisionByZero));
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    let start = august().start.as_microsecond();
    let end = august().end.as_microsecond();
    let point = move |(at, hash, digits, scale): (i64, u128, i64, u32)| Point {
        at: Timestamp::from_microsecond(at).unwrap(),
        id_hash: Uuid::from_u128(hash),
        value: MeterValue::Decimal(Decimal::new(digits, scale)),
    };
    let any_point =
        (start..end, any::<u128>(), -1_000_000_000_i64..1_000_000_000, 0_u32..=12).prop_map(point);
    prop::collection::vec(any_point, 0..12)
}

fn any_aggregation() -> impl Strategy<Value = Aggregation> {
    prop::sample::select(Aggregation::ALL.to_vec())
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn the_order_of_arrival_changes_nothing(
        (points, shuffled) in any_points().prop_flat_map(|points| (Just(points.clone()), Just(points).prop_shuffle())),
        aggregation in any_aggregation(),
        opening in any::<i32>(),
    ) {
        let opening = Carried::Level(Decimal::from(opening));
        prop_assert_eq!(
            aggregate(aggregation, None, august(), &opening, &points),
            aggregate(aggregation, None, august(), &opening, &shuffled)
        );
    }

    #[test]
    fn buckets_come_to_what_their_events_come_to(points in any_points(), aggregation in any_aggregation()) {
        // given the events of a period, folded into their buckets
        let mut buckets: BTreeMap<Timestamp, BucketFold> = BTreeMap::new();
        for point in &points {
            let fold = BucketFold::of(aggregation, point.at, point.id_hash, point.value);
            match buckets.entry(bucket_start(point.at)) {
                Entry::Occupied(mut bucket) => bucket.get_mut().merge(&fold).unwrap(),
                Entry::Vacant(place) => { place.insert(fold); }
            }
        }
        let buckets: Vec<_> = buckets.into_values().collect();

        // when
        let quantity = aggregate_buckets(aggregation, None, &buckets).unwrap();

        // then
        let is_told = !matches!(aggregation, Aggregation::UniqueCount | Aggregation::WeightedSum);
        let expected = aggregate(aggregation, None, august(), &Carried::Nothing, &points).unwrap().quantity;
        prop_assert_eq!(quantity, is_told.then_some(expected));
    }

    #[test]
    fn two_periods_carry_what_one_period_holds(points in any_points(), cut in any::<prop::sample::Index>()) {
        // given a recurring meter, and a period that is cut in two
        let cut = august().start + std::time::Duration::from_secs(cut.index(31 * 24 * 3600 - 1) as u64 + 1);
        let (first, second) = (Period { end: cut, ..august() }, Period { start: cut, ..august() });
        for aggregation in Aggregation::ALL.into_iter().filter(|one| one.can_recur()) {
            // when the second part starts with what the first one closed with
            let fold = |period, opening: &Carried| aggregate(aggregation, None, period, opening, &points).unwrap();
            let carried = fold(second, &fold(first, &Carried::Nothing).closing);

            // then it closes like the whole
            prop_assert_eq!(carried.closing, fold(august(), &Carried::Nothing).closing);
        }
    }

    #[test]
    fn a_weighted_sum_lies_between_the_least_and_the_greatest_level(points in any_points()) {
        let mut in_time = points.clone();
        in_time.sort_by_key(|point| point.at);
        let (mut level, mut least, mut greatest) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        for point in &in_time {
            let MeterValue::Decimal(value) = point.value else { continue };
            level += value;
            (least, greatest) = (least.min(level), greatest.max(level));
        }

        let weighted = aggregate(Aggregation::WeightedSum, None, august(), &Carried::Nothing, &points).unwrap();

        prop_assert!(least <= weighted.quantity && weighted.quantity <= greatest);
        prop_assert_eq!(weighted.closing, Carried::Level(level));
    }

    #[test]
    fn a_rounded_quantity_is_the_exact_one_rounded_once(points in any_points(), scale in -3_i8..=6) {
        let rounding = QuantityRounding { mode: RoundingMode::Floor, scale };
        for aggregation in Aggregation::ALL {
            // Cutting off twice is the same as once, so that the long quantity tells what the short one must be.
            let fold = |rounding| aggregate(aggregation, Some(rounding), august(), &Carried::Nothing, &points).unwrap();
            let long = fold(QuantityRounding { scale: 12, ..rounding });
            prop_assert_eq!(rounding.round(long.quantity), Ok(fold(rounding).quantity));
        }
    }
}
