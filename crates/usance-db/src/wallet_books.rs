//! The books of wallets: everything that a change of a balance reads and writes, of many wallets at once.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::ids::{WalletGrantId, WalletId};
use uuid::Uuid;

use crate::{
    DbError, TenantTx,
    wallets::{Row, Wallet, WalletEntry},
};

/// What the ledger account of a wallet counts. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletAccount {
    /// Credits less debits.
    pub balance: i64,
    /// What open holds reserve, those that have expired unseen included.
    pub held: i64,
    /// How far the balance may go below zero.
    pub debt_limit: i64,
}

/// Credits that were given at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletGrant {
    /// Its id.
    pub id: WalletGrantId,
    /// The wallet.
    pub wallet_id: WalletId,
    /// `promotional` or `paid`.
    pub kind: String,
    /// What was given, in minor units.
    pub amount_minor: i64,
    /// What is left of it.
    pub left_minor: i64,
    /// Lower is used first.
    pub priority: i16,
    /// For people.
    pub description: String,
    /// The first instant at which it can no longer be used.
    pub expires_at: Option<Timestamp>,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

/// What became of a named operation.
#[derive(Debug, Clone, PartialEq)]
pub struct WalletOperation {
    /// The wallet.
    pub wallet_id: WalletId,
    /// Its name.
    pub reference: String,
    /// What was asked for.
    pub request: Value,
    /// What was answered.
    pub outcome: Value,
}

/// Finds wallets and keeps others from changing them until the transaction ends; in the order of their ids, which is the
/// order of locking.
pub async fn lock_many(tx: &mut TenantTx, ids: &[WalletId]) -> Result<Vec<Wallet>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- wallet_books::lock_many
        SELECT id, customer_id, currency, low_balance_minor, recharge_below_minor, recharge_minor, recharge_month_minor,
            recharge_armed, limit_announced, usage_exact, usage_debited_minor, last_entry, created_at
        FROM wallets
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)
        ORDER BY id
        FOR NO KEY UPDATE",
        tenant,
        livemode,
        &uuids(ids),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Wallet::from).collect())
}

/// Reads the accounts of wallets. A statement of its own, because one that waited for a lock reads other tables as they
/// were before.
pub async fn list_accounts(
    tx: &mut TenantTx,
    ids: &[WalletId],
) -> Result<HashMap<WalletId, WalletAccount>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- wallet_books::list_accounts
        SELECT owner_id, (credits_posted - debits_posted)::bigint AS "balance!", debits_pending::bigint AS "held!",
            coalesce(debit_limit, 0) AS "debt_limit!"
        FROM ledger_accounts
        WHERE tenant_id = $1 AND livemode = $2 AND code = 'wallet' AND owner_id = ANY($3)"#,
        tenant,
        livemode,
        &uuids(ids),
    )
    .fetch_all(tx.connection())
    .await?;
    let account = |row: (Uuid, WalletAccount)| (WalletId::from_uuid(row.0), row.1);
    Ok(rows
        .into_iter()
        .map(|row| {
            account((
                row.owner_id,
                WalletAccount { balance: row.balance, held: row.held, debt_limit: row.debt_limit },
            ))
        })
        .collect())
}

/// Lists the grants of wallets that are not used up.
pub async fn list_grants(tx: &mut TenantTx, ids: &[WalletId]) -> Result<Vec<WalletGrant>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- wallet_books::list_grants
        SELECT id, wallet_id, kind, amount_minor, left_minor, priority, description, expires_at, created_at
        FROM wallet_grants
        WHERE tenant_id = $1 AND livemode = $2 AND wallet_id = ANY($3) AND left_minor > 0
        ORDER BY id",
        tenant,
        livemode,
        &uuids(ids),
    )
    .fetch_all(tx.connection())
    .await?;
    let grant = rows.into_iter().map(|row| WalletGrant {
        id: WalletGrantId::from_uuid(row.id),
        wallet_id: WalletId::from_uuid(row.wallet_id),
        kind: row.kind,
        amount_minor: row.amount_minor,
        left_minor: row.left_minor,
        priority: row.priority,
        description: row.description,
        expires_at: row.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
        created_at: row.created_at.to_jiff(),
    });
    Ok(grant.collect())
}

/// Lists the operations of these names that happened before. The wallets are locked.
pub async fn list_operations(
    tx: &mut TenantTx,
    names: &[(WalletId, &str)],
) -> Result<Vec<WalletOperation>, DbError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- wallet_books::list_operations
        SELECT o.wallet_id, o.reference, o.request, o.outcome
        FROM wallet_operations o
        JOIN unnest($3::uuid[], $4::text[]) AS t (wallet_id, reference) ON o.wallet_id = t.wallet_id AND o.reference = t.reference
        WHERE o.tenant_id = $1 AND o.livemode = $2",
        tenant,
        livemode,
        &names.iter().map(|name| name.0.uuid()).collect::<Vec<_>>(),
        &names.iter().map(|name| name.1.to_owned()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let operation = rows.into_iter().map(|row| WalletOperation {
        wallet_id: WalletId::from_uuid(row.wallet_id),
        reference: row.reference,
        request: row.request,
        outcome: row.outcome,
    });
    Ok(operation.collect())
}

