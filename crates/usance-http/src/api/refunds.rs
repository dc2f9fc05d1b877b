//! Refunds.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{error::Error, refunds};
use usance_core::ids::PaymentId;
use usance_db::refunds::Refund;
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, Path, Query},
    wire::{ListView, MoneyView, ProblemView},
};

/// A new refund.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount_minor": 500, "reason": "product_unsatisfactory"}))]
pub(crate) struct CreateRefund {
    /// In minor units; all that is left if absent.
    amount_minor: Option<i64>,
    /// `other` if absent.
    reason: Option<String>,
}

/// Money that goes back the way it came.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefundView {
    id: String,
    payment: String,
    customer: String,
    /// Absent of a refund that takes nothing off the invoice.
    credit_note: Option<String>,
    gateway: String,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    status: String,
    amount: MoneyView,
    /// `duplicate`, `fraudulent`, `order_change`, `product_unsatisfactory` or `other`.
    reason: String,
    gateway_reference: Option<String>,
    failure_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Refund> for RefundView {
    fn from(refund: Refund) -> Self {
        Self {
            id: refund.id.to_string(),
            payment: refund.payment_id.to_string(),
            customer: refund.customer_id.to_string(),
            credit_note: refund.credit_note_id.map(|id| id.to_string()),
            gateway: refund.gateway,
            status: refund.status,
            amount: MoneyView::new(refund.amount_minor, &refund.currency),
            reason: refund.reason,
            gateway_reference: refund.gateway_reference,
            failure_code: refund.failure_code,
            created_at: refund.created_at,
        }
    }
}

/// Which refunds are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundQuery {
    /// Id or `external_id` of a customer.
    customer: Option<String>,
    /// Id of a payment.
    payment: Option<String>,
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

fn read_payment(id: &str) -> Result<PaymentId, Error> {
    id.parse().map_err(|_| Error::not_found("payment"))
}

/// Refund a payment
///
/// Pays back a part or all of what is left, without a credit note: the invoice stays as it is. The refund is `processing`
/// until the gateway, which is asked right afterwards, has answered.
#[utoipa::path(post, path = "/payments/{id}/refunds", tag = "Payments", params(("id" = String, Path, description = "Id of the payment")), request_body = CreateRefund, responses(
    (status = 201, description = "The refund", body = RefundView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_refund(
    Path(id): Path<String>,
    request: Mutation<CreateRefund>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, move |cx, tx, body: CreateRefund| {
            async move {
                let CreateRefund { amount_minor, reason } = body;
                let input = refunds::CreateRefund { amount_minor, reason };
                Ok(RefundView::from(refunds::create(cx, tx, read_payment(&id)?, input).await?))
            }
            .boxed()
        })
        .await
}

/// List refunds
#[utoipa::path(get, path = "/refunds", tag = "Payments", params(RefundQuery), responses(
    (status = 200, description = "A page of refunds", body = ListView<RefundView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_refunds(
    Authorized(cx): Authorized,
    Query(query): Query<RefundQuery>,
) -> ApiResult<Json<ListView<RefundView>>> {
    let RefundQuery { customer, payment, limit, cursor } = query;
    let page = ListQuery { limit, cursor }.page()?;
    let payment = payment.as_deref().map(read_payment).transpose()?;
    let mut tx = cx.begin().await?;
    let page = refunds::list(&mut tx, customer.as_deref(), payment, page).await?;
    Ok(Json(ListView::new(page, |refund| refund.id.uuid(), RefundView::from)))
}

/// Get a refund
#[utoipa::path(get, path = "/refunds/{id}", tag = "Payments", params(("id" = String, Path, description = "Id of the refund")), responses(
    (status = 200, description = "The refund", body = RefundView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_refund(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<RefundView>> {
    let id = id.parse().map_err(|_| Error::not_found("refund"))?;
    let mut tx = cx.begin().await?;
    Ok(Json(refunds::get(&mut tx, id).await?.into()))
}
