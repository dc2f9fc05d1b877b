//! Ingest: usage events in, receipts out, after they are durable.
//!
//! Requests are parsed on their own tasks and queue for one of a few writers. A writer takes what waits, runs one
//! set-based transaction and answers every request after the commit. The bytes of all requests between reading and answer
//! are bounded: beyond the bound a request is refused at once, so that memory never grows with load.

mod answers;
mod at_once;
mod claim;
mod commit;
mod corrections;
mod folds;
mod intake;
mod late;
mod line;
mod parse;
mod resolve;
mod single;
mod unbilled;
mod writer;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use usance_core::metering::{EventIdentity, Properties, RejectReason, UnbilledReason, event_key};
use usance_db::Scope;
use uuid::Uuid;

pub use corrections::{Amendment, EventChange, EventCorrection, correct};
pub(crate) use corrections::{Corrected, CorrectionFault, Occasion, make, undo};
pub(crate) use parse::parse;
pub use parse::{Body, BodyKind};
pub(crate) use single::{Single, Unmeasured};
pub use unbilled::rate_unbilled;
pub use writer::spawn_writers;

use crate::error::{Code, Error, FieldFault, Refusal, Result};
use line::Line;
use single::SpareImages;

/// The refusal of an event by itself.
pub fn rejected(reason: RejectReason) -> Refusal {
    let mut refusal = Refusal::new(Code::EventRejected, reason.detail());
    let fault =
        FieldFault { pointer: String::new(), code: reason.as_str(), detail: reason.detail().to_owned() };
    refusal.fields = vec![fault];
    refusal
}

/// Events in one request.
pub const EVENTS_MAX: usize = 10_000;
/// Bytes of one request.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bodies beyond this are read in turns, so that other requests do not wait.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Bodies beyond this are read on a thread of their own: already finding where each event begins would hold others up.
const TURNS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of large bodies between being read and their answer: what they become meanwhile is many times their size.
const LARGE_BYTES: usize = 3 * 1024 * 1024;
/// The unit in which the queue counts bytes.
const PERMIT_BYTES: usize = 1024;

/// Limits of the queue and the writers.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Writers, each with one transaction in flight.
    pub writers: usize,
    /// Events that a writer takes into one transaction; a request is never split.
    pub batch_events: usize,
    /// Bytes of all requests between reading and answer.
    pub queue_bytes: usize,
}

/// An event that was read and has an identity.
#[derive(Debug, Clone)]
pub struct ParsedEvent {
    id: String,
    event_type: String,
    customer: String,
    subscription: Option<String>,
    time: Option<Timestamp>,
    properties: Properties,
    identity: EventIdentity,
}

impl ParsedEvent {
    pub(crate) const fn payload_hash(&self) -> Uuid {
        self.identity.payload_hash
    }

    /// What names it among the events of all tenants and modes.
    pub(crate) fn key(&self, scope: Scope) -> Uuid {
        event_key(scope.tenant, scope.livemode, self.identity.id_hash)
    }
}

/// An event of a request, or why it is none.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// It can be stored.
    Event(Box<ParsedEvent>),
    /// It cannot.
    Rejected {
        /// As sent, if it could be read.
        id: Option<String>,
        /// Why.
        reason: RejectReason,
    },
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus {
    /// Stored and counted.
    Accepted,
    /// Stored before with the same payload; nothing changed.
    Replayed,
    /// Another payload is stored under this id; nothing changed.
    Conflict,
    /// Not stored.
    Rejected(RejectReason),
    /// Stored, and waiting to be counted.
    Unbilled(UnbilledReason),
}

impl EventStatus {
    /// The word in the answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Replayed => "replayed",
            Self::Conflict => "conflict",
            Self::Rejected(_) => "rejected",
            Self::Unbilled(_) => "unbilled",
        }
    }

    /// Why it was not simply accepted.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Accepted | Self::Replayed | Self::Conflict => None,
            Self::Rejected(reason) => Some(reason.as_str()),
            Self::Unbilled(reason) => Some(reason.as_str()),
        }
    }
}

/// The answer to one event.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// As sent, if it could be read.
    pub id: Option<String>,
    /// What became of it.
    pub status: EventStatus,
    /// Codes of the meters that counted it.
    pub meters: Arc<[String]>,
}

