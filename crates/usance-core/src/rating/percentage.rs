//! The steps of a percentage: a share of an amount, fees for events, and what is free of both.

use rust_decimal::Decimal;

use super::step::{ANY, Range, StepKind, Steps};
use super::{ONE_PERCENT, RateError, Usage};
use crate::catalog::price::Percentage;
use crate::decimal::{DecimalError, exact_add, exact_mul, exact_sub};

/// What all events of a period come to.
#[derive(Debug, Default)]
struct Tally {
    free_units: Decimal,
    paid_units: Decimal,
    paid_events: u64,
    /// What paid events cost less than each must.
    raised: Decimal,
    /// What paid events cost more than each may.
    lowered: Decimal,
}

/// What of the free usage is left; nothing once a limit was passed.
#[derive(Debug, Clone, Copy)]
struct Free {
    events: Option<u64>,
    units: Option<Decimal>,
    is_open: bool,
}

pub(super) fn push(
    steps: &mut Steps,
    percentage: &Percentage,
    quantity: Decimal,
    usage: &Usage,
) -> Result<(), RateError> {
    let share = exact_mul(percentage.rate_percent, ONE_PERCENT)?;
    let tally = if percentage.needs_events() {
        if u64::try_from(usage.events.len()) != Ok(usage.event_count) {
            return Err(RateError::EventsMissing);
        }
        tally_events(percentage, share, &usage.events)?
    } else {
        let free_units = percentage.free_units_total.unwrap_or_default().min(quantity);
        let paid_units = exact_sub(quantity, free_units)?;
        Tally { free_units, paid_units, paid_events: usage.event_count, ..Tally::default() }
    };
    Ok(push_tally(steps, percentage, share, &tally)?)
}

fn push_tally(
    steps: &mut Steps,
    percentage: &Percentage,
    share: Decimal,
    tally: &Tally,
) -> Result<(), DecimalError> {
    if !tally.free_units.is_zero() {
        let range = Range { from: Some(Decimal::ZERO), up_to: Some(tally.free_units) };
        steps.push(StepKind::FreeUnits, range, tally.free_units, Decimal::ZERO)?;
    }
    steps.push(StepKind::Percent, ANY, tally.paid_units, share)?;
    if !percentage.fixed_amount_per_event.is_zero() {
        let events = Decimal::from(tally.paid_events);
        steps.push(StepKind::EventFee, ANY, events, percentage.fixed_amount_per_event)?;
    }
    if !tally.raised.is_zero() {
        steps.push(StepKind::EventMinimum, ANY, Decimal::ONE, tally.raised)?;
    }
    if !tally.lowered.is_zero() {
        steps.push(StepKind::EventMaximum, ANY, Decimal::ONE, -tally.lowered)?;
    }
    Ok(())
}

fn tally_events(percentage: &Percentage, share: Decimal, events: &[Decimal]) -> Result<Tally, RateError> {
    let mut tally = Tally::default();
    let has_free = percentage.free_events.is_some() || percentage.free_units_total.is_some();
    let mut free =
        Free { events: percentage.free_events, units: percentage.free_units_total, is_open: has_free };
    for value in events {
        if *value < Decimal::ZERO {
            return Err(RateError::NegativeQuantity);
        }
        let free_part = free.take(*value)?;
        tally.free_units = exact_add(tally.free_units, free_part)?;
        if !free.is_open {
            tally_paid(&mut tally, percentage, share, exact_sub(*value, free_part)?)?;
        }
    }
    Ok(tally)
}

impl Free {
    /// Takes an event off what is free, and returns how much of it is free; the event is paid if that closes it.
    fn take(&mut self, value: Decimal) -> Result<Decimal, DecimalError> {
        self.is_open = self.is_open && self.events != Some(0);
        if !self.is_open {
            return Ok(Decimal::ZERO);
        }
        self.events = self.events.map(|events| events.saturating_sub(1));
        let Some(units) = self.units else { return Ok(value) };
        self.is_open = value <= units;
        let taken = value.min(units);
        self.units = Some(exact_sub(units, taken)?);
        Ok(taken)
    }
}

fn tally_paid(
    tally: &mut Tally,
    percentage: &Percentage,
    share: Decimal,
    units: Decimal,
) -> Result<(), DecimalError> {
    tally.paid_units = exact_add(tally.paid_units, units)?;
    tally.paid_events += 1;
    let cost = exact_add(exact_mul(units, share)?, percentage.fixed_amount_per_event)?;
    if let Some(minimum) = percentage.per_event_min.filter(|minimum| cost < *minimum) {
        tally.raised = exact_add(tally.raised, exact_sub(minimum, cost)?)?;
    } else if let Some(maximum) = percentage.per_event_max.filter(|maximum| cost > *maximum) {
        tally.lowered = exact_add(tally.lowered, exact_sub(cost, maximum)?)?;
    }
    Ok(())
}
