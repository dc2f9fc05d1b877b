//! Entitlements: whether a customer may go on.

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use usance_app::entitlements::{self, Access, Checked, Consumed, Consumption, FeatureAccess, Question};
use usance_core::{decimal::decimal_text, entitlement::Decision, ids::SubscriptionId};
use utoipa::{IntoParams, ToSchema};

use super::plan_parts::EntitlementBody;
use crate::{
    access_headers::{access_headers, refused_use},
    error::ApiResult,
    extract::{Authorized, Mutation, Path, Query, objects},
    wire::ProblemView,
};

/// What is to be checked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckQuery {
    /// Id or `external_id` of the customer.
    customer: String,
    /// Code of the feature.
    feature: String,
    /// A decimal above zero; 1 if absent.
    quantity: Option<String>,
}

/// Whether a quantity of a feature may be used, and how much of it was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// Whether it may be used.
    allowed: bool,
    /// Code of the feature.
    feature: String,
    /// Of a static entitlement.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What may be used in the window: a decimal string, or null where nothing limits it.
    limit: Option<String>,
    /// What is used in the window: a decimal string.
    used: String,
    /// What holds reserve: a decimal string; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    /// What is neither used nor held: a decimal string, or null where nothing limits it.
    remaining: Option<String>,
    /// What is used above a soft limit: a decimal string; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    overage: Option<String>,
    /// When a fixed window ends; of a sliding one, when the quantity fits, or else when the first of what was used leaves
    /// it. Null where that never happens.
    #[schema(value_type = Option<String>, format = DateTime)]
    reset_at: Option<Timestamp>,
    /// Why not: `limit_reached`, `feature_not_included` or `subscription_inactive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Where the customer finds a greater plan; only with a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade_url: Option<String>,
}

impl DecisionView {
    fn new(feature: String, decision: Decision, upgrade_url: &str) -> Self {
        Self {
            allowed: decision.allowed,
            feature,
            value: decision.value,
            limit: decision.limit.map(decimal_text),
            used: decimal_text(decision.used),
            held: Some(decision.held).filter(|held| !held.is_zero()).map(decimal_text),
            remaining: decision.remaining.map(decimal_text),
            overage: Some(decision.overage).filter(|overage| !overage.is_zero()).map(decimal_text),
            reset_at: decision.reset_at,
            reason: decision.reason.map(usance_core::entitlement::Reason::as_str),
            upgrade_url: (!decision.allowed).then(|| upgrade_url.to_owned()),
        }
    }
}

/// The answer to a check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckView {
    /// The customer.
    customer: String,
    #[serde(flatten)]
    decision: DecisionView,
    /// Family or code of the customer's plan.
    tier: Option<String>,
    /// State of the customer's subscription.
    tier_status: Option<&'static str>,
    /// When the answer was true: at most a second ago.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

impl From<Checked> for CheckView {
    fn from(checked: Checked) -> Self {
        let Checked { customer, feature, decision, tier, tier_status, upgrade_url, as_of, now: _ } = checked;
        Self {
            customer: customer.to_string(),
            decision: DecisionView::new(feature, decision, &upgrade_url),
            tier,
            tier_status,
            as_of,
        }
    }
}

/// Check whether a customer may go on
///
/// Answers from memory what was true at most a second ago, and reserves nothing: use consume where a limit must hold. The
/// answer carries the headers `X-Tier`, `X-Tier-Status`, `X-API-Calls-Used`, `X-API-Calls-Limit` and
/// `X-API-Calls-Remaining`.
#[utoipa::path(get, path = "/entitlements/check", tag = "Entitlements", params(CheckQuery), responses(
    (status = 200, description = "Whether the quantity may be used", body = CheckView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn check_entitlement(
    Authorized(cx): Authorized,
    Query(query): Query<CheckQuery>,
) -> ApiResult<(HeaderMap, Json<CheckView>)> {
    let CheckQuery { customer, feature, quantity } = query;
    let checked = entitlements::check(&cx, &Question { customer, feature, quantity }).await?;
    Ok((access_headers(&checked), Json(checked.into())))
}

/// What is to be consumed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "call-4711", "customer": "acme", "feature": "api_calls", "quantity": "1"}))]
pub(crate) struct ConsumeBody {
    /// Id of the usage event that records it: the same id consumes once.
    id: String,
    /// Id or `external_id` of the customer.
    customer: String,
    /// Code of the feature.
    feature: String,
    /// A decimal string above zero; 1 if absent. It is the value that the feature's meter adds.
    quantity: Option<String>,
    /// Type of the usage event; that of the feature's meter, or the feature's code, if absent.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Further properties of the usage event.
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
}

impl From<ConsumeBody> for Consumption {
    fn from(body: ConsumeBody) -> Self {
        let ConsumeBody { id, customer, feature, quantity, event_type, properties } = body;
        Self { id, customer, feature, quantity, event_type, properties }
    }
}

/// What was consumed, and how things stand then.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsumeView {
    /// Id of the usage event.
    id: String,
    /// Whether it was consumed before, and nothing was consumed now.
    replayed: bool,
    #[serde(flatten)]
    state: CheckView,
}

