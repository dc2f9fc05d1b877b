use jiff::{Timestamp, tz::TimeZone};

use super::{Window, WindowGrid};
use crate::{catalog::price::WindowSize, period::Period};

fn period(start: &str, end: &str) -> Period {
    Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn windows(period: Period, size: WindowSize, zone: &str) -> Vec<Window> {
    let grid = WindowGrid::new(period, size, TimeZone::get(zone).unwrap());
    let mut windows = Vec::new();
    let mut next = period.start;
    while let Some(window) = grid.containing(next) {
        next = window.span.end;
        windows.push(window);
    }
    windows
}

fn hours(windows: &[Window]) -> Vec<u8> {
    windows.iter().map(|window| window.hour).collect()
}

#[test]
fn the_windows_of_a_period_tile_it() {
    for (zone, size, start, end) in [
        ("UTC", WindowSize::Hour, "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"),
        ("Asia/Kolkata", WindowSize::Hour, "2024-01-01T00:00:00Z", "2024-01-02T00:10:00Z"),
        ("Australia/Lord_Howe", WindowSize::Hour, "2024-04-06T10:07:00Z", "2024-04-07T10:00:00Z"),
        ("Australia/Lord_Howe", WindowSize::Hour, "2024-10-05T10:07:00Z", "2024-10-06T10:00:00Z"),
        ("America/New_York", WindowSize::Day, "2024-03-01T00:00:00Z", "2024-12-01T00:00:00Z"),
        ("Pacific/Apia", WindowSize::Day, "2011-12-28T00:00:00Z", "2012-01-03T00:00:00Z"),
    ] {
        let period = period(start, end);
        let windows = windows(period, size, zone);

        assert_eq!(windows.first().map(|window| window.span.start), Some(period.start), "{zone}");
        assert_eq!(windows.last().map(|window| window.span.end), Some(period.end), "{zone}");
        assert!(windows.windows(2).all(|pair| pair[0].span.end == pair[1].span.start), "{zone}");
        assert!(windows.iter().all(|window| window.span.start < window.span.end), "{zone}");
    }
}

#[test]
fn every_instant_of_a_window_is_in_that_window() {
    let period = period("2024-04-06T10:07:00Z", "2024-04-07T10:00:00Z");
    let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
    let grid = WindowGrid::new(period, WindowSize::Hour, zone);
    for window in windows(period, WindowSize::Hour, "Australia/Lord_Howe") {
        let last = Timestamp::from_microsecond(window.span.end.as_microsecond() - 1).unwrap();

        assert_eq!(grid.containing(last), Some(window));
    }
}

#[test]
fn an_hour_is_missing_where_the_clock_is_set_forward() {
    let day = period("2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z");

    let hours = hours(&windows(day, WindowSize::Hour, "America/New_York"));

    assert_eq!(hours, (0..24).filter(|hour| *hour != 2).collect::<Vec<_>>());
}

#[test]
fn an_hour_comes_twice_where_the_clock_is_set_back() {
    let day = period("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");

    let hours = hours(&windows(day, WindowSize::Hour, "America/New_York"));

    assert_eq!((hours.len(), &hours[..4]), (25, &[0, 1, 1, 2][..]));
}

#[test]
fn a_day_may_have_23_or_25_hours() {
    let march = period("2024-03-10T05:00:00Z", "2024-03-12T04:00:00Z");

    let days = windows(march, WindowSize::Day, "America/New_York");

    let hours: Vec<_> =
        days.iter().map(|day| day.span.end.duration_since(day.span.start).as_hours()).collect();
    assert_eq!(hours, [23, 24]);
}

#[test]
fn outside_the_period_there_is_no_window() {
    let period = period("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z");
    let grid = WindowGrid::whole(period);

    assert_eq!(grid.containing(period.end), None);
    assert_eq!(grid.containing(Timestamp::UNIX_EPOCH), None);
    assert_eq!(grid.containing(period.start), Some(Window { span: period, hour: 0 }));
}
