//! PostgreSQL without a server in between: the product's statements in batches, and single conditional updates.

use crate::options::Load;
use crate::wallets::{Answers, take_one};
use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::task::JoinSet;
use usance::system::SystemClock;
use usance_core::{
    clock::Clock,
    ids::{HoldId, TenantId, WalletId, uuid_v7},
    ledger::{Account, AccountCode, Kind, Owner, Reason, Transfer, Unit},
    money::Currency,
};
use usance_db::{
    Db, DbSettings, Scope, TenantTx, due_work,
    holds::{self, Hold},
    ledger, test_clocks, wallet_books,
};
use uuid::Uuid;

/// As long as a hold reserves if nothing is said.
const HOLD_TIME: SignedDuration = SignedDuration::from_mins(15);

/// One wallet row that could stand in any first draft.
const SCHEMA: &str = "
CREATE TABLE wallets (id bigint PRIMARY KEY, held bigint NOT NULL DEFAULT 0, debt_limit bigint NOT NULL)
WITH (fillfactor = 10)";
const RESERVE: &str = "UPDATE wallets SET held = held + 1 WHERE id = $1 AND held + 1 <= debt_limit";

/// Carries out what one group commit of the server does.
#[derive(Debug)]
pub(crate) struct Batched {
    db: Db,
    scope: Scope,
    /// Holds so far; their ids differ by it.
    made: u64,
}

impl Batched {
    /// Connects to the product's database, as the tenant that is in it.
    pub(crate) async fn connect(url: &str, admin: &mut PgConnection) -> Result<Self> {
        let tenant: Uuid = sqlx::query_scalar("SELECT tenant_id FROM tenants").fetch_one(admin).await?;
        let settings = DbSettings {
            connections_max: 1,
            writers: 1,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
        };
        let scope = Scope { tenant: TenantId::from_uuid(tenant), livemode: false };
        Ok(Self { db: Db::connect(url, &settings)?, scope, made: 0 })
    }

    /// Reserves 1 of a wallet, so many times, in batches of a size.
    pub(crate) async fn reserve(&mut self, wallet: &str, load: Load, batch: u64) -> Result<Answers> {
        let wallet: WalletId = wallet.parse().ok().context("a wallet's id cannot be read")?;
        let mut answers = Answers::default();
        let mut left = load.requests;
        while left > 0 {
            let count = left.min(batch.max(1));
            let accepted = self.reserve_batch(wallet, count).await?;
            answers.accepted += accepted;
            answers.refused += count - accepted;
            left -= count;
        }
        Ok(answers)
    }

    async fn reserve_batch(&mut self, wallet: WalletId, count: u64) -> Result<u64> {
        let mut tx = self.db.tenant(self.scope).await?;
        let now = read_now(&mut tx).await?;
        let locked = wallet_books::lock_many(&mut tx, &[wallet]).await?;
        let accounts = wallet_books::list_accounts(&mut tx, &[wallet]).await?;
        wallet_books::list_grants(&mut tx, &[wallet]).await?;
        let code = AccountCode::Wallet.as_str();
        holds::list_expired(&mut tx, code, &[wallet.uuid()], now).await?;
        let account = accounts.get(&wallet).context("the wallet has no account")?;
        ensure!(locked.len() == 1, "there is no wallet");
        let free = u64::try_from(account.balance - account.held + account.debt_limit).unwrap_or_default();
        let taken = count.min(free);
        let taken: Vec<Hold> =
            (self.made..self.made + taken).map(|number| hold(number, wallet, now)).collect();
        self.made += u64::try_from(taken.len())?;
        if !taken.is_empty() {
            holds::insert_many(&mut tx, &taken).await?;
            let sweep = [(wallet.uuid(), now + HOLD_TIME)];
            due_work::schedule_earlier(&mut tx, "sweep_wallet", &sweep).await?;
            let currency = Currency::parse("USD").ok().context("no dollars")?;
            ledger::post(&mut tx, taken.iter().map(|hold| transfer(hold, currency)));
        }
        tx.commit().await?;
        Ok(u64::try_from(taken.len())?)
    }
}

