//! Add-ons: what is bought with a plan.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::catalog::plans::{self, PlanAtVersion, PlanKind};
use utoipa::ToSchema;

use super::{
    plan_parts::{EntitlementBody, PriceBody},
    plans::{CreatePlan, UpdatePlan, default_alignment, default_interval_count},
};
use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, objects, optional_objects},
    wire::{ListView, ProblemView},
};

/// A new add-on. Codes are unique over plans and add-ons.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "support", "name": "Support", "currency": "USD", "interval": "month", "prices": [
    {"code": "support", "charge_model": "flat", "amount": "99"}
]}))]
pub(crate) struct CreateAddOn {
    /// Unique: letters, digits, `_`, `-`, `.`.
    code: String,
    /// For people.
    name: String,
    /// For people.
    description: Option<String>,
    /// ISO 4217.
    currency: String,
    /// `day`, `week`, `month`, `quarter` or `year`; that of the plans that it is bought with.
    interval: String,
    /// Intervals per billing period; 1 if absent.
    #[serde(default = "default_interval_count")]
    interval_count: u16,
    /// `calendar` or `anniversary`; calendar if absent.
    #[serde(default = "default_alignment")]
    alignment: String,
    /// In the order of the invoice.
    prices: Vec<PriceBody>,
    /// What the add-on grants.
    #[serde(default, deserialize_with = "objects")]
    entitlements: Vec<EntitlementBody>,
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`; the first if absent.
    proration: Option<String>,
    /// Whether the flat fee of the first tier is due at zero usage: `charge` or `skip`; charge if absent.
    first_tier_flat: Option<String>,
}

impl From<CreateAddOn> for plans::CreatePlan {
    fn from(body: CreateAddOn) -> Self {
        let CreateAddOn {
            code,
            name,
            description,
            currency,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
            proration,
            first_tier_flat,
        } = body;
        let plan = CreatePlan {
            code,
            name,
            description,
            family: None,
            visible: None,
            currency,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
            proration,
            first_tier_flat,
            coupon_order: None,
            late_usage: None,
            trial: None,
            minimum: None,
            billing_thresholds: Vec::new(),
        };
        Self { kind: PlanKind::AddOn, ..plan.into() }
    }
}

/// What is to change of an add-on; absent fields stay. What decides money makes a new version, which new subscriptions
/// take.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Priority support"}))]
pub(crate) struct UpdateAddOn {
    /// For people.
    name: Option<String>,
    /// For people.
    description: Option<String>,
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
    /// `day_exclusive_end`, `day_inclusive`, `second` or `none`.
    proration: Option<String>,
    /// `charge` or `skip`.
    first_tier_flat: Option<String>,
}

impl From<UpdateAddOn> for UpdatePlan {
    fn from(body: UpdateAddOn) -> Self {
        let UpdateAddOn {
            name,
            description,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
            proration,
            first_tier_flat,
        } = body;
        Self {
            name,
            description,
            family: None,
            visible: None,
            interval,
            interval_count,
            alignment,
            prices,
            entitlements,
            proration,
            first_tier_flat,
            coupon_order: None,
            late_usage: None,
            trial: None,
            minimum: None,
            billing_thresholds: None,
        }
    }
}

/// An add-on at its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddOnView {
    id: String,
    code: String,
    name: String,
    description: String,
    version: i32,
    currency: String,
    interval: String,
    interval_count: i16,
    alignment: String,
    prices: Vec<PriceBody>,
    entitlements: Vec<EntitlementBody>,
    proration: String,
    first_tier_flat: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    version_created_at: Timestamp,
}

impl From<PlanAtVersion> for AddOnView {
    fn from(at: PlanAtVersion) -> Self {
        Self {
            id: at.plan.id.to_string(),
            code: at.plan.code,
            name: at.plan.name,
            description: at.plan.description,
            version: at.version.version,
            currency: at.version.currency,
            interval: at.version.interval_unit,
            interval_count: at.version.interval_count,
            alignment: at.version.alignment,
            prices: at.prices.into_iter().map(Into::into).collect(),
            entitlements: at.entitlements.into_iter().map(Into::into).collect(),
            proration: at.version.policies.proration,
            first_tier_flat: at.version.policies.first_tier_flat,
            created_at: at.plan.created_at,
            version_created_at: at.version.created_at,
        }
    }
}

/// Create an add-on
#[utoipa::path(post, path = "/add-ons", tag = "Catalogue", request_body = CreateAddOn, responses(
    (status = 201, description = "The add-on at version 1", body = AddOnView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_add_on(request: Mutation<CreateAddOn>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateAddOn| {
            async move { Ok(AddOnView::from(plans::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List add-ons
#[utoipa::path(get, path = "/add-ons", tag = "Catalogue", params(ListQuery), responses(
    (status = 200, description = "A page of add-ons at their newest versions", body = ListView<AddOnView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_add_ons(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<AddOnView>>> {
    let mut tx = cx.begin().await?;
    let page = plans::list(&mut tx, PlanKind::AddOn, query.page()?).await?;
    Ok(Json(ListView::new(page, |at| at.plan.id.uuid(), AddOnView::from)))
}

/// Get an add-on
#[utoipa::path(get, path = "/add-ons/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the add-on")), responses(
    (status = 200, description = "The add-on at its newest version", body = AddOnView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_add_on(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<AddOnView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(plans::get(&mut tx, PlanKind::AddOn, &code).await?.into()))
}

/// Change an add-on
///
/// What changes money makes a new version for new purchases; running ones keep theirs.
#[utoipa::path(patch, path = "/add-ons/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the add-on")), request_body = UpdateAddOn, responses(
    (status = 200, description = "The add-on at its newest version", body = AddOnView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_add_on(
    Path(code): Path<String>,
    request: Mutation<UpdateAddOn>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateAddOn| {
            async move {
                let current = plans::lock(tx, PlanKind::AddOn, &code).await?;
                let change = UpdatePlan::from(body).complete(&current);
                Ok(AddOnView::from(plans::update(cx, tx, current, change).await?))
            }
            .boxed()
        })
        .await
}

/// Archive an add-on
///
/// It cannot be bought any more; subscriptions that have it go on.
#[utoipa::path(delete, path = "/add-ons/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the add-on")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_add_on(
    Path(code): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { plans::archive(cx, tx, PlanKind::AddOn, &code).await }.boxed()
        })
        .await
}
