//! Meters.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::catalog::{
    SentFilters,
    meters::{self, SentRounding},
};
use usance_db::meters::Meter;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, ProblemView},
};

/// A new meter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "tokens", "event_type": "llm_call", "aggregation": "sum", "value_property": "tokens"}))]
pub(crate) struct CreateMeter {
    /// Unique: letters, digits, `_`, `-`, `.`.
    code: String,
    /// For people; the code if absent.
    name: Option<String>,
    /// The type of the events that it measures.
    event_type: String,
    /// `count`, `sum`, `max`, `min`, `average`, `unique_count`, `latest` or `weighted_sum`.
    aggregation: String,
    /// The property that carries the value; none for `count`.
    value_property: Option<String>,
    /// The events that it measures, as the values of properties; all of its type if absent.
    filters: Option<SentFilters>,
    /// The properties by which its usage can be told apart.
    group_by: Option<Vec<String>>,
    /// How the quantity of a period is rounded; not at all if absent.
    rounding: Option<RoundingBody>,
    /// Whether the value is carried over from period to period; false if absent, and for `max`, `min` and `average`.
    recurring: Option<bool>,
}

/// How a quantity is rounded.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "ceil", "scale": 0}))]
pub(crate) struct RoundingBody {
    /// `half_up`, `ceil` or `floor`.
    mode: String,
    /// Digits after the point, -6 to 12; below zero the zeros before it.
    scale: i8,
}

impl From<CreateMeter> for meters::CreateMeter {
    fn from(body: CreateMeter) -> Self {
        Self {
            code: body.code,
            name: body.name,
            event_type: body.event_type,
            aggregation: body.aggregation,
            value_property: body.value_property,
            filters: body.filters,
            group_by: body.group_by,
            rounding: body.rounding.map(|RoundingBody { mode, scale }| SentRounding { mode, scale }),
            recurring: body.recurring,
        }
    }
}

/// What may change of a meter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Tokens"}))]
pub(crate) struct UpdateMeter {
    /// For people.
    name: Option<String>,
}

/// A meter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterView {
    id: String,
    code: String,
    name: String,
    event_type: String,
    aggregation: &'static str,
    value_property: Option<String>,
    filters: SentFilters,
    group_by: Vec<String>,
    rounding: Option<RoundingBody>,
    recurring: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Meter> for MeterView {
    fn from(meter: Meter) -> Self {
        let filters = meter.filters.into_iter().map(|filter| (filter.property, filter.values));
        let rounding = meter
            .rounding
            .map(|rounding| RoundingBody { mode: rounding.mode.as_str().to_owned(), scale: rounding.scale });
        Self {
            id: meter.id.to_string(),
            code: meter.code,
            name: meter.name,
            event_type: meter.event_type,
            aggregation: meter.aggregation.as_str(),
            value_property: meter.value_property,
            filters: filters.collect(),
            group_by: meter.group_by,
            rounding,
            recurring: meter.recurring,
            created_at: meter.created_at,
            updated_at: meter.updated_at,
        }
    }
}

/// Create a meter
///
/// It counts events from now on, and those that waited for a meter of their type.
#[utoipa::path(post, path = "/meters", tag = "Catalogue", request_body = CreateMeter, responses(
    (status = 201, description = "The meter", body = MeterView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_meter(request: Mutation<CreateMeter>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateMeter| {
            async move { Ok(MeterView::from(meters::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List meters
#[utoipa::path(get, path = "/meters", tag = "Catalogue", params(ListQuery), responses(
    (status = 200, description = "A page of meters", body = ListView<MeterView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_meters(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<MeterView>>> {
    let mut tx = cx.begin().await?;
    let page = meters::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |meter| meter.id.uuid(), MeterView::from)))
}

/// Get a meter
#[utoipa::path(get, path = "/meters/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the meter")), responses(
    (status = 200, description = "The meter", body = MeterView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_meter(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<MeterView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(meters::get(&mut tx, &code).await?.into()))
}

/// Rename a meter
///
/// What it measures never changes: usage that was counted would lose its meaning.
#[utoipa::path(patch, path = "/meters/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the meter")), request_body = UpdateMeter, responses(
    (status = 200, description = "The meter", body = MeterView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_meter(
    Path(code): Path<String>,
    request: Mutation<UpdateMeter>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateMeter| {
            async move { Ok(MeterView::from(meters::rename(cx, tx, &code, body.name).await?)) }.boxed()
        })
        .await
}

/// Archive a meter
///
/// It counts nothing new; what it counted stays. Refused while a plan or a running subscription prices it.
#[utoipa::path(delete, path = "/meters/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the meter")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_meter(
    Path(code): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { meters::archive(cx, tx, &code).await }.boxed()
        })
        .await
}
