//! The prices of plan versions.

use serde_json::Value;
use usance_core::{
    ids::{MeterId, PlanVersionId, PriceId},
    metering::Filter,
};

use crate::{DbError, TenantTx, filters};

/// A price of a plan version.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// Order on the invoice, from 0.
    pub position: i16,
    /// Unique in the version.
    pub code: String,
    /// For people; the invoice line carries it.
    pub name: String,
    /// The meter that gives the quantity; absent for a fixed fee.
    pub meter_id: Option<MeterId>,
    /// The meter's code.
    pub meter_code: Option<String>,
    /// Which charge model.
    pub charge_model: String,
    /// The model's parameters; money as decimal strings in major units.
    pub parameters: Value,
    /// What happens before and after the model; the members that are set, by the names of the API.
    pub terms: Value,
    /// The events of the meter that are priced, by property; all of them if there are none.
    pub filters: Vec<Filter>,
    /// The properties whose groups of values are rated each on its own.
    pub group_by: Vec<String>,
    /// The property in which an event carries its own price, in major units; only of a dynamic price.
    pub amount_property: Option<String>,
    /// `advance` or `arrears`.
    pub pay: String,
}

/// Adds a price to a plan version that is being made.
pub(crate) async fn insert(tx: &mut TenantTx, version: PlanVersionId, price: &Price) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- prices::insert
        INSERT INTO prices
            (tenant_id, livemode, id, plan_version_id, position, code, name, meter_id, charge_model, parameters, terms,
             filters, group_by, amount_property, pay)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tenant,
        livemode,
        price.id.uuid(),
        version.uuid(),
        price.position,
        price.code,
        price.name,
        price.meter_id.map(MeterId::uuid),
        price.charge_model,
        price.parameters,
        price.terms,
        filters::to_json(&price.filters),
        &price.group_by,
        price.amount_property,
        price.pay,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the prices of a version in their order.
pub async fn list_prices(tx: &mut TenantTx, version: PlanVersionId) -> Result<Vec<Price>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- prices::list_prices
        SELECT p.id, p.position, p.code, p.name, p.meter_id, m.code AS "meter_code?", p.charge_model, p.parameters,
            p.terms, p.filters, p.group_by, p.amount_property, p.pay
        FROM prices p
        LEFT JOIN meters m ON m.tenant_id = p.tenant_id AND m.livemode = p.livemode AND m.id = p.meter_id
        WHERE p.tenant_id = $1 AND p.livemode = $2 AND p.plan_version_id = $3
        ORDER BY p.position"#,
        tenant,
        livemode,
        version.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let mut prices = Vec::with_capacity(rows.len());
    for row in rows {
        prices.push(Price {
            id: PriceId::from_uuid(row.id),
            position: row.position,
            code: row.code,
            name: row.name,
            meter_id: row.meter_id.map(MeterId::from_uuid),
            meter_code: row.meter_code,
            charge_model: row.charge_model,
            parameters: row.parameters,
            terms: row.terms,
            filters: filters::read(&row.filters).ok_or(DbError::Unreadable { column: "prices.filters" })?,
            group_by: row.group_by,
            amount_property: row.amount_property,
            pay: row.pay,
        });
    }
    Ok(prices)
}
