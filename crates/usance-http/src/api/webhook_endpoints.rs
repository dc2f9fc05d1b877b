//! Webhooks out: whom a tenant tells of what happens.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{
    error::{Error, Result},
    outbox::EVENT_TYPES,
    webhooks::{self, ChangeEndpoint, GRACE, NewEndpoint, TestEvent, Tested},
};
use usance_core::ids::WebhookEndpointId;
use usance_db::webhook_endpoints::{self, WebhookEndpoint};
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, SecretBody},
    wire::{ListView, ProblemView},
};

/// An endpoint that is told of what happens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEndpointView {
    id: String,
    url: Option<String>,
    description: String,
    /// The types of events that it is told; none means all.
    event_types: Vec<String>,
    /// Whether it is the one that the routes under `/auth/tenants/webhooks` configure.
    is_default: bool,
    /// Whether it is told nothing.
    disabled: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
    /// `by_tenant`, `failing` (for five days) or `gone` (it answered 410).
    disabled_reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<WebhookEndpoint> for WebhookEndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        let (disabled_at, disabled_reason) = endpoint.disabled.unzip();
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types,
            is_default: endpoint.is_default,
            disabled: disabled_at.is_some(),
            disabled_at,
            disabled_reason,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with its secret, which is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEndpointWithSecretView {
    #[serde(flatten)]
    fields: WebhookEndpointView,
    /// `whsec_` and 32 bytes in base64: what the libraries of Standard Webhooks take.
    secret: String,
}

impl WebhookEndpointWithSecretView {
    fn new((endpoint, secret): (WebhookEndpoint, SecretString)) -> Self {
        Self { fields: endpoint.into(), secret: secret.expose_secret().to_owned() }
    }
}

/// An endpoint and what may be shown of its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEndpointDetailView {
    #[serde(flatten)]
    fields: WebhookEndpointView,
    /// Null if it cannot be opened: rotate it then.
    secret_masked: Option<String>,
}

/// Reads the id of an endpoint; what is none names nothing.
pub(crate) fn read_id(id: &str) -> Result<WebhookEndpointId> {
    id.parse().map_err(|_| Error::not_found("webhook endpoint"))
}

/// An endpoint that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://example.com/webhooks", "event_types": ["invoice.paid", "invoice.payment_failed"]}))]
pub(crate) struct CreateWebhookEndpoint {
    /// `https`, in test mode also `http`; on the public internet unless the operator allows more.
    url: String,
    #[serde(default)]
    description: String,
    /// The types of events that it is told, see `GET /webhook-event-types`; none means all.
    #[serde(default)]
    event_types: Vec<String>,
}

/// Create a webhook endpoint
///
/// The answer's secret is not kept, so the route takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/webhook-endpoints", tag = "Webhooks", request_body = CreateWebhookEndpoint, responses(
    (status = 201, description = "The endpoint", body = WebhookEndpointWithSecretView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_webhook_endpoint(
    Authorized(cx): Authorized,
    body: SecretBody<CreateWebhookEndpoint>,
) -> ApiResult<(StatusCode, Json<WebhookEndpointWithSecretView>)> {
    let CreateWebhookEndpoint { url, description, event_types } = body.read()?;
    let created = webhooks::create(&cx, NewEndpoint { url, description, event_types }).await?;
    Ok((StatusCode::CREATED, Json(WebhookEndpointWithSecretView::new(created))))
}

/// List webhook endpoints
#[utoipa::path(get, path = "/webhook-endpoints", tag = "Webhooks", params(ListQuery), responses(
    (status = 200, description = "A page of endpoints", body = ListView<WebhookEndpointView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_webhook_endpoints(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<WebhookEndpointView>>> {
    let mut tx = cx.begin().await?;
    let page = webhook_endpoints::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |endpoint| endpoint.id.uuid(), WebhookEndpointView::from)))
}

/// Show a webhook endpoint
#[utoipa::path(get, path = "/webhook-endpoints/{id}", tag = "Webhooks", params(("id" = String, Path)), responses(
    (status = 200, description = "The endpoint", body = WebhookEndpointDetailView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_webhook_endpoint(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
) -> ApiResult<Json<WebhookEndpointDetailView>> {
    let (endpoint, secret_masked) = webhooks::get(&cx, read_id(&id)?).await?;
    Ok(Json(WebhookEndpointDetailView { fields: endpoint.into(), secret_masked }))
}

/// What changes about an endpoint; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"event_types": ["invoice.paid"], "disabled": false}))]
pub(crate) struct UpdateWebhookEndpoint {
    url: Option<String>,
    description: Option<String>,
    event_types: Option<Vec<String>>,
    /// A disabled endpoint is told nothing, and what was on its way is given up. One that is enabled begins anew.
    disabled: Option<bool>,
}

/// Change a webhook endpoint
#[utoipa::path(patch, path = "/webhook-endpoints/{id}", tag = "Webhooks", params(("id" = String, Path)), request_body = UpdateWebhookEndpoint, responses(
    (status = 200, description = "The endpoint", body = WebhookEndpointView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_webhook_endpoint(
    Path(id): Path<String>,
    request: Mutation<UpdateWebhookEndpoint>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body| {
            async move {
                let UpdateWebhookEndpoint { url, description, event_types, disabled } = body;
                let change = ChangeEndpoint { url, description, event_types, disabled };
                Ok(WebhookEndpointView::from(webhooks::update(cx, tx, read_id(&id)?, change).await?))
            }
            .boxed()
        })
        .await
}

/// Remove a webhook endpoint
///
/// What waits for it is given up. The default endpoint keeps its secret for the next configuration.
#[utoipa::path(delete, path = "/webhook-endpoints/{id}", tag = "Webhooks", params(("id" = String, Path)), responses(
    (status = 204, description = "It is told nothing any more"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn delete_webhook_endpoint(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { webhooks::delete(cx, tx, read_id(&id)?).await }.boxed()
        })
        .await
}

