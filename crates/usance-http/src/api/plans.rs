//! Plans.

#![expect(clippy::disallowed_types, reason = "the derived schema of free members names every JSON type")]

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usance_app::catalog::plans::{self, PlanAtVersion, PlanTerms};
use usance_core::decimal::decimal_text;
use usance_db::plans as rows;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, objects, optional_objects},
    wire::{ListView, ProblemView},
};

/// A price. Parameters by charge model, money as decimal strings in major units:
/// `flat {amount}`, `per_unit {unit}`, `graduated` and `volume {tiers: [{up_to, unit, flat}]}`,
/// `package {amount, package_size, free_units, rounding}`.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub(crate) struct PriceBody {
    /// Unique in the plan.
    code: String,
    /// On the invoice; the code if absent.
    name: Option<String>,
    /// Code of the meter; none for `flat`.
    meter: Option<String>,
    /// `flat`, `per_unit`, `graduated`, `volume` or `package`.
    charge_model: String,
    /// `advance` or `arrears`; `flat` defaults to advance, usage to arrears.
    pay: Option<String>,
    /// The model's parameters.
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

impl From<PriceBody> for plans::CreatePrice {
    fn from(body: PriceBody) -> Self {
        let PriceBody { code, name, meter, charge_model, pay, parameters } = body;
        Self { code, name, meter, charge_model, pay, parameters }
    }
}

impl From<rows::Price> for PriceBody {
    fn from(price: rows::Price) -> Self {
        let parameters = price.parameters.as_object().cloned().unwrap_or_default();
        Self {
            code: price.code,
            name: Some(price.name),
            meter: price.meter_code,
            charge_model: price.charge_model,
            pay: Some(price.pay),
            parameters,
        }
    }
}

/// What a plan grants: nothing but the feature (boolean), a value (static) or a limit (metered).
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitlementBody {
    /// Code of the feature.
    feature: String,
    /// Of a static entitlement.
    value: Option<String>,
    /// Of a metered entitlement, a decimal string.
    limit: Option<String>,
    /// `hour`, `day`, `month`, `period` or `never`; `period` if absent.
    reset: Option<String>,
    /// `fixed` or `sliding`; `fixed` if absent.
    window: Option<String>,
    /// Whether usage over the limit is refused; true if absent.
    hard: Option<bool>,
}

impl From<EntitlementBody> for plans::CreateEntitlement {
    fn from(body: EntitlementBody) -> Self {
        let EntitlementBody { feature, value, limit, reset, window, hard } = body;
        Self { feature, value, limit, reset, window, hard }
    }
}

impl From<rows::Entitlement> for EntitlementBody {
    fn from(row: rows::Entitlement) -> Self {
        Self {
            feature: row.feature,
            value: row.value,
            limit: row.usage_limit.map(decimal_text),
            reset: Some(row.reset),
            window: Some(row.time_window),
            hard: Some(row.hard),
        }
    }
}

fn default_interval_count() -> u16 {
    1
}

fn default_alignment() -> String {
    "calendar".to_owned()
}

/// A new plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "starter", "name": "Starter", "currency": "USD", "interval": "month", "prices": [
    {"code": "base", "charge_model": "flat", "amount": "10", "pay": "arrears"},
    {"code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "0.001"},
    {"code": "tokens", "meter": "tokens", "charge_model": "graduated", "tiers": [{"up_to": "1000000", "unit": "0.00002"}, {"up_to": null, "unit": "0.00001"}]}
]}))]
pub(crate) struct CreatePlan {
    /// Unique: letters, digits, `_`, `-`, `.`.
    code: String,
    /// For people.
    name: String,
    /// For people.
    description: Option<String>,
    /// Groups plans that differ only by interval or currency.
    family: Option<String>,
    /// ISO 4217.
    currency: String,
    /// `day`, `week`, `month`, `quarter` or `year`.
    interval: String,
    /// Intervals per billing period; 1 if absent.
    #[serde(default = "default_interval_count")]
    interval_count: u16,
    /// `calendar` or `anniversary`; calendar if absent.
    #[serde(default = "default_alignment")]
    alignment: String,
    /// In the order of the invoice.
    prices: Vec<PriceBody>,
    /// What the plan grants.
    #[serde(default, deserialize_with = "objects")]
    entitlements: Vec<EntitlementBody>,
}

impl From<CreatePlan> for plans::CreatePlan {
    fn from(body: CreatePlan) -> Self {
        let CreatePlan {
            code,
            name,
            description,
            family,
            currency,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
        } = body;
        let prices = prices.into_iter().map(Into::into).collect();
        let entitlements = entitlements.into_iter().map(Into::into).collect();
        let terms = PlanTerms { currency, interval, interval_count, alignment, prices, entitlements };
        Self { code, name, description, family, terms }
    }
}

