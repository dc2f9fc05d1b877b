//! Plans and add-ons, and their immutable versions.

use serde_json::{Value, json};
use usance_core::ids::{PlanId, PlanVersionId};
use usance_db::{
    Page, PageRequest, TenantTx,
    plans::{self, Entitlement, Plan, PlanVersion, Price},
};

use super::plan_terms;
pub(crate) use super::plan_terms::read_entitlements;
pub use super::{
    plan_policies::{CreatePolicies, CreateTrial},
    plan_prices::CreatePrice,
    plan_terms::{CreateEntitlement, PlanTerms},
};
use crate::{
    Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_code, check_optional_text, check_text},
    outbox::announce,
};

/// A new plan.
#[derive(Debug)]
pub struct CreatePlan {
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Groups plans that differ only by interval or currency.
    pub family: Option<String>,
    /// Sold by itself, or with a plan.
    pub kind: PlanKind,
    /// Whether the public pricing shows it; true if absent.
    pub visible: Option<bool>,
    /// What decides money.
    pub terms: PlanTerms,
}

/// Whether something is sold by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// It is.
    Plan,
    /// It is bought with a plan.
    AddOn,
}

impl PlanKind {
    /// The word of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::AddOn => "add_on",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::AddOn => "add-on",
        }
    }
}

/// What is to change of a plan; absent fields stay.
#[derive(Debug, Default)]
pub struct UpdatePlan {
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Groups plans.
    pub family: Option<String>,
    /// Whether the public pricing shows it.
    pub visible: Option<bool>,
    /// What decides money: a new version, if it differs.
    pub terms: Option<PlanTerms>,
}

/// A plan at one of its versions.
#[derive(Debug, Clone)]
pub struct PlanAtVersion {
    /// What all versions share.
    pub plan: Plan,
    /// The version.
    pub version: PlanVersion,
    /// In the order of the invoice.
    pub prices: Vec<Price>,
    /// By feature.
    pub entitlements: Vec<Entitlement>,
    /// What the trial grants instead, by feature.
    pub trial_limits: Vec<Entitlement>,
}

impl PlanAtVersion {
    fn new(plan: Plan, version: PlanVersion, prices: Vec<Price>, entitlements: Vec<Entitlement>) -> Self {
        let (trial_limits, entitlements) =
            entitlements.into_iter().partition(|entitlement| entitlement.in_trial);
        Self { plan, version, prices, entitlements, trial_limits }
    }

    /// What it grants, in the trial and outside of it.
    pub(crate) fn all_entitlements(&self) -> Vec<Entitlement> {
        self.entitlements.iter().chain(&self.trial_limits).cloned().collect()
    }
}

/// Adds a plan with its first version.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreatePlan) -> Result<PlanAtVersion> {
    let plan = new_plan(cx, &input);
    let mut faults = Faults::default();
    check_code(&mut faults, "/code", &plan.code);
    check(&mut faults, &plan);
    faults.check()?;
    let exists = |error| {
        let detail = "a plan or an add-on with this code exists";
        Error::on_conflict(error, "plans_code_key", Code::PlanExists, detail)
    };
    plans::insert(tx, &plan).await.map_err(exists)?;
    let created = add_version(cx, tx, plan, &input.terms).await?;
    announce(cx, tx, "plan.created", reference(&created.plan)).await?;
    Ok(created)
}

fn new_plan(cx: &Cx, input: &CreatePlan) -> Plan {
    Plan {
        id: PlanId::from_uuid(cx.app.ids.next()),
        code: input.code.clone(),
        name: input.name.clone(),
        description: input.description.clone().unwrap_or_default(),
        family: input.family.clone(),
        kind: input.kind.as_str().to_owned(),
        version: 1,
        visible: input.visible.unwrap_or(true),
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
    }
}

/// What an outbox event says of a plan.
fn reference(plan: &Plan) -> Value {
    json!({ "id": plan.id, "code": plan.code, "kind": plan.kind, "version": plan.version })
}

fn check(faults: &mut Faults, plan: &Plan) {
    check_text(faults, "/name", &plan.name);
    check_optional_text(faults, "/description", &plan.description);
    if let Some(family) = &plan.family {
        check_code(faults, "/family", family);
    }
}

async fn add_version(cx: &Cx, tx: &mut TenantTx, plan: Plan, terms: &PlanTerms) -> Result<PlanAtVersion> {
    let made = read_version(cx, tx, plan, terms).await?;
    plans::insert_version(tx, &made.version, &made.prices, &made.all_entitlements()).await?;
    Ok(made)
}

async fn read_version(cx: &Cx, tx: &mut TenantTx, plan: Plan, terms: &PlanTerms) -> Result<PlanAtVersion> {
    let (prices, entitlements, policies) = plan_terms::read(cx, tx, terms).await?;
    let version = PlanVersion {
        id: PlanVersionId::from_uuid(cx.app.ids.next()),
        plan_id: plan.id,
        version: plan.version,
        currency: terms.currency.clone(),
        interval_unit: terms.interval.clone(),
        interval_count: i16::try_from(terms.interval_count).unwrap_or(i16::MAX),
        alignment: terms.alignment.clone(),
        policies,
        override_of: None,
        created_at: cx.now,
    };
    Ok(PlanAtVersion::new(plan, version, prices, entitlements))
}

