//! Invoices.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use usance_app::{
    error::{Error, Result},
    invoicing::{self, ExplainedInvoice, InvoiceWithLines},
    payments,
};
use usance_core::{decimal::decimal_text, ids::InvoiceId};
use usance_db::{
    invoices::{EventSet, LineItem},
    plans::Price,
};
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, CustomerQuery, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, MoneyView, PeriodView, ProblemView},
};

/// A line of an invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineItemView {
    id: String,
    /// Code of the price.
    price: String,
    description: String,
    period: PeriodView,
    /// Decimal; 1 for a fixed fee.
    quantity: String,
    amount: MoneyView,
    tax: MoneyView,
}

impl LineItemView {
    fn new(line: &LineItem, currency: &str) -> Self {
        Self {
            id: line.id.to_string(),
            price: line.price_code.clone(),
            description: line.description.clone(),
            period: line.period.into(),
            quantity: decimal_text(line.quantity),
            amount: MoneyView::new(line.amount_minor, currency),
            tax: MoneyView::new(line.tax_minor, currency),
        }
    }
}

/// An invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvoiceView {
    id: String,
    /// Gapless; absent while it is a draft.
    number: Option<String>,
    /// `draft`, `finalized`, `paid`, `void` or `uncollectible`.
    status: String,
    customer: String,
    subscription: String,
    currency: String,
    period: PeriodView,
    lines: Vec<LineItemView>,
    subtotal: MoneyView,
    tax: MoneyView,
    total: MoneyView,
    /// What is still to be paid.
    amount_due: MoneyView,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    finalized_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
}

impl From<&InvoiceWithLines> for InvoiceView {
    fn from(with: &InvoiceWithLines) -> Self {
        let invoice = &with.invoice;
        let money = |amount_minor| MoneyView::new(amount_minor, &invoice.currency);
        let owed = matches!(invoice.status.as_str(), "draft" | "finalized" | "uncollectible");
        Self {
            id: invoice.id.to_string(),
            number: invoice.number.clone(),
            status: invoice.status.clone(),
            customer: invoice.customer_id.to_string(),
            subscription: invoice.subscription_id.to_string(),
            currency: invoice.currency.clone(),
            period: invoice.period.into(),
            lines: with.lines.iter().map(|line| LineItemView::new(line, &invoice.currency)).collect(),
            subtotal: money(invoice.subtotal_minor),
            tax: money(invoice.tax_minor),
            total: money(invoice.total_minor),
            amount_due: money(if owed { invoice.total_minor - invoice.paid_minor } else { 0 }),
            created_at: invoice.created_at,
            finalized_at: invoice.finalized_at,
            due_at: invoice.due_at,
            paid_at: invoice.paid_at,
        }
    }
}

impl From<InvoiceWithLines> for InvoiceView {
    fn from(with: InvoiceWithLines) -> Self {
        Self::from(&with)
    }
}

/// The usage events behind a line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventSetView {
    count: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    first_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_at: Option<Timestamp>,
    /// Exclusive or over the first 16 bytes of SHA-256 of each event id, in hexadecimal: the same set of events gives the
    /// same digest in any order.
    digest: String,
}

impl From<EventSet> for EventSetView {
    fn from(events: EventSet) -> Self {
        Self {
            count: events.count,
            first_at: events.first_and_last_at.map(|at| at.0),
            last_at: events.first_and_last_at.map(|at| at.1),
            digest: events.digest.simple().to_string(),
        }
    }
}

/// How a line came about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineExplanation {
    /// Id of the line.
    line: String,
    /// Code of the price.
    price: String,
    charge_model: String,
    /// Of the charge model.
    #[schema(value_type = Object)]
    parameters: Value,
    quantity: String,
    /// Major units, before the one rounding.
    exact_amount: String,
    amount: MoneyView,
    /// `kind, from, up_to, quantity, unit, amount` per step; the amounts sum to `exact_amount`.
    #[schema(value_type = Vec<Object>)]
    arithmetic: Value,
    /// `name, percent, amount_minor` per rate, on the rounded amount.
    #[schema(value_type = Vec<Object>)]
    taxes: Value,
    /// Absent for a fixed fee.
    events: Option<EventSetView>,
}

