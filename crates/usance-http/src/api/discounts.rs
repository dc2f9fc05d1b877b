//! Discounts of customers.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{discounts, error::Error};
use usance_core::{decimal::decimal_text, ids::DiscountId};
use usance_db::discounts::Discount;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, MoneyView, ProblemView},
};

/// What a customer redeems.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coupon": "LAUNCH50"}))]
pub(crate) struct CreateDiscount {
    /// Code of the coupon.
    coupon: String,
}

/// A coupon that a customer has redeemed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiscountView {
    id: String,
    customer: String,
    /// The one subscription that it is for; all of the customer's if null.
    subscription: Option<String>,
    /// Code of the coupon.
    coupon: String,
    name: String,
    percent: Option<String>,
    amount: Option<MoneyView>,
    duration: String,
    /// Billing periods that it is still good for; null for ever.
    periods_left: Option<i32>,
    /// What is left of an amount that is taken off once.
    amount_left: Option<MoneyView>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Used up or removed.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

impl From<Discount> for DiscountView {
    fn from(discount: Discount) -> Self {
        let currency = discount.currency.unwrap_or_default();
        let money = |amount: Option<i64>| amount.map(|amount| MoneyView::new(amount, &currency));
        Self {
            id: discount.id.to_string(),
            customer: discount.customer_id.to_string(),
            subscription: discount.subscription_id.map(|id| id.to_string()),
            coupon: discount.coupon_code,
            name: discount.coupon_name,
            percent: discount.percent.map(decimal_text),
            amount: money(discount.amount_minor),
            duration: discount.duration,
            periods_left: discount.periods_left,
            amount_left: money(discount.fixed_left_minor),
            created_at: discount.created_at,
            ended_at: discount.ended_at,
        }
    }
}

/// Redeem a coupon
///
/// The discount is taken off the invoices of all the customer's subscriptions whose plan the coupon takes.
#[utoipa::path(post, path = "/customers/{customer}/discounts", tag = "Commercial terms", params(("customer" = String, Path, description = "Id or external_id")), request_body = CreateDiscount, responses(
    (status = 201, description = "The discount", body = DiscountView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_discount(
    Path(customer): Path<String>,
    request: Mutation<CreateDiscount>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, move |cx, tx, body: CreateDiscount| {
            async move { Ok(DiscountView::from(discounts::create(cx, tx, &customer, &body.coupon).await?)) }
                .boxed()
        })
        .await
}

/// List a customer's discounts
///
/// With those that have ended.
#[utoipa::path(get, path = "/customers/{customer}/discounts", tag = "Commercial terms", params(("customer" = String, Path, description = "Id or external_id"), ListQuery), responses(
    (status = 200, description = "A page of discounts", body = ListView<DiscountView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_discounts(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<DiscountView>>> {
    let mut tx = cx.begin().await?;
    let page = discounts::list(&mut tx, &customer, query.page()?).await?;
    Ok(Json(ListView::new(page, |discount| discount.id.uuid(), DiscountView::from)))
}

/// Remove a discount
///
/// Invoices that it is on stay as they are.
#[utoipa::path(delete, path = "/customers/{customer}/discounts/{id}", tag = "Commercial terms", params(
    ("customer" = String, Path, description = "Id or external_id"),
    ("id" = String, Path, description = "Id of the discount"),
), responses(
    (status = 204, description = "Removed"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn remove_discount(
    Path((customer, id)): Path<(String, String)>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move {
                let id: DiscountId = id.parse().map_err(|_| Error::not_found("discount"))?;
                discounts::remove(cx, tx, &customer, id).await
            }
            .boxed()
        })
        .await
}
