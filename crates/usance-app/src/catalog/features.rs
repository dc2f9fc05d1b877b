//! Features: what a plan may grant.

use usance_core::{
    catalog::meter::Aggregation,
    ids::{FeatureId, MeterId},
};
use usance_db::{Page, PageRequest, TenantTx, features, features::Feature, meters};

use crate::{
    Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_code, check_optional_text, check_text},
};

/// A new feature.
#[derive(Debug)]
pub struct CreateFeature {
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people; the code if absent.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Code of the meter whose usage counts against limits; without one, what is consumed counts.
    pub meter: Option<String>,
}

/// Adds a feature. Its meter never changes: what was counted would lose its meaning.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateFeature) -> Result<Feature> {
    let mut faults = Faults::default();
    let meter = find_meter(tx, &mut faults, input.meter.as_deref()).await?;
    let feature = Feature {
        id: FeatureId::from_uuid(cx.app.ids.next()),
        name: input.name.unwrap_or_else(|| input.code.clone()),
        code: input.code,
        description: input.description.unwrap_or_default(),
        meter,
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
    };
    check_code(&mut faults, "/code", &feature.code);
    check(&mut faults, &feature);
    faults.check()?;
    let exists = |error| {
        Error::on_conflict(error, "features_code_key", Code::FeatureExists, "a feature with this code exists")
    };
    features::insert(tx, &feature).await.map_err(exists)?;
    Ok(feature)
}

/// The meter of a new feature. The catalogue is locked, so that nobody archives it meanwhile.
async fn find_meter(
    tx: &mut TenantTx,
    faults: &mut Faults,
    code: Option<&str>,
) -> Result<Option<(MeterId, String)>> {
    let Some(code) = code else { return Ok(None) };
    tx.lock_catalog().await?;
    let Some(meter) = meters::find(tx, code).await?.filter(|meter| meter.archived_at.is_none()) else {
        faults.add("/meter", "unknown_meter", "there is no meter with this code: create it first");
        return Ok(None);
    };
    if meter.aggregation == Aggregation::WeightedSum {
        faults.add("/meter", "not_countable", "must not be a weighted sum, which is known only afterwards");
    }
    Ok(Some((meter.id, meter.code)))
}

fn check(faults: &mut Faults, feature: &Feature) {
    check_text(faults, "/name", &feature.name);
    check_optional_text(faults, "/description", &feature.description);
}

/// Finds a feature by its code.
pub async fn get(tx: &mut TenantTx, code: &str) -> Result<Feature> {
    let feature = features::find(tx, code).await?.filter(|feature| feature.archived_at.is_none());
    feature.ok_or_else(|| Error::not_found("feature"))
}

/// Lists the features.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Feature>> {
    Ok(features::list(tx, page).await?)
}

/// Changes name and description.
pub async fn update(
    cx: &Cx,
    tx: &mut TenantTx,
    code: &str,
    name: Option<String>,
    description: Option<String>,
) -> Result<Feature> {
    let mut feature = get(tx, code).await?;
    feature.name = name.unwrap_or(feature.name);
    feature.description = description.unwrap_or(feature.description);
    feature.updated_at = cx.now;
    let mut faults = Faults::default();
    check(&mut faults, &feature);
    faults.check()?;
    features::update(tx, &feature).await?;
    Ok(feature)
}

/// Archives a feature: plan versions that grant it keep it, new ones cannot have it.
pub async fn archive(cx: &Cx, tx: &mut TenantTx, code: &str) -> Result<()> {
    let mut feature = get(tx, code).await?;
    feature.archived_at = Some(cx.now);
    feature.updated_at = cx.now;
    features::update(tx, &feature).await?;
    Ok(())
}
