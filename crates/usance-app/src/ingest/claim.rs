//! Exactly once: the key of an event is claimed before it is stored.

use std::collections::HashMap;

use jiff::Timestamp;
use usance_db::{
    DbError, WriterTx,
    event_keys::{self, KeyColumns},
};
use uuid::Uuid;

use super::{EventStatus, Incoming, Receipt, Submission, commit::Entry};

/// For how many transactions keys are claimed with care after one met a replay.
const CAREFUL_TRANSACTIONS: u32 = 64;

/// Whether keys are likely to be there already. Nearly all events are sent once, and what they cost is nearly all.
#[derive(Debug, Default)]
pub(super) struct Replays {
    careful: u32,
}

impl Replays {
    /// A transaction met a replay, and is run again.
    pub(super) fn expect(&mut self) {
        self.careful = CAREFUL_TRANSACTIONS;
    }

    pub(super) fn are_expected(&self) -> bool {
        self.careful > 0
    }
}

/// What is known of keys before events are stored.
pub(super) struct Claim {
    /// Which entries are new.
    pub(super) fresh: Vec<bool>,
    /// Keys that are still to be claimed. One that somebody has then fails the transaction.
    pub(super) unclaimed: KeyColumns,
}

/// Claims the keys of the sorted entries, or leaves them to be claimed with their events where no replay is expected. The
/// receipts of the entries that are not new say why.
pub(super) async fn claim(
    tx: &mut WriterTx,
    replays: &mut Replays,
    entries: &[&Entry<'_>],
    receipts: &mut [Vec<Receipt>],
) -> Result<Claim, DbError> {
    if !replays.are_expected() {
        return Ok(assume_fresh(entries, receipts));
    }
    let keys = keys(entries);
    if keys.is_empty() {
        return Ok(Claim { fresh: Vec::new(), unclaimed: keys });
    }
    replays.careful -= 1;
    let known = if event_keys::claim(tx, &keys).await? == keys.len() {
        HashMap::new()
    } else {
        replays.expect();
        find_known(tx, &keys).await?
    };
    Ok(Claim { fresh: compare(&known, entries, receipts), unclaimed: KeyColumns::default() })
}

/// Leaves the keys of the sorted entries to be claimed with their events, where no replay is expected.
pub(super) fn assume_fresh(entries: &[&Entry<'_>], receipts: &mut [Vec<Receipt>]) -> Claim {
    Claim { fresh: compare(&HashMap::new(), entries, receipts), unclaimed: keys(entries) }
}

/// The keys of the sorted entries, each once.
fn keys(entries: &[&Entry<'_>]) -> KeyColumns {
    let mut keys = KeyColumns::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if index == 0 || entries[index - 1].key != entry.key {
            keys.push(entry.key, entry.scope, entry.event.identity.payload_hash, entry.occurred_at);
        }
    }
    keys
}

/// Tells which entries are new, and notes in the receipts what the others are.
fn compare(known: &HashMap<Uuid, Uuid>, entries: &[&Entry<'_>], receipts: &mut [Vec<Receipt>]) -> Vec<bool> {
    let mut fresh = Vec::with_capacity(entries.len());
    let mut first_of_key: Option<&Entry<'_>> = None;
    for entry in entries {
        let first = first_of_key.filter(|first| first.key == entry.key);
        first_of_key = Some(first.unwrap_or(entry));
        let stored = match (first, known.get(&entry.key)) {
            (_, Some(stored)) => Some(*stored),
            (Some(first), None) => Some(first.event.identity.payload_hash),
            (None, None) => None,
        };
        if let Some(stored) = stored {
            let same = stored == entry.event.identity.payload_hash;
            let receipt = &mut receipts[entry.place.0][entry.place.1];
            receipt.status = if same { EventStatus::Replayed } else { EventStatus::Conflict };
            receipt.meters = [].into();
        }
        fresh.push(stored.is_none());
    }
    fresh
}

/// The payload hashes of keys that were there before this transaction.
async fn find_known(tx: &mut WriterTx, keys: &KeyColumns) -> Result<HashMap<Uuid, Uuid>, DbError> {
    Ok(event_keys::find_known(tx, keys).await?.into_iter().collect())
}

/// An event that was counted before is a replay, also where a meter that was added since would refuse it.
pub(super) async fn recognise_rejected(
    tx: &mut WriterTx,
    batch: &[Submission],
    receipts: &mut [Vec<Receipt>],
) -> Result<(), DbError> {
    let mut keys = KeyColumns::default();
    let mut places = Vec::new();
    for (submission, receipts) in batch.iter().zip(receipts) {
        for (incoming, receipt) in submission.events.iter().zip(receipts) {
            if let (Incoming::Event(event), EventStatus::Rejected(_)) = (incoming, receipt.status) {
                let key = event.key(submission.scope);
                keys.push(key, submission.scope, event.identity.payload_hash, Timestamp::UNIX_EPOCH);
                places.push((key, event, receipt));
            }
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let known = find_known(tx, &keys).await?;
    for (key, event, receipt) in places {
        if let Some(stored) = known.get(&key) {
            let same = stored == &event.identity.payload_hash;
            receipt.status = if same { EventStatus::Replayed } else { EventStatus::Conflict };
        }
    }
    Ok(())
}
