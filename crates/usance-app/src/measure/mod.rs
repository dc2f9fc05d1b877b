//! How much customers used of what prices charge for.
//!
//! A price of all usage of a meter is measured from buckets, many prices in one statement. A price that tells events apart,
//! or needs each of them, is measured from the events themselves, page by page.

mod buckets;
mod groups;
mod pages;
mod raw;
mod split;

use rust_decimal::Decimal;
use usance_core::{
    catalog::meter::Aggregation,
    ids::CustomerId,
    metering::{MeterValue, Point, Properties, matches_all, meter_value},
    period::Period,
    rating::{Needs, Usage},
};
use usance_db::{
    TenantTx,
    customers::Customer,
    events::{EventSpan, SpanEvent},
    line_items::EventSet,
    meters::Meter,
};

use crate::{
    billing::OfferPrice,
    error::{Error, Result},
};

/// What a price charges for, and the events behind it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Each is rated on its own; at least one.
    pub(crate) usages: Vec<GroupUsage>,
    /// The sum over the groups.
    pub(crate) quantity: Decimal,
    /// The events of the period that are priced.
    pub(crate) events: EventSet,
}

impl Measured {
    /// Usage that is not told apart by groups.
    pub(crate) fn ungrouped(usage: Usage, events: EventSet) -> Self {
        Self { quantity: usage.quantity, usages: vec![GroupUsage { group: None, usage }], events }
    }
}

/// The usage of one group of events.
#[derive(Debug, Clone)]
pub(crate) struct GroupUsage {
    /// The properties that the events have in common, such as `model=large, region=eu`; none where a price has no groups.
    pub(crate) group: Option<String>,
    pub(crate) usage: Usage,
}

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement<'a> {
    pub(crate) customer: &'a Customer,
    pub(crate) meter: &'a Meter,
    pub(crate) price: &'a OfferPrice,
    /// Half-open.
    pub(crate) period: Period,
}

/// The usage of a meter over a period, whatever prices charge for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeterSpan<'a> {
    pub(crate) customer: CustomerId,
    pub(crate) meter: &'a Meter,
    /// Half-open.
    pub(crate) period: Period,
}

impl<'a> MeterSpan<'a> {
    /// The stretch of the events that the meter may measure; those before it was there are in no bucket either.
    fn events_of(&self, span: Period) -> EventSpan<'a> {
        EventSpan {
            customer: self.customer,
            event_type: &self.meter.event_type,
            span,
            received_from: self.meter.created_at,
        }
    }
}

impl<'a> Measurement<'a> {
    fn of_meter(&self) -> MeterSpan<'a> {
        MeterSpan { customer: self.customer.id, meter: self.meter, period: self.period }
    }

    /// Whether the buckets hold all that the price needs.
    fn fits_buckets(&self) -> bool {
        let price = &self.price.price;
        let is_of_all_events = price.filters.is_empty() && price.group_by.is_empty();
        let is_a_quantity = match self.price.terms.needs() {
            Needs::Nothing | Needs::Quantity => true,
            Needs::EventAmounts | Needs::Events | Needs::Windows { .. } => false,
        };
        is_of_all_events && is_a_quantity && self.meter.aggregation != Aggregation::WeightedSum
    }
}

/// Measures the usage of meters at once, in their order. None of them is a weighted sum.
pub(crate) async fn measure_meters(tx: &mut TenantTx, wanted: &[MeterSpan<'_>]) -> Result<Vec<Decimal>> {
    let measured = buckets::measure(tx, wanted).await?;
    Ok(measured.into_iter().map(|measured| measured.quantity).collect())
}

/// Measures several prices at once, in their order.
pub(crate) async fn measure(tx: &mut TenantTx, wanted: &[Measurement<'_>]) -> Result<Vec<Measured>> {
    let (plain, raw): (Vec<_>, Vec<_>) = wanted.iter().copied().partition(Measurement::fits_buckets);
    let plain: Vec<MeterSpan<'_>> = plain.iter().map(Measurement::of_meter).collect();
    let mut plain = buckets::measure(tx, &plain).await?.into_iter();
    let mut raw = raw::measure(tx, &raw).await?.into_iter();
    let next = |measurement: &Measurement<'_>| {
        let measured = if measurement.fits_buckets() { plain.next() } else { raw.next() };
        measured.ok_or(Error::Internal("a price was not measured"))
    };
    wanted.iter().map(next).collect()
}

pub(crate) use buckets::fold_of;
pub(crate) use groups::{GROUPS_MAX, GroupKey};
pub(crate) use pages::Pages;
pub(crate) use split::split;

/// Whether a meter is about an event of its type.
pub(crate) fn is_measured(meter: &Meter, properties: &Properties) -> bool {
    matches_all(&meter.filters, properties)
}

pub(crate) fn properties_of(event: &SpanEvent) -> Result<Properties> {
    Properties::parse(&event.properties).map_err(|_| Error::Internal("a stored event cannot be read"))
}

pub(crate) fn point_of(meter: &Meter, event: &SpanEvent, properties: &Properties) -> Result<Point> {
    let value = meter_value(meter.aggregation, meter.value_property.as_deref(), properties)
        .map_err(Error::StoredEvent)?;
    Ok(Point { at: event.occurred_at, id_hash: event.id_hash, value })
}

/// The value of an event by itself: that of one that is only counted is 1.
const fn value_of(point: &Point) -> Decimal {
    match point.value {
        MeterValue::Decimal(value) => value,
        MeterValue::One | MeterValue::Hash(_) => Decimal::ONE,
    }
}
