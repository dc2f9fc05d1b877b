//! Subscriptions.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{
    error::Error,
    subscriptions::{self, ChangeWhen, SubscriptionOfPlan},
};
use usance_core::ids::SubscriptionId;
use usance_db::subscriptions::SubscriptionItem;
use utoipa::ToSchema;

use super::plan_parts::{EntitlementBody, PriceBody, PriceOverrideBody};
use crate::{
    error::ApiResult,
    extract::{Authorized, CustomerQuery, Mutation, NoBody, Path, Query, objects, optional_objects},
    wire::{ListView, PeriodView, ProblemView},
};

/// An add-on that is bought with a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddOnBody {
    /// Code of the add-on.
    code: String,
    /// Seats; 1 if absent.
    quantity: Option<u32>,
}

impl From<AddOnBody> for subscriptions::AddOn {
    fn from(body: AddOnBody) -> Self {
        let AddOnBody { code, quantity } = body;
        Self { code, quantity }
    }
}

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
    quantity: Option<u32>,
    /// Bought with the plan; they share its billing periods.
    #[serde(default, deserialize_with = "objects")]
    add_ons: Vec<AddOnBody>,
    /// Prices of the plan that are other ones for this subscription.
    #[serde(default, deserialize_with = "objects")]
    overrides: Vec<PriceOverrideBody>,
    /// Code of a coupon that is redeemed for this subscription.
    coupon: Option<String>,
    /// Whether the plan's trial comes first; true if absent.
    trial: Option<bool>,
    /// What the subscription grants of features, instead of what its plan does.
    #[serde(default, deserialize_with = "objects")]
    entitlements: Vec<EntitlementBody>,
}

impl From<CreateSubscription> for subscriptions::CreateSubscription {
    fn from(body: CreateSubscription) -> Self {
        let CreateSubscription {
            customer,
            plan,
            start_at,
            quantity,
            add_ons,
            overrides,
            coupon,
            trial,
            entitlements,
        } = body;
        let entitlements = entitlements.into_iter().map(Into::into).collect();
        let add_ons = add_ons.into_iter().map(Into::into).collect();
        let overrides = overrides.into_iter().map(Into::into).collect();
        Self { customer, plan, start_at, quantity, add_ons, overrides, coupon, trial, entitlements }
    }
}

/// A change of what a subscription buys; absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"plan": "professional", "when": "now"}))]
pub(crate) struct ChangeSubscription {
    /// Code of the plan; its newest version is taken.
    plan: Option<String>,
    /// Seats of the plan.
    quantity: Option<u32>,
    /// All add-ons from then on.
    #[serde(default, deserialize_with = "optional_objects")]
    add_ons: Option<Vec<AddOnBody>>,
    /// All prices that are other ones for this subscription, from then on; none if empty. If absent, they stay with the
    /// plan and end with another one.
    #[serde(default, deserialize_with = "optional_objects")]
    overrides: Option<Vec<PriceOverrideBody>>,
    /// `now`, `period_end`, or `at` with the field of that name; now if absent.
    when: Option<String>,
    /// When a change with `when` = `at` takes effect.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`; the plan's if absent. With `none` the whole period is
    /// billed by the new terms when it ends.
    proration: Option<String>,
}

impl TryFrom<ChangeSubscription> for subscriptions::ChangeSubscription {
    type Error = Error;

    fn try_from(body: ChangeSubscription) -> Result<Self, Error> {
        let ChangeSubscription { plan, quantity, add_ons, overrides, when, at, proration } = body;
        let when = match (when.as_deref(), at) {
            (None | Some("now"), None) => ChangeWhen::Now,
            (Some("period_end"), None) => ChangeWhen::PeriodEnd,
            (None | Some("at"), Some(at)) => ChangeWhen::At(at),
            (Some("at"), None) => {
                return Err(Error::field("/at", "required", "must say when the change takes effect"));
            }
            (Some("now" | "period_end"), Some(_)) => {
                return Err(Error::field("/at", "not_allowed", "goes with when = at only: leave it out"));
            }
            (Some(_), _) => {
                return Err(Error::field("/when", "unknown_word", "must be now, period_end or at"));
            }
        };
        let add_ons = add_ons.map(|add_ons| add_ons.into_iter().map(Into::into).collect());
        let overrides = overrides.map(|overrides| overrides.into_iter().map(Into::into).collect());
        Ok(Self { plan, quantity, add_ons, overrides, when: Some(when), proration })
    }
}

/// How a subscription is to end.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"at_period_end": true}))]
pub(crate) struct CancelSubscription {
    /// When the open period ends, or at once; at once if absent.
    at_period_end: bool,
    /// Whether fees in advance are given back for the rest of the period; true if absent.
    credit: Option<bool>,
}

/// What a subscription buys: its plan, or an add-on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionItemView {
    id: String,
    /// Code of the plan or add-on.
    plan: String,
    plan_version: i32,
    quantity: i32,
}