/// Notes what became of named operations.
pub async fn insert_operations(
    tx: &mut TenantTx,
    operations: &[WalletOperation],
    now: Timestamp,
) -> Result<(), DbError> {
    if operations.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_books::insert_operations
        INSERT INTO wallet_operations (tenant_id, livemode, wallet_id, reference, request, outcome, created_at)
        SELECT $1, $2, t.wallet_id, t.reference, t.request, t.outcome, $3
        FROM unnest($4::uuid[], $5::text[], $6::jsonb[], $7::jsonb[]) AS t (wallet_id, reference, request, outcome)",
        tenant,
        livemode,
        now.to_sqlx(),
        &operations.iter().map(|it| it.wallet_id.uuid()).collect::<Vec<_>>(),
        &operations.iter().map(|it| it.reference.clone()).collect::<Vec<_>>(),
        &operations.iter().map(|it| it.request.clone()).collect::<Vec<_>>(),
        &operations.iter().map(|it| it.outcome.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds grants.
pub async fn insert_grants(tx: &mut TenantTx, grants: &[WalletGrant]) -> Result<(), DbError> {
    if grants.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_books::insert_grants
        INSERT INTO wallet_grants
            (tenant_id, livemode, id, wallet_id, kind, amount_minor, left_minor, priority, description, expires_at, created_at)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[], $8::smallint[], $9::text[],
            $10::timestamptz[], $11::timestamptz[]) AS t",
        tenant,
        livemode,
        &grants.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.wallet_id.uuid()).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.kind.clone()).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.amount_minor).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.left_minor).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.priority).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.description.clone()).collect::<Vec<_>>(),
        &grants.iter().map(|it| it.expires_at.map(ToSqlx::to_sqlx)).collect::<Vec<_>>() as &[Option<jiff_sqlx::Timestamp>],
        &grants.iter().map(|it| it.created_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes what is left of grants, in minor units.
pub async fn set_left(tx: &mut TenantTx, left: &[(WalletGrantId, i64)]) -> Result<(), DbError> {
    if left.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_books::set_left
        UPDATE wallet_grants g SET left_minor = t.left_minor
        FROM unnest($3::uuid[], $4::bigint[]) AS t (id, left_minor)
        WHERE g.tenant_id = $1 AND g.livemode = $2 AND g.id = t.id",
        tenant,
        livemode,
        &left.iter().map(|it| it.0.uuid()).collect::<Vec<_>>(),
        &left.iter().map(|it| it.1).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds entries.
pub async fn insert_entries(tx: &mut TenantTx, entries: &[WalletEntry]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_books::insert_entries
        INSERT INTO wallet_entries
            (tenant_id, livemode, id, wallet_id, sequence, type, amount_minor, balance_after_minor, over_limit, reference,
             subject_id, description, created_at)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::boolean[], $10::text[],
            $11::uuid[], $12::text[], $13::timestamptz[]) AS t",
        tenant,
        livemode,
        &entries.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.wallet_id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.sequence).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.kind.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.amount_minor).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.balance_after_minor).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.over_limit).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.reference.clone()).collect::<Vec<_>>() as &[Option<String>],
        &entries.iter().map(|it| it.subject_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|it| it.description.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.created_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes how far wallets have come: their entries, their usage and what was announced.
pub async fn update_progress(tx: &mut TenantTx, wallets: &[&Wallet], now: Timestamp) -> Result<(), DbError> {
    if wallets.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_books::update_progress
        UPDATE wallets w SET recharge_armed = t.recharge_armed, limit_announced = t.limit_announced,
            usage_exact = t.usage_exact, usage_debited_minor = t.usage_debited_minor, last_entry = t.last_entry, updated_at = $3
        FROM unnest($4::uuid[], $5::boolean[], $6::boolean[], $7::numeric[], $8::bigint[], $9::bigint[])
            AS t (id, recharge_armed, limit_announced, usage_exact, usage_debited_minor, last_entry)
        WHERE w.tenant_id = $1 AND w.livemode = $2 AND w.id = t.id",
        tenant,
        livemode,
        now.to_sqlx(),
        &wallets.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &wallets.iter().map(|it| it.recharge_armed).collect::<Vec<_>>(),
        &wallets.iter().map(|it| it.limit_announced).collect::<Vec<_>>(),
        &wallets.iter().map(|it| it.usage_exact).collect::<Vec<Decimal>>(),
        &wallets.iter().map(|it| it.usage_debited_minor).collect::<Vec<_>>(),
        &wallets.iter().map(|it| it.last_entry).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

fn uuids(ids: &[WalletId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}
