//! Which events were here before: their keys are kept for ever.
//!
//! Keys come sorted, so that two writers always lock in the same order.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

use crate::{DbError, Scope, TenantTx, WriterTx, ingest::ScopeColumns};

/// Event keys to claim.
#[derive(Debug, Default)]
pub struct KeyColumns {
    pub(crate) keys: Vec<Uuid>,
    pub(crate) scopes: ScopeColumns,
    pub(crate) payload_hashes: Vec<Uuid>,
    pub(crate) occurred_at: Vec<jiff_sqlx::Timestamp>,
}

impl KeyColumns {
    /// Has room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            keys: Vec::with_capacity(rows),
            scopes: ScopeColumns::with_capacity(rows),
            payload_hashes: Vec::with_capacity(rows),
            occurred_at: Vec::with_capacity(rows),
        }
    }

    /// Adds a row. The key is the one of `usance_core::metering::event_key`.
    pub fn push(&mut self, key: Uuid, scope: Scope, payload_hash: Uuid, occurred_at: Timestamp) {
        self.keys.push(key);
        self.scopes.push(scope);
        self.payload_hashes.push(payload_hash);
        self.occurred_at.push(occurred_at.to_sqlx());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The constraint that refuses a key which somebody has, where no replay is expected.
pub const KEY_CONSTRAINT: &str = "event_keys_pkey";

/// Claims the keys that nobody had and counts them. A key that another transaction is about to claim is waited for.
pub async fn claim(tx: &mut WriterTx, keys: &KeyColumns) -> Result<usize, DbError> {
    let claimed = sqlx::query!(
        "-- event_keys::claim
        INSERT INTO event_keys (key, tenant_id, livemode, payload_hash, occurred_at)
        SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::bool[]), unnest($4::uuid[]), unnest($5::timestamptz[])
        ON CONFLICT DO NOTHING",
        &keys.keys,
        &keys.scopes.tenants,
        &keys.scopes.livemodes,
        &keys.payload_hashes,
        &keys.occurred_at as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(usize::try_from(claimed.rows_affected()).unwrap_or(usize::MAX))
}

/// Reads the payload hashes of those keys that this transaction did not claim, because they were there before.
pub async fn find_known(tx: &mut WriterTx, keys: &KeyColumns) -> Result<Vec<(Uuid, Uuid)>, DbError> {
    let rows = sqlx::query!(
        "-- event_keys::find_known
        SELECT key, payload_hash FROM event_keys WHERE key = ANY($1) AND xmin <> pg_current_xact_id()::xid",
        &keys.keys,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.payload_hash)).collect())
}

/// Finds the payload hash under which an event is stored, counted or waiting.
pub async fn find_payload_hash(tx: &mut TenantTx, key: Uuid) -> Result<Option<Uuid>, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        "-- event_keys::find_payload_hash
        SELECT payload_hash FROM event_keys WHERE tenant_id = $1 AND livemode = $2 AND key = $3",
        tenant,
        livemode,
        key,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| row.payload_hash))
}
