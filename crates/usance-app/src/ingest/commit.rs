//! One transaction for the events of many requests.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use usance_core::metering::{Point, RejectReason, UnbilledReason, bucket_start, is_future};
use usance_db::{
    DbError, Scope, WriterTx,
    event_keys::{self, KeyColumns},
    ingest::{self, EventColumns, EventRow, UnbilledRow},
    late_usage::LateStretch,
    usage_folds::BucketKey,
};
use uuid::Uuid;

use crate::{App, entitlements::NewUsage};

use super::{
    EventStatus, Incoming, ParsedEvent, Receipt, Submission, Unmeasured, at_once,
    claim::{Claim, Replays, claim, recognise_rejected},
    folds::Folds,
    late::{self, Candidate},
    resolve::{Images, Names, Resolved, Unresolved},
};

/// What a writer remembers from one transaction to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) images: Images,
    pub(super) known_months: HashSet<Month>,
    pub(super) replays: Replays,
}

impl Memory {
    /// Knows no more than images: what it leads to never fails because of what it remembers.
    pub(super) fn of_images(images: Images) -> Self {
        let mut memory = Self { images, ..Self::default() };
        memory.replays.expect();
        memory
    }

    pub(super) fn into_images(self) -> Images {
        self.images
    }

    /// Forgets what was learnt in a transaction that failed, or what made it fail.
    pub(super) fn forget(&mut self, error: &DbError) {
        self.images.clear();
        self.known_months.clear();
        if error.is_conflict(event_keys::KEY_CONSTRAINT) {
            self.replays.expect();
        }
    }
}

/// An event on its way into the tables.
pub(super) struct Entry<'a> {
    pub(super) key: Uuid,
    pub(super) scope: Scope,
    pub(super) event: &'a ParsedEvent,
    pub(super) occurred_at: Timestamp,
    pub(super) verdict: Verdict,
    /// Request and place in it.
    pub(super) place: (usize, usize),
}

/// What becomes of an event that is new.
pub(super) enum Verdict {
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
    fn or_unmeasured(self, unmeasured: Option<Unmeasured>) -> Self {
        match (self, unmeasured) {
            (Self::Unbilled(UnbilledReason::UnknownMeter), Some(unmeasured)) => {
                Self::Counted(Resolved::unmeasured(unmeasured.customer))
            }
            (verdict, _) => verdict,
        }
    }
}

/// Stores the events of all submissions and returns their receipts, in their order, which are true once the database was
/// flushed.
pub(super) async fn commit(
    app: &App,
    memory: &mut Memory,
    batch: &[Submission],
) -> Result<Vec<Vec<Receipt>>, DbError> {
    if let Some(receipts) = at_once::commit(app, memory, batch).await? {
        return Ok(receipts);
    }
    let mut tx = app.db.unflushed_writer().await?;
    let (receipts, usage) = write(app, &mut tx, memory, batch).await?;
    tx.commit().await?;
    app.entitlements.add_usage(&usage);
    Ok(receipts)
}

/// Stores the events of all submissions in a transaction that is going on. Returns their receipts, in their order, and
/// what they mean to meters.
pub(super) async fn write(
    app: &App,
    tx: &mut WriterTx,
    memory: &mut Memory,
    batch: &[Submission],
) -> Result<(Vec<Vec<Receipt>>, Vec<NewUsage>), DbError> {
    let Memory { images, known_months, replays } = memory;
    let names = names(batch);
    let scopes: Vec<Scope> = names.keys().copied().collect();
    let versions = tx.share_catalogs(&scopes).await?;
    // Under the lock, so that it lies on the same side of every change of the catalogue as what is resolved below.
    let received_at = app.now();
    images.refresh(tx, &names, &versions).await?;
    let (mut receipts, mut entries) = resolve(images, batch, received_at);
    recognise_rejected(tx, batch, &mut receipts).await?;
    find_late(tx, &mut entries, &mut receipts).await?;
    let mut ordered = ordered(&entries);
    let Claim { fresh, unclaimed } = claim(tx, replays, &ordered, &mut receipts).await?;
    keep(&mut ordered, fresh);
    store(tx, known_months, &unclaimed, &ordered, received_at).await?;
    mark_late(tx, images, &ordered, received_at).await?;
    Ok((receipts, new_usage(&ordered)))
}

