//! A walk through the windows of a period: events in the order of time become one quantity for each window.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Aggregator, Carried, Point, Window, WindowGrid};
use crate::{
    catalog::{meter::Aggregation, rounding::QuantityRounding},
    decimal::DecimalError,
    period::Period,
    rating::WindowUsage,
};

/// How a meter measures, and which windows are wanted of it.
#[derive(Debug, Clone)]
pub struct WalkPlan {
    /// How the events of a window add up.
    pub aggregation: Aggregation,
    /// How the quantity of a window is rounded.
    pub rounding: Option<QuantityRounding>,
    /// Whether each window starts with what the one before ended with, and the first with all that was before.
    pub recurring: bool,
    /// Whether windows without events are wanted too; those of a recurring meter always are.
    pub empty: bool,
    /// The windows.
    pub grid: WindowGrid,
}

/// The windows of one group of events so far. Only the aggregate of the current window is held.
#[derive(Debug)]
pub struct Walk {
    current: Option<(Window, Aggregator)>,
    carried: Carried,
    done: Vec<WindowUsage>,
}

impl Walk {
    /// Starts before all events.
    pub const fn new() -> Self {
        Self { current: None, carried: Carried::Nothing, done: Vec::new() }
    }

    /// Adds an event that is not earlier than any before it. One before the period is only carried over; one after it
    /// changes nothing.
    pub fn add(&mut self, plan: &WalkPlan, point: &Point) -> Result<(), DecimalError> {
        let period = plan.grid.period();
        let window = if point.at < period.start { plan.history() } else { plan.grid.containing(point.at) };
        let Some(window) = window else { return Ok(()) };
        let is_current = self.current.as_ref().is_some_and(|(current, _)| *current == window);
        if !is_current {
            self.fill(plan, window.span.start)?;
            self.open(plan, window)?;
        }
        self.current.as_mut().map_or(Ok(()), |(_, aggregator)| aggregator.add(point))
    }

    /// Gives the usage of the windows: above zero or zero, because nobody is paid for using less than nothing.
    pub fn finish(mut self, plan: &WalkPlan) -> Result<Vec<WindowUsage>, DecimalError> {
        self.fill(plan, plan.grid.period().end)?;
        Ok(self.done)
    }

    /// Closes the current window and, where they are wanted, walks through those without events up to an instant.
    fn fill(&mut self, plan: &WalkPlan, to: Timestamp) -> Result<(), DecimalError> {
        let period = plan.grid.period();
        let mut next = match self.current.as_ref() {
            Some((window, _)) => window.span.end,
            None => period.start,
        };
        self.close(plan)?;
        if !(plan.empty || plan.recurring) {
            return Ok(());
        }
        while next < to
            && let Some(window) = plan.grid.containing(next)
        {
            self.open(plan, window)?;
            self.close(plan)?;
            next = window.span.end;
        }
        Ok(())
    }

    fn open(&mut self, plan: &WalkPlan, window: Window) -> Result<(), DecimalError> {
        let opening = if plan.recurring { std::mem::take(&mut self.carried) } else { Carried::Nothing };
        self.current = Some((window, Aggregator::new(plan.aggregation, window.span, opening)?));
        Ok(())
    }

    fn close(&mut self, plan: &WalkPlan) -> Result<(), DecimalError> {
        let Some((window, aggregator)) = self.current.take() else { return Ok(()) };
        if window.span.end <= plan.grid.period().start {
            self.carried = aggregator.into_closing()?;
            return Ok(());
        }
        let aggregated = aggregator.finish(plan.rounding)?;
        self.carried = aggregated.closing;
        let quantity = aggregated.quantity.max(Decimal::ZERO);
        self.done.push(WindowUsage { hour: window.hour, quantity });
        Ok(())
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

impl WalkPlan {
    /// All that was before the period as one window; nothing of it matters to a meter that does not recur.
    fn history(&self) -> Option<Window> {
        let span = Period { start: Timestamp::MIN, end: self.grid.period().start };
        self.recurring.then_some(Window { span, hour: 0 })
    }
}
