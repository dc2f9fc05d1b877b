//! What a tenant owes its customers.

use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use usance_app::credit_balances;
use usance_db::credit_balances::CreditBalanceEntry;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Path, Query},
    wire::{ListView, MoneyView, ProblemView},
};

/// A change of a credit balance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditBalanceEntryView {
    id: String,
    /// Positive is in the customer's favour.
    amount: MoneyView,
    /// `negative_invoice`, `credit_note`, `refund_failed`, `applied_to_invoice` or `invoice_voided`.
    reason: String,
    /// The invoice that it comes from or goes to.
    invoice: Option<String>,
    /// The credit note that it comes from.
    credit_note: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<CreditBalanceEntry> for CreditBalanceEntryView {
    fn from(entry: CreditBalanceEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            amount: MoneyView::new(entry.amount_minor, &entry.currency),
            reason: entry.reason,
            invoice: entry.invoice_id.map(|id| id.to_string()),
            credit_note: entry.credit_note_id.map(|id| id.to_string()),
            created_at: entry.created_at,
        }
    }
}

/// What a customer is owed; later invoices take it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditBalanceView {
    /// Id of the customer.
    customer: String,
    /// One for each currency.
    balances: Vec<MoneyView>,
    /// A page of the changes that the balances are the sums of.
    entries: ListView<CreditBalanceEntryView>,
}

/// Get a customer's credit balance
#[utoipa::path(get, path = "/customers/{customer}/credit-balance", tag = "Credit notes", params(("customer" = String, Path, description = "Id or external_id"), ListQuery), responses(
    (status = 200, description = "The balances and a page of their entries", body = CreditBalanceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_credit_balance(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<CreditBalanceView>> {
    let mut tx = cx.begin().await?;
    let found = credit_balances::get(&mut tx, &customer, query.page()?).await?;
    let balances = found.balances.iter().map(|(currency, minor)| MoneyView::new(*minor, currency)).collect();
    let entries = ListView::new(found.entries, |entry| entry.id.uuid(), CreditBalanceEntryView::from);
    Ok(Json(CreditBalanceView { customer: found.customer.to_string(), balances, entries }))
}
