//! Coupons.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{Change, coupons};
use usance_core::decimal::decimal_text;
use usance_db::coupons::Coupon;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, Texts, change, optional_object},
    wire::{ListView, MoneyView, ProblemView},
};

/// An amount that is taken off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CouponAmountBody {
    /// In minor units of the currency, above 0.
    amount_minor: i64,
    /// ISO 4217; customers of this currency can redeem the coupon.
    currency: String,
}

/// A new coupon: either a percent or an amount, which never change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "LAUNCH50", "name": "Launch offer", "percent": "50", "duration": "repeating",
    "duration_periods": 3, "max_redemptions": 100, "redeem_by": "2027-01-01T00:00:00Z"}))]
pub(crate) struct CreateCoupon {
    /// Unique: letters, digits, `_`, `-`, `.`. It is what a customer redeems.
    code: String,
    /// On the invoice; the code if absent.
    name: Option<String>,
    /// A decimal string above 0, at most 100.
    percent: Option<String>,
    /// A fixed amount.
    #[serde(default, deserialize_with = "optional_object")]
    amount: Option<CouponAmountBody>,
    /// `once`, `repeating` (for `duration_periods`) or `forever`.
    duration: String,
    /// Billing periods of a repeating coupon, 1 to 1200.
    duration_periods: Option<i32>,
    /// How often it may be redeemed in all; without limit if absent.
    max_redemptions: Option<i32>,
    /// From this instant of your time on it cannot be redeemed.
    #[schema(value_type = Option<String>, format = DateTime)]
    redeem_by: Option<Timestamp>,
    /// Codes of the plans that it is limited to, up to 100; all plans if absent or empty.
    plans: Option<Vec<String>>,
    /// Your own data: up to 50 texts of 500 characters each, with names of up to 64.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Texts>,
}

impl From<CreateCoupon> for coupons::CreateCoupon {
    fn from(body: CreateCoupon) -> Self {
        Self {
            code: body.code,
            name: body.name,
            percent: body.percent,
            amount: body.amount.map(|amount| (amount.amount_minor, amount.currency)),
            duration: body.duration,
            duration_periods: body.duration_periods,
            max_redemptions: body.max_redemptions,
            redeem_by: body.redeem_by,
            plans: body.plans,
            metadata: body.metadata.map(|texts| texts.0),
        }
    }
}

/// What may change of a coupon; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"max_redemptions": 200, "redeem_by": null}))]
pub(crate) struct UpdateCoupon {
    /// On invoices from now on.
    name: Option<String>,
    /// How often it may be redeemed in all, from the beginning; null for no limit.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<i32>)]
    max_redemptions: Change<i32>,
    /// From this instant of your time on it cannot be redeemed; null for no end.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>, format = DateTime)]
    redeem_by: Change<Timestamp>,
    /// Your own data: up to 50 texts of 500 characters each, with names of up to 64.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Texts>,
}

impl From<UpdateCoupon> for coupons::UpdateCoupon {
    fn from(body: UpdateCoupon) -> Self {
        let UpdateCoupon { name, max_redemptions, redeem_by, metadata } = body;
        Self { name, max_redemptions, redeem_by, metadata: metadata.map(|texts| texts.0) }
    }
}

/// A coupon.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponView {
    id: String,
    code: String,
    name: String,
    percent: Option<String>,
    amount: Option<MoneyView>,
    duration: String,
    duration_periods: Option<i32>,
    max_redemptions: Option<i32>,
    times_redeemed: i32,
    #[schema(value_type = Option<String>, format = DateTime)]
    redeem_by: Option<Timestamp>,
    /// Empty for all plans.
    plans: Vec<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Value,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Coupon> for CouponView {
    fn from(coupon: Coupon) -> Self {
        let currency = coupon.currency.unwrap_or_default();
        Self {
            id: coupon.id.to_string(),
            code: coupon.code,
            name: coupon.name,
            percent: coupon.percent.map(decimal_text),
            amount: coupon.amount_minor.map(|amount| MoneyView::new(amount, &currency)),
            duration: coupon.duration,
            duration_periods: coupon.duration_periods,
            max_redemptions: coupon.max_redemptions,
            times_redeemed: coupon.times_redeemed,
            redeem_by: coupon.redeem_by,
            plans: coupon.plans,
            metadata: coupon.metadata,
            created_at: coupon.created_at,
            updated_at: coupon.updated_at,
        }
    }
}

/// Create a coupon
#[utoipa::path(post, path = "/coupons", tag = "Commercial terms", request_body = CreateCoupon, responses(
    (status = 201, description = "The coupon", body = CouponView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_coupon(request: Mutation<CreateCoupon>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateCoupon| {
            async move { Ok(CouponView::from(coupons::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List coupons
#[utoipa::path(get, path = "/coupons", tag = "Commercial terms", params(ListQuery), responses(
    (status = 200, description = "A page of coupons", body = ListView<CouponView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_coupons(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<CouponView>>> {
    let mut tx = cx.begin().await?;
    let page = coupons::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |coupon| coupon.id.uuid(), CouponView::from)))
}

/// Get a coupon
#[utoipa::path(get, path = "/coupons/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the coupon")), responses(
    (status = 200, description = "The coupon", body = CouponView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_coupon(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<CouponView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(coupons::get(&mut tx, &code).await?.into()))
}

/// Change a coupon
///
/// What it takes off never changes.
#[utoipa::path(patch, path = "/coupons/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the coupon")), request_body = UpdateCoupon, responses(
    (status = 200, description = "The coupon", body = CouponView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_coupon(
    Path(code): Path<String>,
    request: Mutation<UpdateCoupon>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateCoupon| {
            async move { Ok(CouponView::from(coupons::update(cx, tx, &code, body.into()).await?)) }.boxed()
        })
        .await
}

/// Archive a coupon
///
/// It cannot be redeemed any more; discounts that it gave go on.
#[utoipa::path(delete, path = "/coupons/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the coupon")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_coupon(
    Path(code): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { coupons::archive(cx, tx, &code).await }.boxed()
        })
        .await
}
