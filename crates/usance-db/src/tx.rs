//! The pool and the three kinds of transaction.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Row, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::Instrument;
use usance_core::{
    ids::{CustomerId, TenantId},
    ledger::Transfer,
};
use uuid::Uuid;

use crate::{DbError, catalog_news::Generations, catalog_versions, ledger};

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct DbSettings {
    /// Connections that this process may hold, besides those of the writers.
    pub connections_max: u32,
    /// Connections of the writers of usage events.
    pub writers: u32,
    /// How long a request waits for one of them.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
}

/// Whose rows a transaction reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The tenant.
    pub tenant: TenantId,
    /// Live data or test data.
    pub livemode: bool,
}

/// How long a connection may lie idle before it is asked whether it is still alive; the question costs a round trip.
const UNTESTED_IDLE: Duration = Duration::from_secs(1);

/// The connection pool. It hands out transactions only.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    /// Connections that are the writers' from the first statement on.
    writers: PgPool,
    generations: Arc<Generations>,
    /// Whether a begin failed: it can leave its transaction open in a connection of the pool.
    begin_failed: Arc<AtomicBool>,
}

impl Db {
    /// Prepares a pool; connections are made when they are needed.
    pub fn connect(url: &str, settings: &DbSettings) -> Result<Self, DbError> {
        let statement_timeout = settings.statement_timeout.as_millis().to_string();
        let options = PgConnectOptions::from_str(url)?
            .application_name("usance")
            .statement_cache_capacity(512)
            .options([
                ("statement_timeout", statement_timeout.as_str()),
                ("idle_in_transaction_session_timeout", "60000"),
            ]);
        let writer_options =
            options.clone().options([("role", "usance_writer"), ("synchronous_commit", "off")]);
        let begin_failed = Arc::new(AtomicBool::new(false));
        let pool = |connections| {
            let is_suspect = Arc::clone(&begin_failed);
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(settings.acquire_timeout)
                .test_before_acquire(false)
                .before_acquire(move |connection, idle| {
                    let is_suspect = is_suspect.load(Ordering::SeqCst);
                    Box::pin(async move {
                        if is_suspect {
                            return is_outside_transaction(connection).await;
                        }
                        if idle.idle_for > UNTESTED_IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                // A connection keeps the room that its largest statement took, and ten thousand events take megabytes.
                .after_release(|connection, _| {
                    connection.shrink_buffers();
                    Box::pin(async { Ok(true) })
                })
        };
        let writers = pool(settings.writers).connect_lazy_with(writer_options.options(PLANNING));
        let pool = pool(settings.connections_max).connect_lazy_with(options);
        Ok(Self { pool, writers, generations: Arc::default(), begin_failed })
    }

    /// Begins a transaction that reaches the rows of one tenant and mode.
    pub async fn tenant(&self, scope: Scope) -> Result<TenantTx, DbError> {
        let tx = self.begin("BEGIN", "usance_app", Some(scope)).await?;
        Ok(TenantTx::new(tx, scope, Arc::clone(&self.generations)))
    }

    /// Begins a transaction that sees the rows of one tenant and mode as they are now, and changes nothing.
    pub async fn snapshot(&self, scope: Scope) -> Result<TenantTx, DbError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let tx = self.begin(begin, "usance_app", Some(scope)).await?;
        Ok(TenantTx::new(tx, scope, Arc::clone(&self.generations)))
    }

    /// Begins a transaction that sees what one customer may see of itself, and changes nothing. Rows of others are not there.
    pub async fn customer(&self, scope: Scope, customer: CustomerId) -> Result<TenantTx, DbError> {
        let mut tx = self.begin("BEGIN READ ONLY", "usance_customer", Some(scope)).await?;
        sqlx::query("SELECT set_config('app.customer_id', $1, true)")
            .bind(customer.uuid().to_string())
            .execute(&mut *tx)
            .await?;
        Ok(TenantTx::new(tx, scope, Arc::clone(&self.generations)))
    }

    /// Counts the changes of each tenant's catalogue that this process knows of.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Connections of the writers, whose commits do not wait for the disk.
    pub(crate) fn writers(&self) -> &PgPool {
        &self.writers
    }

    /// Begins a transaction that reaches the ingest tables of all tenants.
    pub async fn writer(&self) -> Result<WriterTx, DbError> {
        let generations = Arc::clone(&self.generations);
        Ok(WriterTx { tx: self.begin("BEGIN", "usance_writer", None).await?, generations })
    }

    /// The same, whose commit does not wait for the disk: others see the changes at once and wait for none of its locks
    /// meanwhile. Nobody may be told of them before [`Self::flush`].
    pub async fn unflushed_writer(&self) -> Result<WriterTx, DbError> {
        let generations = Arc::clone(&self.generations);
        Ok(WriterTx { tx: self.begin_in(&self.writers, "BEGIN".to_owned()).await?, generations })
    }

    /// Makes durable whatever was committed before, by any connection: the log is written in order, and this commits a
    /// message in it.
    pub async fn flush(&self) -> Result<(), DbError> {
        sqlx::query("-- db::flush\nSELECT pg_logical_emit_message(true, 'usance', '') IS NOT NULL")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Begins a transaction that finds tenants by key and work by time.
    pub async fn system(&self) -> Result<SystemTx, DbError> {
        Ok(SystemTx { tx: self.begin("BEGIN", "usance_system", None).await? })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
        self.writers.close().await;
    }

    async fn begin(
        &self,
        statement: &'static str,
        role: &'static str,
        scope: Option<Scope>,
    ) -> Result<Transaction<'static, Postgres>, DbError> {
        self.begin_in(&self.pool, begin_statement(statement, role, scope)).await
    }

    // In a task of its own, so that a caller who goes away cannot stop it between BEGIN and its bookkeeping.
    #[expect(clippy::disallowed_methods, reason = "the one place where a transaction begins")]
    async fn begin_in(
        &self,
        pool: &PgPool,
        statement: String,
    ) -> Result<Transaction<'static, Postgres>, DbError> {
        let pool = pool.clone();
        // One round trip; what is written into it comes from our own types.
        let begin = async move { pool.begin_with(AssertSqlSafe(statement)).await };
        let result = match tokio::spawn(begin.in_current_span()).await {
            Ok(Err(sqlx::Error::PoolTimedOut)) => return Err(sqlx::Error::PoolTimedOut.into()),
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::WorkerCrashed),
        };
        if result.is_err() {
            self.begin_failed.store(true, Ordering::SeqCst);
        }
        Ok(result?)
    }
}

/// Whether a connection can be borrowed. Asking costs a round trip, so that it is done only when a begin has failed.
async fn is_outside_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // The simple protocol: a prepared statement reads two instants even outside a transaction. A failed transaction refuses.
    let row = sqlx::raw_sql("SELECT now() = statement_timestamp()").fetch_one(connection).await?;
    row.try_get(0)
}

