//! What is asked of wallets one by one and carried out many at a time: debits and holds.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usance_core::{
    ids::{HoldId, WalletEntryId, WalletId},
    ledger::{AccountCode, Kind, Pending, Reason},
    wallet::{self, BookError, Debit, HoldCommand, HoldError, HoldStatus, LimitExceeded, Moved},
};
use usance_db::{holds::Hold, wallet_books::WalletOperation};
use uuid::Uuid;

use super::{
    Amount, DEBIT_PREFIX,
    books::{Books, Cause},
};
use crate::{
    Cx,
    error::{Code, Error, Refusal, Result},
};

/// Something that is asked of a wallet.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The wallet; that of the hold if absent.
    pub wallet: Option<WalletId>,
    /// The tenant's own name for it, under which it happens once.
    pub reference: Option<String>,
    /// What.
    pub command: Command,
    /// For people.
    pub description: String,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Take an amount out.
    Debit(Amount, Debit),
    /// Add usage, in major units, and take out what its rounded sum has grown by.
    Use(Decimal, Debit),
    /// Reserve an amount for a time.
    Hold(Amount, SignedDuration),
    /// Take an amount of a hold and free the rest.
    Settle(HoldId, Amount),
    /// Free a hold.
    Release(HoldId),
    /// Reserve for a time from now on.
    Extend(HoldId, SignedDuration),
}

impl Command {
    /// The hold that it is about, if that is there already.
    pub(super) const fn hold(&self) -> Option<HoldId> {
        match self {
            Self::Debit(..) | Self::Use(..) | Self::Hold(..) => None,
            Self::Settle(hold, _) | Self::Release(hold) | Self::Extend(hold, _) => Some(*hold),
        }
    }

    /// What makes two requests of one name the same.
    fn request(&self) -> Value {
        match self {
            Self::Debit(amount, debit) => {
                json!({ "debit": amount.minor, "currency": amount.currency, "used": *debit == Debit::AlreadyUsed })
            }
            Self::Use(exact, debit) => {
                json!({ "use": exact.normalize().to_string(), "used": *debit == Debit::AlreadyUsed })
            }
            Self::Hold(amount, time) => {
                json!({ "hold": amount.minor, "currency": amount.currency, "seconds": time.as_secs() })
            }
            Self::Settle(hold, amount) => json!({ "settle": hold, "amount": amount.minor }),
            Self::Release(hold) => json!({ "release": hold }),
            Self::Extend(hold, time) => json!({ "extend": hold, "seconds": time.as_secs() }),
        }
    }
}

/// What became of a debit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debited {
    /// The entry, unless nothing was taken out yet.
    pub entry: Option<Uuid>,
    /// What was taken out, in minor units.
    pub amount_minor: i64,
    /// The balance before.
    pub before_minor: i64,
    /// The balance after.
    pub after_minor: i64,
    /// How far the balance may go below zero.
    pub debt_limit_minor: i64,
    /// Whether it was recorded although the limit would have refused it.
    pub over_limit: bool,
    /// ISO 4217.
    pub currency: String,
}

/// What became of an operation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A debit.
    Debited(Debited),
    /// A hold as it stands now.
    Held(Hold),
}

/// What is kept under the name of an operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Debited(Debited),
    Held {
        hold: Uuid,
        expires_at: Timestamp,
    },
    Refused {
        balance: i64,
        held: i64,
        debt_limit: i64,
        attempted: i64,
        would_be: i64,
        over_limit: i64,
        currency: String,
    },
}

/// Carries an operation out, or answers what it was answered before. `before` is what happened under its name.
pub(super) fn run(
    cx: &Cx,
    books: &mut Books<'_>,
    wallet: WalletId,
    operation: &Operation,
    before: Option<&WalletOperation>,
) -> Result<Outcome> {
    if let Some(before) = before {
        return replay(books, operation, before);
    }
    let outcome = apply(cx, books, wallet, operation);
    let kept = match &outcome {
        Ok(Outcome::Debited(debited)) => Some(Kept::Debited(debited.clone())),
        Ok(Outcome::Held(hold)) => Some(Kept::Held { hold: hold.id.uuid(), expires_at: hold.expires_at }),
        Err(Stop::Limit(refusal, currency)) => Some(keep_refusal(refusal, currency)),
        Err(Stop::Other(_)) => None,
    };
    if let (Some(kept), Some(reference)) = (kept, &operation.reference) {
        let outcome = serde_json::to_value(kept).map_err(|_| Error::Internal("an outcome cannot be kept"))?;
        let request = operation.command.request();
        let reference = reference.clone();
        books.operations.push(WalletOperation { wallet_id: wallet, reference, request, outcome });
    }
    outcome.map_err(|stop| match stop {
        Stop::Limit(refusal, currency) => refuse(&refusal, &currency),
        Stop::Other(error) => error,
    })
}

