//! Invoices.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{
    Cx,
    error::{Error, Result},
    hosted_invoices::{self, HostedLinks},
    invoicing::{self, InvoiceWithLines},
    payments,
};
use usance_core::{decimal::decimal_text, ids::InvoiceId};
use usance_db::line_items::LineItem;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, CustomerQuery, ListQuery, Mutation, NoBody, Path, Query, objects},
    wire::{ListView, MoneyView, PeriodView, ProblemView},
};

/// A line of an invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineItemView {
    id: String,
    /// `fee`, `usage`, `adjustment` (late usage of an earlier period), `credit` (a fee in advance that is given back),
    /// `minimum`, `trial`, `one_off` or `progressive`.
    kind: String,
    /// Code of the price; absent of lines that no price makes.
    price: Option<String>,
    description: String,
    period: PeriodView,
    /// Decimal; seats, or 1, for a fixed fee.
    quantity: String,
    /// The part of a full period that is charged, such as `17/31`; absent for the whole.
    share: Option<String>,
    /// Before discount and tax.
    amount: MoneyView,
    /// What coupons take off.
    discount: MoneyView,
    tax: MoneyView,
}

impl LineItemView {
    fn new(line: &LineItem, currency: &str) -> Self {
        Self {
            id: line.id.to_string(),
            kind: line.kind.clone(),
            price: line.price_code.clone(),
            description: line.description.clone(),
            period: line.period.into(),
            quantity: decimal_text(line.quantity),
            share: line.share.clone(),
            amount: MoneyView::new(line.amount_minor, currency),
            discount: MoneyView::new(line.discount_minor, currency),
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
    /// Absent of a one-off invoice.
    subscription: Option<String>,
    /// `subscription`, `one_off`, `progressive`, `late_usage` or `reissue`.
    kind: String,
    /// Id of the invoice that it stands in the place of; only of a `reissue`.
    corrects: Option<String>,
    /// Id of the invoice that stands in its place: it is credited in full.
    corrected_by: Option<String>,
    pub(super) currency: String,
    period: PeriodView,
    lines: Vec<LineItemView>,
    /// The sum of the lines' amounts.
    subtotal: MoneyView,
    discount: MoneyView,
    tax: MoneyView,
    /// `exclusive`: the tax comes on top; `inclusive`: the amounts hold it already.
    tax_behavior: String,
    total: MoneyView,
    /// What was paid of it.
    amount_paid: MoneyView,
    /// What was taken from the customer's credit balance.
    balance_applied: MoneyView,
    /// What credit notes took off before it was paid.
    amount_credited: MoneyView,
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
    #[schema(value_type = Option<String>, format = DateTime)]
    voided_at: Option<Timestamp>,
    /// When a draft becomes final by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    finalize_at: Option<Timestamp>,
    /// How often collecting it failed.
    failed_attempts: i16,
    memo: String,
    /// When it was last sent to the customer.
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
    /// Where the customer reads it without a credential: anyone who has the address can. A path, if the server was not
    /// told its public address. Absent of a draft.
    hosted_url: Option<String>,
    /// The same as PDF; absent of a draft, and if the server was built without PDF.
    pdf_url: Option<String>,
}

impl InvoiceView {
    /// Shows a stored invoice.
    pub(crate) fn new(cx: &Cx, with: &InvoiceWithLines) -> Self {
        Self::with_links(with, hosted_invoices::links(cx, &with.invoice))
    }

    fn with_links(with: &InvoiceWithLines, links: Option<HostedLinks>) -> Self {
        let (hosted_url, pdf_url) = links.map_or((None, None), |links| (Some(links.page), links.pdf));
        let invoice = &with.invoice;
        let money = |amount_minor| MoneyView::new(amount_minor, &invoice.currency);
        let owed = matches!(invoice.status.as_str(), "draft" | "finalized" | "uncollectible");
        Self {
            id: invoice.id.to_string(),
            number: invoice.number.clone(),
            status: invoice.status.clone(),
            customer: invoice.customer_id.to_string(),
            subscription: invoice.subscription_id.map(|id| id.to_string()),
            kind: invoice.kind.clone(),
            corrects: with.corrects.map(|id| id.to_string()),
            corrected_by: with.corrected_by.map(|id| id.to_string()),
            currency: invoice.currency.clone(),
            period: invoice.period.into(),
            lines: with.lines.iter().map(|line| LineItemView::new(line, &invoice.currency)).collect(),
            subtotal: money(invoice.subtotal_minor),
            discount: money(invoice.discount_minor),
            tax: money(invoice.tax_minor),
            tax_behavior: invoice.tax_behavior.clone(),
            total: money(invoice.total_minor),
            amount_paid: money(invoice.paid_minor),
            balance_applied: money(invoice.balance_applied_minor),
            amount_credited: money(invoice.credited_minor),
            amount_due: money(if owed { invoice.amount_due_minor() } else { 0 }),
            created_at: invoice.created_at,
            finalized_at: invoice.finalized_at,
            due_at: invoice.due_at,
            paid_at: invoice.paid_at,
            voided_at: invoice.voided_at,
            finalize_at: invoice.finalize_at,
            failed_attempts: invoice.failed_attempts,
            memo: invoice.memo.clone(),
            sent_at: invoice.sent_at,
            hosted_url,
            pdf_url,
        }
    }
}

pub(super) fn read_id(id: &str) -> Result<InvoiceId> {
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
    Ok(Json(ListView::new(page, |with| with.invoice.id.uuid(), |with| InvoiceView::new(&cx, &with))))
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
    Ok(Json(ListView::new(page, |with| with.invoice.id.uuid(), |with| InvoiceView::new(&cx, &with))))
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
            async move { Ok(InvoiceView::new(cx, &invoicing::finalize(cx, tx, read_id(&id)?).await?)) }
                .boxed()
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
        .run_in_steps(StatusCode::OK, move |cx: &Cx, _| {
            let cx = cx.clone();
            async move {
                let id = read_id(&id)?;
                payments::pay(&cx, id).await?;
                let mut tx = cx.begin().await?;
                Ok(InvoiceView::new(&cx, &invoicing::get(&mut tx, id).await?))
            }
            .boxed()
        })
        .await
}

/// Void an invoice
///
/// Withdraws an invoice that is not paid. What it took of coupons and of the customer's credit balance is given back.
#[utoipa::path(post, path = "/invoices/{id}/void", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn void_invoice(Path(id): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(InvoiceView::new(cx, &invoicing::void(cx, tx, read_id(&id)?).await?)) }.boxed()
        })
        .await
}

