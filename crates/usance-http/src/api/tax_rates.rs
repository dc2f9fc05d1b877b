//! Tax rates.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::tax_rates;
use usance_core::decimal::decimal_text;
use usance_db::tax_rates::StoredTaxRate;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, ProblemView},
};

/// A new tax rate. Its percent, kind and region never change: replace it by another one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "de-vat-19", "name": "VAT 19 %", "percent": "19", "inclusive": false, "region": "de"}))]
pub(crate) struct CreateTaxRate {
    /// Unique: letters, digits, `_`, `-`, `.`.
    code: String,
    /// On the invoice; the code if absent.
    name: Option<String>,
    /// A decimal string, 0 to 100.
    percent: String,
    /// Whether prices hold the tax already; false if absent. A region has one kind of rates.
    #[serde(default)]
    inclusive: bool,
    /// Whose customers it taxes: a country or a part of it such as `US-CA`, or a word such as `eu`; kept in lower case.
    region: String,
    /// For people.
    description: Option<String>,
    /// Code of a rate of the same region that is archived at the same moment.
    replaces: Option<String>,
}

impl From<CreateTaxRate> for tax_rates::CreateTaxRate {
    fn from(body: CreateTaxRate) -> Self {
        let CreateTaxRate { code, name, percent, inclusive, region, description, replaces } = body;
        Self { code, name, percent, inclusive, region, description, replaces }
    }
}

/// What may change of a tax rate; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "VAT 19 %"}))]
pub(crate) struct UpdateTaxRate {
    /// On invoices from now on.
    name: Option<String>,
    /// For people.
    description: Option<String>,
}

/// A tax rate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaxRateView {
    id: String,
    code: String,
    name: String,
    percent: String,
    inclusive: bool,
    region: String,
    description: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<StoredTaxRate> for TaxRateView {
    fn from(rate: StoredTaxRate) -> Self {
        Self {
            id: rate.id.to_string(),
            code: rate.code,
            name: rate.name,
            percent: decimal_text(rate.percent),
            inclusive: rate.inclusive,
            region: rate.region,
            description: rate.description,
            created_at: rate.created_at,
            updated_at: rate.updated_at,
        }
    }
}

/// Create a tax rate
///
/// Customers whose tax names its region are taxed by it from now on, together with the region's other rates.
#[utoipa::path(post, path = "/tax-rates", tag = "Commercial terms", request_body = CreateTaxRate, responses(
    (status = 201, description = "The tax rate", body = TaxRateView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_tax_rate(request: Mutation<CreateTaxRate>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateTaxRate| {
            async move { Ok(TaxRateView::from(tax_rates::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List tax rates
#[utoipa::path(get, path = "/tax-rates", tag = "Commercial terms", params(ListQuery), responses(
    (status = 200, description = "A page of tax rates", body = ListView<TaxRateView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_tax_rates(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<TaxRateView>>> {
    let mut tx = cx.begin().await?;
    let page = tax_rates::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |rate| rate.id.uuid(), TaxRateView::from)))
}

/// Get a tax rate
#[utoipa::path(get, path = "/tax-rates/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the tax rate")), responses(
    (status = 200, description = "The tax rate", body = TaxRateView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_tax_rate(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<TaxRateView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(tax_rates::get(&mut tx, &code).await?.into()))
}

/// Change a tax rate
#[utoipa::path(patch, path = "/tax-rates/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the tax rate")), request_body = UpdateTaxRate, responses(
    (status = 200, description = "The tax rate", body = TaxRateView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_tax_rate(
    Path(code): Path<String>,
    request: Mutation<UpdateTaxRate>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateTaxRate| {
            async move {
                Ok(TaxRateView::from(tax_rates::update(cx, tx, &code, body.name, body.description).await?))
            }
            .boxed()
        })
        .await
}

/// Archive a tax rate
///
/// It is on no new invoice. The last rate of a region cannot be archived while customers are taxed by the region.
#[utoipa::path(delete, path = "/tax-rates/{code}", tag = "Commercial terms", params(("code" = String, Path, description = "Code of the tax rate")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_tax_rate(
    Path(code): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { tax_rates::archive(cx, tx, &code).await }.boxed()
        })
        .await
}
