//! What an amended event says.

use jiff::Timestamp;
use usance_core::{
    ids::CustomerId,
    metering::{
        EVENT_BYTES_MAX, EventIdentity, EventName, Properties, PropertiesError, RejectReason, identify,
        is_future,
    },
};
use usance_db::event_revisions::StoredEvent;
use uuid::Uuid;

use super::super::{
    parse::{check_name, read_time},
    rejected,
};
use crate::error::{Error, Result};

/// What is said anew about an event; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Whose it is.
    pub customer: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
    /// When, in RFC 3339.
    pub time: Option<String>,
    /// The JSON object of all its properties.
    pub properties: Option<String>,
}

/// A revision that is not stored yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) customer: String,
    pub(super) event_type: String,
    pub(super) occurred_at: Timestamp,
    pub(super) properties: Properties,
    pub(super) payload_hash: Uuid,
    pub(super) origin: Uuid,
    revision: i32,
    id_hash: Uuid,
    id: String,
}

impl Amendment {
    /// Says what the event becomes; nothing if it says that already. The clocks are the wall's and the tenant's.
    pub(super) fn draft(
        &self,
        event: &StoredEvent,
        newest: i32,
        (now, tenant_now): (Timestamp, Timestamp),
    ) -> Result<Option<Draft>> {
        let name = |said: &Option<String>, before: String, reason| {
            said.as_ref().map_or(Ok(before), |said| check_name(said.into(), reason))
        };
        let customer = name(&self.customer, event.customer.to_string(), RejectReason::InvalidCustomer)
            .map_err(rejected)?;
        let event_type =
            name(&self.event_type, event.event_type.clone(), RejectReason::InvalidType).map_err(rejected)?;
        let occurred_at = self.time.as_deref().map_or(Ok(event.occurred_at), read_time).map_err(rejected)?;
        if is_future(occurred_at, now, tenant_now) {
            return Err(rejected(RejectReason::FutureTime).into());
        }
        let before = Properties::parse(&event.properties).map_err(unreadable)?;
        let properties = match &self.properties {
            Some(said) if said.len() > EVENT_BYTES_MAX => return Err(rejected(RejectReason::TooLarge).into()),
            Some(said) => Properties::parse(said).map_err(|error| rejected(error.into()))?,
            None => before.clone(),
        };
        let is_same = customer == event.customer.to_string()
            && event_type == event.event_type
            && occurred_at == event.occurred_at
            && properties == before;
        if is_same {
            return Ok(None);
        }
        let revision = newest.checked_add(1).ok_or(Error::Internal("an event has too many revisions"))?;
        let name = EventName::Amendment { origin: event.origin, revision };
        let EventIdentity { id_hash, payload_hash } =
            identify(name, &event_type, &customer, Some(occurred_at), &properties);
        let (origin, id) = (event.origin, event.id.clone());
        Ok(Some(Draft {
            customer,
            event_type,
            occurred_at,
            properties,
            payload_hash,
            origin,
            revision,
            id_hash,
            id,
        }))
    }
}

impl Draft {
    pub(super) fn stored(&self, customer: CustomerId, received_at: Timestamp) -> StoredEvent {
        StoredEvent {
            origin: self.origin,
            revision: self.revision,
            id_hash: self.id_hash,
            id: self.id.clone(),
            event_type: self.event_type.clone(),
            customer,
            occurred_at: self.occurred_at,
            received_at,
            properties: self.properties.canonical().to_owned(),
        }
    }
}

fn unreadable(_: PropertiesError) -> Error {
    Error::Internal("a stored event cannot be read")
}
