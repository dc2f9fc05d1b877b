//! Corrections of single usage events.

use axum::{http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use usance_app::{
    Cx,
    error::{Error, Result},
    ingest::{Amendment, EventChange, EventCorrection, correct},
};
use usance_db::event_revisions::CurrentEvent;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Mutation, Path},
    wire::ProblemView,
};

/// Takes an event out of the count.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "sent by a test"}))]
pub(crate) struct VoidEvent {
    /// The attribute `source` of an event that was sent as a `CloudEvent`.
    source: Option<String>,
    /// For people.
    reason: Option<String>,
}

/// Says anew what an event was; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"properties": {"tokens": 4818}, "reason": "counted twice"}))]
pub(crate) struct AmendEvent {
    /// The attribute `source` of an event that was sent as a `CloudEvent`.
    source: Option<String>,
    /// For people.
    reason: Option<String>,
    /// Id or `external_id` of the customer.
    customer: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// When it happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<String>,
    /// All properties, in the place of those before.
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
}

/// An event as it counts, or as it counted last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CorrectedEventView {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    customer: String,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    #[schema(value_type = Object)]
    properties: Value,
    /// `counted` or `voided`.
    status: &'static str,
    /// 0 for the event as it was sent; an amendment has a number from 1.
    revision: i32,
}

impl TryFrom<CurrentEvent> for CorrectedEventView {
    type Error = Error;

    fn try_from(current: CurrentEvent) -> Result<Self> {
        let CurrentEvent { event, counts, newest: _ } = current;
        let properties = serde_json::from_str(&event.properties)
            .map_err(|_| Error::Internal("a stored event cannot be read"))?;
        Ok(Self {
            id: event.id,
            event_type: event.event_type,
            customer: event.customer.to_string(),
            time: event.occurred_at,
            received_at: event.received_at,
            properties,
            status: status_word(counts),
            revision: event.revision,
        })
    }
}

/// The word for whether an event counts.
pub(crate) const fn status_word(counts: bool) -> &'static str {
    if counts { "counted" } else { "voided" }
}

/// Void an event
///
/// It counts no more: not in open periods, and settled ones are rated again, with the difference on the next invoice. The event
/// itself is kept, and its id stays taken. Voiding it again changes nothing.
#[utoipa::path(post, path = "/events/{event}/void", tag = "Usage", params(("event" = String, Path, description = "Id as sent")), request_body = VoidEvent, responses(
    (status = 200, description = "The event", body = CorrectedEventView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn void_event(
    Path(event): Path<String>,
    request: Mutation<VoidEvent>,
) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx: &Cx, body: VoidEvent| {
            let correction = EventCorrection { event, source: body.source, change: EventChange::Void };
            run(cx.clone(), correction, body.reason).boxed()
        })
        .await
}

/// Amend an event
///
/// It counts as if it had been sent like this from the start: a further revision is stored and counts in the place of the one
/// before. Settled periods are rated again, with the difference on the next invoice.
#[utoipa::path(post, path = "/events/{event}/amend", tag = "Usage", params(("event" = String, Path, description = "Id as sent")), request_body = AmendEvent, responses(
    (status = 200, description = "The event", body = CorrectedEventView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn amend_event(
    Path(event): Path<String>,
    request: Mutation<AmendEvent>,
) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, move |cx: &Cx, body: AmendEvent| {
            let AmendEvent { source, reason, customer, event_type, time, properties } = body;
            let properties = properties.map(|properties| properties.get().to_owned());
            let amendment = Amendment { customer, event_type, time, properties };
            let correction = EventCorrection { event, source, change: EventChange::Amend(amendment) };
            run(cx.clone(), correction, reason).boxed()
        })
        .await
}

async fn run(cx: Cx, correction: EventCorrection, reason: Option<String>) -> Result<CorrectedEventView> {
    correct(&cx, &correction, reason.unwrap_or_default()).await?.try_into()
}
