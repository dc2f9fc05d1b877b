//! The books of some wallets while a transaction holds them: changes are decided in memory by the core, and written at
//! once at the end.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    ids::{HoldId, WalletEntryId, WalletGrantId, WalletId},
    ledger::{Account, AccountCode, Kind, Owner, Pending, Reason, Transfer, Unit},
    money::Currency,
    wallet::{Book, BookError, Grant, HoldStatus, LimitExceeded, Moved, UsageTotal},
};
use usance_db::{
    TenantTx, due_work,
    holds::{self, Hold},
    ledger,
    wallet_books::{self, WalletAccount, WalletGrant, WalletOperation},
    wallets::{Wallet, WalletEntry},
};
use uuid::Uuid;

use super::{WalletNow, recharge};
use crate::{
    Cx,
    error::{Error, Result},
    outbox::announce_many,
    work,
};

/// A wallet whose book is open.
#[derive(Debug)]
pub(super) struct OpenBook {
    pub(super) wallet: Wallet,
    pub(super) book: Book,
    /// What grants had left when the book was opened, by their ids.
    left: HashMap<String, (WalletGrantId, i64)>,
    changed: bool,
}

/// Locked wallets, and what happens to them.
#[derive(Debug)]
pub(crate) struct Books<'a> {
    cx: &'a Cx,
    /// The tenant's time.
    pub(crate) now: Timestamp,
    open: BTreeMap<WalletId, OpenBook>,
    grants: Vec<WalletGrant>,
    entries: Vec<WalletEntry>,
    new_holds: BTreeMap<HoldId, Hold>,
    old_holds: BTreeMap<HoldId, (Hold, bool)>,
    transfers: Vec<Transfer>,
    events: Vec<(&'static str, Value)>,
    sweeps: BTreeMap<WalletId, Timestamp>,
    pub(super) operations: Vec<WalletOperation>,
}

/// Where the other leg of a change stands, and what the entry says of it.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) kind: &'static str,
    pub(super) reason: Reason,
    pub(super) other: AccountCode,
    pub(super) reference: Option<String>,
    pub(super) subject: Option<Uuid>,
    pub(super) description: String,
}

impl<'a> Books<'a> {
    /// Locks wallets in the order of their ids, reads their books, and frees what has expired.
    pub(crate) async fn open(cx: &'a Cx, tx: &mut TenantTx, ids: &[WalletId]) -> Result<Self> {
        let now = cx.tenant_now(tx).await?;
        let wallets = wallet_books::lock_many(tx, ids).await?;
        let accounts = wallet_books::list_accounts(tx, ids).await?;
        let mut books = Self {
            cx,
            now,
            open: BTreeMap::new(),
            grants: Vec::new(),
            entries: Vec::new(),
            new_holds: BTreeMap::new(),
            old_holds: BTreeMap::new(),
            transfers: Vec::new(),
            events: Vec::new(),
            sweeps: BTreeMap::new(),
            operations: Vec::new(),
        };
        for wallet in wallets {
            let account =
                accounts.get(&wallet.id).ok_or(Error::Internal("a wallet has no ledger account"))?;
            let book = book(&wallet, *account)?;
            let open = OpenBook { book, left: HashMap::new(), changed: false, wallet };
            books.open.insert(open.wallet.id, open);
        }
        for grant in wallet_books::list_grants(tx, ids).await? {
            books.add_grant(&grant);
        }
        books.expire(tx).await?;
        Ok(books)
    }

    fn add_grant(&mut self, grant: &WalletGrant) {
        if let Some(open) = self.open.get_mut(&grant.wallet_id) {
            open.left.insert(grant.id.to_string(), (grant.id, grant.left_minor));
            open.book.grants.push(core_grant(grant));
        }
    }

    /// Frees holds whose time is over, then takes out credits that are.
    async fn expire(&mut self, tx: &mut TenantTx) -> Result<()> {
        let owners: Vec<Uuid> = self.open.keys().map(|id| id.uuid()).collect();
        let code = AccountCode::Wallet.as_str();
        for hold in holds::list_expired(tx, code, &owners, self.now).await? {
            let pending = Pending { id: hold.id.uuid(), amount: hold.amount };
            let wallet = WalletId::from_uuid(hold.owner_id);
            let amount = hold.amount;
            self.resolve(
                wallet,
                hold,
                (HoldStatus::Expired, 0),
                (Reason::HoldExpired, Kind::Expire(pending)),
            )?;
            self.book_mut(wallet)?.book.free(amount);
        }
        let wallets: Vec<WalletId> = self.open.keys().copied().collect();
        for wallet in wallets {
            self.expire_grants(wallet)?;
        }
        Ok(())
    }

