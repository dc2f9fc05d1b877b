//! What is stored.

use crate::events::Tally;
use anyhow::Result;
use sqlx::PgConnection;

/// Reads what is stored: from the keys and the events, and from the aggregate.
pub(crate) async fn tallies(admin: &mut PgConnection) -> Result<[Tally; 2]> {
    let sql = "SELECT * FROM
        (SELECT count(*), coalesce(sum((properties::jsonb->>'tokens')::bigint), 0)::bigint FROM events) e,
        (SELECT coalesce(sum(event_count), 0)::bigint, coalesce(sum(value_sum), 0)::bigint FROM usage_buckets) b,
        (SELECT count(*) FROM event_keys) k";
    let (events, tokens, counted, summed, keys): (i64, i64, i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(admin).await?;
    anyhow::ensure!(keys == events, "{keys} event keys belong to {events} events");
    let tally =
        |events: i64, tokens: i64| Tally { events: events.cast_unsigned(), tokens: tokens.cast_unsigned() };
    Ok([tally(events, tokens), tally(counted, summed)])
}

/// Reads how large the index of the event keys is, and how much of a database PostgreSQL keeps in memory, in MiB.
pub(crate) async fn key_index_and_buffers_mib(admin: &mut PgConnection) -> Result<(u64, u64)> {
    let sql = "SELECT pg_relation_size('event_keys_pkey') / 1048576, pg_size_bytes(current_setting('shared_buffers')) / 1048576";
    let (index, buffers): (i64, i64) = sqlx::query_as(sql).fetch_one(admin).await?;
    Ok((index.cast_unsigned(), buffers.cast_unsigned()))
}
