//! Wallets: prepaid money of customers, with a debt limit that holds however many debit at once.

mod books;
mod operations;
mod recharge;
mod top_ups;
mod writer;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use usance_core::{
    ids::{HoldId, TopUpId, WalletGrantId, WalletId},
    ledger::{AccountCode, Reason},
    wallet::{BookError, Debit},
};
use usance_db::{
    Page, PageRequest, TenantTx, holds,
    holds::Hold,
    wallet_books::{self, WalletAccount, WalletGrant},
    wallets::{self, Wallet, WalletEntry},
};

use crate::{
    Change, Cx,
    auth::Caller,
    customers,
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, read_currency, read_decimal},
    work,
};

use books::{Books, Cause};
use operations::too_large;
pub(crate) use operations::{later, not_open};

pub use operations::{Command, Debited, Operation, Outcome};
pub use top_ups::create as top_up;
pub use writer::WalletWriter;

/// How far a wallet may be debited below zero unless its tenant says otherwise, in minor units.
const DEBT_LIMIT_DEFAULT: i64 = 500;
/// How long a hold may reserve.
const HOLD_SECONDS_MAX: i64 = 30 * 24 * 3_600;
/// How long a hold reserves if nothing is said.
const HOLD_SECONDS_DEFAULT: i64 = 15 * 60;
/// The name of an operation.
const REFERENCE_LENGTH_MAX: usize = 255;
/// What the name of a debit begins with among all operations.
pub(crate) const DEBIT_PREFIX: &str = "debit:";
/// The priority of a grant if nothing is said; 0 is used first, 100 last.
const PRIORITY_DEFAULT: i16 = 50;

