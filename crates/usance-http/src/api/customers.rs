//! Customers.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{auth::Caller, customers, tax::Tax};
use usance_db::customers::Customer;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, Texts, objects},
    wire::{ListView, ProblemView},
};

/// How a customer is taxed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TaxBody {
    /// By these rates, each on every line: `{"rates": [{"name": "VAT", "percent": "19"}]}`.
    #[serde(deserialize_with = "objects")]
    Rates(Vec<TaxRateBody>),
    /// By all tax rates of a region: `{"region": "eu"}`.
    Region(String),
    /// `{"exempt": true}`.
    Exempt(bool),
}

/// A tax rate.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaxRateBody {
    /// On the invoice.
    name: String,
    /// A decimal string, 0 to 100.
    percent: String,
}

impl From<TaxBody> for Tax {
    fn from(body: TaxBody) -> Self {
        match body {
            TaxBody::Rates(rates) => {
                Self::Rates(rates.into_iter().map(|rate| (rate.name, rate.percent)).collect())
            }
            TaxBody::Region(region) => Self::Region(region),
            TaxBody::Exempt(true) => Self::Exempt,
            TaxBody::Exempt(false) => Self::Rates(Vec::new()),
        }
    }
}

/// A new customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"external_id": "acme", "name": "Acme", "email": "billing@acme.example", "currency": "USD",
    "timezone": "America/New_York", "tax": {"rates": [{"name": "Sales tax", "percent": "8"}]}}))]
pub(crate) struct CreateCustomer {
    /// Your own name for it; unique, and not beginning with `cus_`.
    external_id: Option<String>,
    /// For people.
    name: String,
    /// Where invoices go.
    email: Option<String>,
    /// ISO 4217; it never changes.
    currency: String,
    /// IANA time zone of the billing periods; UTC if absent.
    timezone: Option<String>,
    /// No tax if absent.
    tax: Option<TaxBody>,
    /// Postal address.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    address: Option<Texts>,
    /// Your own data: up to 50 texts of 500 characters each, with names of up to 64.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Texts>,
}

impl From<CreateCustomer> for customers::CreateCustomer {
    fn from(body: CreateCustomer) -> Self {
        let CreateCustomer { external_id, name, email, currency, timezone, tax, address, metadata } = body;
        let (address, metadata) = (address.map(|texts| texts.0), metadata.map(|texts| texts.0));
        Self { external_id, name, email, currency, timezone, tax: tax.map(Into::into), address, metadata }
    }
}

/// What is to change of a customer; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Acme Inc.", "tax": {"exempt": true}}))]
pub(crate) struct UpdateCustomer {
    /// Your own name for it.
    external_id: Option<String>,
    /// For people.
    name: Option<String>,
    /// Where invoices go.
    email: Option<String>,
    /// IANA time zone; decides periods that begin later.
    timezone: Option<String>,
    /// Applies to invoices from now on.
    tax: Option<TaxBody>,
    /// Postal address.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    address: Option<Texts>,
    /// Your own data: up to 50 texts of 500 characters each, with names of up to 64.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Texts>,
}

impl From<UpdateCustomer> for customers::UpdateCustomer {
    fn from(body: UpdateCustomer) -> Self {
        let UpdateCustomer { external_id, name, email, timezone, tax, address, metadata } = body;
        let (address, metadata) = (address.map(|texts| texts.0), metadata.map(|texts| texts.0));
        Self { external_id, name, email, timezone, tax: tax.map(Into::into), address, metadata }
    }
}

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerView {
    id: String,
    external_id: Option<String>,
    name: String,
    email: Option<String>,
    currency: String,
    timezone: String,
    #[schema(value_type = TaxBody)]
    tax: Value,
    #[schema(value_type = BTreeMap<String, String>)]
    address: Value,
    /// Empty for the customer itself.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Value,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Customer> for CustomerView {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id.to_string(),
            external_id: customer.external_id,
            name: customer.name,
            email: customer.email,
            currency: customer.currency,
            timezone: customer.time_zone,
            tax: customer.tax,
            address: customer.address,
            metadata: customer.metadata,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }
}

impl CustomerView {
    /// Leaves out what the tenant has noted for itself.
    pub(crate) fn hide_from_customers(&mut self) {
        self.metadata = Value::Object(serde_json::Map::new());
    }
}

/// Create a customer
///
/// Events that waited for it are rated.
#[utoipa::path(post, path = "/customers", tag = "Customers", request_body = CreateCustomer, responses(
    (status = 201, description = "The customer", body = CustomerView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_customer(request: Mutation<CreateCustomer>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateCustomer| {
            async move { Ok(CustomerView::from(customers::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List customers
#[utoipa::path(get, path = "/customers", tag = "Customers", params(ListQuery), responses(
    (status = 200, description = "A page of customers", body = ListView<CustomerView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_customers(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<CustomerView>>> {
    let mut tx = cx.begin().await?;
    let page = customers::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |customer| customer.id.uuid(), CustomerView::from)))
}

/// Get a customer
#[utoipa::path(get, path = "/customers/{customer}", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), responses(
    (status = 200, description = "The customer", body = CustomerView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_customer(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
) -> ApiResult<Json<CustomerView>> {
    let mut tx = cx.begin().await?;
    let mut view = CustomerView::from(customers::get(&mut tx, &customer).await?);
    if matches!(cx.caller, Some(Caller::Customer(_))) {
        view.hide_from_customers();
    }
    Ok(Json(view))
}

/// Change a customer
#[utoipa::path(patch, path = "/customers/{customer}", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), request_body = UpdateCustomer, responses(
    (status = 200, description = "The customer", body = CustomerView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_customer(
    Path(customer): Path<String>,
    request: Mutation<UpdateCustomer>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateCustomer| {
            async move { Ok(CustomerView::from(customers::update(cx, tx, &customer, body.into()).await?)) }
                .boxed()
        })
        .await
}

/// Erase a customer
///
/// Personal fields are erased; invoices, amounts and hashes stay. Refused while a subscription runs.
#[utoipa::path(delete, path = "/customers/{customer}", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), responses(
    (status = 204, description = "Erased"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn erase_customer(
    Path(customer): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { customers::erase(cx, tx, &customer).await }.boxed()
        })
        .await
}
