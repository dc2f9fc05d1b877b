//! Measuring from whole buckets and, at ragged ends, from the events themselves.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    catalog::rounding::QuantityRounding,
    decimal::{parse_decimal, stored_decimal},
    metering::{BucketFold, MeterValue, aggregate_buckets, matches_all},
    period::Period,
    rating::{RateError, Usage},
};
use usance_db::{
    TenantTx,
    events::{EventSpan, SpanEvent},
    line_items::EventSet,
    meters::Meter,
    usage::{self, BucketTotal, UsageSpan},
};
use uuid::Uuid;

use super::{GroupUsage, Measured, MeterSpan, pages::Pages, point_of, properties_of, split::split};
use crate::error::{Error, Result};

/// A stretch of time of one measurement.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Of which measurement.
    place: usize,
    /// Whether it lies before the period, and only what is carried over from it is measured.
    is_history: bool,
    span: Period,
}

/// What the events of a stretch fold to.
#[derive(Debug, Clone, Default)]
struct Folded {
    folds: Vec<BucketFold>,
    /// The different values at the ragged ends.
    values: Vec<Uuid>,
}

/// Measures all usage of meters, in their order.
pub(super) async fn measure(tx: &mut TenantTx, wanted: &[MeterSpan<'_>]) -> Result<Vec<Measured>> {
    let stretches = stretches(wanted);
    let mut folded: Vec<Folded> = vec![Folded::default(); stretches.len()];
    let (mut wholes, mut edges, mut edges_of) = (Vec::new(), Vec::new(), Vec::new());
    for (index, stretch) in stretches.iter().enumerate() {
        let measurement = &wanted[stretch.place];
        let (span, ragged) = split(stretch.span);
        wholes.push(UsageSpan { customer: measurement.customer, meter: measurement.meter.id, span });
        for span in ragged {
            edges.push(measurement.events_of(span));
            edges_of.push(index);
        }
    }
    fold_edges(tx, wanted, &edges, |edge| (edges_of[edge], stretches[edges_of[edge]].place), &mut folded)
        .await?;
    let totals = usage::list_totals(tx, &wholes).await?;
    let mut sums: Vec<Sum> = vec![Sum::default(); wanted.len()];
    for ((stretch, whole), (mut folded, total)) in
        stretches.iter().zip(wholes).zip(folded.into_iter().zip(totals))
    {
        folded.folds.extend(fold_of(&total)?);
        sums[stretch.place].add(*stretch, whole.span, folded);
    }
    let mut measured = Vec::with_capacity(wanted.len());
    for (measurement, sum) in wanted.iter().zip(sums) {
        measured.push(sum.measured(tx, measurement).await?);
    }
    Ok(measured)
}

/// The period of each measurement, after all that was before it where the meter recurs.
fn stretches(wanted: &[MeterSpan<'_>]) -> Vec<Stretch> {
    let stretches = wanted.iter().enumerate().flat_map(|(place, measurement)| {
        let span = measurement.period;
        let before = Period { start: Timestamp::UNIX_EPOCH, end: span.start };
        let history = Stretch { place, is_history: true, span: before };
        let period = Stretch { place, is_history: false, span };
        measurement.meter.recurring.then_some(history).into_iter().chain([period])
    });
    stretches.collect()
}

async fn fold_edges(
    tx: &mut TenantTx,
    wanted: &[MeterSpan<'_>],
    edges: &[EventSpan<'_>],
    target_of: impl Fn(usize) -> (usize, usize),
    folded: &mut [Folded],
) -> Result<()> {
    let mut pages = Pages::new(edges);
    while let Some(events) = pages.next(tx).await? {
        for event in events {
            let (target, place) = target_of(event.place);
            folded[target].add(wanted[place].meter, &event)?;
        }
    }
    Ok(())
}

impl Folded {
    fn add(&mut self, meter: &Meter, event: &SpanEvent) -> Result<()> {
        let properties = properties_of(event)?;
        if !matches_all(&meter.filters, &properties) {
            return Ok(());
        }
        let point = point_of(meter, event, &properties)?;
        if let MeterValue::Hash(hash) = point.value {
            self.values.push(hash);
        }
        let fold = BucketFold::of(meter.aggregation, point.at, point.id_hash, point.value);
        match self.folds.last_mut() {
            Some(total) => total.merge(&fold).map_err(RateError::from)?,
            None => self.folds.push(fold),
        }
        Ok(())
    }
}

/// What the stretches of one measurement come to.
#[derive(Debug, Clone, Default)]
struct Sum {
    folds: Vec<BucketFold>,
    values: Vec<Uuid>,
    /// The whole buckets, from the first to the last; the values of those between are at the ragged ends.
    whole: Option<Period>,
    events: EventSet,
}

impl Sum {
    fn add(&mut self, stretch: Stretch, whole: Period, folded: Folded) {
        if !stretch.is_history {
            self.events = event_set(&folded.folds);
        }
        let start = self.whole.map_or(whole.start, |first| first.start);
        self.whole = Some(Period { start, end: whole.end });
        self.folds.extend(folded.folds);
        self.values.extend(folded.values);
    }

    async fn measured(self, tx: &mut TenantTx, measurement: &MeterSpan<'_>) -> Result<Measured> {
        let meter = measurement.meter;
        let exact = match aggregate_buckets(meter.aggregation, meter.rounding, &self.folds) {
            Ok(Some(quantity)) => quantity,
            Ok(None) => self.count_values(tx, measurement).await?,
            Err(error) => return Err(RateError::from(error).into()),
        };
        // Corrections may outweigh the usage; nobody is paid for using less than nothing.
        let quantity = stored_decimal(exact).map_err(RateError::from)?.max(Decimal::ZERO);
        let event_count = u64::try_from(self.events.count).unwrap_or_default();
        let usage = Usage { event_count, ..Usage::of(quantity) };
        Ok(Measured { usages: vec![GroupUsage { group: None, usage }], quantity, events: self.events })
    }

    async fn count_values(&self, tx: &mut TenantTx, measurement: &MeterSpan<'_>) -> Result<Decimal> {
        let MeterSpan { customer, meter, .. } = *measurement;
        let whole = self.whole.ok_or(Error::Internal("a price was not measured"))?;
        let count = usage::count_values(tx, customer, meter.id, whole, &self.values).await?;
        let rounded = |rounding: QuantityRounding| rounding.round(Decimal::from(count));
        Ok(meter.rounding.map_or(Ok(Decimal::from(count)), rounded).map_err(RateError::from)?)
    }
}

/// The fold of whole buckets; none where there are none.
pub(crate) fn fold_of(total: &BucketTotal) -> Result<Option<BucketFold>> {
    let Some((first_at, last_at)) = total.first_and_last_at else { return Ok(None) };
    let latest = total.latest.as_ref().map(|(at, hash, value)| Ok::<_, Error>((*at, *hash, read(value)?)));
    Ok(Some(BucketFold {
        event_count: total.event_count,
        value_sum: read(&total.value_sum)?,
        value_min: total.value_min.as_deref().map(read).transpose()?,
        value_max: total.value_max.as_deref().map(read).transpose()?,
        latest: latest.transpose()?,
        first_at,
        last_at,
        digest: total.digest,
    }))
}

fn event_set(folds: &[BucketFold]) -> EventSet {
    let (first, last) = (folds.iter().map(|fold| fold.first_at), folds.iter().map(|fold| fold.last_at));
    EventSet {
        count: folds.iter().map(|fold| fold.event_count).sum(),
        first_and_last_at: first.min().zip(last.max()),
        digest: Uuid::from_u128(folds.iter().fold(0, |digest, fold| digest ^ fold.digest.as_u128())),
    }
}

fn read(text: &str) -> Result<Decimal> {
    Ok(parse_decimal(text).map_err(RateError::from)?)
}