/// The plan version that priced an invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanReference {
    code: String,
    version: i32,
}

/// An invoice with everything that its numbers came from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationView {
    invoice: InvoiceView,
    plan: PlanReference,
    lines: Vec<LineExplanation>,
}

impl From<ExplainedInvoice> for ExplanationView {
    fn from(explained: ExplainedInvoice) -> Self {
        let invoice = InvoiceView::from(&explained.invoice);
        let prices = &explained.plan.prices;
        let lines = explained.invoice.lines.into_iter().map(|line| {
            let price = prices.iter().find(|price| price.id == line.price_id);
            explain_line(line, price, &invoice.currency)
        });
        let plan = PlanReference { code: explained.plan.plan.code, version: explained.plan.version.version };
        Self { plan, lines: lines.collect(), invoice }
    }
}

fn explain_line(line: LineItem, price: Option<&Price>, currency: &str) -> LineExplanation {
    LineExplanation {
        line: line.id.to_string(),
        price: line.price_code,
        charge_model: price.map(|price| price.charge_model.clone()).unwrap_or_default(),
        parameters: price.map(|price| price.parameters.clone()).unwrap_or_default(),
        quantity: decimal_text(line.quantity),
        exact_amount: decimal_text(line.exact_amount),
        amount: MoneyView::new(line.amount_minor, currency),
        arithmetic: line.arithmetic,
        taxes: line.taxes,
        events: line.events.map(Into::into),
    }
}

fn read_id(id: &str) -> Result<InvoiceId> {
    id.parse().map_err(|_| Error::not_found("invoice"))
}

/// List invoices
#[utoipa::path(get, path = "/invoices", tag = "Invoices", params(CustomerQuery), responses(
    (status = 200, description = "A page of invoices", body = ListView<InvoiceView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_invoices(
    Authorized(cx): Authorized,
    Query(query): Query<CustomerQuery>,
) -> ApiResult<Json<ListView<InvoiceView>>> {
    let mut tx = cx.begin().await?;
    let page = invoicing::list(&mut tx, query.customer.as_deref(), query.page()?).await?;
    Ok(Json(ListView::new(page, |with| with.invoice.id.uuid(), InvoiceView::from)))
}

/// List a customer's invoices
#[utoipa::path(get, path = "/customers/{customer}/invoices", tag = "Invoices", params(("customer" = String, Path, description = "Id or external_id"), ListQuery), responses(
    (status = 200, description = "A page of invoices", body = ListView<InvoiceView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_customer_invoices(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<InvoiceView>>> {
    let mut tx = cx.begin().await?;
    let page = invoicing::list(&mut tx, Some(&customer), query.page()?).await?;
    Ok(Json(ListView::new(page, |with| with.invoice.id.uuid(), InvoiceView::from)))
}

/// Get an invoice
#[utoipa::path(get, path = "/invoices/{id}", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_invoice(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<InvoiceView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(invoicing::get(&mut tx, read_id(&id)?).await?.into()))
}

/// Explain an invoice
///
/// Price version, quantity, arithmetic step by step, and the set of events behind each line.
#[utoipa::path(get, path = "/invoices/{id}/explain", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The explanation", body = ExplanationView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn explain_invoice(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<ExplanationView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(invoicing::explain(&mut tx, read_id(&id)?).await?.into()))
}

/// Finalize a draft
///
/// It gets its number and is collected.
#[utoipa::path(post, path = "/invoices/{id}/finalize", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn finalize_invoice(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(InvoiceView::from(invoicing::finalize(cx, tx, read_id(&id)?).await?)) }.boxed()
        })
        .await
}

/// Pay an invoice
///
/// Charges the customer's newest payment method.
#[utoipa::path(post, path = "/invoices/{id}/pay", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The paid invoice", body = InvoiceView),
    (status = 402, description = "The payment was declined", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn pay_invoice(Path(id): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx: &usance_app::Cx, _| {
            let cx = cx.clone();
            async move {
                let id = read_id(&id)?;
                payments::pay(&cx, id).await?;
                let mut tx = cx.begin().await?;
                Ok(InvoiceView::from(invoicing::get(&mut tx, id).await?))
            }
            .boxed()
        })
        .await
}
