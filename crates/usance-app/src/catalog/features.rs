//! Features: what a plan may grant.

use usance_core::ids::FeatureId;
use usance_db::{Page, PageRequest, TenantTx, features, features::Feature};

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
}

/// Adds a feature.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateFeature) -> Result<Feature> {
    let feature = Feature {
        id: FeatureId::from_uuid(cx.app.ids.next()),
        name: input.name.unwrap_or_else(|| input.code.clone()),
        code: input.code,
        description: input.description.unwrap_or_default(),
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
    };
    let mut faults = Faults::default();
    check_code(&mut faults, "/code", &feature.code);
    check(&mut faults, &feature);
    faults.check()?;
    let exists = |error| {
        Error::on_conflict(error, "features_code_key", Code::FeatureExists, "a feature with this code exists")
    };
    features::insert(tx, &feature).await.map_err(exists)?;
    Ok(feature)
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
