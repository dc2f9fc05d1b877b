//! Plans.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::catalog::plans::{self, CreatePolicies, PlanAtVersion, PlanKind, PlanTerms};
use usance_core::decimal::decimal_text;
use utoipa::ToSchema;

use super::plan_parts::{EntitlementBody, PriceBody, TrialBody};
use crate::{
    error::ApiResult,
    extract::{
        Authorized, ListQuery, Mutation, NoBody, Path, Query, objects, optional_object, optional_objects,
    },
    wire::{ListView, ProblemView},
};

pub(crate) fn default_interval_count() -> u16 {
    1
}

pub(crate) fn default_alignment() -> String {
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
    pub(super) code: String,
    /// For people.
    pub(super) name: String,
    /// For people.
    pub(super) description: Option<String>,
    /// Groups plans that differ only by interval or currency.
    pub(super) family: Option<String>,
    /// Whether the public pricing shows it; true if absent.
    pub(super) visible: Option<bool>,
    /// ISO 4217.
    pub(super) currency: String,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub(super) interval: String,
    /// Intervals per billing period; 1 if absent.
    #[serde(default = "default_interval_count")]
    pub(super) interval_count: u16,
    /// `calendar` or `anniversary`; calendar if absent.
    #[serde(default = "default_alignment")]
    pub(super) alignment: String,
    /// In the order of the invoice.
    pub(super) prices: Vec<PriceBody>,
    /// What the plan grants.
    #[serde(default, deserialize_with = "objects")]
    pub(super) entitlements: Vec<EntitlementBody>,
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`; the first if absent.
    pub(super) proration: Option<String>,
    /// Whether the flat fee of the first tier is due at zero usage: `charge` or `skip`; charge if absent.
    pub(super) first_tier_flat: Option<String>,
    /// `percent_before_fixed`, `as_applied` or `pro_rata_on_remaining`; the tenant's if absent.
    pub(super) coupon_order: Option<String>,
    /// What becomes of usage that comes after its invoice: with `next_invoice` the difference is booked on the next one;
    /// with `credit_note_and_reissue` the invoice is credited in full and issued anew with all usage. An invoice that does
    /// not stand alone stays, and the difference is booked on the next one: a draft, one that is void or given up, that
    /// was credited or refunded in part, whose payment is under way, with lines of other kinds than fees and usage, with
    /// fees that a later invoice gave back, or of a plan with a minimum. The tenant's if absent.
    pub(super) late_usage: Option<String>,
    /// A time before the first billing period.
    #[serde(default, deserialize_with = "optional_object")]
    pub(super) trial: Option<TrialBody>,
    /// The minimum commitment per full period, a decimal string of major units; what is missing is charged with the
    /// period's end.
    pub(super) minimum: Option<String>,
    /// Usage that crosses one of these amounts, in minor units, is invoiced at once.
    #[serde(default)]
    pub(super) billing_thresholds: Vec<i64>,
}

impl From<CreatePlan> for plans::CreatePlan {
    fn from(body: CreatePlan) -> Self {
        let CreatePlan {
            code,
            name,
            description,
            family,
            visible,
            currency,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
            proration,
            first_tier_flat,
            coupon_order,
            late_usage,
            trial,
            minimum,
            billing_thresholds,
        } = body;
        let prices = prices.into_iter().map(Into::into).collect();
        let entitlements = entitlements.into_iter().map(Into::into).collect();
        let trial = trial.map(Into::into);
        let policies = CreatePolicies {
            proration,
            first_tier_flat,
            coupon_order,
            late_usage,
            trial,
            minimum,
            billing_thresholds,
        };
        let terms =
            PlanTerms { currency, interval, interval_count, alignment, prices, entitlements, policies };
        Self { code, name, description, family, kind: PlanKind::Plan, visible, terms }
    }
}

/// What is to change of a plan; absent fields stay. Prices, entitlements, interval, interval count and alignment make a
/// new version, which new subscriptions take.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Starter 2026", "prices": [{"code": "base", "charge_model": "flat", "amount": "12"}]}))]
pub(crate) struct UpdatePlan {
    /// For people.
    pub(super) name: Option<String>,
    /// For people.
    pub(super) description: Option<String>,
    /// Groups plans that differ only by interval or currency.
    pub(super) family: Option<String>,
    /// Whether the public pricing shows it.
    pub(super) visible: Option<bool>,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub(super) interval: Option<String>,
    /// Intervals per billing period.
    pub(super) interval_count: Option<u16>,
    /// `calendar` or `anniversary`.
    pub(super) alignment: Option<String>,
    /// All prices of the new version.
    pub(super) prices: Option<Vec<PriceBody>>,
    /// All entitlements of the new version.
    #[serde(default, deserialize_with = "optional_objects")]
    pub(super) entitlements: Option<Vec<EntitlementBody>>,
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`.
    pub(super) proration: Option<String>,
    /// `charge` or `skip`.
    pub(super) first_tier_flat: Option<String>,
    /// `percent_before_fixed`, `as_applied` or `pro_rata_on_remaining`.
    pub(super) coupon_order: Option<String>,
    /// `next_invoice` or `credit_note_and_reissue`.
    pub(super) late_usage: Option<String>,
    /// The trial of the new version.
    #[serde(default, deserialize_with = "optional_object")]
    pub(super) trial: Option<TrialBody>,
    /// The minimum commitment per full period.
    pub(super) minimum: Option<String>,
    /// All thresholds of the new version.
    pub(super) billing_thresholds: Option<Vec<i64>>,
}

