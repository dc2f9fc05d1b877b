//! What customers used of features in their current windows.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::{
    entitlement::{SlidingUse, Slot, Use},
    ids::{CustomerId, EntitlementCounterId, FeatureId, MeterId},
};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A counter as stored.
#[derive(Debug, Clone)]
pub struct Counter {
    /// Its id.
    pub id: EntitlementCounterId,
    /// Who uses.
    pub customer_id: CustomerId,
    /// What.
    pub feature_id: FeatureId,
    /// Its code.
    pub feature_code: String,
    /// How much, in which window.
    pub of: Use,
    /// Whether subscribers were told that nothing is left, and not yet that there is again.
    pub exhausted: bool,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    feature_id: Uuid,
    feature_code: String,
    window_start: jiff_sqlx::Timestamp,
    used: Decimal,
    slot_times: Vec<jiff_sqlx::Timestamp>,
    slot_uses: Vec<Decimal>,
    held: Decimal,
    exhausted: bool,
}

impl From<Row> for Counter {
    fn from(row: Row) -> Self {
        let slot =
            |(last_at, used): (jiff_sqlx::Timestamp, Decimal)| Slot { last_at: last_at.to_jiff(), used };
        Self {
            id: EntitlementCounterId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            feature_id: FeatureId::from_uuid(row.feature_id),
            feature_code: row.feature_code,
            of: Use {
                window_start: row.window_start.to_jiff(),
                used: row.used,
                sliding: SlidingUse::from_slots(
                    row.slot_times.into_iter().zip(row.slot_uses).map(slot).collect(),
                ),
                held: row.held,
            },
            exhausted: row.exhausted,
        }
    }
}

/// Lists the counters of customers, each with the place of its customer; holds whose time is over at the customer's time hold
/// nothing.
pub async fn list(
    tx: &mut TenantTx,
    customers: &[(CustomerId, Timestamp)],
) -> Result<Vec<(usize, Counter)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- entitlement_counters::list
        SELECT asked.place AS "place!", c.id, c.customer_id, c.feature_id,
            (SELECT f.code FROM features f WHERE f.tenant_id = c.tenant_id AND f.livemode = c.livemode AND f.id = c.feature_id)
                AS "feature_code!", c.window_start AS "window_start: jiff_sqlx::Timestamp", c.used,
            c.slot_times AS "slot_times: Vec<jiff_sqlx::Timestamp>", c.slot_uses AS "slot_uses: Vec<Decimal>", c.exhausted,
            CASE WHEN c.held = 0 THEN c.held ELSE trim_scale(c.held - (
                SELECT coalesce(sum(h.quantity), 0) FROM feature_holds h
                WHERE h.tenant_id = c.tenant_id AND h.livemode = c.livemode AND h.customer_id = c.customer_id
                    AND h.feature_id = c.feature_id AND h.status = 'open' AND h.expires_at <= asked.now
            )) END AS "held!"
        FROM unnest($3::uuid[], $4::timestamptz[]) WITH ORDINALITY AS asked (customer_id, now, place)
        JOIN entitlement_counters c ON c.tenant_id = $1 AND c.livemode = $2 AND c.customer_id = asked.customer_id"#,
        tenant,
        livemode,
        &customers.iter().map(|(customer, _)| customer.uuid()).collect::<Vec<_>>(),
        &customers.iter().map(|(_, now)| now.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .fetch_all(tx.connection())
    .await?;
    let counter = rows.into_iter().map(|row| {
        let place = usize::try_from(row.place - 1).unwrap_or_default();
        let row = Row {
            id: row.id,
            customer_id: row.customer_id,
            feature_id: row.feature_id,
            feature_code: row.feature_code,
            window_start: row.window_start,
            used: row.used,
            slot_times: row.slot_times,
            slot_uses: row.slot_uses,
            held: row.held,
            exhausted: row.exhausted,
        };
        (place, row.into())
    });
    Ok(counter.collect())
}

/// Takes the counter of a customer and feature for this transaction alone, with the given id if there is none yet.
pub async fn lock(
    tx: &mut TenantTx,
    new_id: EntitlementCounterId,
    customer: CustomerId,
    feature: FeatureId,
) -> Result<Counter, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- entitlement_counters::lock
        INSERT INTO entitlement_counters AS c (tenant_id, livemode, id, customer_id, feature_id, window_start, used)
        VALUES ($1, $2, $3, $4, $5, to_timestamp(0), 0)
        ON CONFLICT ON CONSTRAINT entitlement_counters_customer_id_key DO UPDATE SET used = c.used
        RETURNING id, customer_id, feature_id, (SELECT f.code FROM features f WHERE f.tenant_id = c.tenant_id AND f.livemode = c.livemode AND f.id = c.feature_id)
                AS "feature_code!", window_start AS "window_start: jiff_sqlx::Timestamp", used,
            slot_times AS "slot_times: Vec<jiff_sqlx::Timestamp>", slot_uses AS "slot_uses: Vec<Decimal>", held, exhausted"#,
        tenant,
        livemode,
        new_id.uuid(),
        customer.uuid(),
        feature.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Takes what a customer uses of a meter for this transaction alone, as far as features limit it.
pub async fn lock_meter(tx: &mut TenantTx, customer: CustomerId, meter: MeterId) -> Result<(), DbError> {
    sqlx::query!(
        r#"-- entitlement_counters::lock_meter
        SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, hashtextextended($2::uuid::text, 0)))::text AS "locked?""#,
        customer.uuid(),
        meter.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(())
}

/// Takes a counter by its id for this transaction alone.
pub async fn lock_by_id(tx: &mut TenantTx, id: EntitlementCounterId) -> Result<Option<Counter>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- entitlement_counters::lock_by_id
        SELECT id, customer_id, feature_id, (SELECT f.code FROM features f WHERE f.tenant_id = c.tenant_id AND f.livemode = c.livemode AND f.id = c.feature_id)
                AS "feature_code!", window_start AS "window_start: jiff_sqlx::Timestamp", used,
            slot_times AS "slot_times: Vec<jiff_sqlx::Timestamp>", slot_uses AS "slot_uses: Vec<Decimal>", held, exhausted
        FROM entitlement_counters c
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE"#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Counter::from))
}

/// Stores what was used and told of a counter that is locked.
pub async fn update(tx: &mut TenantTx, counter: &Counter) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let slots = counter.of.sliding.slots();
    sqlx::query!(
        "-- entitlement_counters::update
        UPDATE entitlement_counters
        SET window_start = $4, used = $5, slot_times = $6, slot_uses = $7, exhausted = $8
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        counter.id.uuid(),
        counter.of.window_start.to_sqlx(),
        counter.of.used,
        &slots.iter().map(|slot| slot.last_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &slots.iter().map(|slot| slot.used).collect::<Vec<_>>(),
        counter.exhausted,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the counters of customers of which subscribers were told that nothing is left.
pub async fn list_exhausted(
    tx: &mut TenantTx,
    customers: &[CustomerId],
) -> Result<Vec<EntitlementCounterId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- entitlement_counters::list_exhausted
        SELECT id FROM entitlement_counters
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = ANY($3) AND exhausted",
        tenant,
        livemode,
        &customers.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| EntitlementCounterId::from_uuid(row.id)).collect())
}