fn begin_statement(begin: &str, role: &str, scope: Option<Scope>) -> String {
    match scope {
        Some(Scope { tenant, livemode }) => format!(
            "{begin}; SELECT set_config('role', '{role}', true), set_config('app.tenant_id', '{}', true), set_config('app.livemode', '{livemode}', true)",
            tenant.uuid(),
        ),
        None => format!("{begin}; {}", take_role(role)),
    }
}

/// Transactions of all tenants reach rows by their keys alone. A plan that was made while a table was small must stay right
/// when it has grown; and then it need not be made again for each of the small transactions, where it is a seventh of the
/// cost.
const PLANNING: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Takes a role that reaches all tenants, and [`PLANNING`], until the transaction ends.
fn take_role(role: &str) -> String {
    let planning = PLANNING.map(|(name, value)| format!(", set_config('{name}', '{value}', true)"));
    format!("SELECT set_config('role', '{role}', true){}", planning.concat())
}

/// Takes a tenant's context in one round trip, and ends [`PLANNING`].
const BECOME_TENANT: &str = "SELECT set_config('role', 'usance_app', true), set_config('app.tenant_id', $1, true), set_config('app.livemode', $2, true), set_config('plan_cache_mode', NULL, true), set_config('enable_seqscan', NULL, true), set_config('enable_hashjoin', NULL, true), set_config('enable_mergejoin', NULL, true)";

async fn set_context(
    connection: &mut PgConnection,
    role: &'static str,
    scope: Option<Scope>,
) -> Result<(), DbError> {
    let query = match scope {
        Some(scope) => sqlx::query("SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true), set_config('app.livemode', $3, true)")
            .bind(role)
            .bind(scope.tenant.uuid().to_string())
            .bind(if scope.livemode { "true" } else { "false" }),
        None => sqlx::query("SELECT set_config('role', $1, true)").bind(role),
    };
    query.execute(connection).await?;
    Ok(())
}

/// A transaction of one tenant and mode, under row-level security. Dropping it rolls back.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    scope: Scope,
    generations: Arc<Generations>,
    changes_catalog: bool,
    transfers: Vec<Transfer>,
}

impl TenantTx {
    /// Whose rows it reaches.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Writes the transfers that were posted, and makes all changes durable.
    pub async fn commit(mut self) -> Result<(), DbError> {
        ledger::flush(&mut self).await?;
        let committed = self.tx.commit().await;
        if self.changes_catalog {
            // Also where the answer was lost: the change may have been made.
            self.generations.count_up(self.scope);
        }
        Ok(committed?)
    }

    fn new(tx: Transaction<'static, Postgres>, scope: Scope, generations: Arc<Generations>) -> Self {
        Self { tx, scope, generations, changes_catalog: false, transfers: Vec::new() }
    }

    pub(crate) fn note_catalog_change(&mut self) {
        self.changes_catalog = true;
    }

