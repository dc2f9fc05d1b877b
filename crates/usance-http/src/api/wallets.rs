//! Wallets: prepaid money of customers.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{
    Change,
    error::Error,
    wallets::{self, Amount, AutoRecharge, Debited, WalletNow},
};
use usance_core::{
    decimal::decimal_text,
    ids::{WalletEntryId, WalletId},
};
use usance_db::{wallet_books::WalletGrant, wallet_top_ups::TopUp, wallets::WalletEntry};
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, ObjectOnly, Path, Query, change},
    wire::{ListView, MoneyView, ProblemView},
};

/// An amount of money that is sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, from = "ObjectOnly<MoneyMembers>")]
#[schema(example = json!({"amount_minor": 1210, "currency": "USD"}))]
pub(crate) struct MoneyBody {
    /// In minor units of the currency: cents, yen, fils.
    amount_minor: i64,
    /// ISO 4217.
    pub(super) currency: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyMembers {
    amount_minor: i64,
    currency: String,
}

impl From<ObjectOnly<MoneyMembers>> for MoneyBody {
    fn from(ObjectOnly(members): ObjectOnly<MoneyMembers>) -> Self {
        Self { amount_minor: members.amount_minor, currency: members.currency }
    }
}

impl From<MoneyBody> for Amount {
    fn from(body: MoneyBody) -> Self {
        Self { minor: body.amount_minor, currency: body.currency }
    }
}

/// When and by how much a wallet is topped up by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AutoRechargeBody {
    /// Below this balance.
    threshold: MoneyBody,
    /// By this.
    amount: MoneyBody,
    /// By at most that much in a calendar month (UTC); any amount if absent.
    monthly_cap: Option<MoneyBody>,
}

/// Changes of a wallet; what is absent stays, and null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"debt_limit": {"amount_minor": 500, "currency": "USD"}, "low_balance": {"amount_minor": 1400, "currency": "USD"}}))]
pub(crate) struct UpdateWallet {
    /// How far the balance may go below zero.
    debt_limit: Option<MoneyBody>,
    /// When the balance falls below it, `wallet.low` is sent.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<MoneyBody>)]
    low_balance: Change<MoneyBody>,
    /// Tops the wallet up by itself with the customer's newest payment method.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<AutoRechargeBody>)]
    auto_recharge: Change<AutoRechargeBody>,
}

/// Credits that are given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": {"amount_minor": 1000, "currency": "USD"}, "priority": 10, "expires_at": "2027-01-01T00:00:00Z"}))]
pub(crate) struct CreateGrant {
    amount: MoneyBody,
    /// 0 is used first, 100 last; 50 if absent. Of the same priority, what expires first is used first, then the oldest.
    priority: Option<i32>,
    /// The first instant at which they can no longer be used; never if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// For people.
    description: Option<String>,
}

/// What is taken out of a wallet; give exactly one of `amount` and `usage`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "call-4711", "amount": {"amount_minor": 85, "currency": "USD"}, "description": "91 seconds"}))]
pub(crate) struct CreateDebit {
    /// Your own id of the debit: it happens once, and a refusal under it stays a refusal.
    id: String,
    amount: Option<MoneyBody>,
    /// Usage in major units, more finely than the currency. What its rounded sum has grown by is taken out.
    usage: Option<String>,
    /// It happened already: it is recorded, also above the debt limit, and flagged. False if absent.
    #[serde(default)]
    already_used: bool,
    /// For people.
    description: Option<String>,
}

/// Money that is charged and put into a wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": {"amount_minor": 5000, "currency": "USD"}}))]
pub(crate) struct CreateTopUp {
    amount: MoneyBody,
}

/// When and by how much a wallet is topped up by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AutoRechargeView {
    threshold: MoneyView,
    amount: MoneyView,
    monthly_cap: Option<MoneyView>,
}

/// Credits that were given at once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantView {
    id: String,
    wallet: String,
    /// `promotional`, or `paid` of a top-up.
    kind: String,
    amount: MoneyView,
    /// What is left of it.
    remaining: MoneyView,
    priority: i16,
    description: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl GrantView {
    fn new(grant: WalletGrant, currency: &str) -> Self {
        Self {
            id: grant.id.to_string(),
            wallet: grant.wallet_id.to_string(),
            kind: grant.kind,
            amount: MoneyView::new(grant.amount_minor, currency),
            remaining: MoneyView::new(grant.left_minor, currency),
            priority: grant.priority,
            description: grant.description,
            expires_at: grant.expires_at,
            created_at: grant.created_at,
        }
    }
}

/// A wallet as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletView {
    id: String,
    customer: String,
    currency: String,
    /// What was put in less what was taken out; below zero it is a debt.
    balance: MoneyView,
    /// What open holds reserve of it.
    held: MoneyView,
    /// What may be debited or held now: balance, less holds and usage that is not debited yet, plus the debt limit.
    available: MoneyView,
    /// How far the balance may go below zero.
    debt_limit: MoneyView,
    in_debt: bool,
    /// What of the debt limit is left.
    remaining_debt_capacity: MoneyView,
    /// Usage in major units that is not debited yet, or below zero what was rounded up.
    unrounded_usage: String,
    low_balance: Option<MoneyView>,
    is_low_balance: bool,
    auto_recharge: Option<AutoRechargeView>,
    /// What is not used up, in the order it was given.
    grants: Vec<GrantView>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The tenant's time at which all this was so.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

