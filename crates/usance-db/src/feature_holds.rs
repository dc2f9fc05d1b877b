//! Holds of units: quantities of features that are reserved. Triggers count them in `entitlement_counters.held`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::ids::{CustomerId, FeatureId, HoldId};
use uuid::Uuid;

use crate::{DbError, TenantTx, entitlement_counters::Counter};

/// A hold as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureHold {
    /// Its id.
    pub id: HoldId,
    /// Who may use what it reserves.
    pub customer_id: CustomerId,
    /// What it reserves of.
    pub feature_id: FeatureId,
    /// The feature's code.
    pub feature: String,
    /// The tenant's own name for it, or that of its request.
    pub reference: Option<String>,
    /// What it reserves.
    pub quantity: Decimal,
    /// `open`, `settled`, `released` or `expired`.
    pub status: String,
    /// What was used of it.
    pub settled: Decimal,
    /// For people.
    pub description: String,
    /// For how long it was asked for.
    pub seconds: i32,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// The first instant at which it reserves nothing any more.
    pub expires_at: Timestamp,
    /// When it was settled, released or seen to be expired.
    pub resolved_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    customer_id: Uuid,
    feature_id: Uuid,
    feature: String,
    reference: Option<String>,
    quantity: Decimal,
    status: String,
    settled: Decimal,
    description: String,
    seconds: i32,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    resolved_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for FeatureHold {
    fn from(row: Row) -> Self {
        Self {
            id: HoldId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            feature_id: FeatureId::from_uuid(row.feature_id),
            feature: row.feature,
            reference: row.reference,
            quantity: row.quantity,
            status: row.status,
            settled: row.settled,
            description: row.description,
            seconds: row.seconds,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            resolved_at: row.resolved_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Finds a hold. Its counter is locked, or what is read may change.
pub async fn find(tx: &mut TenantTx, id: HoldId) -> Result<Option<FeatureHold>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- feature_holds::find
        SELECT h.id, h.customer_id, h.feature_id, f.code AS feature, h.reference, h.quantity, h.status, h.settled, h.description,
            h.seconds, h.created_at, h.expires_at, h.resolved_at
        FROM feature_holds h
        JOIN features f ON f.tenant_id = $1 AND f.livemode = $2 AND f.id = h.feature_id
        WHERE h.tenant_id = $1 AND h.livemode = $2 AND h.id = $3"#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(FeatureHold::from))
}

/// Finds the hold of a customer that was made under a name.
pub async fn find_named(
    tx: &mut TenantTx,
    customer: CustomerId,
    reference: &str,
) -> Result<Option<FeatureHold>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        r#"-- feature_holds::find_named
        SELECT h.id, h.customer_id, h.feature_id, f.code AS feature, h.reference, h.quantity, h.status, h.settled, h.description,
            h.seconds, h.created_at, h.expires_at, h.resolved_at
        FROM feature_holds h
        JOIN features f ON f.tenant_id = $1 AND f.livemode = $2 AND f.id = h.feature_id
        WHERE h.tenant_id = $1 AND h.livemode = $2 AND h.customer_id = $3 AND h.reference = $4"#,
        tenant,
        livemode,
        customer.uuid(),
        reference,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(FeatureHold::from))
}

/// Adds a hold of a counter that is locked. Conflict: `feature_holds_reference_key`.
pub async fn insert(tx: &mut TenantTx, hold: &FeatureHold) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- feature_holds::insert
        INSERT INTO feature_holds
            (tenant_id, livemode, id, customer_id, feature_id, reference, quantity, status, settled, description, seconds,
             created_at, expires_at, resolved_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tenant,
        livemode,
        hold.id.uuid(),
        hold.customer_id.uuid(),
        hold.feature_id.uuid(),
        hold.reference,
        hold.quantity,
        hold.status,
        hold.settled,
        hold.description,
        hold.seconds,
        hold.created_at.to_sqlx(),
        hold.expires_at.to_sqlx(),
        hold.resolved_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes how an open hold stands, whose counter is locked. Refused by `holds_open_check` for one that is resolved.
pub async fn update(tx: &mut TenantTx, hold: &FeatureHold) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- feature_holds::update
        UPDATE feature_holds SET status = $4, settled = $5, expires_at = $6, resolved_at = $7
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        hold.id.uuid(),
        hold.status,
        hold.settled,
        hold.expires_at.to_sqlx(),
        hold.resolved_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Frees all holds of a locked counter whose time is over, and returns what is still held.
pub async fn expire(tx: &mut TenantTx, counter: &Counter, now: Timestamp) -> Result<Decimal, DbError> {
    if counter.of.held.is_zero() {
        return Ok(counter.of.held);
    }
    let (tenant, livemode) = tx.keys();
    let expired = sqlx::query!(
        "-- feature_holds::expire
        UPDATE feature_holds SET status = 'expired', resolved_at = $5
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND feature_id = $4 AND status = 'open' AND expires_at <= $5",
        tenant,
        livemode,
        counter.customer_id.uuid(),
        counter.feature_id.uuid(),
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    if expired.rows_affected() == 0 {
        return Ok(counter.of.held);
    }
    let held = sqlx::query_scalar!(
        "-- feature_holds::expire
        SELECT held FROM entitlement_counters WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        counter.id.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(held)
}

/// When the first open hold of a counter expires.
pub async fn find_first_expiry(tx: &mut TenantTx, counter: &Counter) -> Result<Option<Timestamp>, DbError> {
    let (tenant, livemode) = tx.keys();
    let first = sqlx::query_scalar!(
        r#"-- feature_holds::find_first_expiry
        SELECT min(expires_at) AS "first: jiff_sqlx::Timestamp" FROM feature_holds
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND feature_id = $4 AND status = 'open'"#,
        tenant,
        livemode,
        counter.customer_id.uuid(),
        counter.feature_id.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(first.map(jiff_sqlx::Timestamp::to_jiff))
}