    /// Takes out credits whose time is over and that no hold reserves.
    pub(super) fn expire_grants(&mut self, wallet: WalletId) -> Result<()> {
        let now = self.now;
        let open = self.book_mut(wallet)?;
        let lost = open.book.expire(now).map_err(|_| Error::Internal("the grants of a wallet are wrong"))?;
        let names: Vec<_> = lost
            .into_iter()
            .map(|(name, moved)| (open.left.get(&name).map(|known| known.0.uuid()), moved))
            .collect();
        for (subject, moved) in names {
            let cause = Cause {
                kind: "expiry",
                reason: Reason::WalletExpiry,
                other: AccountCode::Breakage,
                reference: None,
                subject,
                description: String::new(),
            };
            self.note(wallet, moved, cause)?;
        }
        Ok(())
    }

    /// A wallet with what it has, seen without its lock.
    pub(super) fn describe(
        wallet: Wallet,
        account: WalletAccount,
        grants: Vec<WalletGrant>,
        as_of: Timestamp,
    ) -> Result<WalletNow> {
        let mut book = book(&wallet, account)?;
        book.grants = grants.iter().map(core_grant).collect();
        // What is over is not there any more, whether anybody has noted it or not.
        book.expire(as_of).map_err(|_| Error::Internal("the grants of a wallet are wrong"))?;
        let account = WalletAccount { balance: book.balance, ..account };
        let is_over = |grant: &WalletGrant| grant.expires_at.is_some_and(|at| at <= as_of);
        let grants = grants.into_iter().filter(|grant| !is_over(grant)).collect();
        let (available_minor, unrounded) = (book.available(), book.unrounded());
        Ok(WalletNow { wallet, account, available_minor, unrounded, grants, as_of })
    }

    /// Looks at a wallet again although nothing was put in or taken out.
    pub(super) fn touch(&mut self, wallet: WalletId) -> Result<()> {
        self.book_mut(wallet)?.changed = true;
        Ok(())
    }

    /// What a grant that was put in has left after paying what was used on credit.
    pub(super) fn left_of(&self, grant: &WalletGrant) -> i64 {
        self.left_now().get(&grant.id).copied().unwrap_or(grant.amount_minor)
    }

    /// The book of a wallet, if there is such a wallet.
    pub(super) fn find(&self, wallet: WalletId) -> Option<&OpenBook> {
        self.open.get(&wallet)
    }

    pub(super) fn book_mut(&mut self, wallet: WalletId) -> Result<&mut OpenBook> {
        self.open.get_mut(&wallet).ok_or_else(|| Error::not_found("wallet"))
    }

    /// Puts a grant in.
    pub(super) fn put_in(
        &mut self,
        grant: WalletGrant,
        cause: Cause,
    ) -> Result<std::result::Result<Moved, BookError>> {
        let (wallet, expires_at) = (grant.wallet_id, grant.expires_at);
        let open = self.book_mut(wallet)?;
        let moved = match open.book.put_in(core_grant(&grant)) {
            Ok(moved) => moved,
            Err(error) => return Ok(Err(error)),
        };
        self.grants.push(grant);
        if let Some(at) = expires_at {
            self.plan_sweep(wallet, at);
        }
        self.note(wallet, moved, cause)?;
        Ok(Ok(moved))
    }