async fn read_now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(test_clocks::find(tx).await?.unwrap_or_else(|| SystemClock.now()))
}

fn hold(number: u64, wallet: WalletId, now: Timestamp) -> Hold {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let unix_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Hold {
        id: HoldId::from_uuid(uuid_v7(unix_ms, random)),
        account_code: AccountCode::Wallet.as_str().to_owned(),
        owner_id: wallet.uuid(),
        unit: "USD".to_owned(),
        amount: 1,
        status: "open".to_owned(),
        settled: 0,
        description: String::new(),
        created_at: now,
        expires_at: now + HOLD_TIME,
        resolved_at: None,
    }
}

fn transfer(hold: &Hold, currency: Currency) -> Transfer {
    Transfer {
        source: hold.id.uuid(),
        reason: Reason::Hold,
        kind: Kind::Pending,
        debit: Account { code: AccountCode::Wallet, owner: Owner::Of(hold.owner_id) },
        credit: Account::own(AccountCode::Revenue),
        unit: Unit::Money(currency),
        amount: hold.amount,
        invoice: None,
        over_limit: false,
        at: hold.created_at,
    }
}

/// Connections that reserve by single updates.
#[derive(Debug)]
pub(crate) struct Single {
    url: String,
    connections: Vec<PgConnection>,
    wallets: i64,
}

impl Single {
    /// Makes the table and opens so many connections.
    pub(crate) async fn connect(url: &str, count: usize) -> Result<Self> {
        let mut first = PgConnection::connect(url).await.context("cannot connect to the bare database")?;
        sqlx::raw_sql(SCHEMA).execute(&mut first).await?;
        let mut connections = vec![first];
        while connections.len() < count {
            connections.push(PgConnection::connect(url).await?);
        }
        Ok(Self { url: url.to_owned(), connections, wallets: 0 })
    }

    /// Makes a wallet and returns its id.
    pub(crate) async fn make_wallet(&mut self, limit: u64) -> Result<i64> {
        self.wallets += 1;
        let mut connection = PgConnection::connect(&self.url).await?;
        sqlx::query("INSERT INTO wallets (id, debt_limit) VALUES ($1, $2)")
            .bind(self.wallets)
            .bind(i64::try_from(limit)?)
            .execute(&mut connection)
            .await?;
        Ok(self.wallets)
    }

    /// Reserves 1 of a wallet, so many times.
    pub(crate) async fn reserve(&mut self, wallet: i64, load: Load) -> Result<Answers> {
        let left = Arc::new(AtomicU64::new(load.requests));
        let mut workers = JoinSet::new();
        for connection in self.connections.drain(..) {
            workers.spawn(work(connection, wallet, Arc::clone(&left)));
        }
        let mut all = Answers::default();
        for worker in workers.join_all().await {
            let (connection, Answers { accepted, refused }) = worker?;
            self.connections.push(connection);
            all.accepted += accepted;
            all.refused += refused;
        }
        Ok(all)
    }

    /// Reads what is reserved of a wallet.
    pub(crate) async fn held(&mut self, wallet: i64) -> Result<i64> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let held = sqlx::query_scalar("SELECT held FROM wallets WHERE id = $1").bind(wallet);
        Ok(held.fetch_one(&mut connection).await?)
    }
}

async fn work(
    mut connection: PgConnection,
    wallet: i64,
    left: Arc<AtomicU64>,
) -> Result<(PgConnection, Answers)> {
    let mut answers = Answers::default();
    while take_one(&left) {
        let done = sqlx::query(RESERVE).bind(wallet).execute(&mut connection).await?;
        if done.rows_affected() == 1 {
            answers.accepted += 1;
        } else {
            answers.refused += 1;
        }
    }
    Ok((connection, answers))
}
