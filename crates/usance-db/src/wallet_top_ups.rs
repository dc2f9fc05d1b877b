//! Top-ups of wallets: money that a gateway takes and a wallet gets.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{PaymentMethodId, TopUpId, WalletId};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A top-up as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// Its id; also the idempotency key at the gateway.
    pub id: TopUpId,
    /// The wallet that gets the money.
    pub wallet_id: WalletId,
    /// With what it is paid.
    pub payment_method_id: PaymentMethodId,
    /// Through which gateway.
    pub gateway: String,
    /// Whether nobody asked for it.
    pub automatic: bool,
    /// `processing`, `succeeded`, `failed` or `unknown`.
    pub status: String,
    /// The `Idempotency-Key` of the request for it.
    pub reference: Option<String>,
    /// In minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The gateway's name for the charge.
    pub gateway_reference: Option<String>,
    /// Why it failed.
    pub failure_code: Option<String>,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// When the gateway was last asked, UTC.
    pub sent_at: Option<Timestamp>,
}

/// Adds a top-up. Conflicts: `wallet_top_ups_automatic_key`, while another one that nobody asked for is open;
/// `wallet_top_ups_reference_key`, if it was asked for before.
pub async fn insert(tx: &mut TenantTx, top_up: &TopUp, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_top_ups::insert
        INSERT INTO wallet_top_ups
            (tenant_id, livemode, id, wallet_id, payment_method_id, gateway, automatic, status, amount_minor, currency,
             created_at, sent_at, updated_at, reference)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tenant,
        livemode,
        top_up.id.uuid(),
        top_up.wallet_id.uuid(),
        top_up.payment_method_id.uuid(),
        top_up.gateway,
        top_up.automatic,
        top_up.status,
        top_up.amount_minor,
        top_up.currency,
        top_up.created_at.to_sqlx(),
        top_up.sent_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        now.to_sqlx(),
        top_up.reference,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the top-up of a wallet that was asked for under an `Idempotency-Key`.
pub async fn find_by_reference(
    tx: &mut TenantTx,
    wallet: WalletId,
    reference: &str,
) -> Result<Option<TopUpId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- wallet_top_ups::find_by_reference
        SELECT id FROM wallet_top_ups WHERE tenant_id = $1 AND livemode = $2 AND wallet_id = $3 AND reference = $4",
        tenant,
        livemode,
        wallet.uuid(),
        reference,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| TopUpId::from_uuid(row.id)))
}

/// Finds a top-up and keeps others from changing it until the transaction ends. Its wallet is not locked by this.
pub async fn lock(tx: &mut TenantTx, id: TopUpId) -> Result<Option<TopUp>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- wallet_top_ups::lock
        SELECT id, wallet_id, payment_method_id, gateway, automatic, status, amount_minor, currency, gateway_reference,
            failure_code, reference, created_at, sent_at
        FROM wallet_top_ups
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3
        FOR UPDATE",
        tenant,
        livemode,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| TopUp {
        id: TopUpId::from_uuid(row.id),
        wallet_id: WalletId::from_uuid(row.wallet_id),
        payment_method_id: PaymentMethodId::from_uuid(row.payment_method_id),
        gateway: row.gateway,
        automatic: row.automatic,
        status: row.status,
        amount_minor: row.amount_minor,
        currency: row.currency,
        gateway_reference: row.gateway_reference,
        failure_code: row.failure_code,
        reference: row.reference,
        created_at: row.created_at.to_jiff(),
        sent_at: row.sent_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// Notes how a top-up stands.
pub async fn set_status(tx: &mut TenantTx, top_up: &TopUp, now: Timestamp) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- wallet_top_ups::set_status
        UPDATE wallet_top_ups SET status = $4, gateway_reference = $5, failure_code = $6, sent_at = $7, updated_at = $8
        WHERE tenant_id = $1 AND livemode = $2 AND id = $3",
        tenant,
        livemode,
        top_up.id.uuid(),
        top_up.status,
        top_up.gateway_reference,
        top_up.failure_code,
        top_up.sent_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        now.to_sqlx(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The wallets among these that have an automatic top-up under way.
pub async fn list_recharging(tx: &mut TenantTx, wallets: &[WalletId]) -> Result<Vec<WalletId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- wallet_top_ups::list_recharging
        SELECT wallet_id FROM wallet_top_ups
        WHERE tenant_id = $1 AND livemode = $2 AND wallet_id = ANY($3) AND automatic AND status IN ('processing', 'unknown')",
        tenant,
        livemode,
        &wallets.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| WalletId::from_uuid(row.wallet_id)).collect())
}

/// What a wallet was topped up by itself since a time, in minor units, without what failed.
pub async fn sum_automatic_since(
    tx: &mut TenantTx,
    wallet: WalletId,
    since: Timestamp,
) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- wallet_top_ups::sum_automatic_since
        SELECT coalesce(sum(amount_minor), 0)::bigint AS "sum!"
        FROM wallet_top_ups
        WHERE tenant_id = $1 AND livemode = $2 AND wallet_id = $3 AND automatic AND status <> 'failed' AND created_at >= $4"#,
        tenant,
        livemode,
        wallet.uuid(),
        since.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.sum)
}
