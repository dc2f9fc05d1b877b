//! The writes of the group commit: whole columns in, one statement per table.
//!
//! Rows come sorted by the key of their table, so that two writers always lock in the same order.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::{
    ids::{CustomerId, MeterId, PlanVersionId, SubscriptionId},
    metering::Filter,
};
use uuid::Uuid;

use crate::{DbError, Scope, WriterTx, event_keys::KeyColumns, filters};

/// Columns of a unit of usage that every table shares.
#[derive(Debug, Default)]
pub(crate) struct ScopeColumns {
    pub(crate) tenants: Vec<Uuid>,
    pub(crate) livemodes: Vec<bool>,
}

impl ScopeColumns {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { tenants: Vec::with_capacity(rows), livemodes: Vec::with_capacity(rows) }
    }

    pub(crate) fn push(&mut self, scope: Scope) {
        self.tenants.push(scope.tenant.uuid());
        self.livemodes.push(scope.livemode);
    }

    /// Tenants and modes as the functions of the database take them: those that all rows share come once.
    pub(crate) fn shared(&self) -> (&[Uuid], &[bool]) {
        let is_shared = self.tenants.windows(2).all(|pair| pair[0] == pair[1])
            && self.livemodes.windows(2).all(|pair| pair[0] == pair[1]);
        let rows = if is_shared { self.tenants.len().min(1) } else { self.tenants.len() };
        (&self.tenants[..rows], &self.livemodes[..rows])
    }
}

/// Events to keep and count.
#[derive(Debug, Default)]
pub struct EventColumns<'a> {
    pub(crate) scopes: ScopeColumns,
    pub(crate) customers: Vec<Uuid>,
    pub(crate) occurred_at: Vec<jiff_sqlx::Timestamp>,
    pub(crate) id_hashes: Vec<Uuid>,
    pub(crate) ids: Vec<&'a str>,
    pub(crate) types: Vec<&'a str>,
    pub(crate) properties: Vec<&'a str>,
}

/// What is stored of an event besides whose it is.
#[derive(Debug, Clone, Copy)]
pub struct EventRow<'a> {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The first 16 bytes of SHA-256(id).
    pub id_hash: Uuid,
    /// As sent.
    pub id: &'a str,
    /// As sent.
    pub event_type: &'a str,
    /// Canonical JSON.
    pub properties: &'a str,
}

