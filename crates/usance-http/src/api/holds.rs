//! Holds: amounts that are reserved before work.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{error::Error, wallets};
use usance_core::ids::{HoldId, WalletId};
use usance_db::holds::Hold;
use utoipa::ToSchema;

use super::wallets::{MoneyBody, read_wallet};
use crate::{
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path},
    wire::{MoneyView, ProblemView},
};

/// A new hold; give exactly one of `wallet` and `customer`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"customer": "acme", "amount": {"amount_minor": 200, "currency": "USD"}, "expires_in": 600}))]
pub(crate) struct CreateHold {
    /// Your own id of the hold: it is made once, and a refusal under it stays a refusal.
    id: Option<String>,
    /// Id of the wallet.
    wallet: Option<String>,
    /// Id or `external_id` of a customer, whose wallet in the currency of the amount is meant.
    customer: Option<String>,
    /// What is reserved.
    amount: MoneyBody,
    /// For how many seconds, up to 30 days; 15 minutes if absent.
    expires_in: Option<i64>,
    /// For people.
    description: Option<String>,
}

/// What was used of a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": {"amount_minor": 140, "currency": "USD"}}))]
pub(crate) struct SettleHold {
    /// At most what it holds; the rest is free again.
    amount: MoneyBody,
    /// For people.
    description: Option<String>,
}

/// A longer time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expires_in": 600}))]
pub(crate) struct ExtendHold {
    /// Seconds from now on, up to 30 days; 15 minutes if absent. A hold is never shortened.
    expires_in: Option<i64>,
}

/// An amount that is reserved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldView {
    id: String,
    wallet: String,
    /// `open`, `settled`, `released` or `expired`.
    status: String,
    /// What it reserves, or reserved.
    amount: MoneyView,
    /// What was taken of it.
    settled: MoneyView,
    description: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The first instant at which it reserves nothing any more.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id.to_string(),
            wallet: WalletId::from_uuid(hold.owner_id).to_string(),
            status: hold.status,
            amount: MoneyView::new(hold.amount, &hold.unit),
            settled: MoneyView::new(hold.settled, &hold.unit),
            description: hold.description,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
            resolved_at: hold.resolved_at,
        }
    }
}

fn read_id(id: &str) -> Result<HoldId, Error> {
    id.parse().map_err(|_| Error::not_found("hold"))
}

/// Hold an amount
///
/// Reserves money of a wallet before work is done. Beyond the debt limit it is refused with 402 `debt_limit_exceeded`. A
/// hold whose time is over reserves nothing, whether anybody has looked or not.
#[utoipa::path(post, path = "/holds", tag = "Holds", request_body = CreateHold, responses(
    (status = 201, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_hold(request: Mutation<CreateHold>) -> ApiResult<Response> {
    let key = request.key_text().map(str::to_owned);
    request
        .run_in_steps(StatusCode::CREATED, move |cx, body: CreateHold| {
            async move {
                let wallet = match (body.wallet, body.customer) {
                    (Some(wallet), None) => read_wallet(&wallet)?,
                    (None, Some(customer)) => wallets::ensure(cx, &customer, &body.amount.currency).await?,
                    (Some(_), Some(_)) | (None, None) => {
                        let detail = "give exactly one of wallet and customer";
                        return Err(Error::field("/wallet", "required", detail));
                    }
                };
                let input = wallets::CreateHold {
                    wallet,
                    id: body.id,
                    key,
                    amount: body.amount.into(),
                    expires_in: body.expires_in,
                    description: body.description,
                };
                Ok(HoldView::from(wallets::hold(cx, input).await?))
            }
            .boxed()
        })
        .await
}

/// Get a hold
#[utoipa::path(get, path = "/holds/{id}", tag = "Holds", params(("id" = String, Path, description = "Id of the hold")), responses(
    (status = 200, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_hold(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<HoldView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(wallets::get_hold(&cx, &mut tx, read_id(&id)?).await?.into()))
}

/// Settle a hold
///
/// Takes what was used and frees the rest.
#[utoipa::path(post, path = "/holds/{id}/settle", tag = "Holds", params(("id" = String, Path, description = "Id of the hold")), request_body = SettleHold, responses(
    (status = 200, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn settle_hold(
    Path(id): Path<String>,
    request: Mutation<SettleHold>,
) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx, body: SettleHold| {
            async move {
                let SettleHold { amount, description } = body;
                Ok(HoldView::from(wallets::settle(cx, read_id(&id)?, amount.into(), description).await?))
            }
            .boxed()
        })
        .await
}

/// Extend a hold
#[utoipa::path(post, path = "/holds/{id}/extend", tag = "Holds", params(("id" = String, Path, description = "Id of the hold")), request_body = ExtendHold, responses(
    (status = 200, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn extend_hold(
    Path(id): Path<String>,
    request: Mutation<ExtendHold>,
) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx, body: ExtendHold| {
            async move { Ok(HoldView::from(wallets::extend(cx, read_id(&id)?, body.expires_in).await?)) }
                .boxed()
        })
        .await
}

/// Release a hold
///
/// Frees all that it reserves.
#[utoipa::path(post, path = "/holds/{id}/release", tag = "Holds", params(("id" = String, Path, description = "Id of the hold")), responses(
    (status = 200, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn release_hold(Path(id): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx, _| {
            async move { Ok(HoldView::from(wallets::release(cx, read_id(&id)?).await?)) }.boxed()
        })
        .await
}
