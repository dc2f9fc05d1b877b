//! Holds: money of wallets and units of features that are reserved before work.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use usance_app::{
    Cx,
    entitlements::{self, CreateFeatureHold, FeatureHeld, SettleFeatureHold},
    error::Error,
    holds::{self, AnyHold, Settlement},
    wallets,
};
use usance_core::{
    decimal::decimal_text,
    ids::{HoldId, WalletId},
};
use usance_db::{feature_holds::FeatureHold, holds::Hold};
use utoipa::ToSchema;

use super::wallets::{MoneyBody, read_wallet};
use crate::{
    access_headers::refusal_of_use,
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path},
    wire::{MoneyView, ProblemView},
};

/// A new hold: give `wallet` or `customer`, and `amount`; or `customer` and `feature`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"customer": "acme", "amount": {"amount_minor": 200, "currency": "USD"}, "expires_in": 600}))]
pub(crate) struct CreateHold {
    /// Your own id of the hold: it is made once. For a wallet, a refusal under it stays a refusal.
    id: Option<String>,
    /// Id of the wallet.
    wallet: Option<String>,
    /// Id or `external_id` of a customer: its wallet in the currency of the amount is meant, or its use of the feature.
    customer: Option<String>,
    /// What is reserved of a wallet.
    amount: Option<MoneyBody>,
    /// Code of the feature of which units are reserved.
    feature: Option<String>,
    /// How many units: a decimal string above zero; 1 if absent.
    quantity: Option<String>,
    /// For how many seconds, up to 30 days; 15 minutes if absent.
    expires_in: Option<i64>,
    /// For people.
    description: Option<String>,
}

/// What is reserved.
enum Reserved {
    Money { of: Payer, amount: MoneyBody },
    Units { customer: String, feature: String },
}

/// Whose money is reserved.
enum Payer {
    Wallet(String),
    Customer(String),
}

impl CreateHold {
    /// Takes out what is reserved; the rest is the same for both.
    fn take_reserved(&mut self) -> Result<Reserved, Error> {
        let required = |pointer, detail: &str| Err(Error::field(pointer, "required", detail));
        let (wallet, customer) = (self.wallet.take(), self.customer.take());
        match (self.amount.take(), self.feature.take()) {
            (Some(_), Some(_)) => required("/feature", "give exactly one of amount and feature"),
            (None, None) => {
                required("/amount", "give an amount of money, or the feature whose units are meant")
            }
            (Some(_), None) if self.quantity.is_some() => required("/feature", "a quantity is of a feature"),
            (Some(amount), None) => match (wallet, customer) {
                (Some(wallet), None) => Ok(Reserved::Money { of: Payer::Wallet(wallet), amount }),
                (None, Some(customer)) => Ok(Reserved::Money { of: Payer::Customer(customer), amount }),
                (Some(_), Some(_)) | (None, None) => {
                    required("/wallet", "give exactly one of wallet and customer")
                }
            },
            (None, Some(feature)) => match (wallet, customer) {
                (None, Some(customer)) => Ok(Reserved::Units { customer, feature }),
                (Some(_), _) | (None, None) => required("/customer", "name the customer, and no wallet"),
            },
        }
    }
}

/// What was used of a hold: `amount` of a wallet's, `quantity` of a feature's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": {"amount_minor": 140, "currency": "USD"}}))]
pub(crate) struct SettleHold {
    /// At most what it holds; the rest is free again.
    amount: Option<MoneyBody>,
    /// For people; with `amount`.
    description: Option<String>,
    /// At most what it holds: a decimal string. It is recorded as a usage event with the id of the hold; the rest is free
    /// again.
    quantity: Option<String>,
    /// Type of the usage event; that of the feature's meter, or the feature's code, if absent. With `quantity`.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Further properties of the usage event; with `quantity`.
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
}

impl TryFrom<SettleHold> for Settlement {
    type Error = Error;

    fn try_from(body: SettleHold) -> Result<Self, Error> {
        let SettleHold { amount, description, quantity, event_type, properties } = body;
        let unknown = |pointer, detail: &str| Err(Error::field(pointer, "unknown_field", detail));
        match (amount, quantity) {
            (Some(_), None) if event_type.is_some() => unknown("/type", "goes with a quantity"),
            (Some(_), None) if properties.is_some() => unknown("/properties", "go with a quantity"),
            (Some(amount), None) => Ok(Self::Money(amount.into(), description)),
            (None, Some(_)) if description.is_some() => unknown("/description", "goes with an amount"),
            (None, Some(quantity)) => Ok(Self::Units(SettleFeatureHold { quantity, event_type, properties })),
            (Some(_), Some(_)) | (None, None) => {
                Err(Error::field("/amount", "required", "give exactly one of amount and quantity"))
            }
        }
    }
}