/// An amount of money as it is sent.
#[derive(Debug, Clone)]
pub struct Amount {
    /// In minor units.
    pub minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A wallet with what it has at the moment.
#[derive(Debug, Clone)]
pub struct WalletNow {
    /// The wallet.
    pub wallet: Wallet,
    /// Its balance and debt limit; holds whose time is over are free.
    pub account: WalletAccount,
    /// What may be debited or held.
    pub available_minor: i64,
    /// Usage that is not debited yet, in major units; below zero what was rounded up.
    pub unrounded: Decimal,
    /// Grants that are not used up and have not expired.
    pub grants: Vec<WalletGrant>,
    /// When it was read.
    pub as_of: Timestamp,
}

/// The wallet of a customer, in the customer's currency unless another one is named, by the field at the pointer; made on
/// its first use.
pub async fn of_customer(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &str,
    (pointer, currency): (&str, Option<&str>),
) -> Result<WalletId> {
    let customer = customers::get(tx, customer).await?;
    let currency = currency.unwrap_or(&customer.currency);
    let mut faults = Faults::default();
    read_currency(&mut faults, pointer, currency);
    faults.check()?;
    if let Some(known) = wallets::find_id_of_customer(tx, customer.id, currency).await? {
        return Ok(known);
    }
    if matches!(cx.caller, Some(Caller::Customer(_))) {
        // Who only reads makes none.
        return Err(Error::not_found("wallet"));
    }
    let now = cx.tenant_now(tx).await?;
    let id = WalletId::from_uuid(cx.app.ids.next());
    wallets::insert_if_absent(tx, id, (customer.id, currency), DEBT_LIMIT_DEFAULT, now).await?;
    let made = wallets::find_id_of_customer(tx, customer.id, currency).await?;
    made.ok_or(Error::Internal("a wallet has vanished"))
}

/// The wallet of a customer in a currency, in a transaction of its own; made on its first use.
pub async fn ensure(cx: &Cx, customer: &str, currency: &str) -> Result<WalletId> {
    let mut tx = cx.begin().await?;
    let id = of_customer(cx, &mut tx, customer, ("/amount/currency", Some(currency))).await?;
    tx.commit().await?;
    Ok(id)
}

/// Finds a wallet as it is now.
pub async fn get(cx: &Cx, tx: &mut TenantTx, id: WalletId) -> Result<WalletNow> {
    let wallet = wallets::find(tx, id).await?.ok_or_else(|| Error::not_found("wallet"))?;
    let as_of = cx.tenant_now(tx).await?;
    let mut accounts = wallet_books::list_accounts(tx, &[id]).await?;
    let account = accounts.remove(&id).ok_or(Error::Internal("a wallet has no ledger account"))?;
    let grants = wallet_books::list_grants(tx, &[id]).await?;
    let held = holds::reserved(tx, AccountCode::Wallet.as_str(), id.uuid(), as_of).await?;
    let account = WalletAccount { held, ..account };
    Books::describe(wallet, account, grants, as_of)
}

/// Lists the changes of a wallet's balance, latest first.
pub async fn list_entries(tx: &mut TenantTx, id: WalletId, page: PageRequest) -> Result<Page<WalletEntry>> {
    wallets::find(tx, id).await?.ok_or_else(|| Error::not_found("wallet"))?;
    Ok(wallets::list_entries(tx, id, page).await?)
}

/// When and by how much a wallet is topped up by itself.
#[derive(Debug, Clone)]
pub struct AutoRecharge {
    /// Below this balance.
    pub threshold: Amount,
    /// By this.
    pub amount: Amount,
    /// By at most that much in a calendar month, UTC.
    pub monthly_cap: Option<Amount>,
}

/// Changes of a wallet.
#[derive(Debug, Default)]
pub struct UpdateWallet {
    /// How far the balance may go below zero.
    pub debt_limit: Option<Amount>,
    /// Below it the wallet is announced as low.
    pub low_balance: Change<Amount>,
    /// Whether it is topped up by itself.
    pub auto_recharge: Change<AutoRecharge>,
}

/// Changes what a tenant sets of a wallet. A debt limit below what is used or held already is refused.
pub async fn update(cx: &Cx, tx: &mut TenantTx, id: WalletId, input: UpdateWallet) -> Result<WalletNow> {
    let mut wallet =
        wallet_books::lock_many(tx, &[id]).await?.pop().ok_or_else(|| Error::not_found("wallet"))?;
    let mut faults = Faults::default();
    let now = get(cx, tx, id).await?;
    if let Some(limit) = input.debt_limit {
        check_currency(&mut faults, "/debt_limit", &limit, &wallet);
        let used = now.account.held.saturating_sub(now.account.balance);
        if limit.minor < 0 {
            faults.add("/debt_limit", "out_of_range", "must not be negative");
        } else if limit.minor < used {
            let detail = format!("{used} minor units are used or held already: the limit cannot be lower");
            faults.add("/debt_limit", "in_use", detail);
        }
        wallets::set_debt_limit(tx, id, &wallet.currency, limit.minor.max(0)).await?;
    }
    if let Change::Set(mark) = &input.low_balance {
        check_currency(&mut faults, "/low_balance", mark, &wallet);
    }
    input.low_balance.map(|mark| mark.minor).apply(&mut wallet.low_balance_minor);
    set_auto_recharge(&mut faults, &mut wallet, input.auto_recharge);
    faults.check()?;
    wallets::update_settings(tx, &wallet, cx.now).await?;
    let mut books = Books::open(cx, tx, &[id]).await?;
    books.touch(id)?;
    books.save(tx).await?;
    get(cx, tx, id).await
}

fn set_auto_recharge(faults: &mut Faults, wallet: &mut Wallet, change: Change<AutoRecharge>) {
    match change {
        Change::Keep => {}
        Change::Clear => {
            wallet.recharge_below_minor = None;
            wallet.recharge_minor = None;
            wallet.recharge_month_minor = None;
        }
        Change::Set(AutoRecharge { threshold, amount, monthly_cap }) => {
            check_currency(faults, "/auto_recharge/threshold", &threshold, wallet);
            check_currency(faults, "/auto_recharge/amount", &amount, wallet);
            if amount.minor <= 0 {
                faults.add("/auto_recharge/amount", "out_of_range", "must be positive");
            }
            if let Some(cap) = &monthly_cap {
                check_currency(faults, "/auto_recharge/monthly_cap", cap, wallet);
                if cap.minor < amount.minor {
                    let detail = "must not be below the amount of one top-up";
                    faults.add("/auto_recharge/monthly_cap", "out_of_range", detail);
                }
            }
            wallet.recharge_below_minor = Some(threshold.minor);
            wallet.recharge_minor = Some(amount.minor);
            wallet.recharge_month_minor = monthly_cap.map(|cap| cap.minor);
            wallet.recharge_armed = true;
        }
    }
}

/// Credits that are given.
#[derive(Debug)]
pub struct CreateGrant {
    /// How much.
    pub amount: Amount,
    /// 0 is used first, 100 last; 50 if absent.
    pub priority: Option<i32>,
    /// The first instant at which they can no longer be used.
    pub expires_at: Option<Timestamp>,
    /// For people.
    pub description: Option<String>,
}

/// Gives credits to a wallet.
pub async fn grant(cx: &Cx, tx: &mut TenantTx, id: WalletId, input: CreateGrant) -> Result<WalletGrant> {
    let wallet = wallets::find(tx, id).await?.ok_or_else(|| Error::not_found("wallet"))?;
    require_currency(&wallet, &input.amount)?;
    let now = cx.tenant_now(tx).await?;
    let grant = read_grant(cx, &wallet, input, now)?;
    let mut books = Books::open(cx, tx, &[id]).await?;
    let cause = Cause {
        kind: "grant",
        reason: Reason::WalletGrant,
        other: AccountCode::Promotion,
        reference: None,
        subject: Some(grant.id.uuid()),
        description: grant.description.clone(),
    };
    match books.put_in(grant.clone(), cause)? {
        Ok(_) => {}
        Err(BookError::TooLarge) => return Err(too_large()),
        Err(BookError::Limit(_) | BookError::Grants(_)) => {
            return Err(Error::Internal("the grants of a wallet are wrong"));
        }
    }
    let left_minor = books.left_of(&grant);
    books.save(tx).await?;
    Ok(WalletGrant { left_minor, ..grant })
}

fn read_grant(cx: &Cx, wallet: &Wallet, input: CreateGrant, now: Timestamp) -> Result<WalletGrant> {
    let mut faults = Faults::default();
    let amount_minor = read_amount(&mut faults, "/amount", &input.amount);
    let priority = match input.priority {
        Some(priority) => crate::fields::read_whole(&mut faults, "/priority", priority, 0..=100),
        None => Some(PRIORITY_DEFAULT),
    };
    if input.expires_at.is_some_and(|at| at <= now) {
        faults.add("/expires_at", "out_of_range", "must be in the future");
    }
    let description = input.description.unwrap_or_default();
    check_optional_text(&mut faults, "/description", &description);
    faults.check()?;
    Ok(WalletGrant {
        id: WalletGrantId::from_uuid(cx.app.ids.next()),
        wallet_id: wallet.id,
        kind: "promotional".to_owned(),
        amount_minor,
        left_minor: amount_minor,
        priority: priority.unwrap_or(PRIORITY_DEFAULT),
        description,
        expires_at: input.expires_at,
        created_at: now,
    })
}

/// A debit as it is sent.
#[derive(Debug)]
pub struct CreateDebit {
    /// The tenant's own name for it, under which it happens once.
    pub id: String,
    /// What is taken out; or `usage`.
    pub amount: Option<Amount>,
    /// Usage in major units, as a decimal, of which the rounded sum is taken out.
    pub usage: Option<String>,
    /// Whether it happened already, so that no limit can stop it.
    pub already_used: bool,
    /// For people.
    pub description: Option<String>,
}

/// Takes an amount out of a wallet, once for its id.
pub async fn debit(cx: &Cx, wallet: WalletId, input: CreateDebit) -> Result<Debited> {
    let mut faults = Faults::default();
    check_reference(&mut faults, &input.id);
    let description = input.description.unwrap_or_default();
    check_optional_text(&mut faults, "/description", &description);
    let debit = if input.already_used { Debit::AlreadyUsed } else { Debit::Asked };
    let command = match (input.amount, input.usage) {
        (Some(amount), None) => {
            read_amount(&mut faults, "/amount", &amount);
            Some(Command::Debit(amount, debit))
        }
        (None, Some(usage)) => {
            let exact = read_decimal(&mut faults, "/usage", &usage);
            if exact.is_some_and(|exact| exact <= Decimal::ZERO) {
                faults.add("/usage", "out_of_range", "must be positive");
            }
            exact.map(|exact| Command::Use(exact, debit))
        }
        (Some(_), Some(_)) | (None, None) => {
            faults.add("/amount", "required", "give exactly one of amount and usage");
            None
        }
    };
    faults.check()?;
    let command = command.ok_or(Error::Internal("a debit without an amount"))?;
    // Debits and holds have names of their own.
    let reference = Some(format!("{DEBIT_PREFIX}{}", input.id));
    let operation = Operation { wallet: Some(wallet), reference, command, description };
    match cx.app.wallet_writer.submit(&cx.app, cx.scope, operation).await? {
        Outcome::Debited(debited) => Ok(debited),
        Outcome::Held(_) => Err(Error::Internal("a debit has become a hold")),
    }
}

/// A hold as it is sent.
#[derive(Debug)]
pub struct CreateHold {
    /// The wallet that it reserves of.
    pub wallet: WalletId,
    /// The tenant's own name for it, under which it happens once.
    pub id: Option<String>,
    /// The request's `Idempotency-Key`.
    pub key: Option<String>,
    /// How much.
    pub amount: Amount,
    /// For how long, in seconds; 15 minutes if absent.
    pub expires_in: Option<i64>,
    /// For people.
    pub description: Option<String>,
}

/// Reserves an amount of a wallet.
pub async fn hold(cx: &Cx, input: CreateHold) -> Result<Hold> {
    let mut faults = Faults::default();
    if let Some(id) = &input.id {
        check_reference(&mut faults, id);
    }
    let description = input.description.unwrap_or_default();
    check_optional_text(&mut faults, "/description", &description);
    read_amount(&mut faults, "/amount", &input.amount);
    let time = read_time(&mut faults, input.expires_in);
    faults.check()?;
    let command = Command::Hold(input.amount, time);
    // Without a name of its own a hold has that of its request, so that a repeated one makes no second hold.
    let named = input.id.map(|id| format!("hold:{id}"));
    let reference = named.or_else(|| input.key.map(|key| format!("key:{key}")));
    change_hold(cx, Operation { wallet: Some(input.wallet), reference, command, description }).await
}

/// Takes an amount of a hold and frees the rest.
pub async fn settle(cx: &Cx, hold: HoldId, amount: Amount, description: Option<String>) -> Result<Hold> {
    let mut faults = Faults::default();
    if amount.minor < 0 {
        faults.add("/amount", "out_of_range", "must not be negative");
    }
    let description = description.unwrap_or_default();
    check_optional_text(&mut faults, "/description", &description);
    faults.check()?;
    let command = Command::Settle(hold, amount);
    change_hold(cx, Operation { wallet: None, reference: None, command, description }).await
}

/// Frees what a hold reserves.
pub async fn release(cx: &Cx, hold: HoldId) -> Result<Hold> {
    let command = Command::Release(hold);
    change_hold(cx, Operation { wallet: None, reference: None, command, description: String::new() }).await
}

/// Reserves for so many seconds from now on; a hold is never shortened.
pub async fn extend(cx: &Cx, hold: HoldId, expires_in: Option<i64>) -> Result<Hold> {
    let mut faults = Faults::default();
    let time = read_time(&mut faults, expires_in);
    faults.check()?;
    let command = Command::Extend(hold, time);
    change_hold(cx, Operation { wallet: None, reference: None, command, description: String::new() }).await
}

async fn change_hold(cx: &Cx, operation: Operation) -> Result<Hold> {
    match cx.app.wallet_writer.submit(&cx.app, cx.scope, operation).await? {
        Outcome::Held(hold) => Ok(hold),
        Outcome::Debited(_) => Err(Error::Internal("a hold has become a debit")),
    }
}

/// Finds a hold; one whose time is over is shown as expired.
pub async fn get_hold(cx: &Cx, tx: &mut TenantTx, id: HoldId) -> Result<Hold> {
    let mut hold = holds::list(tx, &[id]).await?.pop().ok_or_else(|| Error::not_found("hold"))?;
    let now = cx.tenant_now(tx).await?;
    if hold.status == "open" && hold.expires_at <= now {
        "expired".clone_into(&mut hold.status);
        hold.resolved_at = Some(hold.expires_at);
    }
    Ok(hold)
}

/// Frees what has run out of a wallet, and plans the next look.
pub(crate) async fn sweep(cx: &Cx, id: WalletId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let books = Books::open(cx, &mut tx, &[id]).await?;
    let now = books.now;
    books.save(&mut tx).await?;
    let hold = holds::find_next_expiry(&mut tx, AccountCode::Wallet.as_str(), id.uuid(), now).await?;
    let grants = wallet_books::list_grants(&mut tx, &[id]).await?;
    let grant = grants.iter().filter_map(|grant| grant.expires_at).filter(|at| *at > now).min();
    if let Some(next) = [hold, grant].into_iter().flatten().min() {
        work::postpone(&mut tx, work::Kind::SweepWallet, id.uuid(), next).await?;
    }
    Ok(tx.commit().await?)
}

/// Charges a top-up, or finds out what became of it.
pub(crate) async fn resolve_top_up(cx: &Cx, id: TopUpId) -> Result<()> {
    top_ups::resolve(cx, id).await
}

/// For how long a hold reserves.
pub(crate) fn read_time(faults: &mut Faults, seconds: Option<i64>) -> SignedDuration {
    let seconds = seconds.unwrap_or(HOLD_SECONDS_DEFAULT);
    if !(1..=HOLD_SECONDS_MAX).contains(&seconds) {
        let detail = format!("must be 1 to {HOLD_SECONDS_MAX}, which is 30 days");
        faults.add("/expires_in", "out_of_range", detail);
    }
    SignedDuration::from_secs(seconds.clamp(1, HOLD_SECONDS_MAX))
}

/// The tenant's own name for a debit or hold.
pub(crate) fn check_reference(faults: &mut Faults, id: &str) {
    if id.is_empty() || id.len() > REFERENCE_LENGTH_MAX || id.chars().any(char::is_control) {
        faults.add("/id", "invalid", "must have 1 to 255 bytes and no control characters");
    }
}

/// A positive amount.
fn read_amount(faults: &mut Faults, pointer: &str, amount: &Amount) -> i64 {
    if amount.minor <= 0 {
        faults.add(pointer, "out_of_range", "must be positive");
    }
    amount.minor
}

fn check_currency(faults: &mut Faults, pointer: &str, amount: &Amount, wallet: &Wallet) {
    if amount.currency != wallet.currency {
        faults.add(pointer, "currency_mismatch", format!("the wallet is in {}", wallet.currency));
    }
}

fn require_currency(wallet: &Wallet, amount: &Amount) -> Result<()> {
    if amount.currency == wallet.currency {
        return Ok(());
    }
    let detail = format!("the wallet is in {}: name an amount in {}", wallet.currency, wallet.currency);
    Err(Error::refused(Code::CurrencyMismatch, detail))
}
