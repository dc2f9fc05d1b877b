//! Events that come after their stretch was settled. They count, and the stretch is rated again.

use std::collections::HashMap;

use jiff::Timestamp;
use usance_db::{
    DbError, Scope, WriterTx,
    late_usage::{self, LateEvent, LateStretch},
};

use super::resolve::Resolved;

/// An event that no open stretch counts.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) scope: Scope,
    pub(super) at: Timestamp,
    /// The one that the event names, if it names one.
    pub(super) subscription: Option<&'a str>,
    pub(super) resolved: &'a Resolved,
}

/// Finds the settled stretches of each candidate that are to be rated again with it; none where the stretch is free. A
/// candidate that is missing belongs to no stretch at all.
pub(super) async fn find_stretches(
    tx: &mut WriterTx,
    candidates: &[Candidate<'_>],
) -> Result<HashMap<usize, Vec<LateStretch>>, DbError> {
    let mut by_scope: HashMap<Scope, Vec<LateEvent>> = HashMap::new();
    for (place, candidate) in (0_i64..).zip(candidates) {
        let of_scope = by_scope.entry(candidate.scope).or_default();
        of_scope.extend(candidate.resolved.values().map(|(meter, _)| LateEvent {
            place,
            customer: candidate.resolved.customer,
            meter: meter.id,
            at: candidate.at,
        }));
    }
    let mut found: HashMap<usize, Vec<LateStretch>> = HashMap::new();
    for (scope, events) in by_scope {
        tx.enter_tenant(scope).await?;
        let settled = late_usage::find_settled(tx, scope, &events).await?;
        tx.leave_tenant().await?;
        for (place, stretch, free) in settled {
            let place = usize::try_from(place).unwrap_or_default();
            let named = candidates.get(place).and_then(|candidate| candidate.subscription);
            if named.is_some_and(|named| named.parse() != Ok(stretch.subscription)) {
                continue;
            }
            let stretches = found.entry(place).or_default();
            if !free && !stretches.contains(&stretch) {
                stretches.push(stretch);
            }
        }
    }
    Ok(found)
}

/// Marks stretches as to be rated again.
pub(super) async fn mark(
    tx: &mut WriterTx,
    marks: &[(Scope, LateStretch, Timestamp)],
) -> Result<(), DbError> {
    if marks.is_empty() { Ok(()) } else { late_usage::mark(tx, marks).await }
}
