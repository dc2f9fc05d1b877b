//! From a request's body to events with an identity. One bad event never spoils its neighbours.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use usance_core::metering::{
    EVENT_BYTES_MAX, EventName, ID_BYTES_MAX, NAME_BYTES_MAX, Properties, RejectReason, identify,
};

use super::{EVENTS_MAX, Incoming, ParsedEvent};
use crate::error::{Code, Error, Result};

/// The forms in which events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One event, or `{"events": [...]}`.
    Json,
    /// One `CloudEvent` (structured mode).
    CloudEvent,
    /// A list of `CloudEvents` (batched mode).
    CloudEvents,
}

/// The events of a request.
#[derive(Debug)]
pub struct Body {
    /// In their order.
    pub events: Vec<Incoming>,
    /// Whether the single form was used, which is answered by status.
    pub single: bool,
}

/// The years that an event may lie in; its month gets a partition.
const TIME_MIN_SECONDS: i64 = 1_420_070_400; // 2015-01-01
const TIME_MAX_SECONDS: i64 = 4_102_444_800; // 2100-01-01

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    events: RawEvents<'a>,
}

/// The events of a list, at most one more than may be sent: what follows is read past without being kept.
struct RawEvents<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawEvents<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(RawEventsVisitor)
    }
}

struct RawEventsVisitor;

impl<'de> Visitor<'de> for RawEventsVisitor {
    type Value = RawEvents<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while events.len() <= EVENTS_MAX {
            let Some(event) = list.next_element()? else { return Ok(RawEvents(events)) };
            events.push(event);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawEvents(events))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentEvent<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    customer: Cow<'a, str>,
    #[serde(borrow, default)]
    subscription: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
}

// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md; extension attributes are ignored.
#[derive(Deserialize)]
struct SentCloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Only the id, for the receipt of an event that cannot be read.
#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
}

/// Events that are read before other requests have their turn.
const TURN_EVENTS: usize = 256;

/// Reads a request's body. Fails only if it is no JSON of the right form, or holds too many events.
pub(crate) fn parse(kind: BodyKind, body: &[u8]) -> Result<Body> {
    let Split { events, single } = split(kind, body)?;
    Ok(Body { events: events.into_iter().map(|raw| read_event(raw, kind)).collect(), single })
}

/// The same of a large body. Other requests have their turns meanwhile; a thread of its own would keep what was read for
/// itself, after others have freed it.
pub(super) async fn parse_in_turns(kind: BodyKind, body: &[u8]) -> Result<Body> {
    let split = split(kind, body)?;
    let mut events = Vec::with_capacity(split.events.len());
    for turn in split.events.chunks(TURN_EVENTS) {
        events.extend(turn.iter().map(|raw| read_event(raw, kind)));
        tokio::task::yield_now().await;
    }
    Ok(Body { events, single: split.single })
}

/// The events of a body that are not read yet.
struct Split<'a> {
    events: Vec<&'a RawValue>,
    single: bool,
}

fn split(kind: BodyKind, body: &[u8]) -> Result<Split<'_>> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    let RawEvents(events) = match kind {
        BodyKind::Json => match read_batch(text)? {
            Some(events) => events,
            None => return single(text),
        },
        BodyKind::CloudEvent => return single(text),
        BodyKind::CloudEvents => serde_json::from_str(text)
            .map_err(|error| malformed(format!("the body is not a list of CloudEvents: {error}")))?,
    };
    if events.len() > EVENTS_MAX {
        let detail = format!("a request holds at most {EVENTS_MAX} events: send several requests");
        return Err(Error::refused(Code::PayloadTooLarge, detail));
    }
    Ok(Split { events, single: false })
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::refused(Code::MalformedJson, detail)
}

fn single(text: &str) -> Result<Split<'_>> {
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    Ok(Split { events: vec![raw], single: true })
}

/// The events of `{"events": [...]}`; nothing if the body is meant as a single event.
fn read_batch(text: &str) -> Result<Option<RawEvents<'_>>> {
    let first = text.trim_ascii_start().bytes().next();
    if first == Some(b'[') {
        return Err(malformed("the body is a list: send {\"events\": [...]}"));
    }
    if first != Some(b'{') {
        return Ok(None);
    }
    match serde_json::from_str::<Batch<'_>>(text) {
        Ok(batch) => Ok(Some(batch.events)),
        Err(error) if is_batch(text) => {
            Err(malformed(format!("the body is not {{\"events\": [...]}}: {error}")))
        }
        Err(_) => Ok(None),
    }
}

/// An object with a member `events` is meant as a batch: an event has no such member.
fn is_batch(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe<'a> {
        // Not optional, so that null counts as a member.
        #[serde(borrow, rename = "events")]
        _events: &'a RawValue,
    }
    serde_json::from_str::<Probe<'_>>(text).is_ok()
}

