//! What endpoints are told: one envelope around every event.

use serde_json::{Value, json};
use usance_db::{Scope, outbox::OutboxEvent};

/// A message to an endpoint.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The message about an event: the same bytes at every attempt.
    pub(super) fn of(event: &OutboxEvent, scope: Scope) -> Self {
        let body = envelope(event, scope);
        Self {
            id: event.id.to_string(),
            event_type: event.event_type.clone(),
            body: body.to_string().into_bytes(),
        }
    }
}

/// The body of the message about an event.
pub fn envelope(event: &OutboxEvent, scope: Scope) -> Value {
    json!({
        "id": event.id.to_string(),
        "object": "event",
        "type": event.event_type,
        "created": event.created_at.as_second(),
        "timestamp": event.created_at.to_string(),
        "sequence": event.sequence,
        "livemode": scope.livemode,
        "tenant": { "id": scope.tenant.to_string() },
        "data": { "object": event.data },
    })
}
