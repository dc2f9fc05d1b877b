//! Payments.

use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use usance_app::payments;
use usance_db::payments::Payment;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, CustomerQuery, Query},
    wire::{ListView, MoneyView, ProblemView},
};

/// An attempt to collect an invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentView {
    id: String,
    invoice: String,
    customer: String,
    payment_method: String,
    gateway: String,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    status: String,
    amount: MoneyView,
    /// What of it was refunded or is on its way.
    amount_refunded: MoneyView,
    gateway_reference: Option<String>,
    failure_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.id.to_string(),
            invoice: payment.invoice_id.to_string(),
            customer: payment.customer_id.to_string(),
            payment_method: payment.payment_method_id.to_string(),
            gateway: payment.gateway,
            status: payment.status,
            amount: MoneyView::new(payment.amount_minor, &payment.currency),
            amount_refunded: MoneyView::new(payment.refunded_minor, &payment.currency),
            gateway_reference: payment.gateway_reference,
            failure_code: payment.failure_code,
            created_at: payment.created_at,
        }
    }
}

/// List payments
#[utoipa::path(get, path = "/payments", tag = "Payments", params(CustomerQuery), responses(
    (status = 200, description = "A page of payments", body = ListView<PaymentView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_payments(
    Authorized(cx): Authorized,
    Query(query): Query<CustomerQuery>,
) -> ApiResult<Json<ListView<PaymentView>>> {
    let mut tx = cx.begin().await?;
    let page = payments::list(&mut tx, query.customer.as_deref(), query.page()?).await?;
    Ok(Json(ListView::new(page, |payment| payment.id.uuid(), PaymentView::from)))
}
