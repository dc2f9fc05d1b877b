//! Which events were here before: their keys are kept for ever.
//!
//! Keys come sorted, so that two writers always lock in the same order.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::TenantId;
use uuid::Uuid;

use crate::{DbError, Scope, WriterTx, ingest::ScopeColumns};

/// Event keys to claim.
#[derive(Debug, Default)]
pub struct KeyColumns<'a> {
    pub(crate) scopes: ScopeColumns,
    pub(crate) id_hashes: Vec<Uuid>,
    pub(crate) payload_hashes: Vec<&'a [u8]>,
    pub(crate) occurred_at: Vec<jiff_sqlx::Timestamp>,
}

impl<'a> KeyColumns<'a> {
    /// Adds a row.
    pub fn push(&mut self, scope: Scope, id_hash: Uuid, payload_hash: &'a [u8; 32], occurred_at: Timestamp) {
        self.scopes.push(scope);
        self.id_hashes.push(id_hash);
        self.payload_hashes.push(payload_hash);
        self.occurred_at.push(occurred_at.to_sqlx());
    }
}

impl KeyColumns<'_> {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.id_hashes.is_empty()
    }
}

/// The constraint that refuses a key which somebody has.
pub const KEY_CONSTRAINT: &str = "event_keys_pkey";

/// Claims keys that nobody has, at two thirds of the cost of [`claim`], where no event is stored with them. If somebody
/// has one, [`KEY_CONSTRAINT`] refuses all, and the transaction is lost.
pub async fn claim_fresh(tx: &mut WriterTx, keys: &KeyColumns<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "-- event_keys::claim_fresh
        INSERT INTO event_keys (tenant_id, livemode, id_hash, payload_hash, occurred_at)
        SELECT unnest($1::uuid[]), unnest($2::bool[]), unnest($3::uuid[]), unnest($4::bytea[]), unnest($5::timestamptz[])",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.id_hashes,
        &keys.payload_hashes as &[&[u8]],
        &keys.occurred_at as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Claims the keys that nobody had and counts them. A key that another transaction is about to claim is waited for.
pub async fn claim(tx: &mut WriterTx, keys: &KeyColumns<'_>) -> Result<u64, DbError> {
    let claimed = sqlx::query!(
        "-- event_keys::claim
        INSERT INTO event_keys (tenant_id, livemode, id_hash, payload_hash, occurred_at)
        SELECT unnest($1::uuid[]), unnest($2::bool[]), unnest($3::uuid[]), unnest($4::bytea[]), unnest($5::timestamptz[])
        ON CONFLICT DO NOTHING",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.id_hashes,
        &keys.payload_hashes as &[&[u8]],
        &keys.occurred_at as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(claimed.rows_affected())
}

/// Reads the payload hashes of those keys that this transaction did not claim, because they were there before.
pub async fn find_known(
    tx: &mut WriterTx,
    keys: &KeyColumns<'_>,
) -> Result<Vec<(Scope, Uuid, Vec<u8>)>, DbError> {
    let rows = sqlx::query!(
        "-- event_keys::find_known
        SELECT k.tenant_id, k.livemode, k.id_hash, k.payload_hash
        FROM unnest($1::uuid[], $2::bool[], $3::uuid[]) AS s (tenant_id, livemode, id_hash)
        JOIN event_keys k USING (tenant_id, livemode, id_hash)
        WHERE k.xmin <> pg_current_xact_id()::xid",
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.id_hashes,
    )
    .fetch_all(tx.connection())
    .await?;
    let scope = |tenant, livemode| Scope { tenant: TenantId::from_uuid(tenant), livemode };
    Ok(rows
        .into_iter()
        .map(|row| (scope(row.tenant_id, row.livemode), row.id_hash, row.payload_hash))
        .collect())
}
