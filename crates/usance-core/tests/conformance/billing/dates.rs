//! Periods, days and shares of periods.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    fraction::Fraction,
    period::{Alignment, BillingCycle, BillingInterval, IntervalUnit, Period},
    proration::{Proration, ServiceEnd, calendar_days_between, fraction, prorate},
};

use super::{Case, Outcome, currency, proration, refused};
use crate::case::Fields;

/// Reads a date, or a time, of which a date is the midnight in UTC.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Date>() {
        Ok(date) if !text.contains('T') => {
            date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(refused)
        }
        Ok(_) | Err(_) => text.parse().map_err(|error| format!("`{text}` is no time: {error}")),
    }
}

pub(super) fn instant_of(fields: Fields, name: &str) -> Result<Timestamp, String> {
    instant(fields.text(name)?)
}

/// Moves an instant by whole days of a time zone.
pub(super) fn days_later(at: Timestamp, days: i64, tz: &TimeZone) -> Result<Timestamp, String> {
    let span = jiff::Span::new().try_days(days).map_err(refused)?;
    let moved = at.to_zoned(tz.clone()).checked_add(span).map_err(refused)?;
    Ok(moved.timestamp())
}

/// The midnight that starts the local day of an instant.
pub(super) fn midnight(at: Timestamp, tz: &TimeZone) -> Result<Timestamp, String> {
    let midnight = at.to_zoned(tz.clone()).start_of_day().map_err(refused)?;
    Ok(midnight.timestamp())
}

pub(super) fn time_zone(fields: Fields) -> Result<TimeZone, String> {
    TimeZone::get(fields.text_opt("timezone").unwrap_or("UTC")).map_err(refused)
}

/// The cycle that the interval and billing time of a case name.
pub(super) fn cycle(fields: Fields, anchor: Timestamp) -> Result<BillingCycle, String> {
    let (unit, count) = match fields.text_opt("interval").unwrap_or("monthly") {
        "daily" => (IntervalUnit::Day, 1),
        "weekly" => (IntervalUnit::Week, 1),
        "monthly" => (IntervalUnit::Month, 1),
        "quarterly" => (IntervalUnit::Quarter, 1),
        "semiannual" | "half_yearly" => (IntervalUnit::Quarter, 2),
        "yearly" | "annual" => (IntervalUnit::Year, 1),
        other => return Err(format!("unsupported: the interval {other}")),
    };
    let time = fields.text_opt("billing_time").unwrap_or("anniversary");
    let alignment = Alignment::parse(time).ok_or_else(|| format!("unsupported: the billing time {time}"))?;
    let interval = BillingInterval::new(unit, count).map_err(refused)?;
    Ok(BillingCycle { interval, alignment, time_zone: time_zone(fields)?, anchor })
}

/// The full period that a case states, or else the one of its cycle around an instant.
pub(super) fn full_period(fields: Fields, at: Timestamp) -> Result<Period, String> {
    if !fields.has("period_start") {
        return cycle(fields, at)?.full_period_containing(at).map_err(refused);
    }
    let start = instant_of(fields, "period_start")?;
    let end = if fields.has("period_end_inclusive") {
        days_later(instant_of(fields, "period_end_inclusive")?, 1, &TimeZone::UTC)?
    } else {
        instant_of(fields, "period_end_exclusive")?
    };
    Ok(Period { start, end })
}

/// Reads a list of a start and an end.
fn pair(fields: Fields, name: &str) -> Result<Period, String> {
    let texts: Vec<&str> = fields.array(name)?.iter().filter_map(Value::as_str).collect();
    let [start, end] = texts[..] else { return Err(format!("`{name}` is no pair of times")) };
    Ok(Period { start: instant(start)?, end: instant(end)? })
}

pub(super) fn period_starts(case: &Case) -> Outcome {
    let params = case.params();
    let (start, end) = (instant_of(params, "start")?, instant_of(params, "end_exclusive")?);
    let anchor = if params.has("anchor") { instant_of(params, "anchor")? } else { start };
    let cycle = cycle(params, anchor)?;
    let mut period = cycle.full_period_containing(start).map_err(refused)?;
    let mut starts = Vec::new();
    while period.start < end {
        starts.push(cycle.time_zone.to_datetime(period.start).date().to_string());
        period = cycle.full_period_containing(period.end).map_err(refused)?;
    }
    let expected: Vec<&str> = case.expected().array("starts")?.iter().filter_map(Value::as_str).collect();
    if starts == expected { Ok(()) } else { Err(format!("starts are {starts:?}, expected {expected:?}")) }
}

pub(super) fn days_between(case: &Case) -> Outcome {
    let params = case.params();
    let (start, end) = (instant_of(params, "start")?, instant_of(params, "end")?);
    case.check_decimal("days", Decimal::from(calendar_days_between(start, end, &time_zone(params)?)))
}

pub(super) fn factor(case: &Case) -> Outcome {
    let params = case.params();
    let (service, full) = (pair(params, "service")?, pair(params, "full")?);
    let actual = fraction(proration(case)?, service, full, &time_zone(params)?, ServiceEnd::PeriodEnd);
    let text = case.expected().text("factor")?;
    let parts = text.split_once('/').unwrap_or((text, "1"));
    let parts = (parts.0.trim().parse().map_err(refused)?, parts.1.trim().parse().map_err(refused)?);
    if Fraction::new(parts.0, parts.1) == Some(actual) {
        Ok(())
    } else {
        Err(format!("factor is {}/{}, expected {text}", actual.numerator(), actual.denominator()))
    }
}

pub(super) fn time_ratio(case: &Case) -> Outcome {
    let params = case.params();
    let (service, full) = (pair(params, "service_period")?, pair(params, "full_period")?);
    let share = fraction(Proration::Second, service, full, &time_zone(params)?, ServiceEnd::PeriodEnd);
    let amount = super::major(case, params.decimal("amount")?)?;
    case.check_money("amount", prorate(amount, share, currency(case)?).map_err(refused)?.money)
}
