//! Measuring from the events themselves, for prices that tell them apart or need each of them.

use jiff::Timestamp;
use usance_core::{
    metering::{Point, Properties, WalkPlan, WindowGrid, amount_value, matches_all},
    period::Period,
    rating::Needs,
};
use usance_db::{TenantTx, events::SpanEvent, line_items::EventSet};
use uuid::Uuid;

use super::{
    Measured, Measurement,
    groups::{GroupKey, Groups},
    pages::Pages,
    point_of, properties_of, value_of,
};
use crate::{
    billing::time_zone,
    error::{Error, Result},
};

/// Measures prices one after the other, in their order.
pub(super) async fn measure(tx: &mut TenantTx, wanted: &[Measurement<'_>]) -> Result<Vec<Measured>> {
    let spans: Vec<_> =
        wanted.iter().map(|measurement| measurement.of_meter().events_of(span_of(measurement))).collect();
    let mut pages = Pages::new(&spans);
    let mut measured = Vec::with_capacity(wanted.len());
    let mut tallies = wanted.iter().map(Tally::new);
    let mut current = tallies.next().transpose()?;
    while let Some(events) = pages.next(tx).await? {
        for event in events {
            while measured.len() < event.place {
                let next = tallies.next().transpose()?;
                let done = std::mem::replace(&mut current, next);
                measured.extend(done.map(Tally::finish).transpose()?);
            }
            let tally = current.as_mut().ok_or(Error::Internal("an event was not asked for"))?;
            tally.add(&event)?;
        }
    }
    for tally in current.into_iter().map(Ok).chain(tallies) {
        measured.push(tally?.finish()?);
    }
    Ok(measured)
}

/// All events since the first where the meter recurs, else those of the period.
fn span_of(measurement: &Measurement<'_>) -> Period {
    let Period { start, end } = measurement.period;
    Period { start: if measurement.meter.recurring { Timestamp::UNIX_EPOCH } else { start }, end }
}

/// One measurement so far.
struct Tally<'a> {
    wanted: &'a Measurement<'a>,
    needs: Needs,
    plan: WalkPlan,
    groups: Groups,
    events: EventSet,
}

impl<'a> Tally<'a> {
    fn new(wanted: &'a Measurement<'a>) -> Result<Self> {
        let needs = wanted.price.terms.needs();
        let (grid, empty) = match needs {
            Needs::Windows { size, empty } => {
                (WindowGrid::new(wanted.period, size, time_zone(wanted.customer)?), empty)
            }
            Needs::Nothing | Needs::Quantity | Needs::EventAmounts | Needs::Events => {
                (WindowGrid::whole(wanted.period), false)
            }
        };
        let plan = WalkPlan {
            aggregation: wanted.meter.aggregation,
            rounding: wanted.meter.rounding,
            recurring: wanted.meter.recurring,
            empty,
            grid,
        };
        Ok(Self { wanted, needs, plan, groups: Groups::default(), events: EventSet::default() })
    }

    fn add(&mut self, event: &SpanEvent) -> Result<()> {
        let properties = properties_of(event)?;
        let Measurement { meter, price, period, .. } = *self.wanted;
        if !(matches_all(&meter.filters, &properties) && matches_all(&price.price.filters, &properties)) {
            return Ok(());
        }
        let point = point_of(meter, event, &properties)?;
        let key = GroupKey::of(&price.price.group_by, &properties);
        let group = self.groups.entry(key, &meter.code)?;
        group.add(&self.plan, &point)?;
        if period.contains(point.at) {
            group.event_count += 1;
            match self.needs {
                Needs::Events => group.values.push(value_of(&point)),
                Needs::EventAmounts => group.add_amount(self.wanted.amount(&properties)?)?,
                Needs::Nothing | Needs::Quantity | Needs::Windows { .. } => {}
            }
            note(&mut self.events, &point);
        }
        Ok(())
    }

    fn finish(self) -> Result<Measured> {
        let (usages, quantity) = self.groups.finish(&self.plan, &self.wanted.price.price.group_by)?;
        Ok(Measured { usages, quantity, events: self.events })
    }
}

impl Measurement<'_> {
    /// The price that an event carries.
    fn amount(&self, properties: &Properties) -> Result<rust_decimal::Decimal> {
        let property = self.price.price.amount_property.as_deref();
        let property = property.ok_or(Error::Internal("a stored price cannot be read"))?;
        amount_value(property, properties).map_err(Error::StoredEvent)
    }
}

/// Notes an event that is not earlier than those before it.
fn note(events: &mut EventSet, point: &Point) {
    let first = events.first_and_last_at.map_or(point.at, |(first, _)| first);
    events.count += 1;
    events.first_and_last_at = Some((first, point.at));
    events.digest = Uuid::from_u128(events.digest.as_u128() ^ point.id_hash.as_u128());
}
