//! Meters.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use usance_core::{
    catalog::{
        meter::Aggregation,
        rounding::{QuantityRounding, RoundingMode},
    },
    ids::MeterId,
    metering::Filter,
};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx, filters};

/// A meter as stored.
#[derive(Debug, Clone)]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// The type of the events that it measures.
    pub event_type: String,
    /// How events add up.
    pub aggregation: Aggregation,
    /// The property that carries the value; absent for a count.
    pub value_property: Option<String>,
    /// The events that it measures, by property; all of its type if there are none.
    pub filters: Vec<Filter>,
    /// The properties by which its usage can be told apart.
    pub group_by: Vec<String>,
    /// How the quantity of a period is rounded.
    pub rounding: Option<QuantityRounding>,
    /// Whether the value is carried over from period to period.
    pub recurring: bool,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
    /// UTC; an archived meter measures nothing new.
    pub archived_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    code: String,
    name: String,
    event_type: String,
    aggregation: String,
    value_property: Option<String>,
    filters: Value,
    group_by: Vec<String>,
    rounding_mode: Option<String>,
    rounding_scale: Option<i16>,
    recurring: bool,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    archived_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for Meter {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let aggregation = Aggregation::parse(&row.aggregation)
            .ok_or(DbError::Unreadable { column: "meters.aggregation" })?;
        Ok(Self {
            id: MeterId::from_uuid(row.id),
            code: row.code,
            name: row.name,
            event_type: row.event_type,
            aggregation,
            value_property: row.value_property,
            filters: filters::read(&row.filters).ok_or(DbError::Unreadable { column: "meters.filters" })?,
            group_by: row.group_by,
            rounding: read_rounding(row.rounding_mode.as_deref(), row.rounding_scale)?,
            recurring: row.recurring,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            archived_at: row.archived_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

fn read_rounding(mode: Option<&str>, scale: Option<i16>) -> Result<Option<QuantityRounding>, DbError> {
    let (Some(mode), Some(scale)) = (mode, scale) else { return Ok(None) };
    let mode = RoundingMode::parse(mode).ok_or(DbError::Unreadable { column: "meters.rounding_mode" })?;
    let scale = i8::try_from(scale).map_err(|_| DbError::Unreadable { column: "meters.rounding_scale" })?;
    Ok(Some(QuantityRounding { mode, scale }))
}

/// Adds a meter. Conflict: `meters_code_key`.
pub async fn insert(tx: &mut TenantTx, meter: &Meter) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- meters::insert
        INSERT INTO meters
            (tenant_id, livemode, id, code, name, event_type, aggregation, value_property, filters, group_by,
             rounding_mode, rounding_scale, recurring, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
        tenant,
        livemode,
        meter.id.uuid(),
        meter.code,
        meter.name,
        meter.event_type,
        meter.aggregation.as_str(),
        meter.value_property,
        filters::to_json(&meter.filters),
        &meter.group_by,
        meter.rounding.map(|rounding| rounding.mode.as_str()),
        meter.rounding.map(|rounding| i16::from(rounding.scale)),
        meter.recurring,
        meter.created_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a meter by its code, archived or not.
pub async fn find(tx: &mut TenantTx, code: &str) -> Result<Option<Meter>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- meters::find
        SELECT id, code, name, event_type, aggregation, value_property, filters, group_by, rounding_mode, rounding_scale,
            recurring, created_at, updated_at, archived_at
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND code = $3",
        tenant,
        livemode,
        code,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Meter::try_from).transpose()
}

/// Lists the meters that are not archived.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Meter>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- meters::list
        SELECT id, code, name, event_type, aggregation, value_property, filters, group_by, rounding_mode, rounding_scale,
            recurring, created_at, updated_at, archived_at
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND archived_at IS NULL AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $4",
        tenant,
        livemode,
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Page::new(page, rows.into_iter().map(Meter::try_from).collect::<Result<Vec<_>, _>>()?))
}

/// Lists the meters that measure events of some types.
pub async fn list_measuring(tx: &mut TenantTx, event_types: &[String]) -> Result<Vec<Meter>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- meters::list_measuring
        SELECT id, code, name, event_type, aggregation, value_property, filters, group_by, rounding_mode, rounding_scale,
            recurring, created_at, updated_at, archived_at
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND event_type = ANY($3) AND archived_at IS NULL
        ORDER BY code",
        tenant,
        livemode,
        event_types,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Meter::try_from).collect()
}

/// Finds all meters of an invoice's prices, archived ones too.
pub async fn find_many(tx: &mut TenantTx, ids: &[MeterId]) -> Result<Vec<Meter>, DbError> {
    let (tenant, livemode) = tx.keys();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "-- meters::find_many
        SELECT id, code, name, event_type, aggregation, value_property, filters, group_by, rounding_mode, rounding_scale,
            recurring, created_at, updated_at, archived_at
        FROM meters
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)",
        tenant,
        livemode,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Meter::try_from).collect()
}

/// Changes what may change of a meter: its name, and whether it is archived.
pub async fn update(tx: &mut TenantTx, meter: &Meter) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- meters::update
        UPDATE meters SET name = $4, archived_at = $5, updated_at = $6
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        meter.id.uuid(),
        meter.name,
        meter.archived_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        meter.updated_at.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether a feature that is not archived counts the usage of the meter.
pub async fn is_of_feature(tx: &mut TenantTx, id: MeterId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- meters::is_of_feature
        SELECT EXISTS (
            SELECT FROM features
            WHERE tenant_id = $1 AND livemode = $2 AND meter_id = $3 AND archived_at IS NULL
        ) AS "counted!""#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.counted)
}

/// Whether the newest version of a plan, or the version of a subscription that has not ended, prices the meter.
pub async fn is_priced(tx: &mut TenantTx, id: MeterId) -> Result<bool, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- meters::is_priced
        SELECT EXISTS (
            SELECT FROM prices r
            JOIN plan_versions v ON v.tenant_id = r.tenant_id AND v.livemode = r.livemode AND v.id = r.plan_version_id
            JOIN plans p ON p.tenant_id = v.tenant_id AND p.livemode = v.livemode AND p.id = v.plan_id
            WHERE r.tenant_id = $1 AND r.livemode = $2 AND r.meter_id = $3 AND (
                (p.version = v.version AND p.archived_at IS NULL)
                OR EXISTS (
                    SELECT FROM subscriptions s
                    JOIN subscription_items i
                        ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
                    WHERE s.tenant_id = $1 AND s.livemode = $2 AND i.plan_version_id = v.id AND s.ended_at IS NULL
                )
            )
        ) AS "priced!""#,
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.priced)
}