impl UpdatePlan {
    fn changes_policies(&self) -> bool {
        self.proration.is_some()
            || self.first_tier_flat.is_some()
            || self.coupon_order.is_some()
            || self.late_usage.is_some()
            || self.trial.is_some()
            || self.minimum.is_some()
            || self.billing_thresholds.is_some()
    }

    /// Completes the change of money with what the newest version says.
    pub(super) fn complete(self, current: &PlanAtVersion) -> plans::UpdatePlan {
        let changes_terms = self.interval.is_some()
            || self.interval_count.is_some()
            || self.alignment.is_some()
            || self.prices.is_some()
            || self.entitlements.is_some()
            || self.changes_policies();
        let current_prices = || current.prices.iter().cloned().map(PriceBody::from).collect();
        let current_entitlements =
            || current.entitlements.iter().cloned().map(EntitlementBody::from).collect();
        let prices: Vec<PriceBody> = self.prices.unwrap_or_else(current_prices);
        let entitlements: Vec<EntitlementBody> = self.entitlements.unwrap_or_else(current_entitlements);
        let before = current.version.policies.clone();
        let policies = CreatePolicies {
            trial: self.trial.or_else(|| TrialBody::of(&before, &current.trial_limits)).map(Into::into),
            proration: self.proration.or(Some(before.proration)),
            first_tier_flat: self.first_tier_flat.or(Some(before.first_tier_flat)),
            coupon_order: self.coupon_order.or(Some(before.coupon_order)),
            late_usage: self.late_usage.or(Some(before.late_usage)),
            minimum: self.minimum.or_else(|| before.minimum.map(decimal_text)),
            billing_thresholds: self.billing_thresholds.unwrap_or(before.billing_thresholds),
        };
        let terms = PlanTerms {
            currency: current.version.currency.clone(),
            interval: self.interval.unwrap_or_else(|| current.version.interval_unit.clone()),
            interval_count: self
                .interval_count
                .unwrap_or_else(|| u16::try_from(current.version.interval_count).unwrap_or(1)),
            alignment: self.alignment.unwrap_or_else(|| current.version.alignment.clone()),
            prices: prices.into_iter().map(Into::into).collect(),
            entitlements: entitlements.into_iter().map(Into::into).collect(),
            policies,
        };
        plans::UpdatePlan {
            name: self.name,
            description: self.description,
            family: self.family,
            visible: self.visible,
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
    visible: bool,
    version: i32,
    currency: String,
    interval: String,
    interval_count: i16,
    alignment: String,
    prices: Vec<PriceBody>,
    entitlements: Vec<EntitlementBody>,
    proration: String,
    first_tier_flat: String,
    coupon_order: String,
    late_usage: String,
    trial: Option<TrialBody>,
    minimum: Option<String>,
    billing_thresholds: Vec<i64>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    version_created_at: Timestamp,
}

impl From<PlanAtVersion> for PlanView {
    fn from(at: PlanAtVersion) -> Self {
        let policies = at.version.policies;
        Self {
            id: at.plan.id.to_string(),
            code: at.plan.code,
            name: at.plan.name,
            description: at.plan.description,
            family: at.plan.family,
            visible: at.plan.visible,
            version: at.version.version,
            currency: at.version.currency,
            interval: at.version.interval_unit,
            interval_count: at.version.interval_count,
            alignment: at.version.alignment,
            prices: at.prices.into_iter().map(Into::into).collect(),
            entitlements: at.entitlements.into_iter().map(Into::into).collect(),
            trial: TrialBody::of(&policies, &at.trial_limits),
            proration: policies.proration,
            first_tier_flat: policies.first_tier_flat,
            coupon_order: policies.coupon_order,
            late_usage: policies.late_usage,
            minimum: policies.minimum.map(decimal_text),
            billing_thresholds: policies.billing_thresholds,
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
    let page = plans::list(&mut tx, PlanKind::Plan, query.page()?).await?;
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
    Ok(Json(plans::get(&mut tx, PlanKind::Plan, &code).await?.into()))
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
                let current = plans::lock(tx, PlanKind::Plan, &code).await?;
                let change = body.complete(&current);
                Ok(PlanView::from(plans::update(cx, tx, current, change).await?))
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
            async move { plans::archive(cx, tx, PlanKind::Plan, &code).await }.boxed()
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
