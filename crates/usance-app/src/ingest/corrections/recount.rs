//! The buckets that corrected events lie in are folded anew from all events that count.

use std::collections::{BTreeMap, BTreeSet};

use usance_core::{
    metering::{BUCKET, bucket_start},
    period::Period,
};
use usance_db::{
    Scope, TenantTx, WriterTx, event_revisions,
    events::EventSpan,
    meters::{self, Meter},
    usage_folds::{self, BucketKey},
};

use super::super::folds::Folds;
use crate::{
    entitlements::NewUsage,
    error::Result,
    measure::{Pages, is_measured, point_of, properties_of},
};

/// Folds every bucket anew that one of the events lies in, and says which usage is another one now. An archived meter keeps
/// what it measured.
pub(super) async fn recount(
    tx: WriterTx,
    scope: Scope,
    changed: &[&event_revisions::StoredEvent],
) -> Result<(TenantTx, Vec<NewUsage>)> {
    let mut tx = tx.into_tenant(scope).await?;
    let types: BTreeSet<&str> = changed.iter().map(|event| event.event_type.as_str()).collect();
    let types: Vec<String> = types.into_iter().map(str::to_owned).collect();
    let meters = meters::list_measuring(&mut tx, &types).await?;
    let mut buckets: BTreeMap<BucketKey, &Meter> = BTreeMap::new();
    let mut usage = Vec::new();
    for event in changed {
        for meter in meters.iter().filter(|meter| meter.event_type == event.event_type) {
            let bucket_start = bucket_start(event.occurred_at);
            let key = BucketKey { scope, customer: event.customer, meter: meter.id, bucket_start };
            buckets.insert(key, meter);
            let (customer, at) = (event.customer, event.occurred_at);
            usage.push(NewUsage { scope, customer, meter: meter.id, at, amount: None });
        }
    }
    let buckets: Vec<(BucketKey, &Meter)> = buckets.into_iter().collect();
    let folds = fold(&mut tx, &buckets).await?;
    let mut tx = tx.into_writer().await?;
    let keys: Vec<BucketKey> = buckets.iter().map(|(key, _)| *key).collect();
    usage_folds::clear(&mut tx, &keys).await?;
    folds.store(&mut tx).await?;
    Ok((tx.into_tenant(scope).await?, usage))
}

async fn fold(tx: &mut TenantTx, buckets: &[(BucketKey, &Meter)]) -> Result<Folds> {
    let spans: Vec<EventSpan<'_>> = buckets
        .iter()
        .map(|(key, meter)| {
            let end = key.bucket_start.saturating_add(BUCKET).unwrap_or(key.bucket_start);
            EventSpan {
                customer: key.customer,
                event_type: &meter.event_type,
                span: Period { start: key.bucket_start, end },
                received_from: meter.created_at,
            }
        })
        .collect();
    let mut folds = Folds::default();
    let mut pages = Pages::new(&spans);
    while let Some(events) = pages.next(tx).await? {
        for event in events {
            let (key, meter) = buckets[event.place];
            let properties = properties_of(&event)?;
            if is_measured(meter, &properties) {
                folds.add(key, meter.aggregation, &point_of(meter, &event, &properties)?);
            }
        }
    }
    Ok(folds)
}
