//! Corrections of events that were counted: a void takes one out of the count, an amendment lets another one count in its
//! place. Nothing that was stored changes; the aggregates are folded anew, and settled stretches are rated again like late
//! usage.

mod consumed;
mod draft;
mod recount;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use usance_core::{
    ids::{CorrectionId, CorrectionSessionId, CustomerId},
    metering::{EventName, Properties, UnbilledReason, event_key},
};
use usance_db::{
    Scope, TenantTx, WriterTx,
    event_keys::KeyColumns,
    event_revisions::{self, Correction, CurrentEvent, StoredEvent},
    ingest::{self, EventColumns, EventRow},
    late_usage::LateStretch,
};
use uuid::Uuid;

use super::{
    commit::month_of,
    late::{self, Candidate},
    rejected,
    resolve::{Images, Names, Resolved, Unresolved},
};
use crate::{
    Cx,
    entitlements::{self, NewUsage},
    error::{Code, Error, Result},
};

use consumed::Consumed;
pub use draft::Amendment;
use draft::Draft;

/// Which event is meant, and what becomes of it.
#[derive(Debug, Clone)]
pub struct EventCorrection {
    /// The event's id as sent.
    pub event: String,
    /// The source of a `CloudEvent`.
    pub source: Option<String>,
    /// What becomes of it.
    pub change: EventChange,
}

/// What becomes of an event.
#[derive(Debug, Clone)]
pub enum EventChange {
    /// It does not count.
    Void,
    /// It counts as if it had been sent like this.
    Amend(Amendment),
}

/// Who corrects, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Occasion {
    pub(crate) session: Option<CorrectionSessionId>,
    pub(crate) reason: String,
}

/// What corrections came to.
#[derive(Debug, Default)]
pub(crate) struct Corrected {
    /// The events as they are now, in the order of the corrections.
    pub(crate) events: Vec<CurrentEvent>,
    /// Settled stretches that are rated again.
    pub(crate) stretches: BTreeSet<LateStretch>,
    /// Whose usage is another one now.
    pub(crate) customers: BTreeSet<CustomerId>,
    usage: Vec<NewUsage>,
    /// Whose counters are other ones now.
    consumers: Vec<CustomerId>,
}

impl Corrected {
    /// Makes the corrections durable, and has done what follows from them.
    pub(crate) async fn commit(&self, cx: &Cx, tx: TenantTx) -> Result<()> {
        tx.commit().await?;
        cx.app.entitlements.add_usage(&self.usage);
        cx.app.entitlements.note_corrected(cx.scope, self.consumers.iter().copied());
        cx.app.work_added.notify_one();
        Ok(())
    }
}

/// Voids or amends one event and returns it as it is then. What was done before is not done again.
pub async fn correct(cx: &Cx, correction: &EventCorrection, reason: String) -> Result<CurrentEvent> {
    let mut tx = cx.begin().await?;
    tx.lock_catalog().await?;
    let occasion = Occasion { session: None, reason };
    let (tx, mut corrected) =
        make(cx, tx, std::slice::from_ref(correction), &occasion).await.map_err(|fault| fault.error)?;
    corrected.commit(cx, tx).await?;
    corrected.events.pop().ok_or(Error::Internal("a correction came to nothing"))
}

/// A refusal, and which correction it is about.
#[derive(Debug)]
pub(crate) struct CorrectionFault {
    pub(crate) index: Option<usize>,
    pub(crate) error: Error,
}

impl<E: Into<Error>> From<E> for CorrectionFault {
    fn from(error: E) -> Self {
        Self { index: None, error: error.into() }
    }
}

fn fault_of(index: usize) -> impl Fn(Error) -> CorrectionFault {
    move |error| CorrectionFault { index: Some(index), error }
}

/// From which revision to which, each as far as it counts.
struct Move {
    index: usize,
    from: Option<StoredEvent>,
    to: Option<StoredEvent>,
    /// The payload hash of a revision that is not stored yet.
    drafted: Option<Draft>,
}

