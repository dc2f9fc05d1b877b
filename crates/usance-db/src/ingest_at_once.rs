//! The group commit in one round trip.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::metering::BucketFold;

use crate::{
    Db, DbError, Scope,
    event_keys::KeyColumns,
    ingest::EventColumns,
    tx::catalog_seats_of,
    usage_folds::{BucketKey, SumColumns},
};

/// What one round trip stores and counts.
#[derive(Debug)]
pub struct AtOnce<'a> {
    /// The catalogues by which the events were resolved, at their versions.
    pub catalogs: &'a [(Scope, i64)],
    /// The keys to claim.
    pub keys: KeyColumns,
    /// Their events; the partitions of their months exist.
    pub events: EventColumns<'a>,
    /// When they arrived.
    pub received_at: Timestamp,
    /// What they add to buckets of what is counted or added up. No key may come twice.
    pub sums: Vec<(BucketKey, BucketFold)>,
}

/// Stores and counts events in a transaction of their own, whose commit does not wait for the disk: nobody may be told before
/// [`Db::flush`]. Does nothing and says so if a catalogue has another version. If somebody has a key,
/// [`crate::event_keys::KEY_CONSTRAINT`] refuses all.
pub async fn store(db: &Db, batch: AtOnce<'_>) -> Result<bool, DbError> {
    let AtOnce { catalogs, keys, events, received_at, sums: folds } = batch;
    let scopes: Vec<Scope> = catalogs.iter().map(|(scope, _)| *scope).collect();
    let (key_scopes, event_scopes) = (keys.scopes.shared(), events.scopes.shared());
    let sums = SumColumns::new(&folds);
    let bucket_scopes = sums.buckets.keys.scopes.shared();
    let query = sqlx::query_scalar!(
        r#"-- ingest_at_once::store
        SELECT ingest_at_once($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29) AS "stored!""#,
        &catalog_seats_of(&scopes),
        &scopes.iter().map(|scope| scope.tenant.uuid()).collect::<Vec<_>>(),
        &scopes.iter().map(|scope| scope.livemode).collect::<Vec<_>>(),
        &catalogs.iter().map(|(_, version)| *version).collect::<Vec<_>>(),
        &keys.keys,
        key_scopes.0,
        key_scopes.1,
        &keys.payload_hashes,
        &keys.occurred_at as &[jiff_sqlx::Timestamp],
        event_scopes.0,
        event_scopes.1,
        &events.customers,
        &events.occurred_at as &[jiff_sqlx::Timestamp],
        &events.id_hashes,
        &events.ids as &[&str],
        &events.types as &[&str],
        &events.properties as &[&str],
        received_at.to_sqlx(),
        bucket_scopes.0,
        bucket_scopes.1,
        &sums.buckets.keys.customers,
        &sums.buckets.keys.meters,
        &sums.buckets.keys.bucket_starts as &[jiff_sqlx::Timestamp],
        &sums.buckets.event_counts,
        &sums.value_sums,
        &sums.buckets.first_at as &[jiff_sqlx::Timestamp],
        &sums.buckets.last_at as &[jiff_sqlx::Timestamp],
        &sums.buckets.digests_high,
        &sums.buckets.digests_low,
    );
    // The query has its own copy, and a batch is large.
    drop((keys, events, folds, sums));
    Ok(query.fetch_one(db.writers()).await?)
}