impl<'a> EventColumns<'a> {
    /// Has room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            scopes: ScopeColumns::with_capacity(rows),
            customers: Vec::with_capacity(rows),
            occurred_at: Vec::with_capacity(rows),
            id_hashes: Vec::with_capacity(rows),
            ids: Vec::with_capacity(rows),
            types: Vec::with_capacity(rows),
            properties: Vec::with_capacity(rows),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, scope: Scope, customer: CustomerId, event: EventRow<'a>) {
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

/// Claims keys, and adds events whose keys are claimed with them or were claimed before; the partitions of their months
/// exist. If somebody has a key, [`crate::event_keys::KEY_CONSTRAINT`] refuses all, and the transaction is lost.
pub async fn store_events(
    tx: &mut WriterTx,
    fresh: &KeyColumns,
    events: &EventColumns<'_>,
    received_at: Timestamp,
) -> Result<(), DbError> {
    let (key_scopes, scopes) = (fresh.scopes.shared(), events.scopes.shared());
    sqlx::query!(
        "-- ingest::store_events
        SELECT store_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &fresh.keys,
        key_scopes.0,
        key_scopes.1,
        &fresh.payload_hashes,
        &fresh.occurred_at as &[jiff_sqlx::Timestamp],
        scopes.0,
        scopes.1,
        &events.customers,
        &events.occurred_at as &[jiff_sqlx::Timestamp],
        &events.id_hashes,
        &events.ids as &[&str],
        &events.types as &[&str],
        &events.properties as &[&str],
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

/// Takes those unbilled events of one tenant and mode that a change of the catalogue may resolve, after the given id hash,
/// for this transaction alone.
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
            AND reason IN ('unknown_meter', 'unknown_customer', 'no_subscription')
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
    /// The events that it measures, by property.
    pub filters: Vec<Filter>,
}

/// Lists the meters of the tenant that was entered.
pub async fn list_meters(tx: &mut WriterTx, scope: Scope) -> Result<Vec<ActiveMeter>, DbError> {
    let rows = sqlx::query!(
        "-- ingest::list_meters
        SELECT id, code, event_type, aggregation, value_property, filters
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND archived_at IS NULL
        ORDER BY code",
        scope.tenant.uuid(),
        scope.livemode,
    )
    .fetch_all(tx.connection())
    .await?;
    let meter = rows.into_iter().map(|row| {
        Ok(ActiveMeter {
            id: MeterId::from_uuid(row.id),
            code: row.code,
            event_type: row.event_type,
            aggregation: row.aggregation,
            value_property: row.value_property,
            filters: filters::read(&row.filters).ok_or(DbError::Unreadable { column: "meters.filters" })?,
        })
    });
    meter.collect()
}

/// A price that reads its amount from the events.
#[derive(Debug, Clone)]
pub struct EventPrice {
    /// The plan version that it belongs to.
    pub plan_version: PlanVersionId,
    /// The meter whose events it prices.
    pub meter: MeterId,
    /// The property that carries the amount.
    pub amount_property: String,
    /// The events that it prices, by property.
    pub filters: Vec<Filter>,
}

/// Lists the prices of the tenant that was entered that read their amounts from the events.
pub async fn list_event_prices(tx: &mut WriterTx, scope: Scope) -> Result<Vec<EventPrice>, DbError> {
    let rows = sqlx::query!(
        r#"-- ingest::list_event_prices
        SELECT plan_version_id, meter_id AS "meter_id!", amount_property AS "amount_property!", filters
        FROM prices
        WHERE tenant_id = $1 AND livemode = $2 AND meter_id IS NOT NULL AND amount_property IS NOT NULL"#,
        scope.tenant.uuid(),
        scope.livemode,
    )
    .fetch_all(tx.connection())
    .await?;
    let price = rows.into_iter().map(|row| {
        Ok(EventPrice {
            plan_version: PlanVersionId::from_uuid(row.plan_version_id),
            meter: MeterId::from_uuid(row.meter_id),
            amount_property: row.amount_property,
            filters: filters::read(&row.filters).ok_or(DbError::Unreadable { column: "prices.filters" })?,
        })
    });
    price.collect()
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

/// A customer that events name, with one item of its subscriptions.
#[derive(Debug, Clone)]
pub struct EventCustomer {
    /// Its id.
    pub id: CustomerId,
    /// The tenant's own name for it.
    pub external_id: Option<String>,
    /// One row per item; none without.
    pub subscription: Option<EventSubscription>,
}

/// An item of a subscription as far as it decides about events.
#[derive(Debug, Clone)]
pub struct EventSubscription {
    /// The subscription.
    pub id: SubscriptionId,
    /// Its first instant.
    pub start_at: Timestamp,
    /// The first instant after it, or after which it is paused.
    pub ended_at: Option<Timestamp>,
    /// What lies before is settled.
    pub open_from: Timestamp,
    /// The plan version of the item.
    pub plan_version: PlanVersionId,
    /// The meters that the plan version prices, or whose usage counts against a limit that it sets.
    pub meters: Vec<MeterId>,
}

/// Finds the customers of the tenant that was entered; one row per item of a subscription.
pub async fn find_customers(
    tx: &mut WriterTx,
    scope: Scope,
    ids: &[CustomerId],
    external_ids: &[String],
) -> Result<Vec<EventCustomer>, DbError> {
    let rows = sqlx::query!(
        r#"-- ingest::find_customers
        SELECT c.id, c.external_id, s.id AS "subscription_id?", s.start_at AS "start_at?", i.billed_to AS "billed_to?",
            i.plan_version_id AS "plan_version_id?",
            CASE s.status WHEN 'paused' THEN i.billed_to ELSE s.ended_at END AS ended_at,
            ARRAY(
                SELECT p.meter_id
                FROM prices p
                WHERE p.tenant_id = s.tenant_id AND p.livemode = s.livemode AND p.plan_version_id = i.plan_version_id
                    AND p.meter_id IS NOT NULL
                UNION
                SELECT f.meter_id
                FROM features f
                WHERE f.tenant_id = s.tenant_id AND f.livemode = s.livemode AND f.meter_id IS NOT NULL AND (
                    EXISTS (
                        SELECT FROM plan_entitlements e
                        WHERE e.tenant_id = s.tenant_id AND e.livemode = s.livemode
                            AND e.plan_version_id = i.plan_version_id AND e.feature_id = f.id
                    ) OR EXISTS (
                        SELECT FROM subscription_entitlements o
                        WHERE o.tenant_id = s.tenant_id AND o.livemode = s.livemode
                            AND o.subscription_id = s.id AND o.feature_id = f.id
                    )
                )
            ) AS "meters!: Vec<Uuid>"
        FROM customers c
        LEFT JOIN subscriptions s ON s.tenant_id = c.tenant_id AND s.livemode = c.livemode AND s.customer_id = c.id
        LEFT JOIN subscription_items i ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
        WHERE c.tenant_id = $1 AND c.livemode = $2 AND c.deleted_at IS NULL AND (c.id = ANY($3) OR c.external_id = ANY($4))"#,
        scope.tenant.uuid(),
        scope.livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        external_ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let customer = rows.into_iter().map(|row| {
        let item = row.subscription_id.zip(row.start_at).zip(row.billed_to.zip(row.plan_version_id));
        let subscription = item.map(|((id, start_at), (billed_to, plan_version))| EventSubscription {
            id: SubscriptionId::from_uuid(id),
            start_at: start_at.to_jiff(),
            ended_at: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
            open_from: billed_to.to_jiff(),
            plan_version: PlanVersionId::from_uuid(plan_version),
            meters: row.meters.into_iter().map(MeterId::from_uuid).collect(),
        });
        EventCustomer { id: CustomerId::from_uuid(row.id), external_id: row.external_id, subscription }
    });
    Ok(customer.collect())
}
