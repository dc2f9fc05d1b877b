//! Usage events.

use axum::{
    Json,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usance_app::{
    customers,
    error::{Code, Error, Refusal, Result},
    ingest::{self, BodyKind, EventStatus, REQUEST_BYTES_MAX, Receipt},
};
use usance_core::metering::UnbilledReason;
use usance_db::events;
use utoipa::{IntoParams, ToSchema};

use crate::{
    HttpState,
    api::event_corrections::status_word,
    error::ApiResult,
    extract::{
        Authorized, BodyLimits, CustomerQuery, Query, receive_body, require_plain, write_cursor,
        write_timed_cursor,
    },
    wire::{ListView, ProblemView},
};

/// A usage event, for the documentation; the reader is strict and works event by event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "req-4711", "type": "llm_call", "customer": "acme", "time": "2023-11-16T18:17:03.979960Z",
    "properties": {"tokens": 4818}}))]
#[expect(dead_code, reason = "it documents what the reader accepts")]
pub(crate) struct EventBody {
    /// Unique for this event, 1 to 255 bytes: the same id and payload is a replay, another payload a conflict. For ever.
    id: String,
    /// What happened; meters measure by it.
    #[serde(rename = "type")]
    event_type: String,
    /// Id or `external_id` of the customer.
    customer: String,
    /// Id of one of the customer's subscriptions.
    subscription: Option<String>,
    /// When it happened; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<Timestamp>,
    /// What the meters read.
    #[schema(value_type = Option<Object>)]
    properties: Option<Value>,
}

/// Up to 10,000 events.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"events": [{"id": "req-4711", "type": "llm_call", "customer": "acme", "properties": {"tokens": 4818}}]}))]
#[expect(dead_code, reason = "it documents what the reader accepts")]
pub(crate) struct EventsBody {
    events: Vec<EventBody>,
}

/// Many events, or one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(example = json!({"events": [{"id": "req-4711", "type": "llm_call", "customer": "acme", "properties": {"tokens": 4818}}]}))]
#[expect(dead_code, reason = "it documents what the reader accepts")]
pub(crate) enum SentEvents {
    Many(EventsBody),
    One(EventBody),
}

/// Which results are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultsQuery {
    /// `all` (if absent), or `failures`: only what was not accepted.
    results: Option<String>,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResultView {
    /// Position of the event in the request, from 0.
    index: usize,
    /// As sent, if it could be read.
    id: Option<String>,
    /// `accepted`, `replayed`, `unbilled`, `conflict` or `rejected`.
    status: &'static str,
    /// Why it is unbilled or rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Codes of the meters that counted it.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    meters: std::sync::Arc<[String]>,
}

impl ResultView {
    fn new(index: usize, receipt: Receipt) -> Self {
        Self {
            index,
            id: receipt.id,
            status: receipt.status.as_str(),
            reason: receipt.status.reason(),
            meters: receipt.meters,
        }
    }
}

/// The receipts of a request.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ReceiptsView {
    accepted: usize,
    replayed: usize,
    unbilled: usize,
    conflict: usize,
    rejected: usize,
    /// In the order of the request.
    results: Vec<ResultView>,
}

impl ReceiptsView {
    fn new(receipts: Vec<Receipt>, only_failures: bool) -> Self {
        let mut view = Self::default();
        for (index, receipt) in receipts.into_iter().enumerate() {
            let (count, failure) = match receipt.status {
                EventStatus::Accepted => (&mut view.accepted, false),
                EventStatus::Replayed => (&mut view.replayed, true),
                EventStatus::Unbilled(_) => (&mut view.unbilled, true),
                EventStatus::Conflict => (&mut view.conflict, true),
                EventStatus::Rejected(_) => (&mut view.rejected, true),
            };
            *count += 1;
            if failure || !only_failures {
                view.results.push(ResultView::new(index, receipt));
            }
        }
        view
    }
}

/// Send usage events
///
/// One event, `{"events": [...]}` with up to 10,000, or `CloudEvents` by content type
/// (`application/cloudevents+json`, `application/cloudevents-batch+json`; `subject` is the customer, `data` the properties,
/// and source and id together the identity; the receipt shows the id). The answer comes when the events are durable. A
/// single event is answered by status: 409 for a conflict, 422 for a rejection.
#[utoipa::path(post, path = "/events", tag = "Usage", params(ResultsQuery), request_body(description = "Events", content = SentEvents), responses(
    (status = 200, description = "A receipt per event", body = ReceiptsView),
    (status = 429, description = "Events arrive faster than they can be stored", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn ingest_events(State(state): State<HttpState>, request: Request) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let Authorized(cx) = Authorized::from_request_parts(&mut parts, &state).await?;
    let Query(query) = Query::<ResultsQuery>::from_request_parts(&mut parts, &state).await?;
    let only_failures = match query.results.as_deref() {
        None | Some("all") => false,
        Some("failures") => true,
        Some(_) => return Err(Error::field("?results", "unknown_value", "must be all or failures").into()),
    };
    let kind = body_kind(&parts.headers)?;
    let mut room = cx.app.ingest.open_room(announced_bytes(&parts.headers)?)?;
    let limits = BodyLimits::new(REQUEST_BYTES_MAX, state.settings.request_timeout);
    let bytes = receive_body(&state, &mut parts, body, limits, |arrived| room.grow(arrived)).await?;
    let parsed = cx.app.ingest.parse(kind, bytes, &mut room).await?;
    let receipts = cx.app.ingest.submit(cx.scope, parsed.events, room).await?;
    if parsed.single {
        refuse_single(&receipts)?;
    }
    Ok(Json(ReceiptsView::new(receipts, only_failures)).into_response())
}

