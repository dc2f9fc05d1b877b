//! Bare PostgreSQL: the smallest schema that gives the same guarantees, driven without a server in between.
//!
//! An event counts once, for ever (a unique key of 16 bytes), it can be read again (a row), and the sum per customer
//! and quarter of an hour changes in the same durable transaction (an additive aggregate).

use crate::events::{EVENT_TYPE, Event, Tally};
use crate::load::Driven;
use anyhow::{Context, Result};
use jiff_sqlx::ToSqlx;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

const SCHEMA: &str = "
CREATE TABLE events (
    key          uuid PRIMARY KEY,
    customer     integer NOT NULL,
    occurred_at  timestamptz NOT NULL,
    tokens       bigint NOT NULL,
    id           text NOT NULL,
    type         text NOT NULL,
    properties   text NOT NULL
);
CREATE TABLE usage (
    customer      integer NOT NULL,
    bucket_start  timestamptz NOT NULL,
    event_count   bigint NOT NULL,
    tokens        bigint NOT NULL,
    PRIMARY KEY (customer, bucket_start)
) WITH (fillfactor = 70);
";

/// One statement is one transaction and one round trip, faster than folding between two statements. Only new events
/// are folded. Keys and sums are written in order, so that two connections never wait for each other in a circle.
const STORE: &str = "
WITH new_events AS (
    INSERT INTO events (key, customer, occurred_at, tokens, id, type, properties)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT DO NOTHING
    RETURNING customer, occurred_at, tokens
), folded AS (
    INSERT INTO usage AS u (customer, bucket_start, event_count, tokens)
    SELECT customer, date_bin('15 minutes', occurred_at, 'epoch'), count(*), sum(tokens)::bigint
    FROM new_events
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (customer, bucket_start) DO UPDATE
    SET event_count = u.event_count + excluded.event_count, tokens = u.tokens + excluded.tokens
)
SELECT count(*) FROM new_events";

/// A batch as columns.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    keys: Vec<Uuid>,
    customers: Vec<i32>,
    times: Vec<jiff_sqlx::Timestamp>,
    tokens: Vec<i64>,
    ids: Vec<String>,
    types: Vec<&'static str>,
    properties: Vec<String>,
}

/// A connection to the bare database.
#[derive(Debug)]
pub(crate) struct BareConnection(PgConnection);

/// Makes the tables and opens so many connections.
pub(crate) async fn connect(url: &str, count: usize) -> Result<Vec<BareConnection>> {
    let mut first = PgConnection::connect(url).await.context("cannot connect to the bare database")?;
    sqlx::raw_sql(SCHEMA).execute(&mut first).await.context("cannot make the tables of the baseline")?;
    let mut connections = vec![BareConnection(first)];
    while connections.len() < count {
        connections.push(BareConnection(PgConnection::connect(url).await?));
    }
    Ok(connections)
}

/// Returns events as the statement takes them, in the order of their keys.
pub(crate) fn columns(events: &[Event]) -> Columns {
    let mut columns = Columns::default();
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.key);
    for event in events {
        columns.keys.push(event.key);
        columns.customers.push(event.customer.cast_signed());
        columns.times.push(event.time.to_sqlx());
        columns.tokens.push(i64::from(event.tokens));
        columns.ids.push(event.id());
        columns.types.push(EVENT_TYPE);
        columns.properties.push(event.properties());
    }
    columns
}

impl Driven for BareConnection {
    type Batch = Columns;

    async fn store(&mut self, batch: &Columns) -> Result<u64> {
        let stored: i64 = sqlx::query_scalar(STORE)
            .bind(&batch.keys)
            .bind(&batch.customers)
            .bind(&batch.times)
            .bind(&batch.tokens)
            .bind(&batch.ids)
            .bind(&batch.types)
            .bind(&batch.properties)
            .fetch_one(&mut self.0)
            .await?;
        Ok(stored.cast_unsigned())
    }
}

/// Reads a customer's usage by the hour.
const READ: &str = "
SELECT date_bin('1 hour', bucket_start, 'epoch') AS start, sum(tokens)::bigint, sum(event_count)::bigint
FROM usage
WHERE customer = $1
GROUP BY 1
ORDER BY 1";

/// A connection that reads.
#[derive(Debug)]
pub(crate) struct BareReader(pub(crate) BareConnection);

impl Driven for BareReader {
    type Batch = i32;

    async fn store(&mut self, customer: &i32) -> Result<u64> {
        sqlx::query(READ).bind(customer).fetch_all(&mut self.0.0).await?;
        Ok(1)
    }
}

/// Reads what is stored: once from the events and once from the aggregate.
pub(crate) async fn tallies(connection: &mut BareConnection) -> Result<[Tally; 2]> {
    let sql = "SELECT * FROM
        (SELECT count(*), coalesce(sum(tokens), 0)::bigint FROM events) e,
        (SELECT coalesce(sum(event_count), 0)::bigint, coalesce(sum(tokens), 0)::bigint FROM usage) u";
    let (events, tokens, counted, summed): (i64, i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(&mut connection.0).await?;
    let tally =
        |events: i64, tokens: i64| Tally { events: events.cast_unsigned(), tokens: tokens.cast_unsigned() };
    Ok([tally(events, tokens), tally(counted, summed)])
}