/// Why an operation was not carried out.
enum Stop {
    Limit(LimitExceeded, String),
    Other(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn apply(
    cx: &Cx,
    books: &mut Books<'_>,
    wallet: WalletId,
    operation: &Operation,
) -> std::result::Result<Outcome, Stop> {
    let now = books.now;
    let stored = &books.book_mut(wallet)?.wallet;
    let currency = stored.currency.clone();
    match &operation.command {
        Command::Debit(amount, debit) => {
            super::require_currency(stored, amount)?;
            let moved = books.book_mut(wallet)?.book.take_out(amount.minor, *debit, now);
            debited(books, wallet, operation, ("debit", moved), currency)
        }
        Command::Use(exact, debit) => {
            let moved = books.book_mut(wallet)?.book.use_up(*exact, *debit, now);
            debited(books, wallet, operation, ("usage", moved), currency)
        }
        Command::Hold(amount, time) => {
            super::require_currency(stored, amount)?;
            let taken = books.book_mut(wallet)?.book.hold(amount.minor);
            stop_at_limit(books, wallet, taken, &currency)?;
            let hold = Hold {
                id: HoldId::from_uuid(cx.app.ids.next()),
                account_code: AccountCode::Wallet.as_str().to_owned(),
                owner_id: wallet.uuid(),
                unit: currency,
                amount: amount.minor,
                status: HoldStatus::Open.as_str().to_owned(),
                settled: 0,
                description: operation.description.clone(),
                created_at: now,
                expires_at: later(now, *time)?,
                resolved_at: None,
            };
            books.add_hold(wallet, hold.clone())?;
            Ok(Outcome::Held(hold))
        }
        Command::Settle(hold, amount) => {
            super::require_currency(stored, amount)?;
            resolve(books, wallet, *hold, HoldCommand::Settle(amount.minor), operation)
        }
        Command::Release(hold) => resolve(books, wallet, *hold, HoldCommand::Release, operation),
        Command::Extend(hold, time) => {
            let until = later(now, *time)?;
            resolve(books, wallet, *hold, HoldCommand::Extend(until), operation)
        }
    }
}

fn debited(
    books: &mut Books<'_>,
    wallet: WalletId,
    operation: &Operation,
    (kind, moved): (&'static str, std::result::Result<Moved, BookError>),
    currency: String,
) -> std::result::Result<Outcome, Stop> {
    let moved = stop_at_limit(books, wallet, moved, &currency)?;
    let cause = Cause {
        kind,
        reason: Reason::WalletDebit,
        other: AccountCode::Revenue,
        reference: operation
            .reference
            .as_deref()
            .and_then(|name| name.strip_prefix(DEBIT_PREFIX))
            .map(str::to_owned),
        subject: None,
        description: operation.description.clone(),
    };
    let entry = books.note(wallet, moved, cause)?;
    Ok(Outcome::Debited(Debited {
        entry: entry.map(WalletEntryId::uuid),
        amount_minor: moved.amount(),
        before_minor: moved.before,
        after_minor: moved.after,
        debt_limit_minor: books.book_mut(wallet)?.book.debt_limit,
        over_limit: moved.over_limit,
        currency,
    }))
}

fn stop_at_limit<T>(
    books: &mut Books<'_>,
    wallet: WalletId,
    outcome: std::result::Result<T, BookError>,
    currency: &str,
) -> std::result::Result<T, Stop> {
    match outcome {
        Ok(done) => Ok(done),
        Err(BookError::Limit(refusal)) => {
            books.note_refusal(wallet, &refusal)?;
            Err(Stop::Limit(*refusal, currency.to_owned()))
        }
        Err(BookError::TooLarge) => Err(Stop::Other(too_large())),
        Err(BookError::Grants(_)) => Err(Stop::Other(Error::Internal("the grants of a wallet are wrong"))),
    }
}

fn resolve(
    books: &mut Books<'_>,
    wallet: WalletId,
    id: HoldId,
    command: HoldCommand<i64>,
    operation: &Operation,
) -> std::result::Result<Outcome, Stop> {
    let now = books.now;
    let hold = books.find_hold(id).ok_or_else(|| Error::not_found("hold"))?.clone();
    let status = HoldStatus::parse(&hold.status)
        .ok_or(Error::Internal("the status of a stored hold cannot be read"))?;
    let before = wallet::Hold {
        amount: hold.amount,
        status,
        settled: hold.settled,
        created_at: hold.created_at,
        expires_at: hold.expires_at,
    };
    let after = before.apply(command, now).map_err(|error| refuse_hold(error, &hold))?;
    let pending = Pending { id: id.uuid(), amount: hold.amount };
    let resolved = match after.status {
        HoldStatus::Open => {
            let extended = Hold { expires_at: after.expires_at, ..hold };
            books.change_hold(extended.clone());
            books.plan_sweep(wallet, extended.expires_at);
            extended
        }
        HoldStatus::Settled if after.settled > 0 => {
            let moved = books.book_mut(wallet)?.book.settle(hold.amount, after.settled, hold.created_at);
            let moved = stop_at_limit(books, wallet, moved, &hold.unit)?;
            let cause = Cause {
                kind: "hold",
                reason: Reason::HoldSettled,
                other: AccountCode::Revenue,
                reference: None,
                subject: Some(id.uuid()),
                description: operation.description.clone(),
            };
            books.note(wallet, moved, cause)?;
            let how = (Reason::HoldSettled, Kind::Post(pending));
            books.resolve(wallet, hold, (HoldStatus::Settled, after.settled), how)?
        }
        HoldStatus::Settled | HoldStatus::Released | HoldStatus::Expired => {
            books.book_mut(wallet)?.book.free(hold.amount);
            books.resolve(wallet, hold, (after.status, 0), (Reason::HoldReleased, Kind::Void(pending)))?
        }
    };
    // What the hold kept from expiring is free now.
    books.expire_grants(wallet)?;
    Ok(Outcome::Held(resolved))
}

fn refuse_hold(error: HoldError<i64>, hold: &Hold) -> Error {
    match error {
        HoldError::NotOpen(status) => {
            not_open(status, "what was used is recorded by a debit with already_used")
        }
        HoldError::AboveHeld { held } => Error::field(
            "/amount",
            "out_of_range",
            format!(
                "the hold is of {held}: settle at most that, and record the rest by a debit of the wallet ({})",
                hold.unit
            ),
        ),
    }
}

/// The refusal of a hold that is resolved; `used_late` says what to do with what was used after its time.
pub(crate) fn not_open(status: HoldStatus, used_late: &str) -> Error {
    let detail = match status {
        HoldStatus::Expired => {
            format!("the time of the hold is over, and what it reserved is free: {used_late}")
        }
        HoldStatus::Open | HoldStatus::Settled | HoldStatus::Released => {
            format!("the hold is {} already", status.as_str())
        }
    };
    Refusal::new(Code::HoldNotOpen, detail).with("hold_status", status.as_str()).into()
}

pub(super) fn too_large() -> Error {
    Error::field("/amount", "too_large", "the balance would be larger than can be stored")
}

pub(crate) fn later(now: Timestamp, time: SignedDuration) -> Result<Timestamp> {
    now.checked_add(time).map_err(|_| Error::Internal("time ends"))
}

fn keep_refusal(refusal: &LimitExceeded, currency: &str) -> Kept {
    let LimitExceeded { balance, held, debt_limit, attempted, would_be, over_limit } = *refusal;
    Kept::Refused {
        balance,
        held,
        debt_limit,
        attempted,
        would_be,
        over_limit,
        currency: currency.to_owned(),
    }
}

fn refuse(refusal: &LimitExceeded, currency: &str) -> Error {
    let money = |minor: i64| json!({ "amount_minor": minor, "currency": currency });
    let detail: Cow<'static, str> = format!(
        "the debt limit would be exceeded by {} minor units of {currency}: top the wallet up, then send the request under a new id",
        refusal.over_limit
    )
    .into();
    Refusal::new(Code::DebtLimitExceeded, detail)
        .with("current_balance", money(refusal.balance))
        .with("held", money(refusal.held))
        .with("debt_limit", money(refusal.debt_limit))
        .with("attempted_deduction", money(refusal.attempted))
        .with("new_balance_would_be", money(refusal.would_be))
        .with("amount_over_limit", money(refusal.over_limit))
        .into()
}

fn replay(books: &Books<'_>, operation: &Operation, before: &WalletOperation) -> Result<Outcome> {
    if before.request != operation.command.request() {
        let detail =
            "this id was used for another request to the wallet: send the same one, or choose a new id";
        return Err(Error::refused(Code::IdempotencyKeyReused, detail));
    }
    let kept = serde_json::from_value(before.outcome.clone())
        .map_err(|_| Error::Internal("a kept outcome cannot be read"))?;
    match kept {
        Kept::Debited(debited) => Ok(Outcome::Debited(debited)),
        Kept::Held { hold, expires_at } => {
            let hold =
                books.find_hold(HoldId::from_uuid(hold)).ok_or(Error::Internal("a kept hold is missing"))?;
            let status = HoldStatus::Open.as_str().to_owned();
            // As it was made, whatever became of it since.
            Ok(Outcome::Held(Hold { status, settled: 0, expires_at, resolved_at: None, ..hold.clone() }))
        }
        Kept::Refused { balance, held, debt_limit, attempted, would_be, over_limit, currency } => {
            let refusal = LimitExceeded { balance, held, debt_limit, attempted, would_be, over_limit };
            Err(refuse(&refusal, &currency))
        }
    }
}

/// The hold that an operation of this name made before.
pub(super) fn kept_hold(before: &WalletOperation) -> Option<HoldId> {
    match serde_json::from_value(before.outcome.clone()) {
        Ok(Kept::Held { hold, .. }) => Some(HoldId::from_uuid(hold)),
        Ok(Kept::Debited(_) | Kept::Refused { .. }) | Err(_) => None,
    }
}
