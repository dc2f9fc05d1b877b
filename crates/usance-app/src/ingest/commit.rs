//! One transaction for the events of many requests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use usance_core::{
    catalog::meter::Aggregation,
    ids::CustomerId,
    metering::{BucketFold, MeterValue, RejectReason, UnbilledReason, bucket_start, is_future},
};
use usance_db::{
    DbError, Scope, WriterTx,
    ingest::{self, EventColumns, EventRow, KeyColumns, UnbilledRow},
    late_usage::LateStretch,
    usage_folds::{self, BucketKey},
};
use uuid::Uuid;

use crate::{App, entitlements::NewUsage};

use super::{
    EventStatus, Incoming, ParsedEvent, Receipt, Submission,
    late::{self, Candidate},
    resolve::{Images, Names, Resolved, Unresolved},
};

/// An event on its way into the tables.
struct Entry<'a> {
    scope: Scope,
    event: &'a ParsedEvent,
    occurred_at: Timestamp,
    verdict: Verdict,
    /// Request and place in it.
    place: (usize, usize),
}

/// What becomes of an event that is new.
enum Verdict {
    /// It counts.
    Counted(Resolved),
    /// It counts, and settled stretches are rated again.
    Late(Resolved, Vec<LateStretch>),
    /// No open stretch counts it; whether a settled one does is not known yet.
    NotOpen(Box<Resolved>),
    /// It waits.
    Unbilled(UnbilledReason),
}

impl Verdict {
    /// Counts an event that no meter measures, if something else does.
    fn or_unmeasured(self, customer: Option<CustomerId>) -> Self {
        match (self, customer) {
            (Self::Unbilled(UnbilledReason::UnknownMeter), Some(customer)) => {
                Self::Counted(Resolved::unmeasured(customer))
            }
            (verdict, _) => verdict,
        }
    }
}

impl Entry<'_> {
    fn key(&self) -> (Scope, Uuid) {
        (self.scope, self.event.identity.id_hash)
    }
}

/// Stores the events of all submissions and returns their receipts, in their order.
pub(super) async fn commit(
    app: &App,
    images: &mut Images,
    batch: &[Submission],
) -> Result<Vec<Vec<Receipt>>, DbError> {
    let mut tx = app.db.writer().await?;
    let (receipts, usage) = write(app, &mut tx, images, batch).await?;
    tx.commit().await?;
    app.entitlements.add_usage(&usage);
    Ok(receipts)
}

/// Stores the events of all submissions in a transaction that is going on. Returns their receipts, in their order, and
/// what they mean to meters.
pub(super) async fn write(
    app: &App,
    tx: &mut WriterTx,
    images: &mut Images,
    batch: &[Submission],
) -> Result<(Vec<Vec<Receipt>>, Vec<NewUsage>), DbError> {
    let names = names(batch);
    tx.share_catalogs(names.keys().copied()).await?;
    // Under the lock, so that it lies on the same side of every change of the catalogue as what is resolved below.
    let received_at = app.now();
    images.refresh(tx, &names).await?;
    let (mut receipts, mut entries) = resolve(images, batch, received_at);
    recognise_rejected(tx, batch, &mut receipts).await?;
    find_late(tx, &mut entries, &mut receipts).await?;
    // One order of locking for all writers. Of two events with one id, the first one sent comes first.
    entries.sort_by_key(|entry| (entry.key(), entry.place));
    let claimed = claim(tx, &entries, &mut receipts).await?;
    let fresh: Vec<&Entry<'_>> =
        entries.iter().zip(claimed).filter_map(|(entry, claimed)| claimed.then_some(entry)).collect();
    store(tx, &fresh, received_at).await?;
    mark_late(tx, images, &fresh, received_at).await?;
    let usage = fresh.iter().flat_map(|entry| new_usage(entry)).collect();
    Ok((receipts, usage))
}

/// What an event means to the meters that measure it.
fn new_usage(entry: &Entry<'_>) -> Vec<NewUsage> {
    let (Verdict::Counted(resolved) | Verdict::Late(resolved, _)) = &entry.verdict else { return Vec::new() };
    let usage = resolved.values().map(|(meter, value)| NewUsage {
        scope: entry.scope,
        customer: resolved.customer,
        meter: meter.id,
        at: entry.occurred_at,
        amount: value.addend(meter.aggregation),
    });
    usage.collect()
}

