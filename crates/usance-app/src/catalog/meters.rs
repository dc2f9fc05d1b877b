//! Meters.

use serde_json::json;
use usance_core::{
    catalog::{
        meter::Aggregation,
        rounding::{QuantityRounding, RoundingMode},
    },
    ids::MeterId,
};
use usance_db::{Page, PageRequest, TenantTx, catalog_versions, meters, meters::Meter};

use super::filters::{SentFilters, check_group_by, read_filters};
use crate::{
    Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_code, check_text},
    outbox::announce,
    work,
};

/// What a new meter measures.
#[derive(Debug)]
pub struct CreateMeter {
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people; the code if absent.
    pub name: Option<String>,
    /// The type of the events that it measures.
    pub event_type: String,
    /// The word of the aggregation.
    pub aggregation: String,
    /// The property that carries the value.
    pub value_property: Option<String>,
    /// The events that it measures; all of its type if absent.
    pub filters: Option<SentFilters>,
    /// The properties by which its usage can be told apart.
    pub group_by: Option<Vec<String>>,
    /// How the quantity of a period is rounded.
    pub rounding: Option<SentRounding>,
    /// Whether the value is carried over from period to period; false if absent.
    pub recurring: Option<bool>,
}

/// A rounding as sent.
#[derive(Debug)]
pub struct SentRounding {
    /// `half_up`, `ceil` or `floor`.
    pub mode: String,
    /// Digits after the point, below zero before it.
    pub scale: i8,
}

/// Adds a meter. It counts events from now on, and those that waited for it.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateMeter) -> Result<Meter> {
    let mut meter = read(cx, input)?;
    tx.lock_catalog().await?;
    // Under the lock, so that an event was received before this instant exactly if the meter did not count it.
    meter.created_at = cx.app.now();
    meter.updated_at = meter.created_at;
    let exists = |error| {
        Error::on_conflict(error, "meters_code_key", Code::MeterExists, "a meter with this code exists")
    };
    meters::insert(tx, &meter).await.map_err(exists)?;
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    announce(cx, tx, "meter.created", json!({ "id": meter.id, "code": meter.code })).await?;
    Ok(meter)
}

fn read(cx: &Cx, input: CreateMeter) -> Result<Meter> {
    let mut faults = Faults::default();
    check_code(&mut faults, "/code", &input.code);
    check_text(&mut faults, "/event_type", &input.event_type);
    let name = input.name.unwrap_or_else(|| input.code.clone());
    check_text(&mut faults, "/name", &name);
    let aggregation = Aggregation::parse(&input.aggregation);
    match (aggregation, &input.value_property) {
        (None, _) => {
            let words = Aggregation::ALL.map(Aggregation::as_str).join(", ");
            faults.add("/aggregation", "unknown_aggregation", format!("must be one of {words}"));
        }
        (Some(Aggregation::Count), Some(_)) => {
            faults.add("/value_property", "not_allowed", "a count reads no property: leave it out");
        }
        (Some(Aggregation::Count), None) => {}
        (Some(_), None) => {
            faults.add("/value_property", "required", "name the property that carries the value");
        }
        (Some(_), Some(property)) => check_text(&mut faults, "/value_property", property),
    }
    let filters = read_filters(&mut faults, "/filters", input.filters.unwrap_or_default());
    let group_by = input.group_by.unwrap_or_default();
    check_group_by(&mut faults, "/group_by", &group_by);
    let rounding = read_rounding(&mut faults, input.rounding);
    let recurring = input.recurring.unwrap_or_default();
    if recurring && aggregation.is_some_and(|aggregation| !aggregation.can_recur()) {
        faults.add(
            "/recurring",
            "not_allowed",
            "an extreme or an average has nothing to carry over: leave it out",
        );
    }
    faults.check()?;
    Ok(Meter {
        id: MeterId::from_uuid(cx.app.ids.next()),
        code: input.code,
        name,
        event_type: input.event_type,
        aggregation: aggregation.ok_or(Error::Internal("the aggregation was checked"))?,
        value_property: input.value_property,
        filters,
        group_by,
        rounding,
        recurring,
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
    })
}

fn read_rounding(faults: &mut Faults, sent: Option<SentRounding>) -> Option<QuantityRounding> {
    let sent = sent?;
    let Some(mode) = RoundingMode::parse(&sent.mode) else {
        faults.add("/rounding/mode", "unknown_rounding", "must be half_up, ceil or floor");
        return None;
    };
    let rounding = QuantityRounding { mode, scale: sent.scale };
    if !rounding.is_valid() {
        faults.add("/rounding/scale", "out_of_range", "must be between -6 and 12");
    }
    Some(rounding)
}

/// Finds a meter by its code.
pub async fn get(tx: &mut TenantTx, code: &str) -> Result<Meter> {
    let meter = meters::find(tx, code).await?.filter(|meter| meter.archived_at.is_none());
    meter.ok_or_else(|| Error::not_found("meter"))
}

/// Lists the meters.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Meter>> {
    Ok(meters::list(tx, page).await?)
}

/// Renames a meter. What it measures never changes: usage that was counted would lose its meaning.
pub async fn rename(cx: &Cx, tx: &mut TenantTx, code: &str, name: Option<String>) -> Result<Meter> {
    let mut meter = get(tx, code).await?;
    if let Some(name) = name {
        let mut faults = Faults::default();
        check_text(&mut faults, "/name", &name);
        faults.check()?;
        meter.name = name;
        meter.updated_at = cx.now;
        meters::update(tx, &meter).await?;
    }
    Ok(meter)
}

/// Archives a meter that no plan's newest version uses: it counts nothing new, and what it counted stays.
pub async fn archive(cx: &Cx, tx: &mut TenantTx, code: &str) -> Result<()> {
    tx.lock_catalog().await?;
    let mut meter = get(tx, code).await?;
    if meters::is_priced(tx, meter.id).await? {
        return Err(Error::refused(
            Code::MeterInUse,
            "a plan or a running subscription prices this meter: archive or change the plan first",
        ));
    }
    if meters::is_of_feature(tx, meter.id).await? {
        return Err(Error::refused(
            Code::MeterInUse,
            "a feature counts the usage of this meter: archive the feature first",
        ));
    }
    meter.archived_at = Some(cx.now);
    meter.updated_at = cx.now;
    meters::update(tx, &meter).await?;
    catalog_versions::bump(tx).await?;
    Ok(())
}
