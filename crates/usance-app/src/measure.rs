//! How much a customer used of a meter in a period, from whole buckets and, at ragged ends, from the events themselves.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use usance_core::{
    catalog::meter::Aggregation,
    decimal::{exact_add, parse_decimal, stored_decimal},
    ids::CustomerId,
    metering::{BucketFold, MeterValue, Properties, bucket_start, meter_value},
    period::Period,
    rating::RateError,
};
use usance_db::{TenantTx, events, invoices::EventSet, meters::Meter, usage};
use uuid::Uuid;

use crate::error::{Error, Result};

const BUCKET: SignedDuration = SignedDuration::from_mins(15);

/// A quantity and the events behind it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) quantity: Decimal,
    pub(crate) events: EventSet,
}

/// Measures a half-open period.
pub(crate) async fn measure(
    tx: &mut TenantTx,
    customer: CustomerId,
    meter: &Meter,
    period: Period,
) -> Result<Measured> {
    let (whole, edges) = split(period);
    let mut values = Vec::new();
    let mut ragged: Option<BucketFold> = None;
    for edge in edges {
        // Events that were received before the meter was there are in no bucket either.
        let spanned = events::list_span(tx, customer, &meter.event_type, edge, meter.created_at).await?;
        for (at, id_hash, properties) in spanned {
            let fold = fold_stored(meter, at, id_hash, &properties, &mut values)?;
            match &mut ragged {
                Some(total) => total.merge(&fold).map_err(RateError::from)?,
                None => ragged = Some(fold),
            }
        }
    }
    let total = usage::total(tx, customer, meter.id, whole).await?;
    let quantity = match meter.aggregation {
        Aggregation::Count => {
            Decimal::from(total.event_count + ragged.as_ref().map_or(0, |fold| fold.event_count))
        }
        Aggregation::Sum => {
            let sum = read(&total.value_sum)?;
            exact_add(sum, ragged.as_ref().map_or(Decimal::ZERO, |fold| fold.value_sum))
                .map_err(RateError::from)?
        }
        Aggregation::Max => {
            let max = total.value_max.as_deref().map(read).transpose()?;
            max.max(ragged.as_ref().and_then(|fold| fold.value_max)).unwrap_or_default()
        }
        Aggregation::UniqueCount => {
            Decimal::from(usage::count_values(tx, customer, meter.id, whole, &values).await?)
        }
        Aggregation::Latest => {
            let latest = total
                .latest
                .as_ref()
                .map(|(at, hash, value)| Ok::<_, Error>((*at, *hash, read(value)?)))
                .transpose()?;
            latest
                .max(ragged.as_ref().and_then(|fold| fold.latest))
                .map(|latest| latest.2)
                .unwrap_or_default()
        }
    };
    // Corrections may outweigh the usage; nobody is paid for using less than nothing.
    let quantity = stored_decimal(quantity).map_err(RateError::from)?.max(Decimal::ZERO);
    Ok(Measured { quantity, events: event_set(&total, ragged.as_ref()) })
}

fn event_set(total: &usage::BucketTotal, ragged: Option<&BucketFold>) -> EventSet {
    let ragged_span = ragged.map(|fold| (fold.first_at, fold.last_at));
    let first_and_last_at = match (total.first_and_last_at, ragged_span) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    };
    EventSet {
        count: total.event_count + ragged.map_or(0, |fold| fold.event_count),
        first_and_last_at,
        digest: Uuid::from_u128(total.digest.as_u128() ^ ragged.map_or(0, |fold| fold.digest.as_u128())),
    }
}

/// Whole buckets, and the spans before and after them.
fn split(period: Period) -> (Period, Vec<Period>) {
    let floor = bucket_start(period.start);
    let first =
        if floor == period.start { floor } else { floor.saturating_add(BUCKET).unwrap_or(Timestamp::MAX) };
    let last = bucket_start(period.end);
    if first >= last {
        return (Period { start: last, end: last }, vec![period]);
    }
    let edges = [Period { start: period.start, end: first }, Period { start: last, end: period.end }];
    (Period { start: first, end: last }, edges.into_iter().filter(|edge| edge.start < edge.end).collect())
}

fn fold_stored(
    meter: &Meter,
    at: Timestamp,
    id_hash: Uuid,
    properties: &str,
    values: &mut Vec<Uuid>,
) -> Result<BucketFold> {
    let properties =
        Properties::parse(properties).map_err(|_| Error::Internal("a stored event cannot be read"))?;
    let value = meter_value(meter.aggregation, meter.value_property.as_deref(), &properties)
        .map_err(Error::StoredEvent)?;
    if let MeterValue::Hash(hash) = value {
        values.push(hash);
    }
    Ok(BucketFold::of(meter.aggregation, at, id_hash, value))
}

fn read(text: &str) -> Result<Decimal> {
    Ok(parse_decimal(text).map_err(RateError::from)?)
}

#[cfg(test)]
mod tests;