/// Decides about the events that no open stretch counts: they belong to a settled one, or to none.
async fn find_late(
    tx: &mut WriterTx,
    entries: &mut [Entry<'_>],
    receipts: &mut [Vec<Receipt>],
) -> Result<(), DbError> {
    let mut candidates = Vec::new();
    let mut indices = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Verdict::NotOpen(resolved) = &entry.verdict {
            let subscription = entry.event.subscription.as_deref();
            candidates.push(Candidate { scope: entry.scope, at: entry.occurred_at, subscription, resolved });
            indices.push(index);
        }
    }
    if candidates.is_empty() {
        return Ok(());
    }
    let mut found = late::find_stretches(tx, &candidates).await?;
    drop(candidates);
    for (candidate, index) in indices.into_iter().enumerate() {
        let entry = &mut entries[index];
        let no_subscription = Verdict::Unbilled(UnbilledReason::NoSubscription);
        entry.verdict =
            match (std::mem::replace(&mut entry.verdict, no_subscription), found.remove(&candidate)) {
                (Verdict::NotOpen(resolved), Some(stretches)) => Verdict::Late(*resolved, stretches),
                (Verdict::NotOpen(_), None) => Verdict::Unbilled(UnbilledReason::NoSubscription),
                (verdict, _) => verdict,
            };
        receipts[entry.place.0][entry.place.1] = receipt_of(entry.event, &entry.verdict);
    }
    Ok(())
}

async fn mark_late(
    tx: &mut WriterTx,
    images: &Images,
    fresh: &[&Entry<'_>],
    received_at: Timestamp,
) -> Result<(), DbError> {
    let mut marks = Vec::new();
    for entry in fresh {
        if let Verdict::Late(_, stretches) = &entry.verdict {
            let now = images.test_clock(entry.scope).unwrap_or(received_at);
            marks.extend(stretches.iter().map(|stretch| (entry.scope, *stretch, now)));
        }
    }
    late::mark(tx, &marks).await
}

/// The customers that the events of each tenant name.
fn names(batch: &[Submission]) -> HashMap<Scope, Vec<&str>> {
    let mut names: HashMap<Scope, HashSet<&str>> = HashMap::new();
    for submission in batch {
        let of_scope = names.entry(submission.scope).or_default();
        for incoming in &submission.events {
            if let Incoming::Event(event) = incoming {
                of_scope.insert(&event.customer);
            }
        }
    }
    names.into_iter().map(|(scope, names)| (scope, names.into_iter().collect())).collect()
}

fn resolve<'a>(
    images: &Images,
    batch: &'a [Submission],
    received_at: Timestamp,
) -> (Vec<Vec<Receipt>>, Vec<Entry<'a>>) {
    let mut receipts = Vec::with_capacity(batch.len());
    let mut entries = Vec::new();
    for (request, submission) in batch.iter().enumerate() {
        let scope = submission.scope;
        let test_clock = images.test_clock(scope);
        let mut of_request = Vec::with_capacity(submission.events.len());
        for (index, incoming) in submission.events.iter().enumerate() {
            let receipt = match incoming {
                Incoming::Rejected { id, reason } => rejected(id.clone(), *reason),
                Incoming::Event(event) => match admit(images, scope, event, test_clock, received_at) {
                    Err(reason) => rejected(Some(event.id.clone()), reason),
                    Ok((occurred_at, verdict)) => {
                        let verdict = verdict.or_unmeasured(submission.unmeasured);
                        let receipt = receipt_of(event, &verdict);
                        entries.push(Entry { scope, event, occurred_at, verdict, place: (request, index) });
                        receipt
                    }
                },
            };
            of_request.push(receipt);
        }
        receipts.push(of_request);
    }
    (receipts, entries)
}

type Admitted = (Timestamp, Verdict);

