//! The aggregates of a batch, folded in memory before they meet their tables.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use usance_core::{
    catalog::meter::Aggregation,
    metering::{BucketFold, MeterValue, Point},
};
use usance_db::{
    DbError, WriterTx,
    usage_folds::{self, BucketKey},
};
use uuid::Uuid;

/// Aggregates of a batch, folded in memory before they meet the table.
#[derive(Debug, Default)]
pub(super) struct Folds {
    sums: BTreeMap<BucketKey, BucketFold>,
    extremes: BTreeMap<BucketKey, BucketFold>,
    /// Folds that a bucket could not take without losing a digit: they are added by a statement of their own.
    overflow: Vec<(BucketKey, BucketFold)>,
    values: BTreeSet<(BucketKey, Uuid)>,
}

impl Folds {
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
        match buckets.entry(key) {
            Entry::Occupied(mut total) => {
                if total.get_mut().merge(&fold).is_err() {
                    self.overflow.push((key, fold));
                }
            }
            Entry::Vacant(place) => {
                place.insert(fold);
            }
        }
        if let MeterValue::Hash(hash) = point.value {
            self.values.insert((key, hash));
        }
    }

    /// Adds everything to the tables.
    pub(super) async fn store(self, tx: &mut WriterTx) -> Result<(), DbError> {
        let sums: Vec<_> = self.sums.into_iter().collect();
        if !sums.is_empty() {
            usage_folds::fold_sums(tx, &sums).await?;
        }
        for fold in self.overflow {
            usage_folds::fold_sums(tx, &[fold]).await?;
        }
        let extremes: Vec<_> = self.extremes.into_iter().collect();
        if !extremes.is_empty() {
            usage_folds::fold_extremes(tx, &extremes).await?;
        }
        let values: Vec<_> = self.values.into_iter().collect();
        if !values.is_empty() {
            usage_folds::insert_values(tx, &values).await?;
        }
        Ok(())
    }
}