/// Mark an invoice as uncollectible
///
/// It is given up as a bad debt: it can still be paid, and is not collected by itself any more.
#[utoipa::path(post, path = "/invoices/{id}/mark-uncollectible", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn mark_invoice_uncollectible(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move { Ok(InvoiceView::new(cx, &invoicing::mark_uncollectible(cx, tx, read_id(&id)?).await?)) }
                .boxed()
        })
        .await
}

/// A line of a one-off invoice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLine {
    /// For the customer to read.
    description: String,
    /// Decimal string; 1 if absent.
    quantity: Option<String>,
    /// Decimal string of major units; negative for a reduction.
    unit: String,
}

/// A one-off invoice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"customer": "acme", "lines": [{"description": "Onboarding", "quantity": "2", "unit": "150"}]}))]
pub(crate) struct CreateInvoice {
    /// Id or `external_id` of the customer; the invoice is in its currency.
    customer: String,
    /// At least one.
    #[serde(deserialize_with = "objects")]
    lines: Vec<CreateLine>,
    /// For the customer to read.
    memo: Option<String>,
    /// Whether it is finalized at once; true if absent.
    finalize: Option<bool>,
}

impl From<CreateInvoice> for invoicing::CreateInvoice {
    fn from(body: CreateInvoice) -> Self {
        let CreateInvoice { customer, lines, memo, finalize } = body;
        let line = |CreateLine { description, quantity, unit }| invoicing::CreateLine {
            description,
            quantity,
            unit,
        };
        Self { customer, lines: lines.into_iter().map(line).collect(), memo, finalize }
    }
}

/// Make a one-off invoice
#[utoipa::path(post, path = "/invoices", tag = "Invoices", request_body = CreateInvoice, responses(
    (status = 201, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_invoice(request: Mutation<CreateInvoice>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateInvoice| {
            async move { Ok(InvoiceView::new(cx, &invoicing::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// Which invoice is to be computed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subscription": "sub_01kajh6q3ve5tr8w0mbn4ydc2g"}))]
pub(crate) struct PreviewInvoice {
    /// Id of the subscription.
    subscription: String,
}

/// A computed invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvoicePreview {
    /// Absent if nothing would be charged.
    invoice: Option<InvoiceView>,
}

/// Preview the next invoice
///
/// What the subscription's next due time will bring, by the usage until now. Nothing is stored, and the number is not
/// taken.
#[utoipa::path(post, path = "/invoices/preview", tag = "Invoices", request_body = PreviewInvoice, responses(
    (status = 200, description = "The invoice as it would be now", body = InvoicePreview),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn preview_invoice(request: Mutation<PreviewInvoice>) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, |cx, body: PreviewInvoice| {
            async move {
                let id = body.subscription.parse().map_err(|_| Error::not_found("subscription"))?;
                let invoice =
                    invoicing::preview(cx, id).await?.map(|with| InvoiceView::with_links(&with, None));
                Ok(InvoicePreview { invoice })
            }
            .boxed()
        })
        .await
}
