//! The unbilled inbox: events that waited are counted once their meter, customer or subscription is there.

use std::collections::{HashMap, HashSet};

use usance_core::metering::{Properties, UnbilledReason};
use usance_db::{
    DbError, Scope, WriterTx,
    event_keys::KeyColumns,
    ingest::{self, EventRow, UnbilledRow},
    late_usage::LateStretch,
};
use uuid::Uuid;

use super::{
    commit::{Counted, count},
    late::{self, Candidate},
    resolve::{Images, Names, Resolved, Unresolved},
};
use crate::{App, error::Result};

/// Events that one transaction looks at.
const EVENTS_PER_TRANSACTION: i64 = 1_000;

/// Looks at every unbilled event of a tenant and mode once, and counts those that can be counted now.
pub async fn rate_unbilled(app: &App, scope: Scope) -> Result<()> {
    let mut after = None;
    loop {
        let mut tx = app.db.writer().await?;
        let last = rate_some(app, &mut tx, scope, after).await?;
        tx.commit().await?;
        match last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn rate_some(
    app: &App,
    tx: &mut WriterTx,
    scope: Scope,
    after: Option<Uuid>,
) -> std::result::Result<Option<Uuid>, DbError> {
    let versions = tx.share_catalogs(&[scope]).await?;
    let rows = ingest::lock_unbilled(tx, scope, after, EVENTS_PER_TRANSACTION).await?;
    let Some(last) = rows.last().map(|row| row.id_hash) else { return Ok(None) };
    let mut images = Images::default();
    let names = HashMap::from([(scope, rows.iter().map(|row| row.customer.as_str()).collect())]);
    images.refresh(tx, &names, &versions).await?;
    let verdicts: Vec<_> = rows.iter().map(|row| resolve(&images, scope, row)).collect();
    let (mut candidates, mut indices) = (Vec::new(), Vec::new());
    for (index, (row, verdict)) in rows.iter().zip(&verdicts).enumerate() {
        if let Err(Unresolved::NotOpen(resolved)) = verdict {
            let subscription = row.subscription.as_deref();
            candidates.push(Candidate { scope, at: row.occurred_at, subscription, resolved });
            indices.push(index);
        }
    }
    let found = late::find_stretches(tx, &candidates).await?;
    let mut late: HashMap<usize, Vec<LateStretch>> =
        found.into_iter().map(|(place, stretches)| (indices[place], stretches)).collect();
    let mut resolved = Vec::new();
    let mut marks = Vec::new();
    let now = images.test_clock(scope).unwrap_or_else(|| app.now());
    for (index, (row, verdict)) in rows.iter().zip(&verdicts).enumerate() {
        match (verdict, late.remove(&index)) {
            (Ok(verdict), _) => resolved.push((row, verdict)),
            (Err(Unresolved::NotOpen(verdict)), Some(stretches)) => {
                marks.extend(stretches.into_iter().map(|stretch| (scope, stretch, now)));
                resolved.push((row, verdict));
            }
            (Err(unresolved), _) => {
                let reason = reason(unresolved).as_str();
                if reason != row.reason {
                    ingest::set_unbilled_reason(tx, scope, row.id_hash, reason).await?;
                }
            }
        }
    }
    let id_hashes: Vec<Uuid> = resolved.iter().map(|(row, _)| row.id_hash).collect();
    ingest::delete_unbilled(tx, scope, &id_hashes).await?;
    let counted =
        resolved.iter().map(|(row, verdict)| Counted { scope, resolved: verdict, event: event_row(row) });
    count(tx, &mut HashSet::new(), &KeyColumns::default(), counted.collect(), app.now()).await?;
    late::mark(tx, &marks).await?;
    Ok(Some(last))
}

fn reason(unresolved: &Unresolved) -> UnbilledReason {
    match unresolved {
        Unresolved::Unbilled(reason) => *reason,
        Unresolved::NotOpen(_) => UnbilledReason::NoSubscription,
        Unresolved::Rejected(_) => UnbilledReason::InvalidValue,
    }
}

fn resolve(images: &Images, scope: Scope, row: &UnbilledRow) -> std::result::Result<Resolved, Unresolved> {
    let properties =
        Properties::parse(&row.properties).map_err(|_| Unresolved::Unbilled(UnbilledReason::InvalidValue))?;
    let names = Names {
        event_type: &row.event_type,
        customer: &row.customer,
        subscription: row.subscription.as_deref(),
    };
    images.resolve(scope, &names, row.occurred_at, &properties)
}

fn event_row(row: &UnbilledRow) -> EventRow<'_> {
    EventRow {
        occurred_at: row.occurred_at,
        id_hash: row.id_hash,
        id: &row.id,
        event_type: &row.event_type,
        properties: &row.properties,
    }
}