/// A change that is to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduledChangeView {
    /// Code of the plan from then on.
    plan: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionView {
    id: String,
    customer: String,
    /// Code of the plan.
    plan: String,
    plan_version: i32,
    /// `incomplete` before its start, `trialing`, `active`, `past_due`, `paused` or `canceled`.
    status: String,
    quantity: i32,
    /// The plan first, then add-ons.
    items: Vec<SubscriptionItemView>,
    /// Whether some of its prices are its own and not the plan's.
    overrides: bool,
    /// What its plan costs, in the order of the invoice.
    prices: Vec<PriceBody>,
    #[schema(value_type = String, format = DateTime)]
    start_at: Timestamp,
    /// The open billing period, or the trial; the last one if it is paused or canceled.
    current_period: PeriodView,
    #[schema(value_type = Option<String>, format = DateTime)]
    trial_ends_at: Option<Timestamp>,
    /// When it is to end.
    #[schema(value_type = Option<String>, format = DateTime)]
    cancel_at: Option<Timestamp>,
    scheduled_change: Option<ScheduledChangeView>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<SubscriptionOfPlan> for SubscriptionView {
    fn from(of: SubscriptionOfPlan) -> Self {
        let subscription = of.subscription;
        let item = |(item, (plan, plan_version)): (&SubscriptionItem, (String, i32))| SubscriptionItemView {
            id: item.id.to_string(),
            plan,
            plan_version,
            quantity: item.quantity,
        };
        let items: Vec<_> = subscription.items.iter().zip(of.plans).map(item).collect();
        let plan = items.first();
        Self {
            id: subscription.id.to_string(),
            customer: subscription.customer_id.to_string(),
            plan: plan.map(|item| item.plan.clone()).unwrap_or_default(),
            plan_version: plan.map_or(0, |item| item.plan_version),
            status: subscription.status,
            quantity: plan.map_or(0, |item| item.quantity),
            items,
            overrides: of.overridden,
            prices: of.prices.into_iter().map(Into::into).collect(),
            start_at: subscription.start_at,
            current_period: subscription.period.into(),
            trial_ends_at: subscription.trial.map(|trial| trial.0),
            cancel_at: subscription.cancel_at,
            scheduled_change: subscription
                .scheduled
                .map(|(at, _)| ScheduledChangeView { plan: of.scheduled_plan, at }),
            ended_at: subscription.ended_at,
            created_at: subscription.created_at,
        }
    }
}

fn read_id(id: &str) -> Result<SubscriptionId, Error> {
    id.parse().map_err(|_| Error::not_found("subscription"))
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
    let mut tx = cx.begin().await?;
    Ok(Json(subscriptions::get(&mut tx, read_id(&id)?).await?.into()))
}

/// Change a subscription
///
/// Plan, quantity or add-ons: at once with proration, when the period ends, or at a time to come.
#[utoipa::path(post, path = "/subscriptions/{id}/change", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), request_body = ChangeSubscription, responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn change_subscription(
    Path(id): Path<String>,
    request: Mutation<ChangeSubscription>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: ChangeSubscription| {
            async move {
                Ok(SubscriptionView::from(
                    subscriptions::change(cx, tx, read_id(&id)?, body.try_into()?).await?,
                ))
            }
            .boxed()
        })
        .await
}

/// Cancel a subscription
///
/// At once, with or without credit for what was paid in advance, or when the period ends.
#[utoipa::path(post, path = "/subscriptions/{id}/cancel", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), request_body = CancelSubscription, responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn cancel_subscription(
    Path(id): Path<String>,
    request: Mutation<CancelSubscription>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: CancelSubscription| {
            async move {
                Ok(SubscriptionView::from(
                    subscriptions::cancel(
                        cx,
                        tx,
                        read_id(&id)?,
                        subscriptions::CancelSubscription {
                            at_period_end: body.at_period_end,
                            credit: body.credit,
                        },
                    )
                    .await?,
                ))
            }
            .boxed()
        })
        .await
}

/// Take back a planned cancellation
///
/// The subscription goes on as before.
#[utoipa::path(post, path = "/subscriptions/{id}/uncancel", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn uncancel_subscription(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(SubscriptionView::from(subscriptions::uncancel(cx, tx, read_id(&id)?).await?)) }
                .boxed()
        })
        .await
}

/// Pause a subscription
///
/// Usage until now is billed and fees in advance are given back; nothing is counted or billed until it is resumed.
#[utoipa::path(post, path = "/subscriptions/{id}/pause", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn pause_subscription(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(SubscriptionView::from(subscriptions::pause(cx, tx, read_id(&id)?).await?)) }
                .boxed()
        })
        .await
}

/// Resume a subscription
///
/// The rest of the billing period that then runs is charged.
#[utoipa::path(post, path = "/subscriptions/{id}/resume", tag = "Subscriptions", params(("id" = String, Path, description = "Id of the subscription")), responses(
    (status = 200, description = "The subscription", body = SubscriptionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn resume_subscription(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(SubscriptionView::from(subscriptions::resume(cx, tx, read_id(&id)?).await?)) }
                .boxed()
        })
        .await
}
