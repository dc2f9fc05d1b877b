//! A usage event: its limits, and what makes two events the same.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Properties, PropertiesError};
use crate::ids::TenantId;

/// The size of one event as sent, in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// The length of an event's id in bytes.
pub const ID_BYTES_MAX: usize = 255;
/// The length of an event's type, customer and subscription in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// How far ahead an event may be before it counts as an error of the sender's clock.
pub const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Why an event was refused. Nothing of it is kept, and its id stays free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Not an object with the fields of an event.
    MalformedEvent,
    /// No id, an empty one, or one that is too long.
    InvalidId,
    /// No type, an empty one, or one that is too long.
    InvalidType,
    /// No customer, an empty one, or one that is too long.
    InvalidCustomer,
    /// A time that is not RFC 3339, or out of range.
    MalformedTime,
    /// A time more than five minutes after the later of wall clock and tenant clock.
    FutureTime,
    /// Properties that are not an object of JSON values that can be stored.
    MalformedProperties,
    /// A meter's value, or another number, that is no decimal of at most 28 digits.
    MalformedDecimal,
    /// No value for a meter that needs one.
    MissingValue,
    /// More than 64 KiB.
    TooLarge,
}

impl From<PropertiesError> for RejectReason {
    fn from(error: PropertiesError) -> Self {
        match error {
            PropertiesError::NumberTooLong => Self::MalformedDecimal,
            PropertiesError::Malformed | PropertiesError::TooDeep | PropertiesError::UnstorableText => {
                Self::MalformedProperties
            }
        }
    }
}

impl RejectReason {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedEvent => "malformed_event",
            Self::InvalidId => "invalid_id",
            Self::InvalidType => "invalid_type",
            Self::InvalidCustomer => "invalid_customer",
            Self::MalformedTime => "malformed_time",
            Self::FutureTime => "future_time",
            Self::MalformedProperties => "malformed_properties",
            Self::MalformedDecimal => "malformed_decimal",
            Self::MissingValue => "missing_value",
            Self::TooLarge => "too_large",
        }
    }

    /// What is wrong and what to do, as a sentence for the sender.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::MalformedEvent => {
                "send an object with id, type, customer and properties, and optionally time and subscription"
            }
            Self::InvalidId => "send an id of 1 to 255 bytes that is unique for this event",
            Self::InvalidType => "send the event's type in 1 to 255 bytes",
            Self::InvalidCustomer => "send the customer's id or external_id in 1 to 255 bytes",
            Self::MalformedTime => {
                "send the time in RFC 3339 with a zone, for example 2026-01-31T12:00:00Z, not before the year 2015"
            }
            Self::FutureTime => "the time lies more than five minutes ahead: check the sender's clock",
            Self::MalformedProperties => {
                "send properties as an object, at most 32 levels deep, without NUL characters"
            }
            Self::MalformedDecimal => {
                "send the meter's value as a decimal of at most 28 digits, 12 of them after the point"
            }
            Self::MissingValue => {
                "send the property that the meter of this event type measures, and the one in which its price is read"
            }
            Self::TooLarge => "send at most 64 KiB per event",
        }
    }
}

/// Why an event is kept without being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnbilledReason {
    /// No meter measures this event type.
    UnknownMeter,
    /// No customer has this id or external id.
    UnknownCustomer,
    /// The customer had no active subscription at the event's time.
    NoSubscription,
    /// A meter that was added later cannot read the event's value.
    InvalidValue,
}

impl UnbilledReason {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::UnknownMeter, Self::UnknownCustomer, Self::NoSubscription, Self::InvalidValue];

    /// The word used in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownMeter => "unknown_meter",
            Self::UnknownCustomer => "unknown_customer",
            Self::NoSubscription => "no_subscription",
            Self::InvalidValue => "invalid_value",
        }
    }
}

/// What identifies an event: who it is, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventIdentity {
    /// The first 16 bytes of SHA-256 over what names the event.
    pub id_hash: Uuid,
    /// The first 16 bytes of SHA-256 over type, customer as sent, time and canonical properties.
    pub payload_hash: Uuid,
}

/// What names an event among all events of a tenant and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName<'a> {
    /// The id of an event in the product's own form; it holds no control characters.
    Id(&'a str),
    /// A `CloudEvent` is named by source and id together.
    CloudEvent {
        /// Its attribute `source`.
        source: &'a str,
        /// Its attribute `id`.
        id: &'a str,
    },
    /// An amendment is named by the event that it amends and its number, from 1.
    Amendment {
        /// The id hash of the event as it was sent.
        origin: Uuid,
        /// Its number.
        revision: i32,
    },
}

impl EventName<'_> {
    /// Differs for any two names of any kind.
    pub fn short_hash(self) -> Uuid {
        match self {
            Self::Id(id) => short_hash(id.as_bytes()),
            Self::CloudEvent { source, id } => {
                // No id begins with NUL, and the length tells where the source ends.
                let length = u64::try_from(source.len()).unwrap_or(u64::MAX).to_be_bytes();
                short_hash(&[b"\0cloudevent", length.as_slice(), source.as_bytes(), id.as_bytes()].concat())
            }
            Self::Amendment { origin, revision } => {
                short_hash(&[b"\0amendment", origin.as_bytes().as_slice(), &revision.to_be_bytes()].concat())
            }
        }
    }
}

/// Computes the identity of an event. `time` is absent where the sender sent none.
pub fn identify(
    name: EventName<'_>,
    event_type: &str,
    customer: &str,
    time: Option<Timestamp>,
    properties: &Properties,
) -> EventIdentity {
    let mut payload = Context::new(&SHA256);
    // Each part carries its length, so that ("ab", "c") and ("a", "bc") differ.
    for part in [event_type, customer] {
        payload.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        payload.update(part.as_bytes());
    }
    match time {
        Some(time) => {
            payload.update(&[1]);
            payload.update(&time.as_microsecond().to_be_bytes());
        }
        None => payload.update(&[0]),
    }
    payload.update(properties.canonical().as_bytes());
    EventIdentity { id_hash: name.short_hash(), payload_hash: shorten(&payload.finish()) }
}

/// The key of an event among those of all tenants and modes: the first 16 bytes of SHA-256 over id hash, tenant and mode.
pub fn event_key(tenant: TenantId, livemode: bool, id_hash: Uuid) -> Uuid {
    let mut bytes = [0; 33];
    bytes[..16].copy_from_slice(id_hash.as_bytes());
    bytes[16..32].copy_from_slice(tenant.uuid().as_bytes());
    bytes[32] = u8::from(livemode);
    short_hash(&bytes)
}

/// The first 16 bytes of SHA-256, in the shape of a UUID so that it is stored in 16 bytes.
pub fn short_hash(bytes: &[u8]) -> Uuid {
    shorten(&digest(&SHA256, bytes))
}

fn shorten(full: &Digest) -> Uuid {
    let mut short = [0; 16];
    short.copy_from_slice(&full.as_ref()[..16]);
    Uuid::from_bytes(short)
}

/// Whether a time lies too far ahead of both clocks.
pub fn is_future(time: Timestamp, wall_now: Timestamp, tenant_now: Timestamp) -> bool {
    time.duration_since(wall_now.max(tenant_now)) > FUTURE_TOLERANCE
}
