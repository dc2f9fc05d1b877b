//! The aggregates of a batch, folded in memory before they meet their tables.

use std::collections::BTreeSet;

use usance_core::{
    catalog::meter::Aggregation,
    metering::{BucketFold, MeterValue, Point},
};
use usance_db::{
    DbError, WriterTx,
    usage_folds::{self, BucketKey},
};
use uuid::Uuid;

pub(super) type Fold = (BucketKey, BucketFold);

/// Aggregates of a batch, folded in memory before they meet the table.
#[derive(Debug, Default)]
pub(super) struct Folds {
    sums: Vec<Fold>,
    extremes: Vec<Fold>,
    values: BTreeSet<(BucketKey, Uuid)>,
}

impl Folds {
    /// Has room for so many events of one meter.
    pub(super) fn with_capacity(events: usize) -> Self {
        Self { sums: Vec::with_capacity(events), ..Self::default() }
    }

    /// Adds what an event means to one meter.
    pub(super) fn add(&mut self, key: BucketKey, aggregation: Aggregation, point: &Point) {
        let fold = BucketFold::of(aggregation, point.at, point.id_hash, point.value);
        let buckets = match aggregation {
            Aggregation::Count
            | Aggregation::Sum
            | Aggregation::Average
            | Aggregation::WeightedSum
            | Aggregation::UniqueCount => &mut self.sums,
            Aggregation::Max | Aggregation::Min | Aggregation::Latest => &mut self.extremes,
        };
        buckets.push((key, fold));
        if let MeterValue::Hash(hash) = point.value {
            self.values.insert((key, hash));
        }
    }

    /// What is counted or added up, if that is all there is and each bucket takes it at once.
    pub(super) fn into_sums(self) -> Option<Vec<Fold>> {
        let (sums, overflow) = merge(self.sums);
        (overflow.is_empty() && self.extremes.is_empty() && self.values.is_empty()).then_some(sums)
    }

    /// Adds everything to the tables.
    pub(super) async fn store(self, tx: &mut WriterTx) -> Result<(), DbError> {
        let (sums, overflow) = merge(self.sums);
        if !sums.is_empty() {
            usage_folds::fold_sums(tx, &sums).await?;
        }
        for fold in overflow {
            usage_folds::fold_sums(tx, &[fold]).await?;
        }
        let (extremes, overflow) = merge(self.extremes);
        if !extremes.is_empty() {
            usage_folds::fold_extremes(tx, &extremes).await?;
        }
        for fold in overflow {
            usage_folds::fold_extremes(tx, &[fold]).await?;
        }
        let values: Vec<_> = self.values.into_iter().collect();
        if !values.is_empty() {
            usage_folds::insert_values(tx, &values).await?;
        }
        Ok(())
    }
}

/// Makes one fold of those of each bucket, in the order of their keys; events come nearly so. What a bucket could not take
/// without losing a digit is left over: it is added by a statement of its own.
fn merge(mut folds: Vec<Fold>) -> (Vec<Fold>, Vec<Fold>) {
    let mut overflow = Vec::new();
    folds.sort_by_key(|(key, _)| *key);
    folds.dedup_by(|(key, fold), (of_total, total)| {
        let is_same = key == of_total;
        if is_same && total.merge(fold).is_err() {
            overflow.push((*key, fold.clone()));
        }
        is_same
    });
    (folds, overflow)
}
