//! Customers' tokens.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use usance_app::customer_tokens;
use usance_db::customer_tokens::CustomerToken;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path, SecretBody},
    wire::{ListView, ProblemView},
};

/// A token of a customer; what is presented is shown once, in the answer that made it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerTokenView {
    id: String,
    /// Id of the customer.
    customer: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<CustomerToken> for CustomerTokenView {
    fn from(token: CustomerToken) -> Self {
        Self {
            id: token.id.to_string(),
            customer: token.customer.to_string(),
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewCustomerTokenView {
    #[serde(flatten)]
    token: CustomerTokenView,
    /// To be sent as `Authorization: Bearer ct_…`; shown here and never again.
    secret: String,
}

impl NewCustomerTokenView {
    pub(crate) fn new((token, secret): (CustomerToken, SecretString)) -> Self {
        Self { token: token.into(), secret: secret.expose_secret().to_owned() }
    }
}

/// How long a token works.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expires_in_seconds": 900}))]
pub(crate) struct CreateCustomerToken {
    /// 60 to 86,400; an hour if absent.
    expires_in_seconds: Option<i64>,
}

/// Issue a token for a customer
///
/// For the page on which the customer sees its own invoices, usage and wallet: the token reads what is the customer's own and
/// nothing else, and changes nothing.
#[utoipa::path(post, path = "/customers/{customer}/tokens", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), request_body = CreateCustomerToken, responses(
    (status = 201, description = "The token", body = NewCustomerTokenView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_customer_token(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    body: SecretBody<CreateCustomerToken>,
) -> ApiResult<(StatusCode, Json<NewCustomerTokenView>)> {
    let issued = customer_tokens::issue(&cx, &customer, body.read()?.expires_in_seconds).await?;
    Ok((StatusCode::CREATED, Json(NewCustomerTokenView::new(issued))))
}

/// List the tokens of a customer that work
#[utoipa::path(get, path = "/customers/{customer}/tokens", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id")), responses(
    (status = 200, description = "The newest first, 1000 at most", body = ListView<CustomerTokenView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_customer_tokens(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
) -> ApiResult<Json<ListView<CustomerTokenView>>> {
    let data =
        customer_tokens::list(&cx, &customer).await?.into_iter().map(CustomerTokenView::from).collect();
    Ok(Json(ListView { data, has_more: false, next_cursor: None }))
}

/// End a token of a customer
///
/// It is refused from the next request on.
#[utoipa::path(delete, path = "/customers/{customer}/tokens/{id}", tag = "Customers", params(("customer" = String, Path, description = "Id or external_id"), ("id" = String, Path)), responses(
    (status = 204, description = "Ended"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn revoke_customer_token(
    Path((customer, id)): Path<(String, String)>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { customer_tokens::revoke(cx, tx, &customer, &id).await }.boxed()
        })
        .await
}

/// End the token that is sent
#[utoipa::path(post, path = "/auth/customers/logout", tag = "Customers", responses(
    (status = 204, description = "Ended"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn sign_customer_out(request: Mutation<NoBody>) -> ApiResult<StatusCode> {
    let (cx, NoBody {}) = request.into_parts();
    customer_tokens::sign_out(&cx).await?;
    Ok(StatusCode::NO_CONTENT)
}