/// A longer time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expires_in": 600}))]
pub(crate) struct ExtendHold {
    /// Seconds from now on, up to 30 days; 15 minutes if absent. A hold is never shortened.
    expires_in: Option<i64>,
}

/// What is reserved: an `amount` of a `wallet`, or a `quantity` of a `feature`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<String>,
    /// Of a hold of units.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    /// Code of the feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<String>,
    /// `open`, `settled`, `released` or `expired`.
    status: String,
    /// What it reserves of the wallet, or reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<MoneyView>,
    /// What was taken of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<MoneyView>,
    /// How many units it reserves, or reserved: a decimal string.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<String>,
    /// How many of them were used: a decimal string.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_quantity: Option<String>,
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
            wallet: Some(WalletId::from_uuid(hold.owner_id).to_string()),
            customer: None,
            feature: None,
            status: hold.status,
            amount: Some(MoneyView::new(hold.amount, &hold.unit)),
            settled: Some(MoneyView::new(hold.settled, &hold.unit)),
            quantity: None,
            settled_quantity: None,
            description: hold.description,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
            resolved_at: hold.resolved_at,
        }
    }
}

impl From<FeatureHold> for HoldView {
    fn from(hold: FeatureHold) -> Self {
        Self {
            id: hold.id.to_string(),
            wallet: None,
            customer: Some(hold.customer_id.to_string()),
            feature: Some(hold.feature),
            status: hold.status,
            amount: None,
            settled: None,
            quantity: Some(decimal_text(hold.quantity)),
            settled_quantity: Some(decimal_text(hold.settled)),
            description: hold.description,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
            resolved_at: hold.resolved_at,
        }
    }
}

impl From<AnyHold> for HoldView {
    fn from(hold: AnyHold) -> Self {
        match hold {
            AnyHold::Money(hold) => (*hold).into(),
            AnyHold::Units(hold) => (*hold).into(),
        }
    }
}

fn read_id(id: &str) -> Result<HoldId, Error> {
    id.parse().map_err(|_| Error::not_found("hold"))
}

/// Hold an amount
///
/// Reserves money of a wallet, or units of a feature, before work is done. Beyond the debt limit it is refused with 402
/// `debt_limit_exceeded`, beyond the feature's limit as a consumption is: with 429 `rate_limit_exceeded`. A hold whose time
/// is over reserves nothing, whether anybody has looked or not.
#[utoipa::path(post, path = "/holds", tag = "Holds", request_body = CreateHold, responses(
    (status = 201, description = "The hold", body = HoldView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_hold(request: Mutation<CreateHold>) -> ApiResult<Response> {
    let key = request.key_text().map(str::to_owned);
    request
        .run_in_steps(StatusCode::CREATED, move |cx, mut body: CreateHold| {
            async move {
                match body.take_reserved()? {
                    Reserved::Money { of, amount } => {
                        let wallet = find_wallet(cx, of, &amount.currency).await?;
                        let CreateHold { id, expires_in, description, .. } = body;
                        let amount = amount.into();
                        let input = wallets::CreateHold { wallet, id, key, amount, expires_in, description };
                        Ok(HoldView::from(wallets::hold(cx, input).await?))
                    }
                    Reserved::Units { customer, feature } => {
                        let CreateHold { id, quantity, expires_in, description, .. } = body;
                        let input = CreateFeatureHold {
                            customer,
                            feature,
                            quantity,
                            id,
                            key,
                            expires_in,
                            description,
                        };
                        hold_units(cx, input).await
                    }
                }
            }
            .boxed()
        })
        .await
}

async fn find_wallet(cx: &Cx, of: Payer, currency: &str) -> Result<WalletId, Error> {
    match of {
        Payer::Wallet(wallet) => read_wallet(&wallet),
        Payer::Customer(customer) => wallets::ensure(cx, &customer, currency).await,
    }
}

async fn hold_units(cx: &Cx, input: CreateFeatureHold) -> Result<HoldView, Error> {
    match entitlements::hold(cx, input).await? {
        FeatureHeld::Made(hold) => Ok((*hold).into()),
        FeatureHeld::Refused(checked) => {
            let reason = checked.decision.reason.ok_or(Error::Internal("a refusal without a reason"))?;
            Err(refusal_of_use(&checked, reason).into())
        }
    }
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
    Ok(Json(holds::get(&cx, &mut tx, read_id(&id)?).await?.into()))
}

/// Settle a hold
///
/// Takes what was used and frees the rest. Units that were used are recorded as a usage event.
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
                let settlement = body.try_into()?;
                Ok(HoldView::from(holds::settle(cx, read_id(&id)?, settlement).await?))
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
            async move { Ok(HoldView::from(holds::extend(cx, read_id(&id)?, body.expires_in).await?)) }
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
            async move { Ok(HoldView::from(holds::release(cx, read_id(&id)?).await?)) }.boxed()
        })
        .await
}
