//! Which part of a period the buckets cover.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use usance_core::{
    metering::{BUCKET, bucket_start},
    period::Period,
};

/// Whole buckets, and the spans before and after them.
pub(crate) fn split(period: Period) -> (Period, Vec<Period>) {
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
