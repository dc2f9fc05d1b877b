//! How the numbers of an invoice came about.

use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use usance_app::{
    Cx,
    catalog::plans::PlanAtVersion,
    invoicing::{self, ExplainedInvoice},
};
use usance_core::decimal::decimal_text;
use usance_db::line_items::{EventSet, LineItem};
use utoipa::ToSchema;

use super::invoices::{InvoiceView, read_id};
use crate::{
    error::ApiResult,
    extract::{Authorized, Path},
    wire::{MoneyView, ProblemView},
};

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
    /// Code of the price; absent of lines that no price makes.
    price: Option<String>,
    charge_model: Option<String>,
    /// Of the charge model.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Value>,
    /// What the plan itself asks, where the subscription has a price of its own: `charge_model, parameters`.
    #[schema(value_type = Option<Object>)]
    overridden_price: Option<Value>,
    /// The plan version of the price.
    plan: Option<PlanReference>,
    quantity: String,
    /// The part of a full period that is charged, such as `17/31`; absent for the whole.
    share: Option<String>,
    /// Major units, before the one rounding.
    exact_amount: String,
    amount: MoneyView,
    discount: MoneyView,
    tax: MoneyView,
    /// Id of the line that it gives back in part.
    credits_line: Option<String>,
    /// Counts the ratings of one stretch of usage, from 0; later ones book the difference, or on a `reissue` the whole.
    revision: i32,
    /// `kind, from, up_to, quantity, unit, amount` per step; the amounts sum to the price of a full period, of which the
    /// exact amount is the share.
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
    /// Whether the subscription has prices of its own beside those of the version.
    overrides: bool,
}

/// An invoice with everything that its numbers came from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationView {
    invoice: InvoiceView,
    /// The plan version of the first line that a plan made.
    plan: Option<PlanReference>,
    lines: Vec<LineExplanation>,
}

impl ExplanationView {
    fn new(cx: &Cx, explained: ExplainedInvoice) -> Self {
        let invoice = InvoiceView::new(cx, &explained.invoice);
        let ExplainedInvoice { invoice: with, plans, overridden } = explained;
        let lines = with.lines.into_iter().map(|line| {
            let own = line.price_id.and_then(|id| overridden.get(&id));
            let public = own
                .map(|price| json!({ "charge_model": price.charge_model, "parameters": price.parameters }));
            explain_line(line, &plans, &invoice.currency, public)
        });
        let lines = lines.collect();
        Self { plan: plans.first().map(PlanReference::of), lines, invoice }
    }
}

impl PlanReference {
    fn of(plan: &PlanAtVersion) -> Self {
        let overrides = plan.version.override_of.is_some();
        Self { code: plan.plan.code.clone(), version: plan.version.version, overrides }
    }
}

fn explain_line(
    line: LineItem,
    plans: &[PlanAtVersion],
    currency: &str,
    overridden_price: Option<Value>,
) -> LineExplanation {
    let made_by = plans.iter().find_map(|plan| {
        let price = plan.prices.iter().find(|price| Some(price.id) == line.price_id)?;
        Some((plan, price))
    });
    LineExplanation {
        line: line.id.to_string(),
        price: line.price_code,
        charge_model: made_by.map(|(_, price)| price.charge_model.clone()),
        parameters: made_by.map(|(_, price)| price.parameters.clone()),
        overridden_price,
        plan: made_by.map(|(plan, _)| PlanReference::of(plan)),
        quantity: decimal_text(line.quantity),
        share: line.share,
        exact_amount: decimal_text(line.exact_amount),
        amount: MoneyView::new(line.amount_minor, currency),
        discount: MoneyView::new(line.discount_minor, currency),
        tax: MoneyView::new(line.tax_minor, currency),
        credits_line: line.credited_line_id.map(|id| id.to_string()),
        revision: line.revision,
        arithmetic: line.arithmetic,
        taxes: line.taxes,
        events: line.events.map(Into::into),
    }
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
    Ok(Json(ExplanationView::new(&cx, invoicing::explain(&mut tx, read_id(&id)?).await?)))
}