/// What is to change of a plan; absent fields stay. Prices, entitlements, interval, interval count and alignment make a
/// new version, which new subscriptions take.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Starter 2026", "prices": [{"code": "base", "charge_model": "flat", "amount": "12"}]}))]
pub(crate) struct UpdatePlan {
    /// For people.
    name: Option<String>,
    /// For people.
    description: Option<String>,
    /// Groups plans that differ only by interval or currency.
    family: Option<String>,
    /// `day`, `week`, `month`, `quarter` or `year`.
    interval: Option<String>,
    /// Intervals per billing period.
    interval_count: Option<u16>,
    /// `calendar` or `anniversary`.
    alignment: Option<String>,
    /// All prices of the new version.
    prices: Option<Vec<PriceBody>>,
    /// All entitlements of the new version.
    #[serde(default, deserialize_with = "optional_objects")]
    entitlements: Option<Vec<EntitlementBody>>,
}

impl UpdatePlan {
    /// Completes the change of money with what the newest version says.
    fn complete(self, current: PlanAtVersion) -> plans::UpdatePlan {
        let changes_terms = self.interval.is_some()
            || self.interval_count.is_some()
            || self.alignment.is_some()
            || self.prices.is_some()
            || self.entitlements.is_some();
        let current_prices = || current.prices.iter().cloned().map(PriceBody::from).collect();
        let current_entitlements =
            || current.entitlements.iter().cloned().map(EntitlementBody::from).collect();
        let prices: Vec<PriceBody> = self.prices.unwrap_or_else(current_prices);
        let entitlements: Vec<EntitlementBody> = self.entitlements.unwrap_or_else(current_entitlements);
        let terms = PlanTerms {
            currency: current.version.currency,
            interval: self.interval.unwrap_or(current.version.interval_unit),
            interval_count: self
                .interval_count
                .unwrap_or_else(|| u16::try_from(current.version.interval_count).unwrap_or(1)),
            alignment: self.alignment.unwrap_or(current.version.alignment),
            prices: prices.into_iter().map(Into::into).collect(),
            entitlements: entitlements.into_iter().map(Into::into).collect(),
        };
        plans::UpdatePlan {
            name: self.name,
            description: self.description,
            family: self.family,
            terms: changes_terms.then_some(terms),
        }
    }
}

/// A plan at one version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanView {
    id: String,
    code: String,
    name: String,
    description: String,
    family: Option<String>,
    version: i32,
    currency: String,
    interval: String,
    interval_count: i16,
    alignment: String,
    prices: Vec<PriceBody>,
    entitlements: Vec<EntitlementBody>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    version_created_at: Timestamp,
}

impl From<PlanAtVersion> for PlanView {
    fn from(at: PlanAtVersion) -> Self {
        Self {
            id: at.plan.id.to_string(),
            code: at.plan.code,
            name: at.plan.name,
            description: at.plan.description,
            family: at.plan.family,
            version: at.version.version,
            currency: at.version.currency,
            interval: at.version.interval_unit,
            interval_count: at.version.interval_count,
            alignment: at.version.alignment,
            prices: at.prices.into_iter().map(Into::into).collect(),
            entitlements: at.entitlements.into_iter().map(Into::into).collect(),
            created_at: at.plan.created_at,
            version_created_at: at.version.created_at,
        }
    }
}

/// Create a plan
#[utoipa::path(post, path = "/plans", tag = "Catalogue", request_body = CreatePlan, responses(
    (status = 201, description = "The plan at version 1", body = PlanView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_plan(request: Mutation<CreatePlan>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreatePlan| {
            async move { Ok(PlanView::from(plans::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List plans
#[utoipa::path(get, path = "/plans", tag = "Catalogue", params(ListQuery), responses(
    (status = 200, description = "A page of plans at their newest versions", body = ListView<PlanView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_plans(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<PlanView>>> {
    let mut tx = cx.begin().await?;
    let page = plans::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |at| at.plan.id.uuid(), PlanView::from)))
}

/// Get a plan
#[utoipa::path(get, path = "/plans/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan")), responses(
    (status = 200, description = "The plan at its newest version", body = PlanView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_plan(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<PlanView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(plans::get(&mut tx, &code).await?.into()))
}

/// Change a plan
///
/// What changes money makes a new version for new subscriptions; running ones keep theirs.
#[utoipa::path(patch, path = "/plans/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan")), request_body = UpdatePlan, responses(
    (status = 200, description = "The plan at its newest version", body = PlanView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_plan(
    Path(code): Path<String>,
    request: Mutation<UpdatePlan>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdatePlan| {
            async move {
                let current = plans::lock(tx, &code).await?;
                Ok(PlanView::from(plans::update(cx, tx, &code, body.complete(current)).await?))
            }
            .boxed()
        })
        .await
}

/// Archive a plan
///
/// It takes no new subscriptions; running ones go on.
#[utoipa::path(delete, path = "/plans/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_plan(Path(code): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { plans::archive(cx, tx, &code).await }.boxed()
        })
        .await
}

/// List the versions of a plan
#[utoipa::path(get, path = "/plans/{code}/versions", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan"), ListQuery), responses(
    (status = 200, description = "A page of versions", body = ListView<PlanView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_plan_versions(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<PlanView>>> {
    let mut tx = cx.begin().await?;
    let page = plans::list_versions(&mut tx, &code, query.page()?).await?;
    Ok(Json(ListView::new(page, |at| at.version.id.uuid(), PlanView::from)))
}
