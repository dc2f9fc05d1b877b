//! Live usage.

use axum::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::usage::{self, CurrentUsage, UsageReport, WindowUsage};
use usance_core::decimal::decimal_text;
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiResult,
    extract::{Authorized, Path, Query},
    wire::{MoneyView, PeriodView, ProblemView},
};

/// Whose usage, of what, and when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Id or `external_id` of a customer.
    customer: Option<String>,
    /// Code of a meter.
    meter: Option<String>,
    /// The first instant.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The first instant after it; now if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// `hour` or `day` in the customer's time zone, at most 1,000 of them; one window if absent.
    window: Option<String>,
    /// Names of properties that the meter is grouped by, with commas between them. Groups are read from at most 200,000 events.
    group_by: Option<String>,
}

/// The usage of a window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WindowUsageView {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
    /// The values of the properties in `group_by`, null where the events have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group: Vec<Option<String>>,
    /// By the meter's aggregation, of what happened in the window.
    quantity: String,
    event_count: u64,
}

impl From<WindowUsage> for WindowUsageView {
    fn from(usage: WindowUsage) -> Self {
        let WindowUsage { span, group, quantity, event_count } = usage;
        Self { start: span.start, end: span.end, group, quantity: decimal_text(quantity), event_count }
    }
}

/// What a customer used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    customer: String,
    meter: String,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Windows with usage, in order of time and group.
    data: Vec<WindowUsageView>,
}

/// Measure usage
///
/// What a customer used of a meter, as far as events were acknowledged. `customer`, `meter` and `from` are required.
#[utoipa::path(get, path = "/usage", tag = "Usage", params(UsageQuery), responses(
    (status = 200, description = "The usage by windows", body = UsageView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_usage(
    Authorized(cx): Authorized,
    Query(query): Query<UsageQuery>,
) -> ApiResult<Json<UsageView>> {
    let UsageQuery { customer, meter, from, to, window, group_by } = query;
    let code = meter.clone().unwrap_or_default();
    let names = group_by.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let group_by = names.map(str::to_owned).collect();
    let query = usage::UsageQuery { customer, meter, from, to, window, group_by };
    let UsageReport { customer, period, windows } = usage::measure(&cx, &query).await?;
    Ok(Json(UsageView {
        customer: customer.to_string(),
        meter: code,
        from: period.start,
        to: period.end,
        data: windows.into_iter().map(WindowUsageView::from).collect(),
    }))
}

/// What a customer has used of a price so far.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentUsageView {
    subscription: String,
    /// Code of the price.
    price: String,
    /// Code of the meter.
    meter: String,
    /// From the start of the open period until now.
    period: PeriodView,
    quantity: String,
    /// What it would cost if the period ended now, before discounts and tax.
    amount: MoneyView,
}

impl From<CurrentUsage> for CurrentUsageView {
    fn from(usage: CurrentUsage) -> Self {
        let CurrentUsage { subscription, price, meter, period, quantity, amount } = usage;
        Self {
            subscription: subscription.to_string(),
            price,
            meter,
            period: period.into(),
            quantity: decimal_text(quantity),
            amount: MoneyView::new(amount.minor(), amount.currency().code()),
        }
    }
}

/// What a customer has used of all prices so far.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerUsageView {
    data: Vec<CurrentUsageView>,
}

/// Get a customer's usage so far
///
/// For each metered price of the customer's running subscriptions: the usage of the open period.
#[utoipa::path(get, path = "/customers/{customer}/usage", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), responses(
    (status = 200, description = "The usage by prices", body = CustomerUsageView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_customer_usage(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
) -> ApiResult<Json<CustomerUsageView>> {
    let mut tx = cx.begin_as_tenant().await?;
    let usages = usage::current(&cx, &mut tx, &customer).await?;
    Ok(Json(CustomerUsageView { data: usages.into_iter().map(CurrentUsageView::from).collect() }))
}