    /// Notes a change that a book has made: its entry, its transfer, and what is told about it. Returns the entry; a change
    /// of nothing has none.
    pub(super) fn note(
        &mut self,
        wallet: WalletId,
        moved: Moved,
        cause: Cause,
    ) -> Result<Option<WalletEntryId>> {
        let (cx, now) = (self.cx, self.now);
        let open = self.book_mut(wallet)?;
        open.changed = true;
        if moved.after > moved.before {
            open.wallet.limit_announced = false;
            let is_low = open.wallet.recharge_below_minor.is_some_and(|below| moved.after < below);
            open.wallet.recharge_armed |= !is_low;
        }
        if moved.amount() == 0 {
            return Ok(None);
        }
        open.wallet.last_entry += 1;
        let entry = WalletEntry {
            id: WalletEntryId::from_uuid(cx.app.ids.next()),
            wallet_id: wallet,
            sequence: open.wallet.last_entry,
            kind: cause.kind.to_owned(),
            amount_minor: moved.after.saturating_sub(moved.before),
            balance_after_minor: moved.after,
            over_limit: moved.over_limit,
            reference: cause.reference,
            subject_id: cause.subject,
            description: cause.description,
            created_at: now,
        };
        let low = open.wallet.low_balance_minor.filter(|mark| moved.crosses(*mark));
        let event = low.map(|mark| ("wallet.low", low_event(&open.wallet, moved.after, mark)));
        let currency = open.book.currency;
        let id = entry.id;
        self.events.extend(event);
        self.entries.push(entry);
        // What a hold took is posted with the hold.
        if cause.reason != Reason::HoldSettled {
            let own = Account { code: AccountCode::Wallet, owner: Owner::Of(wallet.uuid()) };
            let other = Account::own(cause.other);
            let (debit, credit) = if moved.after > moved.before { (other, own) } else { (own, other) };
            self.transfers.push(Transfer {
                source: id.uuid(),
                reason: cause.reason,
                kind: Kind::Single,
                debit,
                credit,
                unit: Unit::Money(currency),
                amount: moved.amount().saturating_abs(),
                invoice: None,
                over_limit: moved.over_limit,
                at: now,
            });
        }
        Ok(Some(id))
    }

    /// Adds a hold that its book has taken.
    pub(super) fn add_hold(&mut self, wallet: WalletId, hold: Hold) -> Result<()> {
        let transfer = self.hold_transfer(wallet, &hold, hold.amount, (Reason::Hold, Kind::Pending))?;
        self.transfers.push(transfer);
        self.plan_sweep(wallet, hold.expires_at);
        self.new_holds.insert(hold.id, hold);
        Ok(())
    }

    /// A hold as it stands now, of those that were brought or made here.
    pub(super) fn find_hold(&self, id: HoldId) -> Option<&Hold> {
        self.new_holds.get(&id).or_else(|| self.old_holds.get(&id).map(|(hold, _)| hold))
    }

    /// Brings holds that were read under the lock of their wallets.
    pub(super) fn bring_holds(&mut self, found: Vec<Hold>) {
        for hold in found {
            self.old_holds.entry(hold.id).or_insert((hold, false));
        }
    }

    /// Notes that a hold is resolved.
    pub(super) fn resolve(
        &mut self,
        wallet: WalletId,
        mut hold: Hold,
        (status, settled): (HoldStatus, i64),
        (reason, kind): (Reason, Kind),
    ) -> Result<Hold> {
        let amount = if settled == 0 { hold.amount } else { settled };
        let transfer = self.hold_transfer(wallet, &hold, amount, (reason, kind))?;
        self.transfers.push(transfer);
        status.as_str().clone_into(&mut hold.status);
        hold.settled = settled;
        hold.resolved_at = Some(self.now);
        self.change_hold(hold.clone());
        self.book_mut(wallet)?.changed = true;
        Ok(hold)
    }

    /// Notes how a hold stands.
    pub(super) fn change_hold(&mut self, hold: Hold) {
        match self.new_holds.get_mut(&hold.id) {
            Some(known) => *known = hold,
            None => {
                self.old_holds.insert(hold.id, (hold, true));
            }
        }
    }

    fn hold_transfer(
        &mut self,
        wallet: WalletId,
        hold: &Hold,
        amount: i64,
        (reason, kind): (Reason, Kind),
    ) -> Result<Transfer> {
        let currency = self.book_mut(wallet)?.book.currency;
        Ok(Transfer {
            source: hold.id.uuid(),
            reason,
            kind,
            debit: Account { code: AccountCode::Wallet, owner: Owner::Of(wallet.uuid()) },
            credit: Account::own(AccountCode::Revenue),
            unit: Unit::Money(currency),
            amount,
            invoice: None,
            over_limit: false,
            at: self.now,
        })
    }

    /// Plans a look at the wallet when something of it runs out.
    pub(super) fn plan_sweep(&mut self, wallet: WalletId, at: Timestamp) {
        let planned = self.sweeps.entry(wallet).or_insert(at);
        *planned = (*planned).min(at);
    }

    /// Tells once that the debt limit refuses, until the balance is raised again; asks for a top-up.
    pub(super) fn note_refusal(&mut self, wallet: WalletId, refusal: &LimitExceeded) -> Result<()> {
        let open = self.book_mut(wallet)?;
        open.changed = true;
        if std::mem::replace(&mut open.wallet.limit_announced, true) {
            return Ok(());
        }
        let money = |minor: i64| json!({ "amount_minor": minor, "currency": open.wallet.currency });
        let data = json!({
            "id": wallet,
            "customer": open.wallet.customer_id,
            "balance": money(refusal.balance),
            "debt_limit": money(refusal.debt_limit),
            "attempted_deduction": money(refusal.attempted),
        });
        self.events.push(("wallet.debt_limit_reached", data));
        Ok(())
    }