/// One order of locking for all writers. Of two events with one id, the first one sent comes first.
pub(super) fn ordered<'a, 'b>(entries: &'b [Entry<'a>]) -> Vec<&'b Entry<'a>> {
    let mut ordered: Vec<_> = entries.iter().collect();
    ordered.sort_unstable_by_key(|entry| (entry.key, entry.place));
    ordered
}

/// Keeps the entries that are new.
pub(super) fn keep(entries: &mut Vec<&Entry<'_>>, fresh: Vec<bool>) {
    let mut is_fresh = fresh.into_iter();
    entries.retain(|_| is_fresh.next() == Some(true));
}

/// What events mean to the meters that measure them.
pub(super) fn new_usage(fresh: &[&Entry<'_>]) -> Vec<NewUsage> {
    let mut usage = Vec::with_capacity(fresh.len());
    for entry in fresh {
        if let Verdict::Counted(resolved) | Verdict::Late(resolved, _) = &entry.verdict {
            usage.extend(resolved.values().map(|(meter, value)| NewUsage {
                scope: entry.scope,
                customer: resolved.customer,
                meter: meter.id,
                at: entry.occurred_at,
                amount: value.addend(meter.aggregation),
            }));
        }
    }
    usage
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
        receipts[entry.place.0][entry.place.1] = receipt_of(&entry.verdict);
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

/// Says what each event is by the images, which must be those of the catalogues while the transaction runs.
pub(super) fn resolve<'a>(
    images: &Images,
    batch: &'a [Submission],
    received_at: Timestamp,
) -> (Vec<Vec<Receipt>>, Vec<Entry<'a>>) {
    let mut receipts = Vec::with_capacity(batch.len());
    let mut entries = Vec::with_capacity(batch.iter().map(|submission| submission.events.len()).sum());
    for (request, submission) in batch.iter().enumerate() {
        let scope = submission.scope;
        let tenant_now = images.test_clock(scope).unwrap_or(received_at);
        // What an event records was counted at an instant already.
        let instant = submission.unmeasured.map_or(tenant_now, |unmeasured| unmeasured.at);
        let now = Now { received_at, of_tenant: tenant_now, instant };
        let mut of_request = Vec::with_capacity(submission.events.len());
        for (index, incoming) in submission.events.iter().enumerate() {
            let receipt = match incoming {
                Incoming::Rejected { reason, .. } => rejected(*reason),
                Incoming::Event(event) => match admit(images, scope, event, now) {
                    Err(reason) => rejected(reason),
                    Ok((occurred_at, verdict)) => {
                        let verdict = verdict.or_unmeasured(submission.unmeasured);
                        let receipt = receipt_of(&verdict);
                        let (key, place) = (event.key(scope), (request, index));
                        entries.push(Entry { key, scope, event, occurred_at, verdict, place });
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

/// What time it is when events are admitted.
#[derive(Clone, Copy)]
struct Now {
    /// By the wall clock.
    received_at: Timestamp,
    of_tenant: Timestamp,
    /// When an event happened that does not say so.
    instant: Timestamp,
}

fn admit(images: &Images, scope: Scope, event: &ParsedEvent, now: Now) -> Result<Admitted, RejectReason> {
    let occurred_at = event.time.unwrap_or(now.instant);
    if is_future(occurred_at, now.received_at, now.of_tenant) {
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

// The ids of receipts are filled in when the events are not needed any more.
fn rejected(reason: RejectReason) -> Receipt {
    Receipt { id: None, status: EventStatus::Rejected(reason), meters: [].into() }
}

fn receipt_of(verdict: &Verdict) -> Receipt {
    let (status, meters) = match verdict {
        Verdict::Counted(resolved) | Verdict::Late(resolved, _) => {
            (EventStatus::Accepted, Arc::clone(&resolved.codes))
        }
        Verdict::NotOpen(_) => (EventStatus::Unbilled(UnbilledReason::NoSubscription), [].into()),
        Verdict::Unbilled(reason) => (EventStatus::Unbilled(*reason), [].into()),
    };
    Receipt { id: None, status, meters }
}

async fn store(
    tx: &mut WriterTx,
    known_months: &mut HashSet<Month>,
    unclaimed: &KeyColumns,
    entries: &[&Entry<'_>],
    received_at: Timestamp,
) -> Result<(), DbError> {
    let mut counted = Vec::with_capacity(entries.len());
    let mut unbilled = Vec::new();
    for entry in entries {
        let event = entry.event;
        match &entry.verdict {
            Verdict::Counted(resolved) | Verdict::Late(resolved, _) => {
                counted.push(Counted::new(entry, resolved));
            }
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
    count(tx, known_months, unclaimed, counted, received_at).await?;
    if !unbilled.is_empty() {
        ingest::insert_unbilled(tx, &unbilled, received_at).await?;
    }
    Ok(())
}

/// An event that is stored and counted.
pub(super) struct Counted<'r, 'e> {
    pub(super) scope: Scope,
    pub(super) resolved: &'r Resolved,
    pub(super) event: EventRow<'e>,
}

impl<'r, 'e> Counted<'r, 'e> {
    pub(super) fn new(entry: &Entry<'e>, resolved: &'r Resolved) -> Self {
        let event = entry.event;
        let event = EventRow {
            occurred_at: entry.occurred_at,
            id_hash: event.identity.id_hash,
            id: &event.id,
            event_type: &event.event_type,
            properties: event.properties.canonical(),
        };
        Self { scope: entry.scope, resolved, event }
    }
}

/// Year and month of a partition.
pub(super) type Month = (i16, i8);

/// The month of the partition that events of an instant lie in.
pub(super) fn month_of(at: Timestamp) -> Month {
    let date = jiff::tz::Offset::UTC.to_datetime(at);
    (date.year(), date.month())
}

/// Claims keys that are not claimed yet, stores events, and adds them to their aggregates. `known_months` are those whose
/// partitions are known to be there.
pub(super) async fn count(
    tx: &mut WriterTx,
    known_months: &mut HashSet<Month>,
    unclaimed: &KeyColumns,
    events: Vec<Counted<'_, '_>>,
    received_at: Timestamp,
) -> Result<(), DbError> {
    let Columns { months, events, folds } = Columns::of(events);
    for (month, at) in months {
        if known_months.insert(month) {
            ingest::ensure_partition(tx, at).await?;
        }
    }
    if !unclaimed.is_empty() || !events.is_empty() {
        ingest::store_events(tx, unclaimed, &events, received_at).await?;
    }
    folds.store(tx).await
}

/// Events as the tables take them.
pub(super) struct Columns<'e> {
    /// Each with an instant in it.
    pub(super) months: BTreeMap<Month, Timestamp>,
    pub(super) events: EventColumns<'e>,
    pub(super) folds: Folds,
}

impl<'e> Columns<'e> {
    pub(super) fn of(mut counted: Vec<Counted<'_, 'e>>) -> Self {
        counted.sort_unstable_by_key(|counted| {
            (counted.scope, counted.resolved.customer, counted.event.occurred_at)
        });
        let mut months = BTreeMap::new();
        let mut events = EventColumns::with_capacity(counted.len());
        let mut folds = Folds::with_capacity(counted.len());
        for counted in counted {
            months.entry(month_of(counted.event.occurred_at)).or_insert(counted.event.occurred_at);
            add(&mut folds, &counted);
            events.push(counted.scope, counted.resolved.customer, counted.event);
        }
        Self { months, events, folds }
    }
}

fn add(folds: &mut Folds, counted: &Counted<'_, '_>) {
    let EventRow { occurred_at: at, id_hash, .. } = counted.event;
    for (meter, value) in counted.resolved.values() {
        let key = BucketKey {
            scope: counted.scope,
            customer: counted.resolved.customer,
            meter: meter.id,
            bucket_start: bucket_start(at),
        };
        folds.add(key, meter.aggregation, &Point { at, id_hash, value });
    }
}