/// Changes a plan or an add-on that is locked. New terms make a new version for new subscriptions; running ones keep
/// theirs.
pub async fn update(
    cx: &Cx,
    tx: &mut TenantTx,
    locked: PlanAtVersion,
    input: UpdatePlan,
) -> Result<PlanAtVersion> {
    let mut plan = locked.plan;
    plan.name = input.name.unwrap_or(plan.name);
    plan.description = input.description.unwrap_or(plan.description);
    plan.family = input.family.or(plan.family);
    plan.visible = input.visible.unwrap_or(plan.visible);
    plan.updated_at = cx.now;
    let mut faults = Faults::default();
    check(&mut faults, &plan);
    faults.check()?;
    plan.version += i32::from(input.terms.is_some());
    plans::update(tx, &plan).await?;
    announce(cx, tx, "plan.updated", reference(&plan)).await?;
    match input.terms {
        Some(terms) => add_version(cx, tx, plan, &terms).await,
        None => at_newest(tx, plan).await,
    }
}

/// Archives a plan or an add-on: it takes no new subscriptions, running ones go on.
pub async fn archive(cx: &Cx, tx: &mut TenantTx, kind: PlanKind, code: &str) -> Result<()> {
    let mut plan = lock(tx, kind, code).await?.plan;
    plan.archived_at = Some(cx.now);
    plan.updated_at = cx.now;
    plans::update(tx, &plan).await?;
    announce(cx, tx, "plan.archived", reference(&plan)).await
}

/// Finds a plan or an add-on by its code, at its newest version, and keeps others from changing it until the
/// transaction ends.
pub async fn lock(tx: &mut TenantTx, kind: PlanKind, code: &str) -> Result<PlanAtVersion> {
    let plan = plans::lock(tx, code).await?;
    at_newest(tx, of_kind(plan, kind)?).await
}

/// Finds a plan or an add-on by its code, at its newest version. One of the other kind does not exist.
pub async fn get(tx: &mut TenantTx, kind: PlanKind, code: &str) -> Result<PlanAtVersion> {
    let plan = plans::find(tx, code).await?;
    at_newest(tx, of_kind(plan, kind)?).await
}

fn of_kind(plan: Option<Plan>, kind: PlanKind) -> Result<Plan> {
    let plan = plan.filter(|plan| plan.archived_at.is_none() && plan.kind == kind.as_str());
    plan.ok_or_else(|| Error::not_found(kind.noun()))
}

/// Finds a plan or an add-on, whichever has the code, at its newest version.
pub(crate) async fn get_any(tx: &mut TenantTx, code: &str) -> Result<PlanAtVersion> {
    let plan = plans::find(tx, code).await?.filter(|plan| plan.archived_at.is_none());
    at_newest(tx, plan.ok_or_else(|| Error::not_found("plan"))?).await
}

/// Lists the plans that the public pricing shows, oldest first, at most `limit` of them.
pub(crate) async fn list_visible(tx: &mut TenantTx, limit: i64) -> Result<Vec<PlanAtVersion>> {
    let mut found = Vec::new();
    for plan in plans::list_visible(tx, limit).await? {
        found.push(at_newest(tx, plan).await?);
    }
    Ok(found)
}

/// Reads the terms of a plan that is not stored, as its first version.
pub(crate) async fn read_unstored(cx: &Cx, tx: &mut TenantTx, input: &CreatePlan) -> Result<PlanAtVersion> {
    let plan = new_plan(cx, input);
    let mut faults = Faults::default();
    check_code(&mut faults, "/code", &plan.code);
    check(&mut faults, &plan);
    faults.check()?;
    read_version(cx, tx, plan, &input.terms).await
}

/// Lists the plans, or the add-ons, at their newest versions.
pub async fn list(tx: &mut TenantTx, kind: PlanKind, page: PageRequest) -> Result<Page<PlanAtVersion>> {
    let page = plans::list(tx, kind.as_str(), page).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for plan in page.items {
        items.push(at_newest(tx, plan).await?);
    }
    Ok(Page { items, has_more: page.has_more })
}

/// Lists the versions of a plan, archived or not.
pub async fn list_versions(tx: &mut TenantTx, code: &str, page: PageRequest) -> Result<Page<PlanAtVersion>> {
    let plan = plans::find(tx, code).await?.filter(|plan| plan.kind == PlanKind::Plan.as_str());
    let plan = plan.ok_or_else(|| Error::not_found("plan"))?;
    let page = plans::list_versions(tx, plan.id, page).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for version in page.items {
        items.push(at_version(tx, plan.clone(), version).await?);
    }
    Ok(Page { items, has_more: page.has_more })
}

/// Loads the plan version of a subscription.
pub(crate) async fn get_version(tx: &mut TenantTx, id: PlanVersionId) -> Result<PlanAtVersion> {
    let plan = plans::get_of_version(tx, id).await?;
    let version = plans::get_version(tx, id).await?;
    at_version(tx, plan, version).await
}

async fn at_newest(tx: &mut TenantTx, plan: Plan) -> Result<PlanAtVersion> {
    let version = plans::find_version(tx, plan.id, plan.version).await?;
    let version = version.ok_or(Error::Internal("a plan has no newest version"))?;
    at_version(tx, plan, version).await
}

async fn at_version(tx: &mut TenantTx, plan: Plan, version: PlanVersion) -> Result<PlanAtVersion> {
    let prices = plans::list_prices(tx, version.id).await?;
    let entitlements = plans::list_entitlements(tx, version.id).await?;
    Ok(PlanAtVersion::new(plan, version, prices, entitlements))
}