fn admit(
    images: &Images,
    scope: Scope,
    event: &ParsedEvent,
    test_clock: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Admitted, RejectReason> {
    let tenant_now = test_clock.unwrap_or(received_at);
    let occurred_at = event.time.unwrap_or(tenant_now);
    if is_future(occurred_at, received_at, tenant_now) {
        return Err(RejectReason::FutureTime);
    }
    let names = Names {
        event_type: &event.event_type,
        customer: &event.customer,
        subscription: event.subscription.as_deref(),
    };
    match images.resolve(scope, &names, occurred_at, &event.properties) {
        Ok(resolved) => Ok((occurred_at, Verdict::Counted(resolved))),
        Err(Unresolved::NotOpen(resolved)) => Ok((occurred_at, Verdict::NotOpen(resolved))),
        Err(Unresolved::Unbilled(reason)) => Ok((occurred_at, Verdict::Unbilled(reason))),
        Err(Unresolved::Rejected(reason)) => Err(reason),
    }
}

fn rejected(id: Option<String>, reason: RejectReason) -> Receipt {
    Receipt { id, status: EventStatus::Rejected(reason), meters: [].into() }
}

fn receipt_of(event: &ParsedEvent, verdict: &Verdict) -> Receipt {
    let (status, meters) = match verdict {
        Verdict::Counted(resolved) | Verdict::Late(resolved, _) => {
            (EventStatus::Accepted, Arc::clone(&resolved.codes))
        }
        Verdict::NotOpen(_) => (EventStatus::Unbilled(UnbilledReason::NoSubscription), [].into()),
        Verdict::Unbilled(reason) => (EventStatus::Unbilled(*reason), [].into()),
    };
    Receipt { id: Some(event.id.clone()), status, meters }
}

/// Claims the keys of the sorted entries. Returns which entries are new; the receipts of the others say why they are not.
async fn claim(
    tx: &mut WriterTx,
    entries: &[Entry<'_>],
    receipts: &mut [Vec<Receipt>],
) -> Result<Vec<bool>, DbError> {
    let mut keys = KeyColumns::default();
    let mut wanted = 0_u64;
    for (index, entry) in entries.iter().enumerate() {
        if index == 0 || entries[index - 1].key() != entry.key() {
            keys.push(
                entry.scope,
                entry.event.identity.id_hash,
                &entry.event.identity.payload_hash,
                entry.occurred_at,
            );
            wanted += 1;
        }
    }
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let known = if ingest::claim_keys(tx, &keys).await? == wanted {
        HashMap::new()
    } else {
        find_known(tx, &keys).await?
    };
    let mut fresh = Vec::with_capacity(entries.len());
    let mut first_of_key: Option<&Entry<'_>> = None;
    for entry in entries {
        let first = first_of_key.filter(|first| first.key() == entry.key());
        first_of_key = Some(first.unwrap_or(entry));
        let stored = match (first, known.get(&entry.key())) {
            (_, Some(stored)) => Some(stored.as_slice()),
            (Some(first), None) => Some(&first.event.identity.payload_hash[..]),
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
    Ok(fresh)
}

/// The payload hashes of keys that were there before this transaction.
async fn find_known(
    tx: &mut WriterTx,
    keys: &KeyColumns<'_>,
) -> Result<HashMap<(Scope, Uuid), Vec<u8>>, DbError> {
    let known = ingest::find_known(tx, keys).await?;
    Ok(known.into_iter().map(|(scope, id_hash, payload_hash)| ((scope, id_hash), payload_hash)).collect())
}

/// An event that was counted before is a replay, also where a meter that was added since would refuse it.
async fn recognise_rejected(
    tx: &mut WriterTx,
    batch: &[Submission],
    receipts: &mut [Vec<Receipt>],
) -> Result<(), DbError> {
    let mut keys = KeyColumns::default();
    let mut places = Vec::new();
    for (submission, receipts) in batch.iter().zip(receipts) {
        for (incoming, receipt) in submission.events.iter().zip(receipts) {
            if let (Incoming::Event(event), EventStatus::Rejected(_)) = (incoming, receipt.status) {
                keys.push(
                    submission.scope,
                    event.identity.id_hash,
                    &event.identity.payload_hash,
                    Timestamp::UNIX_EPOCH,
                );
                places.push((submission.scope, event, receipt));
            }
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let known = find_known(tx, &keys).await?;
    for (scope, event, receipt) in places {
        if let Some(stored) = known.get(&(scope, event.identity.id_hash)) {
            let same = stored == &event.identity.payload_hash;
            receipt.status = if same { EventStatus::Replayed } else { EventStatus::Conflict };
        }
    }
    Ok(())
}

async fn store(tx: &mut WriterTx, entries: &[&Entry<'_>], received_at: Timestamp) -> Result<(), DbError> {
    let mut counted = Vec::with_capacity(entries.len());
    let mut unbilled = Vec::new();
    for entry in entries {
        let event = entry.event;
        match &entry.verdict {
            Verdict::Counted(resolved) | Verdict::Late(resolved, _) => counted.push(Counted {
                scope: entry.scope,
                resolved,
                event: EventRow {
                    occurred_at: entry.occurred_at,
                    id_hash: event.identity.id_hash,
                    id: &event.id,
                    event_type: &event.event_type,
                    properties: event.properties.canonical(),
                },
            }),
            Verdict::NotOpen(_) | Verdict::Unbilled(_) => unbilled.push(UnbilledRow {
                scope: entry.scope,
                id_hash: event.identity.id_hash,
                id: event.id.clone(),
                event_type: event.event_type.clone(),
                customer: event.customer.clone(),
                subscription: event.subscription.clone(),
                occurred_at: entry.occurred_at,
                properties: event.properties.canonical().to_owned(),
                reason: match entry.verdict {
                    Verdict::Unbilled(reason) => reason,
                    Verdict::Counted(_) | Verdict::Late(..) | Verdict::NotOpen(_) => {
                        UnbilledReason::NoSubscription
                    }
                }
                .as_str()
                .to_owned(),
            }),
        }
    }
    if !unbilled.is_empty() {
        ingest::insert_unbilled(tx, &unbilled, received_at).await?;
    }
    count(tx, counted, received_at).await
}

/// An event that is stored and counted.
pub(super) struct Counted<'a> {
    pub(super) scope: Scope,
    pub(super) resolved: &'a Resolved,
    pub(super) event: EventRow<'a>,
}

/// Stores events whose keys are claimed, and adds them to their aggregates.
pub(super) async fn count(
    tx: &mut WriterTx,
    mut events: Vec<Counted<'_>>,
    received_at: Timestamp,
) -> Result<(), DbError> {
    if events.is_empty() {
        return Ok(());
    }
    events.sort_by_key(|counted| (counted.scope, counted.resolved.customer, counted.event.occurred_at));
    let mut folds = Folds::default();
    let mut months: BTreeMap<(i16, i8), Timestamp> = BTreeMap::new();
    let mut columns = EventColumns::default();
    for counted in events {
        let date = jiff::tz::Offset::UTC.to_datetime(counted.event.occurred_at);
        months.entry((date.year(), date.month())).or_insert(counted.event.occurred_at);
        folds.add(&counted);
        columns.push(counted.scope, counted.resolved.customer, counted.event);
    }
    for at in months.into_values() {
        ingest::ensure_partition(tx, at).await?;
    }
    ingest::insert_events(tx, &columns, received_at).await?;
    folds.store(tx).await
}

/// Aggregates of a batch, folded in memory before they meet the table.
#[derive(Default)]
struct Folds {
    sums: BTreeMap<BucketKey, BucketFold>,
    extremes: BTreeMap<BucketKey, BucketFold>,
    /// Folds that a bucket could not take without losing a digit: they are added by a statement of their own.
    overflow: Vec<(BucketKey, BucketFold)>,
    values: BTreeSet<(BucketKey, Uuid)>,
}

impl Folds {
    fn add(&mut self, counted: &Counted<'_>) {
        let event = &counted.event;
        let customer: CustomerId = counted.resolved.customer;
        for (meter, value) in counted.resolved.values() {
            let key = BucketKey {
                scope: counted.scope,
                customer,
                meter: meter.id,
                bucket_start: bucket_start(event.occurred_at),
            };
            let fold = BucketFold::of(meter.aggregation, event.occurred_at, event.id_hash, value);
            let buckets = match meter.aggregation {
                Aggregation::Count
                | Aggregation::Sum
                | Aggregation::Average
                | Aggregation::WeightedSum
                | Aggregation::UniqueCount => &mut self.sums,
                Aggregation::Max | Aggregation::Min | Aggregation::Latest => &mut self.extremes,
            };
            match buckets.get_mut(&key) {
                Some(total) => {
                    if total.merge(&fold).is_err() {
                        self.overflow.push((key, fold));
                    }
                }
                None => {
                    buckets.insert(key, fold);
                }
            }
            if let MeterValue::Hash(hash) = value {
                self.values.insert((key, hash));
            }
        }
    }

    async fn store(self, tx: &mut WriterTx) -> Result<(), DbError> {
        let sums: Vec<_> = self.sums.into_iter().collect();
        if !sums.is_empty() {
            usage_folds::fold_sums(tx, &sums).await?;
        }
        for fold in self.overflow {
            usage_folds::fold_sums(tx, &[fold]).await?;
        }
        let extremes: Vec<_> = self.extremes.into_iter().collect();
        if !extremes.is_empty() {
            usage_folds::fold_extremes(tx, &extremes).await?;
        }
        let values: Vec<_> = self.values.into_iter().collect();
        if !values.is_empty() {
            usage_folds::insert_values(tx, &values).await?;
        }
        Ok(())
    }
}