impl From<WalletNow> for WalletView {
    fn from(now: WalletNow) -> Self {
        let WalletNow { wallet, account, available_minor, unrounded, grants, as_of } = now;
        let money = |minor: i64| MoneyView::new(minor, &wallet.currency);
        let recharge = wallet.recharge_below_minor.zip(wallet.recharge_minor);
        Self {
            id: wallet.id.to_string(),
            customer: wallet.customer_id.to_string(),
            balance: money(account.balance),
            held: money(account.held),
            available: money(available_minor),
            debt_limit: money(account.debt_limit),
            in_debt: account.balance < 0,
            remaining_debt_capacity: money(capacity(account.balance, account.debt_limit)),
            unrounded_usage: decimal_text(unrounded),
            low_balance: wallet.low_balance_minor.map(money),
            is_low_balance: wallet.low_balance_minor.is_some_and(|mark| account.balance < mark),
            auto_recharge: recharge.map(|(threshold, amount)| AutoRechargeView {
                threshold: money(threshold),
                amount: money(amount),
                monthly_cap: wallet.recharge_month_minor.map(money),
            }),
            grants: grants.into_iter().map(|grant| GrantView::new(grant, &wallet.currency)).collect(),
            created_at: wallet.created_at,
            as_of,
            currency: wallet.currency,
        }
    }
}

fn capacity(balance: i64, debt_limit: i64) -> i64 {
    balance.saturating_add(debt_limit).max(0)
}

/// A debit that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DebitView {
    /// Your own id of the debit.
    id: String,
    wallet: String,
    /// Id of the entry; null while the rounded sum of the usage has not grown.
    entry: Option<String>,
    /// What was taken out.
    amount: MoneyView,
    balance_before: MoneyView,
    balance_after: MoneyView,
    in_debt: bool,
    debt_limit: MoneyView,
    remaining_debt_capacity: MoneyView,
    /// It was recorded although the debt limit would have refused it.
    over_limit: bool,
}

impl DebitView {
    fn new(id: String, wallet: WalletId, debited: &Debited) -> Self {
        let money = |minor: i64| MoneyView::new(minor, &debited.currency);
        Self {
            id,
            wallet: wallet.to_string(),
            entry: debited.entry.map(|entry| WalletEntryId::from_uuid(entry).to_string()),
            amount: money(debited.amount_minor),
            balance_before: money(debited.before_minor),
            balance_after: money(debited.after_minor),
            in_debt: debited.after_minor < 0,
            debt_limit: money(debited.debt_limit_minor),
            remaining_debt_capacity: money(capacity(debited.after_minor, debited.debt_limit_minor)),
            over_limit: debited.over_limit,
        }
    }
}

/// A top-up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopUpView {
    id: String,
    wallet: String,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    status: String,
    amount: MoneyView,
    gateway: String,
    gateway_reference: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<TopUp> for TopUpView {
    fn from(top_up: TopUp) -> Self {
        Self {
            id: top_up.id.to_string(),
            wallet: top_up.wallet_id.to_string(),
            amount: MoneyView::new(top_up.amount_minor, &top_up.currency),
            status: top_up.status,
            gateway: top_up.gateway,
            gateway_reference: top_up.gateway_reference,
            created_at: top_up.created_at,
        }
    }
}

/// A change of a wallet's balance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletEntryView {
    id: String,
    /// `grant`, `top_up`, `debit`, `usage`, `hold` or `expiry`.
    #[serde(rename = "type")]
    kind: String,
    /// Negative of what was taken out.
    amount: MoneyView,
    balance_after: MoneyView,
    /// It had happened already, and the debt limit would have refused it.
    over_limit: bool,
    /// Your own id of a debit.
    debit: Option<String>,
    description: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl WalletEntryView {
    fn new(entry: WalletEntry, currency: &str) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind,
            amount: MoneyView::new(entry.amount_minor, currency),
            balance_after: MoneyView::new(entry.balance_after_minor, currency),
            over_limit: entry.over_limit,
            debit: entry.reference,
            description: entry.description,
            created_at: entry.created_at,
        }
    }
}

/// Which wallet of a customer is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerWalletQuery {
    /// ISO 4217; the customer's own currency if absent.
    currency: Option<String>,
}

pub(crate) fn read_wallet(id: &str) -> Result<WalletId, Error> {
    id.parse().map_err(|_| Error::not_found("wallet"))
}