fn body_kind(headers: &HeaderMap) -> Result<BodyKind> {
    require_plain(headers)?;
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(BodyKind::Json),
        "application/cloudevents+json" => Ok(BodyKind::CloudEvent),
        "application/cloudevents-batch+json" => Ok(BodyKind::CloudEvents),
        _ => {
            let detail = "send events as application/json, application/cloudevents+json or application/cloudevents-batch+json";
            Err(Error::refused(Code::UnsupportedMediaType, detail))
        }
    }
}

/// What the body is said to have; nothing if that is not said.
fn announced_bytes(headers: &HeaderMap) -> Result<usize> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    match announced {
        Some(bytes) if bytes > REQUEST_BYTES_MAX => {
            let detail = "a request has at most 16 MiB: send several requests";
            Err(Error::refused(Code::PayloadTooLarge, detail))
        }
        Some(bytes) => Ok(bytes),
        None => Ok(0),
    }
}

fn refuse_single(receipts: &[Receipt]) -> Result<()> {
    let [receipt] = receipts else { return Ok(()) };
    let result =
        json!({ "id": receipt.id, "status": receipt.status.as_str(), "reason": receipt.status.reason() });
    match receipt.status {
        EventStatus::Accepted | EventStatus::Replayed | EventStatus::Unbilled(_) => Ok(()),
        EventStatus::Conflict => {
            let detail =
                "another event has this id: the stored one stays; send a new event with an id of its own";
            Err(Refusal::new(Code::EventConflict, detail).with("result", result).into())
        }
        EventStatus::Rejected(reason) => Err(ingest::rejected(reason).with("result", result).into()),
    }
}

/// A counted event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
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
    /// `counted`, or `voided` if it was voided or amended.
    status: &'static str,
    /// 0 for an event as it was sent; an amendment has a number from 1.
    revision: i32,
}

impl From<events::Event> for EventView {
    fn from(event: events::Event) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            customer: event.customer_id.to_string(),
            time: event.occurred_at,
            received_at: event.received_at,
            properties: event.properties,
            status: status_word(event.counts),
            revision: event.revision,
        }
    }
}

/// An event that waits to be counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnbilledEventView {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    /// As sent.
    customer: String,
    /// `unknown_meter`, `unknown_customer`, `no_subscription` or `invalid_value`.
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    #[schema(value_type = Object)]
    properties: Value,
}

impl From<events::UnbilledEvent> for UnbilledEventView {
    fn from(event: events::UnbilledEvent) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            customer: event.customer,
            reason: event.reason,
            time: event.occurred_at,
            received_at: event.received_at,
            properties: event.properties,
        }
    }
}

/// List a customer's events
///
/// Latest first. `customer` is required.
#[utoipa::path(get, path = "/events", tag = "Usage", params(CustomerQuery), responses(
    (status = 200, description = "A page of events", body = ListView<EventView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_events(
    Authorized(cx): Authorized,
    Query(query): Query<CustomerQuery>,
) -> ApiResult<Json<ListView<EventView>>> {
    let customer = query
        .customer
        .as_deref()
        .ok_or_else(|| Error::field("?customer", "required", "must name a customer"))?;
    let (page, after) = query.timed_page()?;
    let mut tx = cx.begin().await?;
    let customer = customers::get(&mut tx, customer).await?;
    let page = events::list(&mut tx, customer.id, after, page).await?;
    Ok(Json(ListView::with_cursor(
        page,
        |event| write_timed_cursor(event.occurred_at, event.id_hash),
        EventView::from,
    )))
}

/// Which waiting events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnbilledQuery {
    /// Only events that wait for this reason.
    reason: Option<String>,
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List events that wait to be counted
///
/// They are counted by themselves once their meter, customer or subscription is there.
#[utoipa::path(get, path = "/events/unbilled", tag = "Usage", params(UnbilledQuery), responses(
    (status = 200, description = "A page of events, in no meaningful order", body = ListView<UnbilledEventView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_unbilled_events(
    Authorized(cx): Authorized,
    Query(query): Query<UnbilledQuery>,
) -> ApiResult<Json<ListView<UnbilledEventView>>> {
    let UnbilledQuery { reason, limit, cursor } = query;
    if let Some(reason) = &reason
        && !UnbilledReason::ALL.iter().any(|known| known.as_str() == reason)
    {
        let words = UnbilledReason::ALL.map(UnbilledReason::as_str).join(", ");
        return Err(Error::field("?reason", "unknown_reason", format!("must be one of {words}")).into());
    }
    let page = crate::extract::ListQuery { limit, cursor }.page()?;
    let mut tx = cx.begin().await?;
    let page = events::list_unbilled(&mut tx, reason.as_deref(), page).await?;
    Ok(Json(ListView::with_cursor(page, |event| write_cursor(event.id_hash), UnbilledEventView::from)))
}