fn read_event(raw: &RawValue, kind: BodyKind) -> Incoming {
    let text = raw.get();
    let read = match kind {
        BodyKind::Json => sent_event,
        BodyKind::CloudEvent | BodyKind::CloudEvents => sent_cloud_event,
    };
    // The reader would take the members of an event from a list too, by position.
    if !text.starts_with('{') {
        return Incoming::Rejected { id: None, reason: RejectReason::MalformedEvent };
    }
    let result = if text.len() > EVENT_BYTES_MAX { Err(RejectReason::TooLarge) } else { read(text) };
    match result {
        Ok(event) => Incoming::Event(Box::new(event)),
        Err(reason) => {
            let id = serde_json::from_str::<OnlyId<'_>>(text).ok().and_then(|only| only.id);
            let id = id.filter(|id| id.len() <= ID_BYTES_MAX).map(Cow::into_owned);
            Incoming::Rejected { id, reason }
        }
    }
}

fn sent_event(text: &str) -> std::result::Result<ParsedEvent, RejectReason> {
    let sent: SentEvent<'_> = serde_json::from_str(text).map_err(|_| malformed_part(text))?;
    let subscription =
        sent.subscription.map(|name| check_name(name, RejectReason::MalformedEvent)).transpose()?;
    let name = EventName::Id(&sent.id);
    let mut event = build(name, sent.event_type, sent.customer, sent.time.as_deref(), sent.properties)?;
    event.subscription = subscription;
    Ok(event)
}

fn sent_cloud_event(text: &str) -> std::result::Result<ParsedEvent, RejectReason> {
    let sent: SentCloudEvent<'_> = serde_json::from_str(text).map_err(|_| malformed_part(text))?;
    if sent.specversion != "1.0" || sent.source.is_empty() {
        return Err(RejectReason::MalformedEvent);
    }
    let name = EventName::CloudEvent { source: &sent.source, id: &sent.id };
    let customer = sent.subject.ok_or(RejectReason::InvalidCustomer)?;
    build(name, sent.event_type, customer, sent.time.as_deref(), sent.data)
}

/// Says which required member is absent or of the wrong type, where that is all that is wrong.
fn malformed_part(text: &str) -> RejectReason {
    let Ok(members) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) else {
        return RejectReason::MalformedEvent;
    };
    let is_text = |name: &str| members.get(name).is_some_and(serde_json::Value::is_string);
    if !is_text("id") {
        RejectReason::InvalidId
    } else if !is_text("type") {
        RejectReason::InvalidType
    } else if members.contains_key("time") && !is_text("time") {
        RejectReason::MalformedTime
    } else if !is_text("customer") && !members.contains_key("specversion") {
        RejectReason::InvalidCustomer
    } else {
        RejectReason::MalformedEvent
    }
}

fn build(
    name: EventName<'_>,
    event_type: Cow<'_, str>,
    customer: Cow<'_, str>,
    time: Option<&str>,
    properties: Option<&RawValue>,
) -> std::result::Result<ParsedEvent, RejectReason> {
    let (EventName::Id(id) | EventName::CloudEvent { id, .. }) = name else {
        return Err(RejectReason::InvalidId);
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(RejectReason::InvalidId);
    }
    let event_type = check_name(event_type, RejectReason::InvalidType)?;
    let customer = check_name(customer, RejectReason::InvalidCustomer)?;
    let time = time.map(read_time).transpose()?;
    let properties = match properties.map(RawValue::get) {
        None | Some("null") => Properties::empty(),
        Some(json) => Properties::parse(json).map_err(RejectReason::from)?,
    };
    let identity = identify(name, &event_type, &customer, time, &properties);
    Ok(ParsedEvent {
        id: id.to_owned(),
        event_type,
        customer,
        subscription: None,
        time,
        properties,
        identity,
    })
}

pub(super) fn check_name(
    name: Cow<'_, str>,
    reason: RejectReason,
) -> std::result::Result<String, RejectReason> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(reason);
    }
    Ok(name.into_owned())
}

/// RFC 3339, cut to microseconds.
pub(super) fn read_time(text: &str) -> std::result::Result<Timestamp, RejectReason> {
    let time: Timestamp = text.parse().map_err(|_| RejectReason::MalformedTime)?;
    if !(TIME_MIN_SECONDS..TIME_MAX_SECONDS).contains(&time.as_second()) {
        return Err(RejectReason::MalformedTime);
    }
    Timestamp::from_microsecond(time.as_microsecond()).map_err(|_| RejectReason::MalformedTime)
}

#[cfg(test)]
mod tests;
