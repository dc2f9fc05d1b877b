//! Sums over buckets.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{
    ids::{CustomerId, MeterId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// The fold of all buckets of a span. Decimals are text, because a sum may be longer than a decimal can hold.
#[derive(Debug, Clone)]
pub struct BucketTotal {
    /// How many events.
    pub event_count: i64,
    /// The sum of the values.
    pub value_sum: String,
    /// The greatest value.
    pub value_max: Option<String>,
    /// Time, id hash and value of the latest event.
    pub latest: Option<(Timestamp, Uuid, String)>,
    /// The earliest and the latest event's time.
    pub first_and_last_at: Option<(Timestamp, Timestamp)>,
    /// Exclusive or over the id hashes.
    pub digest: Uuid,
}

/// Folds the buckets that begin within a span; its ends lie on bucket boundaries.
pub async fn total(
    tx: &mut TenantTx,
    customer: CustomerId,
    meter: MeterId,
    span: Period,
) -> Result<BucketTotal, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- usage::total
        SELECT coalesce(sum(event_count), 0)::bigint AS "event_count!",
            coalesce(sum(value_sum), 0)::text AS "value_sum!",
            max(value_max)::text AS value_max,
            max(latest_at) AS latest_at,
            (array_agg(latest_hash ORDER BY latest_at DESC NULLS LAST, latest_hash DESC))[1] AS latest_hash,
            (array_agg(latest_value ORDER BY latest_at DESC NULLS LAST, latest_hash DESC))[1]::text AS latest_value,
            min(first_at) AS first_at,
            max(last_at) AS last_at,
            coalesce(bit_xor(digest_high), 0) AS "digest_high!",
            coalesce(bit_xor(digest_low), 0) AS "digest_low!"
        FROM usage_buckets
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND meter_id = $4 AND bucket_start >= $5 AND bucket_start < $6"#,
        tenant,
        livemode,
        customer.uuid(),
        meter.uuid(),
        span.start.to_sqlx(),
        span.end.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    let latest = row.latest_at.zip(row.latest_hash).zip(row.latest_value);
    Ok(BucketTotal {
        event_count: row.event_count,
        value_sum: row.value_sum,
        value_max: row.value_max,
        latest: latest.map(|((at, hash), value)| (at.to_jiff(), hash, value)),
        first_and_last_at: row
            .first_at
            .zip(row.last_at)
            .map(|(first, last)| (first.to_jiff(), last.to_jiff())),
        digest: Uuid::from_u64_pair(row.digest_high.cast_unsigned(), row.digest_low.cast_unsigned()),
    })
}

/// Counts the different values of the buckets that begin within a span, together with further ones.
pub async fn count_values(
    tx: &mut TenantTx,
    customer: CustomerId,
    meter: MeterId,
    span: Period,
    further: &[Uuid],
) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- usage::count_values
        SELECT count(*) AS "count!"
        FROM (
            SELECT value_hash
            FROM usage_values
            WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND meter_id = $4 AND bucket_start >= $5 AND bucket_start < $6
            UNION
            SELECT unnest($7::uuid[])
        ) AS seen"#,
        tenant,
        livemode,
        customer.uuid(),
        meter.uuid(),
        span.start.to_sqlx(),
        span.end.to_sqlx(),
        further,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.count)
}
