//! Every time zone with every kind of billing cycle: periods tile and are found again.

use jiff::civil::{DateTime, date};
use jiff::tz::{self, TimeZone};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Alignment, BillingCycle, BillingInterval, IntervalUnit, Period};
use crate::programmes::{cases_asked_for, costly_programmes};

/// One of so many zones is tried, unless more programmes are asked for than this.
const ZONE_SHARE: usize = 20;

/// As many programmes ask for every zone.
const PROGRAMMES_FOR_ALL: u32 = 100_000;

/// Periods that are followed from each anchor.
const PERIODS: usize = 14;

const UNITS: [IntervalUnit; 5] =
    [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Quarter, IntervalUnit::Year];

/// Month ends of common and leap years, a leap day, and the days before clocks change.
fn anchor_days() -> [DateTime; 9] {
    let midnight = |year, month, day| date(year, month, day).at(0, 0, 0, 0);
    [
        midnight(2023, 1, 28),
        midnight(2023, 1, 29),
        midnight(2024, 1, 30),
        midnight(2023, 12, 31),
        midnight(2024, 2, 29),
        date(2024, 3, 30).at(2, 30, 0, 0),
        date(2024, 10, 26).at(1, 30, 0, 0),
        date(2011, 11, 30).at(23, 59, 59, 999_999_000),
        midnight(1999, 8, 31),
    ]
}

fn zone_names() -> Vec<String> {
    let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    assert!(names.len() > 400, "the time zone database has {} zones", names.len());
    names
}

/// The zones of this run: all of them in a soak, else every twentieth.
fn zones() -> Vec<TimeZone> {
    let step = if cases_asked_for() >= Some(PROGRAMMES_FOR_ALL) { 1 } else { ZONE_SHARE };
    zone_names().iter().step_by(step).map(|name| TimeZone::get(name).unwrap()).collect()
}

/// Follows a cycle from its anchor, and finds each period again from its first and its last instant.
fn check_tiles(cycle: &BillingCycle) -> Result<(), String> {
    let fail = |what: &str, period: Period| Err(format!("{what}: {period:?} of {cycle:?}"));
    let mut start = cycle.anchor;
    let mut before: Option<Period> = None;
    for _ in 0..PERIODS {
        let period = cycle.period_containing(start).map_err(|error| format!("{error}: {cycle:?}"))?;
        let last = period.end - SignedDuration::from_nanos(1);
        if period.start != start || period.start >= period.end {
            return fail("gap or overlap", period);
        }
        if cycle.period_containing(last) != Ok(period) {
            return fail("the last instant is in another period than", period);
        }
        if before.is_some_and(|before| cycle.next(&before) != Ok(period)) {
            return fail("the period before does not lead to", period);
        }
        (start, before) = (period.end, Some(period));
    }
    Ok(())
}

#[test]
fn periods_tile_in_every_zone_from_every_month_end() {
    for time_zone in zones() {
        for local in anchor_days() {
            let anchor = time_zone.to_ambiguous_timestamp(local).compatible().unwrap();
            for unit in UNITS {
                for (count, alignment) in [
                    (1, Alignment::Calendar),
                    (1, Alignment::Anniversary),
                    (2, Alignment::Calendar),
                    (3, Alignment::Anniversary),
                ] {
                    let interval = BillingInterval::new(unit, count).unwrap();
                    let cycle = BillingCycle { interval, alignment, time_zone: time_zone.clone(), anchor };
                    assert_eq!(check_tiles(&cycle), Ok(()));
                }
            }
        }
    }
}

#[test]
fn a_day_of_the_month_that_a_month_lacks_comes_back_in_every_zone() {
    // given subscriptions that start at noon, which no zone skips on these days
    for time_zone in zones() {
        for day in 28..=31 {
            let anchor =
                time_zone.to_ambiguous_timestamp(date(2023, 1, day).at(12, 0, 0, 0)).compatible().unwrap();
            let interval = BillingInterval::new(IntervalUnit::Month, 1).unwrap();
            let cycle = BillingCycle {
                interval,
                alignment: Alignment::Anniversary,
                time_zone: time_zone.clone(),
                anchor,
            };

            // when fourteen months are followed
            let mut period = cycle.period_containing(anchor).unwrap();
            for _ in 0..PERIODS {
                let local = time_zone.to_datetime(period.start);

                // then each starts on that day, or on the last of a shorter month
                assert_eq!(local.day(), day.min(local.days_in_month()), "{cycle:?}");
                assert_eq!(local.hour(), 12, "{cycle:?}");
                period = cycle.next(&period).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn periods_tile_in_any_zone_from_any_instant(
        zone in any::<prop::sample::Index>(),
        second in 0_i64..4_000_000_000,
        unit in 0..UNITS.len(),
        count in 1_u16..=36,
        on_calendar in any::<bool>(),
    ) {
        let names = zone_names();
        let alignment = if on_calendar { Alignment::Calendar } else { Alignment::Anniversary };
        let cycle = BillingCycle {
            interval: BillingInterval::new(UNITS[unit], count).unwrap(),
            alignment,
            time_zone: TimeZone::get(zone.get::<String>(&names)).unwrap(),
            anchor: Timestamp::from_second(second).unwrap(),
        };

        prop_assert_eq!(check_tiles(&cycle), Ok(()));
    }
}