    /// Tells something else.
    pub(super) fn tell(&mut self, event: &'static str, data: Value) {
        self.events.push((event, data));
    }

    /// Writes everything. Returns whether work is due now that was not before.
    pub(crate) async fn save(mut self, tx: &mut TenantTx) -> Result<bool> {
        for open in self.open.values_mut() {
            open.wallet.usage_exact = open.book.usage.exact;
            open.wallet.usage_debited_minor = open.book.usage.debited;
        }
        let (cx, now) = (self.cx, self.now);
        let mut is_due = false;
        for open in self.open.values_mut().filter(|open| open.changed) {
            is_due |= recharge::plan(cx, tx, &mut open.wallet, open.book.balance, now).await?;
        }
        let left_of = self.left_now();
        for grant in &mut self.grants {
            if let Some(left) = left_of.get(&grant.id) {
                grant.left_minor = *left;
            }
        }
        wallet_books::insert_grants(tx, &self.grants).await?;
        wallet_books::set_left(tx, &self.changed_grants(&left_of)).await?;
        wallet_books::insert_entries(tx, &self.entries).await?;
        let new_holds: Vec<Hold> = self.new_holds.into_values().collect();
        holds::insert_many(tx, &new_holds).await?;
        let changed: Vec<&Hold> =
            self.old_holds.values().filter(|(_, changed)| *changed).map(|(hold, _)| hold).collect();
        holds::update_many(tx, &changed).await?;
        wallet_books::insert_operations(tx, &self.operations, now).await?;
        let wallets: Vec<&Wallet> =
            self.open.values().filter(|open| open.changed).map(|open| &open.wallet).collect();
        wallet_books::update_progress(tx, &wallets, cx.now).await?;
        let sweeps: Vec<_> = self.sweeps.iter().map(|(id, at)| (id.uuid(), *at)).collect();
        due_work::schedule_earlier(tx, work::Kind::SweepWallet.as_str(), &sweeps).await?;
        announce_many(cx, tx, self.events).await?;
        ledger::post(tx, self.transfers);
        Ok(is_due)
    }

    fn left_now(&self) -> HashMap<WalletGrantId, i64> {
        let grants = self.open.values().flat_map(|open| &open.book.grants);
        grants
            .filter_map(|grant| {
                let left = i64::try_from(grant.amount).ok()?;
                Some((grant.id.parse().ok()?, left))
            })
            .collect()
    }

    fn changed_grants(&self, left_now: &HashMap<WalletGrantId, i64>) -> Vec<(WalletGrantId, i64)> {
        let before = self.open.values().flat_map(|open| open.left.values());
        before
            .filter_map(|(id, left)| left_now.get(id).filter(|now| *now != left).map(|now| (*id, *now)))
            .collect()
    }
}

fn book(wallet: &Wallet, account: WalletAccount) -> Result<Book> {
    Ok(Book {
        currency: read_currency(&wallet.currency)?,
        balance: account.balance,
        held: account.held,
        debt_limit: account.debt_limit,
        grants: Vec::new(),
        usage: UsageTotal { exact: wallet.usage_exact, debited: wallet.usage_debited_minor },
    })
}

fn low_event(wallet: &Wallet, balance: i64, mark: i64) -> Value {
    let money = |minor: i64| json!({ "amount_minor": minor, "currency": wallet.currency });
    json!({ "id": wallet.id, "customer": wallet.customer_id, "balance": money(balance), "low_balance": money(mark) })
}

/// Grants can be used from the beginning: what a hold reserved on credit is paid by a grant that came later.
fn core_grant(grant: &WalletGrant) -> Grant {
    Grant {
        id: grant.id.to_string(),
        amount: Decimal::from(grant.left_minor),
        priority: u16::try_from(grant.priority).unwrap_or(u16::MAX),
        effective_at: Timestamp::MIN,
        expires_at: grant.expires_at,
        created_at: grant.created_at,
    }
}

pub(super) fn read_currency(code: &str) -> Result<Currency> {
    Currency::parse(code).map_err(|_| Error::Internal("a stored currency cannot be read"))
}
