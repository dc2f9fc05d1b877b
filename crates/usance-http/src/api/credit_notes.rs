//! Credit notes.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{
    credit_notes::{self, CreditNoteWithLines},
    error::Error,
};
use usance_core::ids::InvoiceId;
use usance_db::credit_notes::CreditNoteLine;
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, Path, Query, optional_objects},
    wire::{ListView, MoneyView, ProblemView},
};

/// What is to be credited of a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditLineBody {
    /// Id of the line of the invoice.
    line: String,
    /// In minor units, of the line after its discount and before a tax that comes on top.
    amount_minor: i64,
}

/// A new credit note; give exactly one of `full`, `amount_minor` and `lines`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"invoice": "inv_01kajh6q3we0x9s7v5tqgm3f4h", "reason": "order_change", "amount_minor": 500, "settle": "balance"}))]
pub(crate) struct CreateCreditNote {
    /// Id of the invoice.
    invoice: String,
    /// Why.
    reason: String,
    /// For the customer to read.
    memo: Option<String>,
    /// All that is left of the invoice.
    full: Option<bool>,
    /// In minor units, divided over the lines in proportion; before a tax that comes on top.
    amount_minor: Option<i64>,
    /// By line.
    #[serde(default, deserialize_with = "optional_objects")]
    lines: Option<Vec<CreditLineBody>>,
    /// Where the part goes that was paid: `refund`, which is taken if absent, pays back what the payment has left and puts
    /// the rest to the customer's credit balance; `balance` puts all to the balance.
    settle: Option<String>,
    /// Pays back exactly so many minor units, tax included; the rest of what was paid goes to the balance.
    refund_minor: Option<i64>,
}

impl From<CreateCreditNote> for credit_notes::CreateCreditNote {
    fn from(body: CreateCreditNote) -> Self {
        let CreateCreditNote { invoice, reason, memo, full, amount_minor, lines, settle, refund_minor } =
            body;
        let line =
            |CreditLineBody { line, amount_minor }| credit_notes::CreateCreditLine { line, amount_minor };
        let lines = lines.map(|lines| lines.into_iter().map(line).collect());
        let full = full.unwrap_or_default();
        Self { invoice, reason, memo, full, amount_minor, lines, settle, refund_minor }
    }
}

/// What a credit note takes of a line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditNoteLineView {
    /// Id of the line of the invoice.
    line: String,
    description: String,
    /// Of the line after its discount.
    amount: MoneyView,
    tax: MoneyView,
    /// `name, percent, amount_minor` per rate.
    #[schema(value_type = Vec<Object>)]
    taxes: Value,
}

impl CreditNoteLineView {
    fn new(line: CreditNoteLine, currency: &str) -> Self {
        Self {
            line: line.line_item_id.to_string(),
            description: line.description,
            amount: MoneyView::new(line.amount_minor, currency),
            tax: MoneyView::new(line.tax_minor, currency),
            taxes: line.taxes,
        }
    }
}

/// A credit note; it never changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditNoteView {
    id: String,
    /// Gapless.
    number: String,
    invoice: String,
    customer: String,
    /// `duplicate`, `fraudulent`, `order_change`, `product_unsatisfactory` or `other`.
    reason: String,
    memo: String,
    currency: String,
    lines: Vec<CreditNoteLineView>,
    /// The sum of the lines' amounts.
    subtotal: MoneyView,
    tax: MoneyView,
    /// With the tax, where the lines do not hold it already.
    total: MoneyView,
    /// What was taken off the amount due.
    amount_reduced: MoneyView,
    /// What the gateway was asked to pay back; `refund` tells whether it did.
    amount_refunded: MoneyView,
    /// What was put to the customer's credit balance.
    amount_to_balance: MoneyView,
    /// Id of the refund. If it fails, its amount is put to the balance too.
    refund: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<CreditNoteWithLines> for CreditNoteView {
    fn from(CreditNoteWithLines { note, lines }: CreditNoteWithLines) -> Self {
        let money = |amount_minor| MoneyView::new(amount_minor, &note.currency);
        Self {
            id: note.id.to_string(),
            invoice: note.invoice_id.to_string(),
            customer: note.customer_id.to_string(),
            lines: lines.into_iter().map(|line| CreditNoteLineView::new(line, &note.currency)).collect(),
            subtotal: money(note.subtotal_minor),
            tax: money(note.tax_minor),
            total: money(note.total_minor),
            amount_reduced: money(note.reduced_minor),
            amount_refunded: money(note.refunded_minor),
            amount_to_balance: money(note.balance_minor),
            refund: note.refund_id.map(|id| id.to_string()),
            created_at: note.created_at,
            number: note.number,
            reason: note.reason,
            memo: note.memo,
            currency: note.currency,
        }
    }
}

/// Which credit notes are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditNoteQuery {
    /// Id or `external_id` of a customer.
    customer: Option<String>,
    /// Id of an invoice.
    invoice: Option<String>,
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Make a credit note
///
/// What is due is reduced first. What was paid goes back to the customer: the refund is sent to the gateway right
/// afterwards, and its state tells how it went.
#[utoipa::path(post, path = "/credit-notes", tag = "Credit notes", request_body = CreateCreditNote, responses(
    (status = 201, description = "The credit note", body = CreditNoteView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_credit_note(request: Mutation<CreateCreditNote>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateCreditNote| {
            async move { Ok(CreditNoteView::from(credit_notes::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List credit notes
#[utoipa::path(get, path = "/credit-notes", tag = "Credit notes", params(CreditNoteQuery), responses(
    (status = 200, description = "A page of credit notes", body = ListView<CreditNoteView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_credit_notes(
    Authorized(cx): Authorized,
    Query(query): Query<CreditNoteQuery>,
) -> ApiResult<Json<ListView<CreditNoteView>>> {
    let CreditNoteQuery { customer, invoice, limit, cursor } = query;
    let page = ListQuery { limit, cursor }.page()?;
    let invoice = invoice.map(|id| id.parse::<InvoiceId>()).transpose();
    let invoice = invoice.map_err(|_| Error::not_found("invoice"))?;
    let mut tx = cx.begin().await?;
    let page = credit_notes::list(&mut tx, customer.as_deref(), invoice, page).await?;
    Ok(Json(ListView::new(page, |with| with.note.id.uuid(), CreditNoteView::from)))
}

/// Get a credit note
#[utoipa::path(get, path = "/credit-notes/{id}", tag = "Credit notes", params(("id" = String, Path, description = "Id of the credit note")), responses(
    (status = 200, description = "The credit note", body = CreditNoteView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_credit_note(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<CreditNoteView>> {
    let id = id.parse().map_err(|_| Error::not_found("credit note"))?;
    let mut tx = cx.begin().await?;
    Ok(Json(credit_notes::get(&mut tx, id).await?.into()))
}