/// A request in the queue.
struct Submission {
    scope: Scope,
    events: Vec<Incoming>,
    /// What the events count for where no meter measures them.
    unmeasured: Option<Unmeasured>,
    reply: oneshot::Sender<Result<Vec<Receipt>>>,
    _room: Room,
}

/// Room in the queue, which grows with the bytes of a request as they arrive and is held until its answer.
#[derive(Debug)]
pub struct Room {
    permits: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
    queue_bytes: usize,
    /// Of a large body, its share of [`LARGE_BYTES`].
    share: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Takes room for bytes that arrived, or refuses at once; what is held stays held until the room is dropped.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = permits_for(self.bytes, self.queue_bytes).saturating_sub(held);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.permits).try_acquire_many_owned(wanted).map_err(|_| no_room())?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// A request that is larger than the queue takes all of it.
fn permits_for(bytes: usize, queue_bytes: usize) -> usize {
    bytes.clamp(1, queue_bytes.max(1)).div_ceil(PERMIT_BYTES)
}

fn no_room() -> Error {
    metrics::counter!("usance_ingest_refused_total").increment(1);
    let detail = "events arrive faster than they can be stored: send the same request again after the time in Retry-After";
    Refusal::new(Code::TooManyRequests, detail).with("retry_after_seconds", 1).into()
}

/// The way into the queue.
#[derive(Debug)]
pub struct Ingest {
    line: Arc<Line>,
    room: Arc<Semaphore>,
    large: Arc<Semaphore>,
    queue_bytes: usize,
    spare_images: SpareImages,
}

/// The other end of the queue, for the writers.
#[derive(Debug)]
pub struct Queue {
    line: Arc<Line>,
    settings: IngestSettings,
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submission of {} events", self.events.len())
    }
}

impl Ingest {
    /// Makes a queue.
    pub fn new(settings: IngestSettings) -> (Self, Queue) {
        // Every submission holds room, so that the line is bounded by the semaphore.
        let line = Arc::<Line>::default();
        let room = settings.queue_bytes.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        let ingest = Self {
            line: Arc::clone(&line),
            room: Arc::new(Semaphore::new(room)),
            large: Arc::new(Semaphore::new(LARGE_BYTES / PERMIT_BYTES)),
            queue_bytes: settings.queue_bytes,
            spare_images: SpareImages::default(),
        };
        (ingest, Queue { line, settings })
    }

    /// Refuses what comes from now on. The writers end when they have stored what already waits.
    pub fn close(&self) {
        self.line.close();
    }

    /// Opens room for a request of this many announced bytes, or refuses at once if they would not fit now. Nothing is
    /// taken yet: a client that announces much and sends nothing holds nothing.
    pub fn open_room(&self, announced_bytes: usize) -> Result<Room> {
        if self.room.available_permits() < permits_for(announced_bytes, self.queue_bytes) {
            return Err(no_room());
        }
        let permits = Arc::clone(&self.room);
        Ok(Room { permits, held: None, bytes: 0, queue_bytes: self.queue_bytes, share: None })
    }

    /// Reads a request's body; a large one when it is its turn. Fails only if it is no JSON of the right form, or holds too
    /// many events.
    pub async fn parse(&self, kind: BodyKind, bytes: Vec<u8>, room: &mut Room) -> Result<Body> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return parse::parse(kind, &bytes);
        }
        let stopped = |_| Error::Internal("reading events panicked");
        let share = u32::try_from(permits_for(bytes.len(), LARGE_BYTES)).unwrap_or(u32::MAX);
        let turn = Arc::clone(&self.large).acquire_many_owned(share).await;
        room.share = Some(turn.map_err(|_| Error::Internal("nobody reads events"))?);
        if bytes.len() <= TURNS_BYTES_MAX {
            return parse::parse_in_turns(kind, &bytes).await;
        }
        tokio::task::spawn_blocking(move || parse::parse(kind, &bytes)).await.map_err(stopped)?
    }

    /// Stores events and answers when they are durable, in their order. If the caller goes away, they are stored still.
    pub async fn submit(&self, scope: Scope, events: Vec<Incoming>, room: Room) -> Result<Vec<Receipt>> {
        let (reply, receipts) = oneshot::channel();
        let stopped =
            || Error::refused(Code::Unavailable, "the server is shutting down: send the same request again");
        if !self.line.join(Submission { scope, events, unmeasured: None, reply, _room: room }) {
            return Err(stopped());
        }
        receipts.await.unwrap_or_else(|_| Err(stopped()))
    }
}
