//! The unbilled inbox: events that waited are counted once their meter, customer or subscription is there.

use std::collections::HashMap;

use usance_core::metering::{Properties, UnbilledReason};
use usance_db::{
    DbError, Scope, WriterTx,
    ingest::{self, EventRow, UnbilledRow},
};
use uuid::Uuid;

use super::{
    commit::{Counted, count},
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
    tx.share_catalogs([scope].into_iter()).await?;
    let rows = ingest::lock_unbilled(tx, scope, after, EVENTS_PER_TRANSACTION).await?;
    let Some(last) = rows.last().map(|row| row.id_hash) else { return Ok(None) };
    let mut images = Images::default();
    images
        .refresh(tx, &HashMap::from([(scope, rows.iter().map(|row| row.customer.as_str()).collect())]))
        .await?;
    let mut resolved = Vec::new();
    for row in rows {
        match resolve(&images, scope, &row) {
            Ok(verdict) => resolved.push((row, verdict)),
            Err(reason) if reason.as_str() != row.reason => {
                ingest::set_unbilled_reason(tx, scope, row.id_hash, reason.as_str()).await?;
            }
            Err(_) => {}
        }
    }
    let id_hashes: Vec<Uuid> = resolved.iter().map(|(row, _)| row.id_hash).collect();
    ingest::delete_unbilled(tx, scope, &id_hashes).await?;
    let counted =
        resolved.iter().map(|(row, verdict)| Counted { scope, resolved: verdict, event: event_row(row) });
    count(tx, counted.collect(), app.now()).await?;
    Ok(Some(last))
}

fn resolve(
    images: &Images,
    scope: Scope,
    row: &UnbilledRow,
) -> std::result::Result<Resolved, UnbilledReason> {
    let properties = Properties::parse(&row.properties).map_err(|_| UnbilledReason::InvalidValue)?;
    let names = Names {
        event_type: &row.event_type,
        customer: &row.customer,
        subscription: row.subscription.as_deref(),
    };
    images.resolve(scope, &names, row.occurred_at, &properties).map_err(|unresolved| match unresolved {
        Unresolved::Unbilled(reason) => reason,
        Unresolved::Rejected(_) => UnbilledReason::InvalidValue,
    })
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
