//! The writes of the group commit: whole columns in, one statement per table.
//!
//! Rows come sorted by the key of their table, so that two writers always lock in the same order.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::{
    ids::{CustomerId, MeterId, SubscriptionId, TenantId},
    metering::BucketFold,
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, Scope, WriterTx};

/// Columns of a unit of usage that every table shares.
#[derive(Debug, Default)]
pub struct ScopeColumns {
    tenants: Vec<Uuid>,
    livemodes: Vec<bool>,
}

impl ScopeColumns {
    fn push(&mut self, scope: Scope) {
        self.tenants.push(scope.tenant.uuid());
        self.livemodes.push(scope.livemode);
    }
}

/// Event keys to claim.
#[derive(Debug, Default)]
pub struct KeyColumns {
    scopes: ScopeColumns,
    id_hashes: Vec<Uuid>,
    payload_hashes: Vec<Vec<u8>>,
    occurred_at: Vec<jiff_sqlx::Timestamp>,
}

impl KeyColumns {
    /// Adds a row.
    pub fn push(&mut self, scope: Scope, id_hash: Uuid, payload_hash: &[u8; 32], occurred_at: Timestamp) {
        self.scopes.push(scope);
        self.id_hashes.push(id_hash);
        self.payload_hashes.push(payload_hash.to_vec());
        self.occurred_at.push(occurred_at.to_sqlx());
    }
}

/// Claims the keys that nobody had; those are returned. A key that another transaction is about to claim is waited for.
pub async fn claim_keys(tx: &mut WriterTx, keys: &KeyColumns) -> Result<Vec<(Scope, Uuid)>, DbError> {
    let rows = sqlx::query!(
        "-- ingest::claim_keys
        INSERT INTO event_keys (tenant_id, livemode, id_hash, payload_hash, occurred_at)
        SELECT * FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::bytea[], $5::timestamptz[])
        ON CONFLICT DO NOTHING
        RETURNING tenant_id, livemode, id_hash",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.id_hashes,
        &keys.payload_hashes,
        &keys.occurred_at as &[jiff_sqlx::Timestamp],
    )
    .fetch_all(tx.connection())
    .await?;
    let scope = |tenant, livemode| Scope { tenant: TenantId::from_uuid(tenant), livemode };
    Ok(rows.into_iter().map(|row| (scope(row.tenant_id, row.livemode), row.id_hash)).collect())
}

/// Reads the payload hashes of keys that were there before.
pub async fn find_payload_hashes(
    tx: &mut WriterTx,
    keys: &[(Scope, Uuid)],
) -> Result<Vec<(Scope, Uuid, Vec<u8>)>, DbError> {
    let mut scopes = ScopeColumns::default();
    for (scope, _) in keys {
        scopes.push(*scope);
    }
    let id_hashes: Vec<Uuid> = keys.iter().map(|(_, id_hash)| *id_hash).collect();
    let rows = sqlx::query!(
        "-- ingest::find_payload_hashes
        SELECT k.tenant_id, k.livemode, k.id_hash, k.payload_hash
        FROM unnest($1::uuid[], $2::bool[], $3::uuid[]) AS s (tenant_id, livemode, id_hash)
        JOIN event_keys k USING (tenant_id, livemode, id_hash)",
        &scopes.tenants,
        &scopes.livemodes,
        &id_hashes,
    )
    .fetch_all(tx.connection())
    .await?;
    let scope = |tenant, livemode| Scope { tenant: TenantId::from_uuid(tenant), livemode };
    Ok(rows
        .into_iter()
        .map(|row| (scope(row.tenant_id, row.livemode), row.id_hash, row.payload_hash))
        .collect())
}

/// Events to keep and count.
#[derive(Debug, Default)]
pub struct EventColumns {
    scopes: ScopeColumns,
    customers: Vec<Uuid>,
    occurred_at: Vec<jiff_sqlx::Timestamp>,
    id_hashes: Vec<Uuid>,
    ids: Vec<String>,
    types: Vec<String>,
    properties: Vec<String>,
}

/// What is stored of an event besides whose it is.
#[derive(Debug)]
pub struct EventRow {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// As sent.
    pub id: String,
    /// As sent.
    pub event_type: String,
    /// Canonical JSON.
    pub properties: String,
}