/// Get a customer's wallet
///
/// There is one for each currency; it is made when it is first asked for, with a debt limit of 500 minor units.
#[utoipa::path(get, path = "/customers/{customer}/wallet", tag = "Wallets", params(("customer" = String, Path, description = "Id or external_id"), CustomerWalletQuery), responses(
    (status = 200, description = "The wallet", body = WalletView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_customer_wallet(
    Authorized(cx): Authorized,
    Path(customer): Path<String>,
    Query(query): Query<CustomerWalletQuery>,
) -> ApiResult<Json<WalletView>> {
    let mut tx = cx.begin().await?;
    let named = ("?currency", query.currency.as_deref());
    let id = wallets::of_customer(&cx, &mut tx, &customer, named).await?;
    let wallet = wallets::get(&cx, &mut tx, id).await?;
    tx.commit().await?;
    Ok(Json(wallet.into()))
}

/// Get a wallet
#[utoipa::path(get, path = "/wallets/{id}", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet")), responses(
    (status = 200, description = "The wallet", body = WalletView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_wallet(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<WalletView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(wallets::get(&cx, &mut tx, read_wallet(&id)?).await?.into()))
}

/// Update a wallet
#[utoipa::path(patch, path = "/wallets/{id}", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet")), request_body = UpdateWallet, responses(
    (status = 200, description = "The wallet", body = WalletView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_wallet(
    Path(id): Path<String>,
    request: Mutation<UpdateWallet>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateWallet| {
            async move {
                let recharge = |body: AutoRechargeBody| AutoRecharge {
                    threshold: body.threshold.into(),
                    amount: body.amount.into(),
                    monthly_cap: body.monthly_cap.map(Amount::from),
                };
                let input = wallets::UpdateWallet {
                    debt_limit: body.debt_limit.map(Amount::from),
                    low_balance: body.low_balance.map(Amount::from),
                    auto_recharge: body.auto_recharge.map(recharge),
                };
                Ok(WalletView::from(wallets::update(cx, tx, read_wallet(&id)?, input).await?))
            }
            .boxed()
        })
        .await
}

/// Grant credits
///
/// What was used on credit is paid first.
#[utoipa::path(post, path = "/wallets/{id}/grants", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet")), request_body = CreateGrant, responses(
    (status = 201, description = "The grant", body = GrantView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_grant(
    Path(id): Path<String>,
    request: Mutation<CreateGrant>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, move |cx, tx, body: CreateGrant| {
            async move {
                let CreateGrant { amount, priority, expires_at, description } = body;
                let currency = amount.currency.clone();
                let input = wallets::CreateGrant { amount: amount.into(), priority, expires_at, description };
                Ok(GrantView::new(wallets::grant(cx, tx, read_wallet(&id)?, input).await?, &currency))
            }
            .boxed()
        })
        .await
}

/// Debit a wallet
///
/// Happens once for its `id`. Beyond the debt limit it is refused with 402 `debt_limit_exceeded`, and nothing changes;
/// the refusal stays what it is under that id.
#[utoipa::path(post, path = "/wallets/{id}/debits", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet")), request_body = CreateDebit, responses(
    (status = 201, description = "The debit", body = DebitView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_debit(
    Path(id): Path<String>,
    request: Mutation<CreateDebit>,
) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::CREATED, move |cx, body: CreateDebit| {
            async move {
                let wallet = read_wallet(&id)?;
                let name = body.id.clone();
                let input = wallets::CreateDebit {
                    id: body.id,
                    amount: body.amount.map(Amount::from),
                    usage: body.usage,
                    already_used: body.already_used,
                    description: body.description,
                };
                Ok(DebitView::new(name, wallet, &wallets::debit(cx, wallet, input).await?))
            }
            .boxed()
        })
        .await
}

/// Top a wallet up
///
/// Charges the customer's newest payment method.
#[utoipa::path(post, path = "/wallets/{id}/topups", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet")), request_body = CreateTopUp, responses(
    (status = 201, description = "The top-up", body = TopUpView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_top_up(
    Path(id): Path<String>,
    request: Mutation<CreateTopUp>,
) -> ApiResult<Response> {
    let key = request.key_text().map(str::to_owned);
    request
        .run_in_steps(StatusCode::CREATED, move |cx, body: CreateTopUp| {
            async move {
                let wallet = read_wallet(&id)?;
                let made = wallets::top_up(cx, wallet, &body.amount.into(), key.as_deref()).await?;
                Ok(TopUpView::from(made))
            }
            .boxed()
        })
        .await
}

/// List a wallet's entries
#[utoipa::path(get, path = "/wallets/{id}/entries", tag = "Wallets", params(("id" = String, Path, description = "Id of the wallet"), ListQuery), responses(
    (status = 200, description = "A page of entries", body = ListView<WalletEntryView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_wallet_entries(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<WalletEntryView>>> {
    let mut tx = cx.begin().await?;
    let id = read_wallet(&id)?;
    let currency = wallets::get(&cx, &mut tx, id).await?.wallet.currency;
    let page = wallets::list_entries(&mut tx, id, query.page()?).await?;
    let view = |entry| WalletEntryView::new(entry, &currency);
    Ok(Json(ListView::new(page, |entry| entry.id.uuid(), view)))
}