/// Carries out corrections in a transaction that holds the catalogue; the caller commits.
pub(crate) async fn make(
    cx: &Cx,
    mut tx: TenantTx,
    corrections: &[EventCorrection],
    occasion: &Occasion,
) -> std::result::Result<(TenantTx, Corrected), CorrectionFault> {
    let origins: Vec<Uuid> = corrections.iter().map(origin_of).collect();
    let found = event_revisions::find_many(&mut tx, &origins).await?;
    let mut found: HashMap<Uuid, CurrentEvent> =
        found.into_iter().map(|current| (current.event.origin, current)).collect();
    let now = cx.tenant_now(&mut tx).await?;
    let mut moves = Vec::new();
    let mut events = Vec::with_capacity(corrections.len());
    for (index, (correction, origin)) in corrections.iter().zip(&origins).enumerate() {
        // An event that is corrected twice at once is not found the second time.
        let current = found.remove(origin).ok_or_else(|| fault_of(index)(absent()))?;
        let planned = plan(cx, now, correction, &current).map_err(fault_of(index))?;
        events.push(current);
        moves.extend(planned.map(|planned| Move { index, ..planned }));
    }
    let (tx, corrected) = carry_out(cx, tx, &mut moves, (now, occasion)).await?;
    for Move { index, from, to, .. } in moves {
        let current = &mut events[index];
        current.counts = to.is_some();
        if let Some(event) = to.or(from) {
            current.newest = current.newest.max(event.revision);
            current.event = event;
        }
    }
    Ok((tx, Corrected { events, ..corrected }))
}

/// Lets the revisions count again that counted before the corrections of a session, unless an event was corrected since.
pub(crate) async fn undo(
    cx: &Cx,
    mut tx: TenantTx,
    made: &[Correction],
    occasion: &Occasion,
) -> std::result::Result<(TenantTx, Corrected), CorrectionFault> {
    let origins: Vec<Uuid> = made.iter().map(|correction| correction.origin).collect();
    let found = event_revisions::find_many(&mut tx, &origins).await?;
    let counting: HashMap<Uuid, Option<i32>> = found
        .iter()
        .map(|current| (current.event.origin, current.counts.then_some(current.event.revision)))
        .collect();
    let wanted: Vec<(Uuid, i32)> = made
        .iter()
        .flat_map(|it| it.from.into_iter().chain(it.to).map(|revision| (it.origin, revision)))
        .collect();
    let stored = event_revisions::find_revisions(&mut tx, &wanted).await?;
    let revision = |origin: Uuid, revision: Option<i32>| {
        stored.iter().find(|event| event.origin == origin && Some(event.revision) == revision).cloned()
    };
    let now = cx.tenant_now(&mut tx).await?;
    let mut moves = Vec::new();
    for (index, correction) in made.iter().enumerate() {
        if counting.get(&correction.origin) != Some(&correction.to) {
            return Err(fault_of(index)(corrected_since(&correction.event_id)));
        }
        let (from, to) =
            (revision(correction.origin, correction.to), revision(correction.origin, correction.from));
        moves.push(Move { index, from, to, drafted: None });
    }
    carry_out(cx, tx, &mut moves, (now, occasion)).await
}

fn origin_of(correction: &EventCorrection) -> Uuid {
    let id = correction.event.as_str();
    match correction.source.as_deref() {
        Some(source) => EventName::CloudEvent { source, id },
        None => EventName::Id(id),
    }
    .short_hash()
}

fn absent() -> Error {
    let detail = "there is no counted event of this id; one that waits counts nothing, and each is corrected once at a time";
    Error::refused(Code::NotFound, detail)
}

fn corrected_since(event: &str) -> Error {
    let detail = format!("the event {event} was corrected again since: undo that first");
    Error::refused(Code::EventNotCorrectable, detail)
}

/// What a correction does to an event; nothing if that was done before.
fn plan(
    cx: &Cx,
    tenant_now: Timestamp,
    correction: &EventCorrection,
    current: &CurrentEvent,
) -> Result<Option<Move>> {
    let from = current.counts.then(|| current.event.clone());
    match &correction.change {
        EventChange::Void => {
            Ok(from.map(|event| Move { index: 0, from: Some(event), to: None, drafted: None }))
        }
        EventChange::Amend(amendment) => {
            let from = from.ok_or_else(|| {
                let detail = "the event is voided: send a new event under an id of its own";
                Error::refused(Code::EventNotCorrectable, detail)
            })?;
            let draft = amendment.draft(&from, current.newest, (cx.now, tenant_now))?;
            Ok(draft.map(|draft| Move { index: 0, from: Some(from), to: None, drafted: Some(draft) }))
        }
    }
}