/// How a secret is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"grace_seconds": 86_400}))]
pub(crate) struct RotateWebhookSecret {
    /// How long the old secret signs beside the new one, 0 to 604800; 86400 (a day) by default.
    #[schema(minimum = 0, maximum = 604_800)]
    grace_seconds: Option<i64>,
}

/// Rotate the secret of a webhook endpoint
///
/// Until the grace is over, `webhook-signature` holds a signature of each. The answer's secret is not kept, so the route
/// takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/rotate-secret", tag = "Webhooks", params(("id" = String, Path)), request_body = RotateWebhookSecret, responses(
    (status = 200, description = "The endpoint with its new secret", body = WebhookEndpointWithSecretView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn rotate_webhook_secret(
    Authorized(cx): Authorized,
    Path(id): Path<String>,
    body: SecretBody<RotateWebhookSecret>,
) -> ApiResult<Json<WebhookEndpointWithSecretView>> {
    let grace = body.read()?.grace_seconds.map_or(GRACE, SignedDuration::from_secs);
    let rotated = webhooks::rotate(&cx, read_id(&id)?, grace).await?;
    Ok(Json(WebhookEndpointWithSecretView::new(rotated)))
}

/// A test event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"event_type": "test.webhook", "test_data": {"hello": "world"}}))]
pub(crate) struct TestWebhook {
    /// `test.webhook` by default.
    event_type: Option<String>,
    /// What the event tells.
    #[schema(value_type = Option<Object>)]
    test_data: Option<serde_json::Map<String, Value>>,
}

impl From<TestWebhook> for TestEvent {
    fn from(body: TestWebhook) -> Self {
        Self {
            event_type: body.event_type.unwrap_or_else(|| "test.webhook".to_owned()),
            data: body.test_data.unwrap_or_default().into(),
        }
    }
}

/// What the endpoint answered to a test event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestedWebhookView {
    message: &'static str,
    webhook_url: String,
    status_code: u16,
    response_time_ms: i64,
    /// Its beginning, 500 characters at most.
    response_body: String,
    /// Whether the endpoint accepted the event: its status was 2xx.
    success: bool,
    /// The body that was sent.
    #[schema(value_type = Object)]
    event_sent: Value,
}

impl From<Tested> for TestedWebhookView {
    fn from(tested: Tested) -> Self {
        Self {
            message: if tested.success {
                "Test webhook sent successfully"
            } else {
                "Test webhook was refused"
            },
            webhook_url: tested.url,
            status_code: tested.status_code,
            response_time_ms: i64::try_from(tested.duration.as_millis()).unwrap_or(i64::MAX),
            response_body: tested.response,
            success: tested.success,
            event_sent: tested.event,
        }
    }
}

/// Send a test event to a webhook endpoint
///
/// At once, and for ten seconds at most. It takes no `Idempotency-Key` and leaves no delivery behind.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/test", tag = "Webhooks", params(("id" = String, Path)), request_body = TestWebhook, responses(
    (status = 200, description = "What the endpoint answered", body = TestedWebhookView),
    (status = 408, description = "It did not answer", body = ProblemView),
    (status = 502, description = "It could not be called", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn send_test_webhook(
    Path(id): Path<String>,
    request: Mutation<TestWebhook>,
) -> ApiResult<Json<TestedWebhookView>> {
    let (cx, body) = request.into_parts();
    let tested = webhooks::send_test(&cx, Some(read_id(&id)?), body.into()).await?;
    Ok(Json(tested.into()))
}

/// From when on events are sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"since": "2026-11-01T00:00:00Z"}))]
pub(crate) struct ReplayEvents {
    /// Within the last 30 days.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// How many events are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedEventsView {
    replayed: u64,
    /// Whether there may be more: ask again when these have arrived.
    has_more: bool,
}

/// Send a webhook endpoint what it missed
///
/// What happened since then and was given up, or was never sent because the endpoint was disabled or did not exist.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/replay", tag = "Webhooks", params(("id" = String, Path)), request_body = ReplayEvents, responses(
    (status = 202, description = "They are on their way", body = ReplayedEventsView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn replay_webhook_events(
    Path(id): Path<String>,
    request: Mutation<ReplayEvents>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::ACCEPTED, move |cx, tx, body: ReplayEvents| {
            async move {
                let (replayed, has_more) = webhooks::replay_since(cx, tx, read_id(&id)?, body.since).await?;
                Ok(ReplayedEventsView { replayed, has_more })
            }
            .boxed()
        })
        .await
}

/// The types of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventTypesView {
    data: &'static [&'static str],
}

/// List the types of events
#[utoipa::path(get, path = "/webhook-event-types", tag = "Webhooks", responses(
    (status = 200, description = "Every type", body = EventTypesView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_webhook_event_types() -> Json<EventTypesView> {
    Json(EventTypesView { data: &EVENT_TYPES })
}