    /// Goes on as the writer, in the same transaction. The catalogue must not have been changed.
    pub async fn into_writer(mut self) -> Result<WriterTx, DbError> {
        ledger::flush(&mut self).await?;
        sqlx::query(AssertSqlSafe(take_role("usance_writer"))).execute(&mut *self.tx).await?;
        Ok(WriterTx { tx: self.tx, generations: self.generations })
    }

    /// The transfers that are written at the commit.
    pub(crate) fn transfers(&mut self) -> &mut Vec<Transfer> {
        &mut self.transfers
    }

    /// Goes on in the other mode of the same tenant: registration writes the keys of both.
    pub async fn switch_mode(&mut self, livemode: bool) -> Result<(), DbError> {
        self.scope.livemode = livemode;
        set_context(&mut self.tx, "usance_app", Some(self.scope)).await
    }

    /// Takes the tenant's catalogue for itself until the transaction ends: no usage event is resolved and nothing is
    /// billed meanwhile.
    pub async fn lock_catalog(&mut self) -> Result<(), DbError> {
        sqlx::query("SELECT pg_advisory_xact_lock(seat) FROM unnest($1::bigint[]) AS seat")
            .bind(&catalog_seats(self.scope)[..])
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Takes one seat of the tenant's catalogue until the transaction ends: no usage event is resolved and nothing else
    /// changes the catalogue meanwhile, but other billing runs may hold the other seats. In such a transaction the
    /// catalogue must not be locked as a whole.
    pub async fn lock_billing_seat(&mut self) -> Result<(), DbError> {
        let seats = catalog_seats(self.scope);
        let free =
            "SELECT seat FROM unnest($1::bigint[]) AS seat WHERE pg_try_advisory_xact_lock(seat) LIMIT 1";
        if sqlx::query(free).bind(&seats[..]).fetch_optional(&mut *self.tx).await?.is_none() {
            let any = "SELECT pg_advisory_xact_lock(($1::bigint[])[1 + pg_backend_pid() % cardinality($1::bigint[])])";
            sqlx::query(any).bind(&seats[..]).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Tenant and mode as query parameters.
    pub(crate) fn keys(&self) -> (Uuid, bool) {
        (self.scope.tenant.uuid(), self.scope.livemode)
    }
}

/// A transaction over the ingest tables of all tenants.
#[derive(Debug)]
pub struct WriterTx {
    tx: Transaction<'static, Postgres>,
    generations: Arc<Generations>,
}

impl WriterTx {
    /// Makes the changes durable.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.tx.commit().await?)
    }

    /// Holds the catalogues of these tenants still until the transaction ends; other writers may do the same. Returns their
    /// versions; one that never changed is absent.
    pub async fn share_catalogs(&mut self, scopes: &[Scope]) -> Result<Vec<(Scope, i64)>, DbError> {
        catalog_versions::share(self, &catalog_seats_of(scopes), scopes).await
    }

    /// Goes on as a tenant, in the same transaction.
    pub async fn into_tenant(mut self, scope: Scope) -> Result<TenantTx, DbError> {
        sqlx::query(BECOME_TENANT)
            .bind(scope.tenant.uuid().to_string())
            .bind(if scope.livemode { "true" } else { "false" })
            .execute(&mut *self.tx)
            .await?;
        Ok(TenantTx::new(self.tx, scope, self.generations))
    }

    /// Reads as the tenant for a moment; [`Self::leave_tenant`] must follow.
    pub async fn enter_tenant(&mut self, scope: Scope) -> Result<(), DbError> {
        set_context(&mut self.tx, "usance_app", Some(scope)).await
    }

    /// Returns to the writer's role.
    pub async fn leave_tenant(&mut self) -> Result<(), DbError> {
        set_context(&mut self.tx, "usance_writer", None).await
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

/// A transaction that may look for tenants and for due work, and change nothing.
#[derive(Debug)]
pub struct SystemTx {
    tx: Transaction<'static, Postgres>,
}

impl SystemTx {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

/// Tenants share a bounded number of lock slots, because a transaction may hold only so many locks.
const CATALOG_SLOTS: u128 = 64;
/// Billing runs of one tenant that may work at the same time. Who resolves events or changes the catalogue takes all
/// seats, in order.
const CATALOG_SEATS: usize = 4;
/// Keeps the seats apart from other advisory locks of the same database.
const CATALOG_SEAT_BASE: i64 = 0x7573_616e_6365_0000;

/// All seats of these catalogues, in the order in which they are taken.
pub(crate) fn catalog_seats_of(scopes: &[Scope]) -> Vec<i64> {
    let mut seats: Vec<i64> = scopes.iter().copied().flat_map(catalog_seats).collect();
    seats.sort_unstable();
    seats.dedup();
    seats
}

fn catalog_seats(scope: Scope) -> [i64; CATALOG_SEATS] {
    let slot = usize::try_from(scope.tenant.uuid().as_u128() % CATALOG_SLOTS).unwrap_or_default();
    std::array::from_fn(|seat| {
        CATALOG_SEAT_BASE + i64::try_from(slot * CATALOG_SEATS + seat).unwrap_or_default()
    })
}
