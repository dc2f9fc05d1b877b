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
    /// The smallest value.
    pub value_min: Option<String>,
    /// The greatest value.
    pub value_max: Option<String>,
    /// Time, id hash and value of the latest event.
    pub latest: Option<(Timestamp, Uuid, String)>,
    /// The earliest and the latest event's time.
    pub first_and_last_at: Option<(Timestamp, Timestamp)>,
    /// Exclusive or over the id hashes.
    pub digest: Uuid,
}

/// A stretch of one customer's usage of one meter; its ends lie on bucket boundaries.
#[derive(Debug, Clone, Copy)]
pub struct UsageSpan {
    /// Whose usage.
    pub customer: CustomerId,
    /// Of what.
    pub meter: MeterId,
    /// Which buckets: those that begin in it.
    pub span: Period,
}

/// Folds the buckets of each span, in the order of the spans.
pub async fn list_totals(tx: &mut TenantTx, spans: &[UsageSpan]) -> Result<Vec<BucketTotal>, DbError> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- usage::list_totals
        SELECT b.event_count AS "event_count!", b.value_sum AS "value_sum!", b.value_min, b.value_max, b.latest_at, b.latest_hash, b.latest_value,
            b.first_at, b.last_at, b.digest_high AS "digest_high!", b.digest_low AS "digest_low!"
        FROM unnest($3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[]) WITH ORDINALITY
            AS s (customer_id, meter_id, span_start, span_end, place)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(event_count), 0)::bigint AS event_count,
                coalesce(sum(value_sum), 0)::text AS value_sum,
                min(value_min)::text AS value_min,
                max(value_max)::text AS value_max,
                max(latest_at) AS latest_at,
                (array_agg(latest_hash ORDER BY latest_at DESC NULLS LAST, latest_hash DESC))[1] AS latest_hash,
                (array_agg(latest_value ORDER BY latest_at DESC NULLS LAST, latest_hash DESC))[1]::text AS latest_value,
                min(first_at) AS first_at,
                max(last_at) AS last_at,
                coalesce(bit_xor(digest_high), 0) AS digest_high,
                coalesce(bit_xor(digest_low), 0) AS digest_low
            FROM usage_buckets
            WHERE tenant_id = $1 AND livemode = $2 AND customer_id = s.customer_id AND meter_id = s.meter_id
                AND bucket_start >= s.span_start AND bucket_start < s.span_end
        ) b
        ORDER BY s.place"#,
        tenant,
        livemode,
        &spans.iter().map(|it| it.customer.uuid()).collect::<Vec<_>>(),
        &spans.iter().map(|it| it.meter.uuid()).collect::<Vec<_>>(),
        &spans.iter().map(|it| it.span.start.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &spans.iter().map(|it| it.span.end.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .fetch_all(tx.connection())
    .await?;
    let total = rows.into_iter().map(|row| {
        let latest = row.latest_at.zip(row.latest_hash).zip(row.latest_value);
        BucketTotal {
            event_count: row.event_count,
            value_sum: row.value_sum,
            value_min: row.value_min,
            value_max: row.value_max,
            latest: latest.map(|((at, hash), value)| (at.to_jiff(), hash, value)),
            first_and_last_at: row
                .first_at
                .zip(row.last_at)
                .map(|(first, last)| (first.to_jiff(), last.to_jiff())),
            digest: Uuid::from_u64_pair(row.digest_high.cast_unsigned(), row.digest_low.cast_unsigned()),
        }
    });
    Ok(total.collect())
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

/// Folds the buckets that begin in a span into windows, which begin where one of the ascending starts is. Returns those with
/// usage, each with its index, in no order.
pub async fn list_windows(
    tx: &mut TenantTx,
    span: &UsageSpan,
    starts: &[Timestamp],
) -> Result<Vec<(usize, BucketTotal)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- usage::list_windows
        SELECT width_bucket(bucket_start, $5::timestamptz[]) AS "place!", sum(event_count)::bigint AS "event_count!",
            sum(value_sum)::text AS "value_sum!", min(value_min)::text AS value_min, max(value_max)::text AS value_max,
            max(latest_at) AS latest_at,
            (array_agg(latest_hash ORDER BY latest_at DESC, latest_hash DESC) FILTER (WHERE latest_at IS NOT NULL))[1] AS latest_hash,
            (array_agg(latest_value ORDER BY latest_at DESC, latest_hash DESC) FILTER (WHERE latest_at IS NOT NULL))[1]::text
                AS latest_value,
            min(first_at) AS "first_at!", max(last_at) AS "last_at!"
        FROM usage_buckets
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND meter_id = $4 AND bucket_start >= $6 AND bucket_start < $7
        GROUP BY 1"#,
        tenant,
        livemode,
        span.customer.uuid(),
        span.meter.uuid(),
        &starts.iter().map(|start| start.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        span.span.start.to_sqlx(),
        span.span.end.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    let total = rows.into_iter().map(|row| {
        let latest = row.latest_at.zip(row.latest_hash).zip(row.latest_value);
        let total = BucketTotal {
            event_count: row.event_count,
            value_sum: row.value_sum,
            value_min: row.value_min,
            value_max: row.value_max,
            latest: latest.map(|((at, hash), value)| (at.to_jiff(), hash, value)),
            first_and_last_at: Some((row.first_at.to_jiff(), row.last_at.to_jiff())),
            digest: Uuid::nil(),
        };
        (usize::try_from(row.place - 1).unwrap_or_default(), total)
    });
    Ok(total.collect())
}

/// Counts the different values of each window, together with further ones of known times, as [`list_windows`] does.
pub async fn count_window_values(
    tx: &mut TenantTx,
    span: &UsageSpan,
    starts: &[Timestamp],
    further: &[(Timestamp, Uuid)],
) -> Result<Vec<(usize, i64)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- usage::count_window_values
        SELECT width_bucket(seen.at, $5::timestamptz[]) AS "place!", count(DISTINCT seen.value_hash) AS "count!"
        FROM (
            SELECT bucket_start AS at, value_hash
            FROM usage_values
            WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND meter_id = $4 AND bucket_start >= $6 AND bucket_start < $7
            UNION ALL
            SELECT unnest($8::timestamptz[]), unnest($9::uuid[])
        ) AS seen
        GROUP BY 1"#,
        tenant,
        livemode,
        span.customer.uuid(),
        span.meter.uuid(),
        &starts.iter().map(|start| start.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        span.span.start.to_sqlx(),
        span.span.end.to_sqlx(),
        &further.iter().map(|(at, _)| at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &further.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (usize::try_from(row.place - 1).unwrap_or_default(), row.count)).collect())
}
