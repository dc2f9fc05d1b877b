//! The default endpoint of webhooks, in the shapes that clients of the routes under `/auth/tenants` know.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use usance_app::{
    App,
    error::Error,
    webhooks::{self, Configured, GRACE},
};
use utoipa::ToSchema;

use crate::{
    HttpState,
    api::webhook_endpoints::{TestWebhook, TestedWebhookView},
    error::{ApiError, ApiResult},
    extract::{Authorized, Mutation, NoBody, SecretBody, as_bad_request},
    wire::ProblemView,
};

const TEST_PATH: &str = "/api/v1/auth/tenants/webhooks/test/";

/// How webhooks are configured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookConfigView {
    webhook_url: Option<String>,
    /// What may be shown of it.
    webhook_secret: Option<String>,
    configured: bool,
    /// Why nothing is sent although it is configured: `by_tenant`, `failing` or `gone`.
    disabled_reason: Option<String>,
    instructions: WebhookInstructionsView,
}

/// How a receiver verifies what it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookInstructionsView {
    signature_header: &'static str,
    algorithm: &'static str,
    verification: &'static str,
    standard_webhooks: &'static str,
}

const INSTRUCTIONS: WebhookInstructionsView = WebhookInstructionsView {
    signature_header: "X-Webhook-Signature",
    algorithm: "HMAC-SHA256",
    verification: "Compare the header with the HMAC-SHA256 of the bytes of the body, keyed with the whole webhook_secret, in lower-case \
        hexadecimal, in constant time.",
    standard_webhooks: "Better: verify webhook-id, webhook-timestamp and webhook-signature with a library of Standard Webhooks \
        (https://www.standardwebhooks.com), which also stops replays.",
};

/// Show the configuration of webhooks
///
/// Of the mode that `Usance-Mode` names.
#[utoipa::path(get, path = "/auth/tenants/webhooks/config", tag = "Webhooks", responses(
    (status = 200, description = "The configuration", body = WebhookConfigView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_webhook_config(Authorized(cx): Authorized) -> ApiResult<Json<WebhookConfigView>> {
    let (endpoint, masked) = webhooks::find_default(&cx).await?.unzip();
    let (webhook_url, disabled) = endpoint.map(|it| (it.url, it.disabled)).unwrap_or_default();
    Ok(Json(WebhookConfigView {
        configured: webhook_url.is_some(),
        webhook_url,
        webhook_secret: masked.flatten(),
        disabled_reason: disabled.map(|(_, reason)| reason),
        instructions: INSTRUCTIONS,
    }))
}

/// How webhooks are to be configured.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"webhook_url": "https://example.com/webhooks"}))]
pub(crate) struct ConfigureWebhookBody {
    /// `https`, in test mode also `http`; on the public internet unless the operator allows more.
    #[schema(required, nullable = false)]
    webhook_url: Option<String>,
    /// Whether the secret is replaced.
    #[serde(default)]
    regenerate_secret: bool,
    /// How long the old secret signs beside the new one in `webhook-signature`, 0 to 604800; 86400 (a day) by default.
    #[schema(minimum = 0, maximum = 604_800)]
    grace_seconds: Option<i64>,
}

/// The configuration as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredWebhookView {
    message: &'static str,
    webhook_url: String,
    /// Only when it is new: it is shown here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    /// Where a test event is asked for.
    test_url: String,
}

/// Configure webhooks
///
/// Of the mode that `Usance-Mode` names. The answer may hold a secret that is not kept, so the route takes no
/// `Idempotency-Key`.
#[utoipa::path(post, path = "/auth/tenants/webhooks/config", tag = "Webhooks", request_body = ConfigureWebhookBody, responses(
    (status = 200, description = "The configuration", body = ConfiguredWebhookView),
    (status = 400, description = "A field cannot be accepted", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn configure_webhook(
    State(state): State<HttpState>,
    Authorized(cx): Authorized,
    body: SecretBody<ConfigureWebhookBody>,
) -> ApiResult<Json<ConfiguredWebhookView>> {
    let ConfigureWebhookBody { webhook_url, regenerate_secret, grace_seconds } =
        body.read_or_bad_request()?;
    let Some(webhook_url) = webhook_url.filter(|url| !url.trim().is_empty()) else {
        let missing = Error::field("/webhook_url", "required", "must not be empty");
        return Err(refused_url(missing, "webhook_url is required"));
    };
    let grace = grace_seconds.map_or(GRACE, SignedDuration::from_secs);
    let configured = webhooks::configure(&cx, &webhook_url, regenerate_secret.then_some(grace)).await;
    let Configured { endpoint, new_secret } =
        configured.map_err(|error| refused_url(error, "Invalid webhook URL"))?;
    let webhook_secret = new_secret.map(|secret| secret.expose_secret().to_owned());
    Ok(Json(ConfiguredWebhookView {
        message: "Webhook configured successfully",
        webhook_url: endpoint.url.unwrap_or_default(),
        warning: webhook_secret.is_some().then_some("Keep this secret: it is not shown again."),
        webhook_secret,
        test_url: test_url(&state.app),
    }))
}

fn test_url(app: &App) -> String {
    format!("{}{TEST_PATH}", app.public_url.as_deref().unwrap_or_default())
}

/// Clients look for a sentence in `error` where the address is at fault.
fn refused_url(error: Error, sentence: &str) -> ApiError {
    let is_about_url = matches!(&error, Error::Refused(refusal) if refusal.fields.iter().any(|it| it.pointer == "/webhook_url"));
    let mut error = as_bad_request(error);
    if is_about_url {
        error.refusal_mut().extensions.insert("error".to_owned(), sentence.into());
    }
    error
}

/// That webhooks are not configured any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedWebhookView {
    message: &'static str,
    note: &'static str,
}

/// Remove the configuration of webhooks
///
/// Of the mode that `Usance-Mode` names. What is on its way is given up; the secret stays for the next configuration.
#[utoipa::path(delete, path = "/auth/tenants/webhooks/config", tag = "Webhooks", responses(
    (status = 200, description = "Nothing is sent any more", body = RemovedWebhookView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn remove_webhook_config(request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, |cx, tx, _| {
            async move {
                webhooks::remove_default(cx, tx).await?;
                Ok(RemovedWebhookView {
                    message: "Webhook configuration removed",
                    note: "The webhook secret is preserved and signs again when you configure a URL.",
                })
            }
            .boxed()
        })
        .await
}

/// Send a test event
///
/// To the configured URL, at once, and for ten seconds at most. It takes no `Idempotency-Key` and leaves no delivery behind.
#[utoipa::path(post, path = "/auth/tenants/webhooks/test", tag = "Webhooks", request_body = TestWebhook, responses(
    (status = 200, description = "What the endpoint answered", body = TestedWebhookView),
    (status = 400, description = "No URL is configured", body = ProblemView),
    (status = 408, description = "It did not answer", body = ProblemView),
    (status = 502, description = "It could not be called", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn test_webhook(
    request: ApiResult<Mutation<TestWebhook>>,
) -> ApiResult<Json<TestedWebhookView>> {
    let (cx, body) = request.map_err(as_bad_request)?.into_parts();
    let tested = webhooks::send_test(&cx, None, body.into()).await;
    let tested = tested.map_err(|error| refused_url(error, "No webhook URL configured"))?;
    Ok(Json(tested.into()))
}
