//! Subscriptions.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{
    error::Error,
    subscriptions::{self, SubscriptionOfPlan},
};
use usance_core::ids::SubscriptionId;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, CustomerQuery, Mutation, Path, Query},
    wire::{ListView, PeriodView, ProblemView},
};

/// A new subscription.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"customer": "acme", "plan": "starter", "start_at": "2023-11-01T00:00:00Z"}))]
pub(crate) struct CreateSubscription {
    /// Id or `external_id` of the customer.
    customer: String,
    /// Code of the plan; its newest version is taken.
    plan: String,
    /// When it begins; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<Timestamp>,
    /// Seats; 1 if absent.
    quantity: Option<i32>,
}

impl From<CreateSubscription> for subscriptions::CreateSubscription {
    fn from(body: CreateSubscription) -> Self {
        let CreateSubscription { customer, plan, start_at, quantity } = body;
        Self { customer, plan, start_at, quantity }
    }
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionView {
    id: String,
    customer: String,
    plan: String,
    plan_version: i32,
    status: String,
    quantity: i32,
    #[schema(value_type = String, format = DateTime)]
    start_at: Timestamp,
    /// The open billing period; earlier ones are invoiced.
    current_period: PeriodView,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<SubscriptionOfPlan> for SubscriptionView {
    fn from(of: SubscriptionOfPlan) -> Self {
        let subscription = of.subscription;
        Self {
            id: subscription.id.to_string(),
            customer: subscription.customer_id.to_string(),
            plan: of.plan,
            plan_version: of.plan_version,
            status: subscription.status,
            quantity: subscription.quantity,
            start_at: subscription.start_at,
            current_period: subscription.period.into(),
            ended_at: subscription.ended_at,
            created_at: subscription.created_at,
        }
    }
}

/// Start a subscription
///
/// Periods that have passed already are billed at once; events that waited for it are rated.
#[utoipa::path(post, path = "/subscriptions", tag = "Subscriptions", request_body = CreateSubscription, responses(
    (status = 201, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_subscription(request: Mutation<CreateSubscription>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateSubscription| {
            async move { Ok(SubscriptionView::from(subscriptions::create(cx, tx, body.into()).await?)) }
                .boxed()
        })
        .await
}

/// List subscriptions
#[utoipa::path(get, path = "/subscriptions", tag = "Subscriptions", params(CustomerQuery), responses(
    (status = 200, description = "A page of subscriptions", body = ListView<SubscriptionView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_subscriptions(
    Authorized(cx): Authorized,
    Query(query): Query<CustomerQuery>,
) -> ApiResult<Json<ListView<SubscriptionView>>> {
    let mut tx = cx.begin().await?;
    let page = subscriptions::list(&mut tx, query.customer.as_deref(), query.page()?).await?;
    Ok(Json(ListView::new(page, |of| of.subscription.id.uuid(), SubscriptionView::from)))
}

/// Get a subscription
#[utoipa::path(get, path = "/subscriptions/{id}", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_subscription(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<SubscriptionView>> {
    let id: SubscriptionId = id.parse().map_err(|_| Error::not_found("subscription"))?;
    let mut tx = cx.begin().await?;
    Ok(Json(subscriptions::get(&mut tx, id).await?.into()))
}
