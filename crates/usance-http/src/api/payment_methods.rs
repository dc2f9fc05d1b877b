//! Payment methods of customers.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{customers, error::Error};
use usance_core::ids::PaymentMethodId;
use usance_db::payment_methods::PaymentMethod;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, ProblemView},
};

/// A new payment method.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "card", "token": "tok_success"}))]
pub(crate) struct AddPaymentMethod {
    /// `card`, `bank_transfer`, `paypal` or `wallet`.
    #[serde(rename = "type")]
    kind: String,
    /// The gateway's token. In test mode `tok_success`, `tok_decline`, `tok_timeout`, `tok_refund_decline` or
    /// `tok_refund_timeout`.
    token: String,
}

/// A payment method; the gateway keeps the card.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentMethodView {
    id: String,
    customer: String,
    #[serde(rename = "type")]
    kind: String,
    gateway: String,
    brand: Option<String>,
    last4: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<PaymentMethod> for PaymentMethodView {
    fn from(method: PaymentMethod) -> Self {
        Self {
            id: method.id.to_string(),
            customer: method.customer_id.to_string(),
            kind: method.kind,
            gateway: method.gateway,
            brand: method.brand,
            last4: method.last4,
            created_at: method.created_at,
        }
    }
}

/// Add a payment method
///
/// The newest one is charged.
#[utoipa::path(post, path = "/customers/{customer}/payment-methods", tag = "Payments", params(("customer" = String, Path, description = "Id or external_id")), request_body = AddPaymentMethod, responses(
    (status = 201, description = "The payment method", body = PaymentMethodView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn add_payment_method(
    Path(customer): Path<String>,
    request: Mutation<AddPaymentMethod>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, move |cx, tx, body: AddPaymentMethod| {
            async move {
                Ok(PaymentMethodView::from(
                    customers::add_payment_method(cx, tx, &customer, &body.kind, &body.token).await?,
                ))
            }
            .boxed()
        })
        .await
}

/// List a customer's payment methods
#[utoipa::path(get, path = "/customers/{customer}/payment-methods", tag = "Payments", params(("customer" = String, Path, description = "Id or external_id"), ListQuery), responses(
    (status = 200, description = "A page of payment methods", body = ListView<PaymentMethodView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_payment_methods(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<PaymentMethodView>>> {
    let mut tx = cx.begin().await?;
    let page = customers::list_payment_methods(&mut tx, &customer, query.page()?).await?;
    Ok(Json(ListView::new(page, |method| method.id.uuid(), PaymentMethodView::from)))
}

/// Remove a payment method
#[utoipa::path(delete, path = "/customers/{customer}/payment-methods/{id}", tag = "Payments", params(
    ("customer" = String, Path, description = "Id or external_id"),
    ("id" = String, Path, description = "Id of the payment method"),
), responses(
    (status = 204, description = "Removed"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn remove_payment_method(
    Path((customer, id)): Path<(String, String)>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move {
                let id: PaymentMethodId = id.parse().map_err(|_| Error::not_found("payment method"))?;
                customers::remove_payment_method(cx, tx, &customer, id).await
            }
            .boxed()
        })
        .await
}