async fn carry_out(
    cx: &Cx,
    mut tx: TenantTx,
    moves: &mut [Move],
    (now, occasion): (Timestamp, &Occasion),
) -> std::result::Result<(TenantTx, Corrected), CorrectionFault> {
    let scope = cx.scope;
    let consumed = Consumed::find(&mut tx, moves).await?;
    let mut tx = tx.into_writer().await?;
    let resolutions = resolve(&mut tx, scope, moves, &consumed, cx.now).await?;
    let stretches = find_stretches(&mut tx, scope, moves, &resolutions).await?;
    store(cx, &mut tx, moves, occasion).await?;
    let marks: Vec<_> = stretches.iter().map(|stretch| (scope, *stretch, now)).collect();
    late::mark(&mut tx, &marks).await?;
    let changed: Vec<&StoredEvent> = moves.iter().flat_map(|it| it.from.iter().chain(&it.to)).collect();
    let (mut tx, usage) = recount::recount(tx, scope, &changed).await?;
    let uses = consumed.changes(moves)?;
    entitlements::correct_uses(cx, &mut tx, &uses, now).await?;
    let consumers = uses.iter().map(|it| it.customer).collect();
    let customers: BTreeSet<CustomerId> = changed.iter().map(|event| event.customer).collect();
    let whose: Vec<CustomerId> = customers.iter().copied().collect();
    entitlements::look_again(&mut tx, &whose, now).await?;
    Ok((tx, Corrected { events: Vec::new(), stretches, customers, usage, consumers }))
}

/// A revision that lies in no open stretch: of which move, and whether that adds it.
struct NotOpen {
    place: usize,
    is_added: bool,
    at: Timestamp,
    resolved: Box<Resolved>,
}

/// Finds out what the revisions count for, and fills in the drafted ones.
async fn resolve(
    tx: &mut WriterTx,
    scope: Scope,
    moves: &mut [Move],
    consumed: &Consumed,
    received_at: Timestamp,
) -> std::result::Result<Vec<NotOpen>, CorrectionFault> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for event in moves.iter().flat_map(|it| it.from.iter().chain(&it.to)) {
        names.insert(event.customer.to_string());
    }
    names.extend(moves.iter().filter_map(|it| it.drafted.as_ref().map(|draft| draft.customer.clone())));
    let versions = tx.share_catalogs(&[scope]).await?;
    let mut images = Images::default();
    images
        .refresh(tx, &HashMap::from([(scope, names.iter().map(String::as_str).collect())]), &versions)
        .await?;
    let mut not_open = Vec::new();
    for (place, planned) in moves.iter_mut().enumerate() {
        if let Some(event) = &planned.from
            && let Some(resolved) = not_open_of(&images, scope, event)?
        {
            not_open.push(NotOpen { place, is_added: false, at: event.occurred_at, resolved });
        }
        if let Some(event) = &planned.to
            && let Some(resolved) = not_open_of(&images, scope, event)?
        {
            // It counted before; whatever it counted for is rated again.
            not_open.push(NotOpen { place, is_added: false, at: event.occurred_at, resolved });
        }
        let Some(draft) = &planned.drafted else { continue };
        let fault = fault_of(planned.index);
        consumed.check(draft).map_err(&fault)?;
        let drafted = Names { event_type: &draft.event_type, customer: &draft.customer, subscription: None };
        let customer = match images.resolve(scope, &drafted, draft.occurred_at, &draft.properties) {
            Ok(resolved) => resolved.customer,
            Err(Unresolved::NotOpen(resolved)) => {
                let customer = resolved.customer;
                not_open.push(NotOpen { place, is_added: true, at: draft.occurred_at, resolved });
                customer
            }
            Err(Unresolved::Unbilled(UnbilledReason::UnknownMeter)) if consumed.holds(draft.origin) => images
                .find_customer(scope, &draft.customer)
                .ok_or_else(|| fault(waiting(UnbilledReason::UnknownCustomer)))?,
            Err(Unresolved::Rejected(reason)) => return Err(fault(rejected(reason).into())),
            Err(Unresolved::Unbilled(reason)) => return Err(fault(waiting(reason))),
        };
        planned.to = Some(draft.stored(customer, received_at));
    }
    Ok(not_open)
}