/// Consume a quantity of a feature
///
/// Decides and records the usage event in one step: a hard limit holds however many consume at once, and the same id
/// consumes once. Needs no `Idempotency-Key`. What may not be used is refused with 429 `rate_limit_exceeded` and
/// `Retry-After`, or with 403 `subscription_inactive` or `feature_not_included`; the id stays free. Answers carry the
/// headers of a check.
#[utoipa::path(post, path = "/entitlements/consume", tag = "Entitlements", request_body = ConsumeBody, responses(
    (status = 200, description = "Consumed", body = ConsumeView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn consume_entitlement(request: Mutation<ConsumeBody>) -> ApiResult<Response> {
    let (cx, body) = request.into_parts();
    let id = body.id.clone();
    let Consumed { checked, replayed } = entitlements::consume(&cx, &body.into()).await?;
    if let Some(reason) = checked.decision.reason {
        return Ok(refused_use(&checked, reason));
    }
    let headers = access_headers(&checked);
    Ok((headers, Json(ConsumeView { id, replayed, state: checked.into() })).into_response())
}

/// What a customer may use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessView {
    /// The customer.
    customer: String,
    /// Family or code of the customer's plan.
    tier: Option<String>,
    /// State of the customer's subscription.
    tier_status: Option<&'static str>,
    /// Whether one more of each feature may be used, by code.
    features: Vec<DecisionView>,
    /// When the answer was true: at most a second ago.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

impl From<Access> for AccessView {
    fn from(access: Access) -> Self {
        let Access { customer, tier, tier_status, features, upgrade_url, as_of } = access;
        let view = |FeatureAccess { feature, decision }| DecisionView::new(feature, decision, &upgrade_url);
        Self {
            customer: customer.to_string(),
            tier,
            tier_status,
            features: features.into_iter().map(view).collect(),
            as_of,
        }
    }
}

/// List what a customer may use
#[utoipa::path(get, path = "/customers/{customer}/access", tag = "Entitlements", params(("customer" = String, Path, description = "Id or external_id")), responses(
    (status = 200, description = "What the customer may use", body = AccessView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_customer_access(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
) -> ApiResult<Json<AccessView>> {
    Ok(Json(entitlements::access(&cx, &customer).await?.into()))
}

/// What a subscription grants instead of its plan.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"entitlements": [{"feature": "api_calls", "limit": "2000", "reset": "month"}]}))]
pub(crate) struct SubscriptionEntitlements {
    /// All of them.
    #[serde(deserialize_with = "objects")]
    entitlements: Vec<EntitlementBody>,
}

/// List what a subscription grants instead of its plan
#[utoipa::path(get, path = "/subscriptions/{id}/entitlements", tag = "Entitlements", params(("id" = String, Path, description = "Id of the subscription")), responses(
    (status = 200, description = "All of them", body = SubscriptionEntitlements),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_subscription_entitlements(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<SubscriptionEntitlements>> {
    let id = subscription_id(&id)?;
    let mut tx = cx.begin().await?;
    let entitlements = entitlements::list_own(&mut tx, id).await?.into_iter().map(Into::into).collect();
    Ok(Json(SubscriptionEntitlements { entitlements }))
}

/// Replace what a subscription grants instead of its plan
///
/// It holds at once and whatever becomes of the plan; what add-ons grant is added to it.
#[utoipa::path(put, path = "/subscriptions/{id}/entitlements", tag = "Entitlements", params(("id" = String, Path, description = "Id of the subscription")), request_body = SubscriptionEntitlements, responses(
    (status = 200, description = "All of them", body = SubscriptionEntitlements),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn set_subscription_entitlements(
    Path(id): Path<String>,
    request: Mutation<SubscriptionEntitlements>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: SubscriptionEntitlements| {
            async move {
                let id = subscription_id(&id)?;
                let inputs: Vec<_> = body.entitlements.into_iter().map(Into::into).collect();
                let own = entitlements::set_own(cx, tx, id, &inputs).await?;
                Ok(SubscriptionEntitlements { entitlements: own.into_iter().map(Into::into).collect() })
            }
            .boxed()
        })
        .await
        .map(IntoResponse::into_response)
}

fn subscription_id(text: &str) -> usance_app::error::Result<SubscriptionId> {
    text.parse().map_err(|_| usance_app::error::Error::not_found("subscription"))
}
