//! The writes of the group commit into aggregates: folded events meet their buckets.
//!
//! Rows come sorted by their key, so that two writers always lock in the same order.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::{
    ids::{CustomerId, MeterId},
    metering::BucketFold,
};
use uuid::Uuid;

use crate::{DbError, Scope, WriterTx, ingest::ScopeColumns};

/// What a bucket is kept for. Its order is the order of locking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// Tenant and mode.
    pub scope: Scope,
    /// Whose usage.
    pub customer: CustomerId,
    /// Of what.
    pub meter: MeterId,
    /// A quarter of an hour, UTC.
    pub bucket_start: Timestamp,
}

/// Adds folded events to the buckets of what is counted or added up. No key may come twice.
pub async fn fold_sums(tx: &mut WriterTx, folds: &[(BucketKey, BucketFold)]) -> Result<(), DbError> {
    let SumColumns { buckets, value_sums } = SumColumns::new(folds);
    let scopes = buckets.keys.scopes.shared();
    sqlx::query!(
        "-- usage_folds::fold_sums
        SELECT fold_sums($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        scopes.0,
        scopes.1,
        &buckets.keys.customers,
        &buckets.keys.meters,
        &buckets.keys.bucket_starts as &[jiff_sqlx::Timestamp],
        &buckets.event_counts,
        &value_sums,
        &buckets.first_at as &[jiff_sqlx::Timestamp],
        &buckets.last_at as &[jiff_sqlx::Timestamp],
        &buckets.digests_high,
        &buckets.digests_low,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds folded events to the buckets of extremes and latest values. No key may come twice.
pub async fn fold_extremes(tx: &mut WriterTx, folds: &[(BucketKey, BucketFold)]) -> Result<(), DbError> {
    let columns = BucketColumns::new(folds);
    let keys = &columns.keys;
    let latest = |(_, fold): &(BucketKey, BucketFold)| fold.latest;
    sqlx::query!(
        "-- ingest::fold_extremes
        INSERT INTO usage_buckets AS b (tenant_id, livemode, customer_id, meter_id, bucket_start, event_count, value_sum,
            first_at, last_at, digest_high, digest_low, value_min, value_max, latest_at, latest_hash, latest_value)
        SELECT unnest($1::uuid[]), unnest($2::bool[]), unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::timestamptz[]),
            unnest($6::bigint[]), 0, unnest($7::timestamptz[]), unnest($8::timestamptz[]), unnest($9::bigint[]),
            unnest($10::bigint[]), unnest($11::numeric[]), unnest($12::numeric[]), unnest($13::timestamptz[]), unnest($14::uuid[]),
            unnest($15::numeric[])
        ON CONFLICT (tenant_id, livemode, customer_id, meter_id, bucket_start) DO UPDATE SET
            event_count = b.event_count + excluded.event_count,
            first_at = least(b.first_at, excluded.first_at),
            last_at = greatest(b.last_at, excluded.last_at),
            digest_high = b.digest_high # excluded.digest_high,
            digest_low = b.digest_low # excluded.digest_low,
            value_min = least(b.value_min, excluded.value_min),
            value_max = greatest(b.value_max, excluded.value_max),
            (latest_at, latest_hash, latest_value) = (
                SELECT l.at, l.hash, l.value
                FROM (VALUES (b.latest_at, b.latest_hash, b.latest_value),
                    (excluded.latest_at, excluded.latest_hash, excluded.latest_value)) AS l (at, hash, value)
                ORDER BY l.at DESC NULLS LAST, l.hash DESC
                LIMIT 1
            )",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.customers,
        &keys.meters,
        &keys.bucket_starts as &[jiff_sqlx::Timestamp],
        &columns.event_counts,
        &columns.first_at as &[jiff_sqlx::Timestamp],
        &columns.last_at as &[jiff_sqlx::Timestamp],
        &columns.digests_high,
        &columns.digests_low,
        &folds.iter().map(|(_, fold)| fold.value_min).collect::<Vec<_>>() as &[Option<Decimal>],
        &folds.iter().map(|(_, fold)| fold.value_max).collect::<Vec<_>>() as &[Option<Decimal>],
        &folds.iter().map(|fold| latest(fold).map(|latest| latest.0.to_sqlx())).collect::<Vec<_>>()
            as &[Option<jiff_sqlx::Timestamp>],
        &folds.iter().map(|fold| latest(fold).map(|latest| latest.1)).collect::<Vec<_>>() as &[Option<Uuid>],
        &folds.iter().map(|fold| latest(fold).map(|latest| latest.2)).collect::<Vec<_>>() as &[Option<Decimal>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The columns of the keys of buckets.
pub(crate) struct KeyColumns {
    pub(crate) scopes: ScopeColumns,
    pub(crate) customers: Vec<Uuid>,
    pub(crate) meters: Vec<Uuid>,
    pub(crate) bucket_starts: Vec<jiff_sqlx::Timestamp>,
}

impl KeyColumns {
    fn new<'a>(keys: impl Iterator<Item = &'a BucketKey> + Clone) -> Self {
        let mut scopes = ScopeColumns::default();
        for key in keys.clone() {
            scopes.push(key.scope);
        }
        Self {
            scopes,
            customers: keys.clone().map(|key| key.customer.uuid()).collect(),
            meters: keys.clone().map(|key| key.meter.uuid()).collect(),
            bucket_starts: keys.map(|key| key.bucket_start.to_sqlx()).collect(),
        }
    }
}

/// The columns that every bucket has.
pub(crate) struct BucketColumns {
    pub(crate) keys: KeyColumns,
    pub(crate) event_counts: Vec<i64>,
    pub(crate) first_at: Vec<jiff_sqlx::Timestamp>,
    pub(crate) last_at: Vec<jiff_sqlx::Timestamp>,
    pub(crate) digests_high: Vec<i64>,
    pub(crate) digests_low: Vec<i64>,
}

/// The columns of what is counted or added up.
pub(crate) struct SumColumns {
    pub(crate) buckets: BucketColumns,
    pub(crate) value_sums: Vec<Decimal>,
}

impl SumColumns {
    pub(crate) fn new(folds: &[(BucketKey, BucketFold)]) -> Self {
        Self {
            buckets: BucketColumns::new(folds),
            value_sums: folds.iter().map(|(_, fold)| fold.value_sum).collect(),
        }
    }
}

impl BucketColumns {
    fn new(folds: &[(BucketKey, BucketFold)]) -> Self {
        Self {
            keys: KeyColumns::new(folds.iter().map(|(key, _)| key)),
            event_counts: folds.iter().map(|(_, fold)| fold.event_count).collect(),
            first_at: folds.iter().map(|(_, fold)| fold.first_at.to_sqlx()).collect(),
            last_at: folds.iter().map(|(_, fold)| fold.last_at.to_sqlx()).collect(),
            digests_high: folds.iter().map(|(_, fold)| fold.digest.as_u64_pair().0.cast_signed()).collect(),
            digests_low: folds.iter().map(|(_, fold)| fold.digest.as_u64_pair().1.cast_signed()).collect(),
        }
    }
}

/// Notes values that a unique count has seen.
pub async fn insert_values(tx: &mut WriterTx, values: &[(BucketKey, Uuid)]) -> Result<(), DbError> {
    let keys = KeyColumns::new(values.iter().map(|(key, _)| key));
    sqlx::query!(
        "-- ingest::insert_values
        INSERT INTO usage_values (tenant_id, livemode, customer_id, meter_id, bucket_start, value_hash)
        SELECT unnest($1::uuid[]), unnest($2::bool[]), unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::timestamptz[]), unnest($6::uuid[])
        ON CONFLICT DO NOTHING",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.customers,
        &keys.meters,
        &keys.bucket_starts as &[jiff_sqlx::Timestamp],
        &values.iter().map(|(_, value_hash)| *value_hash).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets the aggregates of buckets, which are about to be folded anew.
pub async fn clear(tx: &mut WriterTx, buckets: &[BucketKey]) -> Result<(), DbError> {
    let keys = KeyColumns::new(buckets.iter());
    sqlx::query!(
        "-- usage_folds::clear
        WITH s AS (
            SELECT * FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::uuid[], $5::timestamptz[])
                AS s (tenant_id, livemode, customer_id, meter_id, bucket_start)
        ), seen AS (
            DELETE FROM usage_values v
            USING s
            WHERE v.tenant_id = s.tenant_id AND v.livemode = s.livemode AND v.customer_id = s.customer_id
                AND v.meter_id = s.meter_id AND v.bucket_start = s.bucket_start
        )
        DELETE FROM usage_buckets b
        USING s
        WHERE b.tenant_id = s.tenant_id AND b.livemode = s.livemode AND b.customer_id = s.customer_id
            AND b.meter_id = s.meter_id AND b.bucket_start = s.bucket_start",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.customers,
        &keys.meters,
        &keys.bucket_starts as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