impl EventColumns {
    /// Adds a row.
    pub fn push(&mut self, scope: Scope, customer: CustomerId, event: EventRow) {
        self.scopes.push(scope);
        self.customers.push(customer.uuid());
        self.occurred_at.push(event.occurred_at.to_sqlx());
        self.id_hashes.push(event.id_hash);
        self.ids.push(event.id);
        self.types.push(event.event_type);
        self.properties.push(event.properties);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Adds events whose keys this transaction claimed; the partitions of their months exist.
pub async fn insert_events(
    tx: &mut WriterTx,
    events: &EventColumns,
    received_at: Timestamp,
) -> Result<(), DbError> {
    sqlx::query!(
        "-- ingest::insert_events
        INSERT INTO events (tenant_id, livemode, customer_id, occurred_at, id_hash, id, type, properties, received_at)
        SELECT tenant_id, livemode, customer_id, occurred_at, id_hash, id, type, properties::jsonb, $9
        FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[])
            AS e (tenant_id, livemode, customer_id, occurred_at, id_hash, id, type, properties)",
        &events.scopes.tenants,
        &events.scopes.livemodes,
        &events.customers,
        &events.occurred_at as &[jiff_sqlx::Timestamp],
        &events.id_hashes,
        &events.ids,
        &events.types,
        &events.properties,
        received_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes sure that the month of an instant has a partition.
pub async fn ensure_partition(tx: &mut WriterTx, at: Timestamp) -> Result<(), DbError> {
    sqlx::query!("-- ingest::ensure_partition\nSELECT ensure_event_partition(($1::timestamptz AT TIME ZONE 'UTC')::date)", at.to_sqlx())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// An event that is kept without being counted.
#[derive(Debug, Clone)]
pub struct UnbilledRow {
    /// Whose it is.
    pub scope: Scope,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// As sent.
    pub id: String,
    /// As sent.
    pub event_type: String,
    /// As sent.
    pub customer: String,
    /// As sent.
    pub subscription: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Canonical JSON.
    pub properties: String,
    /// The word of the reason.
    pub reason: String,
}

/// Adds events to the unbilled inbox.
pub async fn insert_unbilled(
    tx: &mut WriterTx,
    rows: &[UnbilledRow],
    received_at: Timestamp,
) -> Result<(), DbError> {
    let mut scopes = ScopeColumns::default();
    for row in rows {
        scopes.push(row.scope);
    }
    sqlx::query!(
        "-- ingest::insert_unbilled
        INSERT INTO unbilled_events
            (tenant_id, livemode, id_hash, id, type, customer, subscription, occurred_at, properties, reason, received_at)
        SELECT tenant_id, livemode, id_hash, id, type, customer, subscription, occurred_at, properties::jsonb, reason, $11
        FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[], $10::text[])
            AS e (tenant_id, livemode, id_hash, id, type, customer, subscription, occurred_at, properties, reason)",
        &scopes.tenants,
        &scopes.livemodes,
        &rows.iter().map(|row| row.id_hash).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.event_type.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.customer.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.subscription.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|row| row.occurred_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &rows.iter().map(|row| row.properties.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.reason.clone()).collect::<Vec<_>>(),
        received_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes unbilled events of one tenant and mode after the given id hash, for this transaction alone.
pub async fn lock_unbilled(
    tx: &mut WriterTx,
    scope: Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<UnbilledRow>, DbError> {
    let rows = sqlx::query!(
        r#"-- ingest::lock_unbilled
        SELECT id_hash, id, type, customer, subscription, occurred_at, properties::text AS "properties!", reason
        FROM unbilled_events
        WHERE tenant_id = $1 AND livemode = $2 AND ($3::uuid IS NULL OR id_hash > $3)
        ORDER BY id_hash
        LIMIT $4
        FOR UPDATE"#,
        scope.tenant.uuid(),
        scope.livemode,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let unbilled = rows.into_iter().map(|row| UnbilledRow {
        scope,
        id_hash: row.id_hash,
        id: row.id,
        event_type: row.r#type,
        customer: row.customer,
        subscription: row.subscription,
        occurred_at: row.occurred_at.to_jiff(),
        properties: row.properties,
        reason: row.reason,
    });
    Ok(unbilled.collect())
}

/// Removes unbilled events that this transaction counts.
pub async fn delete_unbilled(tx: &mut WriterTx, scope: Scope, id_hashes: &[Uuid]) -> Result<(), DbError> {
    sqlx::query!(
        "-- ingest::delete_unbilled
        DELETE FROM unbilled_events WHERE tenant_id = $1 AND livemode = $2 AND id_hash = ANY($3)",
        scope.tenant.uuid(),
        scope.livemode,
        id_hashes,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says anew why an event is not counted.
pub async fn set_unbilled_reason(
    tx: &mut WriterTx,
    scope: Scope,
    id_hash: Uuid,
    reason: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "-- ingest::set_unbilled_reason
        UPDATE unbilled_events SET reason = $4 WHERE tenant_id = $1 AND livemode = $2 AND id_hash = $3",
        scope.tenant.uuid(),
        scope.livemode,
        id_hash,
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

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

/// Adds folded events to their buckets. No key may come twice.
pub async fn fold_buckets(tx: &mut WriterTx, folds: &[(BucketKey, BucketFold)]) -> Result<(), DbError> {
    let mut scopes = ScopeColumns::default();
    for (key, _) in folds {
        scopes.push(key.scope);
    }
    let halves = |digest: Uuid| digest.as_u64_pair();
    sqlx::query!(
        "-- ingest::fold_buckets
        INSERT INTO usage_buckets AS b
            (tenant_id, livemode, customer_id, meter_id, bucket_start, event_count, value_sum, value_max, latest_at, latest_hash,
             latest_value, first_at, last_at, digest_high, digest_low)
        SELECT * FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::bigint[], $7::numeric[],
            $8::numeric[], $9::timestamptz[], $10::uuid[], $11::numeric[], $12::timestamptz[], $13::timestamptz[], $14::bigint[],
            $15::bigint[])
        ON CONFLICT (tenant_id, livemode, customer_id, meter_id, bucket_start) DO UPDATE SET
            event_count = b.event_count + excluded.event_count,
            value_sum = b.value_sum + excluded.value_sum,
            value_max = greatest(b.value_max, excluded.value_max),
            latest_at = CASE WHEN (b.latest_at, b.latest_hash) > (excluded.latest_at, excluded.latest_hash)
                THEN b.latest_at ELSE excluded.latest_at END,
            latest_hash = CASE WHEN (b.latest_at, b.latest_hash) > (excluded.latest_at, excluded.latest_hash)
                THEN b.latest_hash ELSE excluded.latest_hash END,
            latest_value = CASE WHEN (b.latest_at, b.latest_hash) > (excluded.latest_at, excluded.latest_hash)
                THEN b.latest_value ELSE excluded.latest_value END,
            first_at = least(b.first_at, excluded.first_at),
            last_at = greatest(b.last_at, excluded.last_at),
            digest_high = b.digest_high # excluded.digest_high,
            digest_low = b.digest_low # excluded.digest_low",
        &scopes.tenants,
        &scopes.livemodes,
        &folds.iter().map(|(key, _)| key.customer.uuid()).collect::<Vec<_>>(),
        &folds.iter().map(|(key, _)| key.meter.uuid()).collect::<Vec<_>>(),
        &folds.iter().map(|(key, _)| key.bucket_start.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &folds.iter().map(|(_, fold)| fold.event_count).collect::<Vec<_>>(),
        &folds.iter().map(|(_, fold)| fold.value_sum).collect::<Vec<_>>(),
        &folds.iter().map(|(_, fold)| fold.value_max).collect::<Vec<_>>() as &[Option<Decimal>],
        &folds.iter().map(|(_, fold)| fold.latest.map(|latest| latest.0.to_sqlx())).collect::<Vec<_>>()
            as &[Option<jiff_sqlx::Timestamp>],
        &folds.iter().map(|(_, fold)| fold.latest.map(|latest| latest.1)).collect::<Vec<_>>() as &[Option<Uuid>],
        &folds.iter().map(|(_, fold)| fold.latest.map(|latest| latest.2)).collect::<Vec<_>>() as &[Option<Decimal>],
        &folds.iter().map(|(_, fold)| fold.first_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &folds.iter().map(|(_, fold)| fold.last_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &folds.iter().map(|(_, fold)| halves(fold.digest).0.cast_signed()).collect::<Vec<_>>(),
        &folds.iter().map(|(_, fold)| halves(fold.digest).1.cast_signed()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes values that a unique count has seen.
pub async fn insert_values(tx: &mut WriterTx, values: &[(BucketKey, Uuid)]) -> Result<(), DbError> {
    let mut scopes = ScopeColumns::default();
    for (key, _) in values {
        scopes.push(key.scope);
    }
    sqlx::query!(
        "-- ingest::insert_values
        INSERT INTO usage_values (tenant_id, livemode, customer_id, meter_id, bucket_start, value_hash)
        SELECT * FROM unnest($1::uuid[], $2::bool[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::uuid[])
        ON CONFLICT DO NOTHING",
        &scopes.tenants,
        &scopes.livemodes,
        &values.iter().map(|(key, _)| key.customer.uuid()).collect::<Vec<_>>(),
        &values.iter().map(|(key, _)| key.meter.uuid()).collect::<Vec<_>>(),
        &values.iter().map(|(key, _)| key.bucket_start.to_sqlx()).collect::<Vec<_>>()
            as &[jiff_sqlx::Timestamp],
        &values.iter().map(|(_, value_hash)| *value_hash).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A meter as the group commit sees it.
#[derive(Debug, Clone)]
pub struct ActiveMeter {
    /// Its id.
    pub id: MeterId,
    /// Its code.
    pub code: String,
    /// What it measures.
    pub event_type: String,
    /// The word of the aggregation.
    pub aggregation: String,
    /// The property that carries the value.
    pub value_property: Option<String>,
}

/// Lists the meters of the tenant that was entered.
pub async fn list_meters(tx: &mut WriterTx, scope: Scope) -> Result<Vec<ActiveMeter>, DbError> {
    let rows = sqlx::query!(
        "-- ingest::list_meters
        SELECT id, code, event_type, aggregation, value_property
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND archived_at IS NULL
        ORDER BY code",
        scope.tenant.uuid(),
        scope.livemode,
    )
    .fetch_all(tx.connection())
    .await?;
    let meter = rows.into_iter().map(|row| ActiveMeter {
        id: MeterId::from_uuid(row.id),
        code: row.code,
        event_type: row.event_type,
        aggregation: row.aggregation,
        value_property: row.value_property,
    });
    Ok(meter.collect())
}

/// Finds the test clock of the tenant that was entered.
pub async fn find_test_clock(tx: &mut WriterTx, scope: Scope) -> Result<Option<Timestamp>, DbError> {
    let row = sqlx::query!(
        "-- ingest::find_test_clock\nSELECT frozen_at FROM test_clocks WHERE tenant_id = $1 AND NOT $2",
        scope.tenant.uuid(),
        scope.livemode
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| row.frozen_at.to_jiff()))
}

/// A customer that events name, with one of its subscriptions.
#[derive(Debug, Clone)]
pub struct EventCustomer {
    /// What the events call it: its id or its external id.
    pub id: CustomerId,
    /// The tenant's own name for it.
    pub external_id: Option<String>,
    /// A subscription: which, its open period, when it began and ended.
    pub subscription: Option<(SubscriptionId, Period, Timestamp, Option<Timestamp>)>,
}

/// Finds the customers of the tenant that was entered; one row per subscription.
pub async fn find_customers(
    tx: &mut WriterTx,
    scope: Scope,
    ids: &[CustomerId],
    external_ids: &[String],
) -> Result<Vec<EventCustomer>, DbError> {
    let rows = sqlx::query!(
        r#"-- ingest::find_customers
        SELECT c.id, c.external_id, s.id AS "subscription_id?", s.start_at AS "start_at?", s.period_start AS "period_start?",
            s.period_end AS "period_end?", s.ended_at AS "ended_at?"
        FROM customers c
        LEFT JOIN subscriptions s ON s.tenant_id = c.tenant_id AND s.livemode = c.livemode AND s.customer_id = c.id
            AND s.status <> 'incomplete'
        WHERE c.tenant_id = $1 AND c.livemode = $2 AND c.deleted_at IS NULL AND (c.id = ANY($3) OR c.external_id = ANY($4))"#,
        scope.tenant.uuid(),
        scope.livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        external_ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let customer = rows.into_iter().map(|row| {
        let period = row.period_start.zip(row.period_end);
        let period = period.map(|(start, end)| Period { start: start.to_jiff(), end: end.to_jiff() });
        let subscription =
            row.subscription_id.zip(period).zip(row.start_at).map(|((id, period), start_at)| {
                (
                    SubscriptionId::from_uuid(id),
                    period,
                    start_at.to_jiff(),
                    row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
                )
            });
        EventCustomer { id: CustomerId::from_uuid(row.id), external_id: row.external_id, subscription }
    });
    Ok(customer.collect())
}
