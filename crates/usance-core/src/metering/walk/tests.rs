use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Walk, WalkPlan};
use crate::{
    catalog::{
        meter::Aggregation,
        price::WindowSize,
        rounding::{QuantityRounding, RoundingMode},
    },
    decimal::parse_decimal,
    metering::{MeterValue, Point, WindowGrid},
    period::Period,
};

fn morning() -> Period {
    Period { start: "2024-01-01T00:00:00Z".parse().unwrap(), end: "2024-01-01T05:00:00Z".parse().unwrap() }
}

fn plan(aggregation: Aggregation) -> WalkPlan {
    WalkPlan {
        aggregation,
        rounding: None,
        recurring: false,
        empty: false,
        grid: WindowGrid::new(morning(), WindowSize::Hour, TimeZone::UTC),
    }
}

fn walked(plan: &WalkPlan, rows: &[(&str, &str)]) -> Vec<(u8, String)> {
    let mut walk = Walk::new();
    for (at, value) in rows {
        let value = MeterValue::Decimal(parse_decimal(value).unwrap());
        walk.add(plan, &Point { at: at.parse().unwrap(), id_hash: Uuid::nil(), value }).unwrap();
    }
    let windows = walk.finish(plan).unwrap();
    windows.iter().map(|window| (window.hour, window.quantity.normalize().to_string())).collect()
}

fn expected(rows: &[(u8, &str)]) -> Vec<(u8, String)> {
    rows.iter().map(|(hour, quantity)| (*hour, (*quantity).to_owned())).collect()
}

const ROWS: [(&str, &str); 5] = [
    ("2023-12-31T23:59:59Z", "4"),
    ("2024-01-01T01:00:00Z", "1.25"),
    ("2024-01-01T01:59:59Z", "1"),
    ("2024-01-01T03:30:00Z", "-3"),
    ("2024-01-01T05:00:00Z", "100"),
];

#[test]
fn each_window_with_events_has_a_quantity_of_zero_or_more() {
    let windows = walked(&plan(Aggregation::Sum), &ROWS);

    assert_eq!(windows, expected(&[(1, "2.25"), (3, "0")]));
}

#[test]
fn windows_without_events_are_walked_through_where_they_are_wanted() {
    let all = walked(&WalkPlan { empty: true, ..plan(Aggregation::Max) }, &ROWS);
    let none = walked(&WalkPlan { empty: true, ..plan(Aggregation::Max) }, &[]);

    assert_eq!(all, expected(&[(0, "0"), (1, "1.25"), (2, "0"), (3, "0"), (4, "0")]));
    assert_eq!(none, expected(&[(0, "0"), (1, "0"), (2, "0"), (3, "0"), (4, "0")]));
}

#[test]
fn a_recurring_meter_carries_its_level_through_every_window() {
    let windows = walked(&WalkPlan { recurring: true, ..plan(Aggregation::Sum) }, &ROWS);

    assert_eq!(windows, expected(&[(0, "4"), (1, "6.25"), (2, "6.25"), (3, "3.25"), (4, "3.25")]));
}

#[test]
fn a_level_below_zero_is_carried_as_it_is() {
    // given a recurring meter that fell below zero before and within the period
    let rows = [("2023-11-01T00:00:00Z", "-3"), ("2023-12-01T00:00:00Z", "1"), ("2024-01-01T02:00:00Z", "3")];
    let recurring = WalkPlan { recurring: true, ..plan(Aggregation::Sum) };

    // when
    let windows = walked(&recurring, &rows);

    // then
    assert_eq!(windows, expected(&[(0, "0"), (1, "0"), (2, "1"), (3, "1"), (4, "1")]));
}

#[test]
fn each_window_is_rounded_by_itself() {
    let rounding = Some(QuantityRounding { mode: RoundingMode::Ceil, scale: 0 });

    let windows = walked(&WalkPlan { rounding, ..plan(Aggregation::Sum) }, &ROWS);

    assert_eq!(windows, expected(&[(1, "3"), (3, "0")]));
}

#[test]
fn a_whole_period_is_one_window() {
    let whole = WalkPlan { grid: WindowGrid::whole(morning()), ..plan(Aggregation::WeightedSum) };
    let recurring = WalkPlan { recurring: true, ..whole.clone() };

    assert_eq!(walked(&whole, &[("2024-01-01T02:30:00Z", "3")]), expected(&[(0, "1.5")]));
    assert_eq!(walked(&recurring, &[("2023-01-01T00:00:00Z", "2")]), expected(&[(0, "2")]));
    assert_eq!(
        Walk::new().finish(&whole).unwrap().iter().map(|window| window.quantity).sum::<Decimal>(),
        Decimal::ZERO
    );
}
