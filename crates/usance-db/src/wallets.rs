//! Wallets: their settings, and the entries that their balances are the sums of.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use usance_core::ids::{CustomerId, WalletEntryId, WalletId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A wallet as stored, without its balance, which its ledger account has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Its id.
    pub id: WalletId,
    /// Whose.
    pub customer_id: CustomerId,
    /// ISO 4217.
    pub currency: String,
    /// Below it the wallet is announced as low.
    pub low_balance_minor: Option<i64>,
    /// Below it the wallet is topped up by itself.
    pub recharge_below_minor: Option<i64>,
    /// By how much it is topped up.
    pub recharge_minor: Option<i64>,
    /// By how much at most in a calendar month, UTC.
    pub recharge_month_minor: Option<i64>,
    /// Whether the next crossing of the threshold tops up.
    pub recharge_armed: bool,
    /// Whether a refusal was announced since the balance was last raised.
    pub limit_announced: bool,
    /// All usage, in major units.
    pub usage_exact: Decimal,
    /// What of it was debited.
    pub usage_debited_minor: i64,
    /// The sequence of its last entry.
    pub last_entry: i64,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) customer_id: Uuid,
    pub(crate) currency: String,
    pub(crate) low_balance_minor: Option<i64>,
    pub(crate) recharge_below_minor: Option<i64>,
    pub(crate) recharge_minor: Option<i64>,
    pub(crate) recharge_month_minor: Option<i64>,
    pub(crate) recharge_armed: bool,
    pub(crate) limit_announced: bool,
    pub(crate) usage_exact: Decimal,
    pub(crate) usage_debited_minor: i64,
    pub(crate) last_entry: i64,
    pub(crate) created_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Wallet {
    fn from(row: Row) -> Self {
        Self {
            id: WalletId::from_uuid(row.id),
            customer_id: CustomerId::from_uuid(row.customer_id),
            currency: row.currency,
            low_balance_minor: row.low_balance_minor,
            recharge_below_minor: row.recharge_below_minor,
            recharge_minor: row.recharge_minor,
            recharge_month_minor: row.recharge_month_minor,
            recharge_armed: row.recharge_armed,
            limit_announced: row.limit_announced,
            usage_exact: row.usage_exact,
            usage_debited_minor: row.usage_debited_minor,
            last_entry: row.last_entry,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// A change of a wallet's balance.
#[derive(Debug, Clone)]
pub struct WalletEntry {
    /// Its id.
    pub id: WalletEntryId,
    /// Whose.
    pub wallet_id: WalletId,
    /// Of the wallet, from 1.
    pub sequence: i64,
    /// `grant`, `top_up`, `debit`, `usage`, `hold` or `expiry`.
    pub kind: String,
    /// Minor units; negative of what was taken out.
    pub amount_minor: i64,
    /// The balance that it led to.
    pub balance_after_minor: i64,
    /// It had happened already, and no limit could stop it.
    pub over_limit: bool,
    /// The tenant's own name for it.
    pub reference: Option<String>,
    /// The grant, top-up or hold that it comes from.
    pub subject_id: Option<Uuid>,
    /// For people.
    pub description: String,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

/// Makes the wallet of a customer and currency with its ledger account, unless it is there.
pub async fn insert_if_absent(
    tx: &mut TenantTx,
    wallet: WalletId,
    (customer, currency): (CustomerId, &str),
    debt_limit_minor: i64,
    now: Timestamp,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallets::insert_if_absent
        WITH made AS (
            INSERT INTO wallets (tenant_id, livemode, id, customer_id, currency, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $6)
            ON CONFLICT (tenant_id, livemode, customer_id, currency) DO NOTHING
            RETURNING id, currency
        )
        INSERT INTO ledger_accounts (tenant_id, livemode, code, owner_id, unit, debit_limit)
        SELECT $1, $2, 'wallet', made.id, made.currency, $7 FROM made",
        tenant,
        livemode,
        wallet.uuid(),
        customer.uuid(),
        currency,
        now.to_sqlx(),
        debt_limit_minor,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds a wallet.
pub async fn find(tx: &mut TenantTx, id: WalletId) -> Result<Option<Wallet>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query_as!(
        Row,
        "-- wallets::find
        SELECT id, customer_id, currency, low_balance_minor, recharge_below_minor, recharge_minor, recharge_month_minor,
            recharge_armed, limit_announced, usage_exact, usage_debited_minor, last_entry, created_at
        FROM wallets
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Wallet::from))
}

/// Finds the id of a customer's wallet in a currency.
pub async fn find_id_of_customer(
    tx: &mut TenantTx,
    customer: CustomerId,
    currency: &str,
) -> Result<Option<WalletId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- wallets::find_id_of_customer
        SELECT id FROM wallets WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND currency = $4",
        tenant,
        livemode,
        customer.uuid(),
        currency,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| WalletId::from_uuid(row.id)))
}

/// Changes the debt limit of a wallet that is locked.
pub async fn set_debt_limit(
    tx: &mut TenantTx,
    id: WalletId,
    currency: &str,
    debt_limit_minor: i64,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallets::set_debt_limit
        UPDATE ledger_accounts SET debit_limit = $5
        WHERE tenant_id = $1 AND livemode = $2 AND code = 'wallet' AND owner_id = $3 AND unit = $4",
        tenant,
        livemode,
        id.uuid(),
        currency,
        debt_limit_minor,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes what a tenant sets of a wallet that is locked.
pub async fn update_settings(tx: &mut TenantTx, wallet: &Wallet, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallets::update_settings
        UPDATE wallets SET low_balance_minor = $4, recharge_below_minor = $5, recharge_minor = $6, recharge_month_minor = $7,
            recharge_armed = $8, updated_at = $9
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        wallet.id.uuid(),
        wallet.low_balance_minor,
        wallet.recharge_below_minor,
        wallet.recharge_minor,
        wallet.recharge_month_minor,
        wallet.recharge_armed,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the entries of a wallet, latest first.
pub async fn list_entries(
    tx: &mut TenantTx,
    wallet: WalletId,
    page: PageRequest,
) -> Result<Page<WalletEntry>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- wallets::list_entries
        SELECT id, wallet_id, sequence, type AS kind, amount_minor, balance_after_minor, over_limit, reference, subject_id,
            description, created_at
        FROM wallet_entries
        WHERE tenant_id = $1 AND livemode = $2 AND wallet_id = $3
            AND ($4::uuid IS NULL OR sequence < (
                SELECT e.sequence FROM wallet_entries e WHERE e.tenant_id = $1 AND e.livemode = $2 AND e.id = $4
            ))
        ORDER BY sequence DESC
        LIMIT $5"#,
        tenant,
        livemode,
        wallet.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    let entry = rows.into_iter().map(|row| WalletEntry {
        id: WalletEntryId::from_uuid(row.id),
        wallet_id: WalletId::from_uuid(row.wallet_id),
        sequence: row.sequence,
        kind: row.kind,
        amount_minor: row.amount_minor,
        balance_after_minor: row.balance_after_minor,
        over_limit: row.over_limit,
        reference: row.reference,
        subject_id: row.subject_id,
        description: row.description,
        created_at: row.created_at.to_jiff(),
    });
    Ok(Page::new(page, entry.collect::<Vec<_>>()))
}