/// What a stored revision counts for, if that lies in no open stretch. What its customer or meter lost since, nobody rates.
fn not_open_of(images: &Images, scope: Scope, event: &StoredEvent) -> Result<Option<Box<Resolved>>> {
    let properties =
        Properties::parse(&event.properties).map_err(|_| Error::Internal("a stored event cannot be read"))?;
    let customer = event.customer.to_string();
    let names = Names { event_type: &event.event_type, customer: &customer, subscription: None };
    Ok(match images.resolve(scope, &names, event.occurred_at, &properties) {
        Err(Unresolved::NotOpen(resolved)) => Some(resolved),
        Ok(_) | Err(Unresolved::Rejected(_) | Unresolved::Unbilled(_)) => None,
    })
}

fn waiting(reason: UnbilledReason) -> Error {
    let detail = format!("the amended event would not be counted: {}", reason.as_str());
    Error::refused(Code::EventNotCorrectable, detail)
}

/// Finds the settled stretches that are to be rated again. An amendment that no stretch counts is refused.
async fn find_stretches(
    tx: &mut WriterTx,
    scope: Scope,
    moves: &[Move],
    not_open: &[NotOpen],
) -> std::result::Result<BTreeSet<LateStretch>, CorrectionFault> {
    let candidates: Vec<_> = not_open
        .iter()
        .map(|it| Candidate { scope, at: it.at, subscription: None, resolved: &it.resolved })
        .collect();
    let mut found = late::find_stretches(tx, &candidates).await?;
    let mut stretches = BTreeSet::new();
    for (index, revision) in not_open.iter().enumerate() {
        match found.remove(&index) {
            Some(of_revision) => stretches.extend(of_revision),
            None if revision.is_added => {
                return Err(fault_of(moves[revision.place].index)(waiting(UnbilledReason::NoSubscription)));
            }
            None => {}
        }
    }
    Ok(stretches)
}

/// Stores the new revisions, lets the right ones count, and notes what was done.
async fn store(cx: &Cx, tx: &mut WriterTx, moves: &[Move], occasion: &Occasion) -> Result<()> {
    let (mut keys, mut columns, mut months) =
        (KeyColumns::default(), EventColumns::default(), BTreeMap::new());
    for Move { to, drafted, .. } in moves {
        let (Some(event), Some(draft)) = (to, drafted) else { continue };
        let key = event_key(cx.scope.tenant, cx.scope.livemode, event.id_hash);
        keys.push(key, cx.scope, draft.payload_hash, event.occurred_at);
        let row = EventRow {
            occurred_at: event.occurred_at,
            id_hash: event.id_hash,
            id: &event.id,
            event_type: &event.event_type,
            properties: &event.properties,
        };
        columns.push(cx.scope, event.customer, row);
        months.insert(month_of(event.occurred_at), event.occurred_at);
    }
    if !columns.is_empty() {
        for at in months.into_values() {
            ingest::ensure_partition(tx, at).await?;
        }
        ingest::store_events(tx, &keys, &columns, cx.now).await?;
    }
    let from: Vec<&StoredEvent> = moves.iter().filter_map(|it| it.from.as_ref()).collect();
    let to: Vec<&StoredEvent> = moves.iter().filter_map(|it| it.to.as_ref()).collect();
    event_revisions::set_voided(tx, cx.scope, &from, Some(cx.now)).await?;
    event_revisions::set_voided(tx, cx.scope, &to, None).await?;
    let notes: Vec<_> = moves.iter().filter_map(|planned| note(cx, planned, occasion)).collect();
    event_revisions::insert_corrections(tx, cx.scope, &notes).await?;
    Ok(())
}

fn note(cx: &Cx, planned: &Move, occasion: &Occasion) -> Option<Correction> {
    let event = planned.from.as_ref().or(planned.to.as_ref())?;
    Some(Correction {
        id: CorrectionId::from_uuid(cx.app.ids.next()),
        session: occasion.session,
        origin: event.origin,
        event_id: event.id.clone(),
        from: planned.from.as_ref().map(|event| event.revision),
        to: planned.to.as_ref().map(|event| event.revision),
        reason: occasion.reason.clone(),
        created_at: cx.now,
    })
}
