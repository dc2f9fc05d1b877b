//! The public pricing.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use usance_app::{
    Cx,
    pricing::{self, PricedPlan, Pricing, PricingQuery},
};
use usance_core::money::Money;
use utoipa::{IntoParams, ToSchema};

use super::plan_parts::{EntitlementBody, PriceBody, TrialBody};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Path, Query},
    wire::{MoneyView, ProblemView},
};

/// A page may be kept for a minute, and be shown a little longer while it is fetched anew.
const CACHE_PUBLIC: &str = "public, max-age=60, stale-while-revalidate=300";
const CACHE_NEVER: &str = "no-store";

/// Which prices are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricingParams {
    /// Code of the only plan; all visible ones if absent.
    plan: Option<String>,
    /// Sample quantities, such as `5,30,200`.
    quantity: Option<String>,
    /// Code of the meter that the quantities count. If absent: seats where a price depends on them, else the plan's only
    /// meter.
    meter: Option<String>,
}

impl From<PricingParams> for PricingQuery {
    fn from(params: PricingParams) -> Self {
        let PricingParams { plan, quantity, meter } = params;
        Self { plan, quantity, meter }
    }
}

/// What a plan costs for a sample quantity.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampleView {
    quantity: u32,
    /// For a full billing period, before tax; absent if it cannot be bought, or does not follow from the quantity alone.
    amount: Option<MoneyView>,
}

/// A feature that a plan grants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricedFeatureView {
    name: String,
    #[serde(flatten)]
    entitlement: EntitlementBody,
}

/// A plan on the pricing page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricedPlanView {
    code: String,
    name: String,
    description: String,
    family: Option<String>,
    currency: String,
    interval: String,
    interval_count: i16,
    alignment: String,
    trial: Option<TrialBody>,
    prices: Vec<PriceBody>,
    features: Vec<PricedFeatureView>,
    /// For a full billing period with one seat and no usage, before tax.
    base_amount: Option<MoneyView>,
    /// In the order of the query.
    samples: Vec<SampleView>,
}

/// The plans of a tenant and what they cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricingView {
    company_name: String,
    slug: String,
    /// Oldest first.
    plans: Vec<PricedPlanView>,
}

fn money(amount: Money) -> MoneyView {
    MoneyView::new(amount.minor(), amount.currency().code())
}

impl From<PricedPlan> for PricedPlanView {
    fn from(priced: PricedPlan) -> Self {
        let PricedPlan { plan, feature_names, fixed, samples } = priced;
        let version = plan.version;
        let feature = |(name, entitlement): (String, _)| PricedFeatureView {
            name,
            entitlement: EntitlementBody::from(entitlement),
        };
        Self {
            code: plan.plan.code,
            name: plan.plan.name,
            description: plan.plan.description,
            family: plan.plan.family,
            trial: TrialBody::of(&version.policies, &plan.trial_limits),
            currency: version.currency,
            interval: version.interval_unit,
            interval_count: version.interval_count,
            alignment: version.alignment,
            prices: plan.prices.into_iter().map(Into::into).collect(),
            features: feature_names.into_iter().zip(plan.entitlements).map(feature).collect(),
            base_amount: fixed.map(money),
            samples: samples
                .into_iter()
                .map(|(quantity, amount)| SampleView { quantity, amount: amount.map(money) })
                .collect(),
        }
    }
}

impl From<Pricing> for PricingView {
    fn from(pricing: Pricing) -> Self {
        let Pricing { company_name, slug, plans } = pricing;
        Self { company_name, slug, plans: plans.into_iter().map(Into::into).collect() }
    }
}

async fn answer(cx: &Cx, params: PricingParams, cache: &'static str) -> ApiResult<Response> {
    let mut tx = cx.begin().await?;
    let view = PricingView::from(pricing::get(cx, &mut tx, &params.into()).await?);
    Ok(([(header::CACHE_CONTROL, cache)], Json(view)).into_response())
}

/// Show your pricing
///
/// What the pricing page shows, of the mode of the key; a publishable key is enough.
#[utoipa::path(get, path = "/pricing", tag = "Selling", params(PricingParams), responses(
    (status = 200, description = "The visible plans", body = PricingView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_pricing(
    Authorized(cx): Authorized,
    Query(params): Query<PricingParams>,
) -> ApiResult<Response> {
    answer(&cx, params, CACHE_NEVER).await
}

/// Show the pricing of a tenant
///
/// The live plans, for everybody: no key is needed.
#[utoipa::path(get, path = "/pricing/{tenant_slug}", tag = "Selling", security(()), params(("tenant_slug" = String, Path, description = "The tenant's slug"), PricingParams), responses(
    (status = 200, description = "The visible plans", body = PricingView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_public_pricing(
    State(state): State<HttpState>,
    Path(tenant_slug): Path<String>,
    Query(params): Query<PricingParams>,
) -> ApiResult<Response> {
    let cx = pricing::find_public(&state.app, &tenant_slug).await?;
    answer(&cx, params, CACHE_PUBLIC).await
}
