//! One round trip for what is nearly always asked: new events of customers and meters that the writer remembers.
//!
//! Events are resolved before the catalogues are held still. What that led to is true if each still has the version that it was
//! resolved by; otherwise, and where anything is not as usual, nothing is done here.

use std::collections::HashSet;

use usance_db::{
    DbError, Scope,
    ingest_at_once::{self, AtOnce},
};

use super::{
    EventStatus, Receipt, Submission,
    claim::{Claim, assume_fresh},
    commit::{Columns, Counted, Memory, Verdict, keep, new_usage, ordered, resolve},
};
use crate::App;

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
    let mut ordered = ordered(&entries);
    let Claim { fresh, unclaimed } = assume_fresh(&ordered, &mut receipts);
    keep(&mut ordered, fresh);
    let mut counted = Vec::with_capacity(ordered.len());
    for entry in &ordered {
        let Verdict::Counted(resolved) = &entry.verdict else { return Ok(None) };
        counted.push(Counted::new(entry, resolved));
    }
    let Columns { months, events, folds } = Columns::of(counted);
    let Some(sums) = folds.into_sums() else { return Ok(None) };
    if events.is_empty() || !months.keys().all(|month| known_months.contains(month)) {
        return Ok(None);
    }
    let at_once = AtOnce { catalogs: &catalogs, keys: &unclaimed, events: &events, received_at, sums: &sums };
    if !ingest_at_once::store(&app.db, at_once).await? {
        return Ok(None);
    }
    app.entitlements.add_usage(&new_usage(&ordered));
    Ok(Some(receipts))
}
