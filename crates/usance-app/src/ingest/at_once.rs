//! One round trip for what is nearly always asked: new events of customers and meters that the writer remembers.
//!
//! Events are resolved before the catalogues are held still. What that led to is true if each still has the version that it was
//! resolved by; otherwise, and where anything is not as usual, nothing is done here.

use std::collections::HashSet;

use jiff::Timestamp;
use usance_db::{
    DbError, Scope,
    ingest_at_once::{self, AtOnce},
};

use super::{
    EventStatus, Receipt, Submission,
    claim::{Claim, assume_fresh},
    commit::{Columns, Counted, Entry, Memory, Month, Verdict, keep, new_usage, ordered, resolve},
};
use crate::{App, entitlements::NewUsage};

/// Beyond this the round trips are a small part of the cost, and one statement of everything takes memory.
const EVENTS_MAX: usize = 5_000;

/// Stores the events of all submissions, if all can be stored so. Returns their receipts, in their order, which are true once
/// the database was flushed.
pub(super) async fn commit(
    app: &App,
    memory: &Memory,
    batch: &[Submission],
) -> Result<Option<Vec<Vec<Receipt>>>, DbError> {
    let Memory { images, known_months, replays } = memory;
    let events: usize = batch.iter().map(|submission| submission.events.len()).sum();
    if events > EVENTS_MAX || replays.are_expected() {
        return Ok(None);
    }
    let scopes: HashSet<Scope> = batch.iter().map(|submission| submission.scope).collect();
    let Some(catalogs) = images.versions(scopes) else { return Ok(None) };
    // A catalogue that has its version when it is held still has had it since before this instant.
    let received_at = app.now();
    let (mut receipts, entries) = resolve(images, batch, received_at);
    if receipts.iter().flatten().any(|receipt| receipt.status != EventStatus::Accepted) {
        return Ok(None);
    }
    let Some((at_once, usage)) = prepare(&catalogs, &entries, &mut receipts, known_months, received_at)
    else {
        return Ok(None);
    };
    drop(entries);
    if !ingest_at_once::store(&app.db, at_once).await? {
        return Ok(None);
    }
    app.entitlements.add_usage(&usage);
    Ok(Some(receipts))
}

/// What one round trip stores, and what it means to meters; nothing if it cannot store all.
fn prepare<'e>(
    catalogs: &'e [(Scope, i64)],
    entries: &[Entry<'e>],
    receipts: &mut [Vec<Receipt>],
    known_months: &HashSet<Month>,
    received_at: Timestamp,
) -> Option<(AtOnce<'e>, Vec<NewUsage>)> {
    let mut ordered = ordered(entries);
    let Claim { fresh, unclaimed: keys } = assume_fresh(&ordered, receipts);
    keep(&mut ordered, fresh);
    let mut counted = Vec::with_capacity(ordered.len());
    for entry in &ordered {
        let Verdict::Counted(resolved) = &entry.verdict else { return None };
        counted.push(Counted::new(entry, resolved));
    }
    let Columns { months, events, folds } = Columns::of(counted);
    let sums = folds.into_sums()?;
    if events.is_empty() || !months.keys().all(|month| known_months.contains(month)) {
        return None;
    }
    Some((AtOnce { catalogs, keys, events, received_at, sums }, new_usage(&ordered)))
}
