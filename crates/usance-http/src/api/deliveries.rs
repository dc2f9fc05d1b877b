//! Deliveries: events on their way to endpoints, and what became of them.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{
    Cx,
    error::{Error, Result},
    webhooks,
};
use usance_core::ids::{OutboxEventId, WebhookDeliveryId};
use usance_db::{
    webhook_deliveries::Attempt,
    webhook_log::{self, Delivery, DeliveryFilter},
};
use utoipa::{IntoParams, ToSchema};

use super::webhook_endpoints::read_id;
use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, ProblemView},
};

/// An event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    id: String,
    endpoint: String,
    event: DeliveredEventView,
    /// `pending`, `delivered` or `dead`: given up after ten attempts, or because the endpoint was disabled or removed.
    status: String,
    /// Since it was sent the last time by hand.
    attempts: i32,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

/// The event of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveredEventView {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            endpoint: delivery.endpoint.to_string(),
            event: DeliveredEventView {
                id: delivery.event.id.to_string(),
                event_type: delivery.event.event_type,
                created_at: delivery.event.created_at,
            },
            status: delivery.status,
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
        }
    }
}

/// A delivery, what is sent, and what was answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryDetailView {
    #[serde(flatten)]
    fields: DeliveryView,
    /// The body of the message.
    #[schema(value_type = Object)]
    payload: Value,
    /// The newest first, 50 at most.
    attempt_log: Vec<AttemptView>,
}

/// An attempt at a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    #[schema(value_type = String, format = DateTime)]
    attempted_at: Timestamp,
    duration_ms: i64,
    /// Null without an answer.
    status_code: Option<u16>,
    /// Why there was no answer.
    error: Option<String>,
    /// The beginning of the answer, 500 characters at most.
    response: String,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempted_at: attempt.attempted_at,
            duration_ms: i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
            status_code: attempt.answer.as_ref().ok().copied(),
            error: attempt.answer.err(),
            response: attempt.response,
        }
    }
}

/// Which deliveries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveriesQuery {
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Those to one endpoint.
    endpoint: Option<String>,
    /// Those of one event.
    event: Option<String>,
    /// `pending`, `delivered` or `dead`.
    status: Option<String>,
}

impl DeliveriesQuery {
    fn filter(&self) -> Result<DeliveryFilter> {
        let unreadable = |name| Error::field(name, "invalid_id", "is no id of this kind");
        let endpoint = self
            .endpoint
            .as_deref()
            .map(|id| read_id(id).map_err(|_| unreadable("?endpoint")))
            .transpose()?;
        let event = self
            .event
            .as_deref()
            .map(|id| id.parse::<OutboxEventId>().map_err(|_| unreadable("?event")))
            .transpose()?;
        if !matches!(self.status.as_deref(), None | Some("pending" | "delivered" | "dead")) {
            return Err(Error::field("?status", "unknown_word", "must be pending, delivered or dead"));
        }
        Ok(DeliveryFilter { endpoint, event, status: self.status.clone() })
    }
}

/// List deliveries
///
/// Those of the newest events first.
#[utoipa::path(get, path = "/deliveries", tag = "Webhooks", params(DeliveriesQuery), responses(
    (status = 200, description = "A page of deliveries", body = ListView<DeliveryView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_deliveries(
    Authorized(cx): Authorized,
    Query(query): Query<DeliveriesQuery>,
) -> ApiResult<Json<ListView<DeliveryView>>> {
    let filter = query.filter()?;
    let page = ListQuery { limit: query.limit, cursor: query.cursor }.page()?;
    let mut tx = cx.begin().await?;
    let page = webhook_log::list(&mut tx, &filter, page).await?;
    Ok(Json(ListView::new(page, |delivery| delivery.id.uuid(), DeliveryView::from)))
}

fn read_delivery_id(id: &str) -> Result<WebhookDeliveryId> {
    id.parse().map_err(|_| Error::not_found("delivery"))
}

/// Show a delivery
///
/// With what is sent and what was answered.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "Webhooks", params(("id" = String, Path)), responses(
    (status = 200, description = "The delivery", body = DeliveryDetailView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_delivery(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<DeliveryDetailView>> {
    let (delivery, attempts) = webhooks::get_delivery(&cx, read_delivery_id(&id)?).await?;
    Ok(Json(detail(&cx, delivery, attempts)))
}

fn detail(cx: &Cx, delivery: Delivery, attempts: Vec<Attempt>) -> DeliveryDetailView {
    DeliveryDetailView {
        payload: webhooks::envelope(&delivery.event, cx.scope),
        fields: delivery.into(),
        attempt_log: attempts.into_iter().map(AttemptView::from).collect(),
    }
}

/// Send an event again
///
/// With the same id, whatever became of it before; the schedule of attempts begins anew.
#[utoipa::path(post, path = "/deliveries/{id}/replay", tag = "Webhooks", params(("id" = String, Path)), responses(
    (status = 202, description = "It is on its way", body = DeliveryView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn replay_delivery(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::ACCEPTED, move |cx, tx, _| {
            async move { Ok(DeliveryView::from(webhooks::replay(cx, tx, read_delivery_id(&id)?).await?)) }
                .boxed()
        })
        .await
}
