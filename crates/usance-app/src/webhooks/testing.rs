//! Test events: sent at once, and the endpoint's answer is the caller's.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use usance_core::ids::WebhookEndpointId;
use usance_db::{tenants, webhook_endpoints};

use super::{
    endpoints::target_of,
    message::Message,
    sending::{AttemptStamp, Target, send},
};
use crate::{
    Cx,
    auth::api_key,
    error::{Code, Error, Faults, Refusal, Result},
};

/// How long an endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Test events of one process that wait for answers.
pub const UNDER_WAY_MAX: usize = 32;
const ID_LENGTH: usize = 24;
const EVENT_TYPE_LENGTH_MAX: usize = 64;
const DATA_BYTES_MAX: usize = 20_000;

/// An event that did not happen.
#[derive(Debug)]
pub struct TestEvent {
    /// For example `test.webhook`.
    pub event_type: String,
    /// What it tells.
    pub data: Value,
}

/// What the endpoint answered.
#[derive(Debug)]
pub struct Tested {
    /// The address that was called.
    pub url: String,
    /// Of the answer.
    pub status_code: u16,
    /// How long it took.
    pub duration: SignedDuration,
    /// Its beginning, 500 characters at most.
    pub response: String,
    /// Whether the endpoint accepted the event.
    pub success: bool,
    /// The body that was sent.
    pub event: Value,
}

/// Sends a test event to an endpoint, or to the default one, and waits for the answer. It leaves no delivery behind.
pub async fn send_test(cx: &Cx, endpoint: Option<WebhookEndpointId>, event: TestEvent) -> Result<Tested> {
    let mut faults = Faults::default();
    check_event_type(&mut faults, "/event_type", &event.event_type);
    if event.data.to_string().len() > DATA_BYTES_MAX {
        faults.add("/test_data", "too_long", format!("must have at most {DATA_BYTES_MAX} bytes"));
    }
    faults.check()?;
    let Ok(_turn) = cx.app.webhook_tests.try_acquire() else {
        let detail = "many test events wait for answers: try again in a moment";
        return Err(Error::refused(Code::TooManyRequests, detail));
    };
    let (target, company_name) = find_target(cx, endpoint).await?;
    let id = format!("evt_test_{}", api_key::random_text(cx.app.random.as_ref(), ID_LENGTH));
    let body = json!({
        "id": id,
        "object": "event",
        "type": event.event_type,
        "created": cx.now.as_second(),
        "timestamp": cx.now.to_string(),
        "livemode": cx.scope.livemode,
        "tenant": { "id": cx.scope.tenant, "company_name": company_name },
        "data": { "object": event.data },
    });
    let message = Message { id, event_type: event.event_type, body: body.to_string().into_bytes() };
    let stamp = AttemptStamp { id: cx.app.ids.next(), at: cx.now };
    let sent = send(&cx.app.guarded_client, &target, message, stamp, TIMEOUT).await;
    let attempt = sent.attempt;
    match attempt.answer {
        Ok(status_code) => Ok(Tested {
            url: target.url,
            status_code,
            duration: attempt.duration,
            response: attempt.response,
            success: sent.failed.is_none(),
            event: body,
        }),
        Err(error) => {
            let code = if sent.has_timed_out { Code::WebhookTimeout } else { Code::WebhookUnreachable };
            Err(Refusal::new(code, error).with("webhook_url", target.url).with("success", false).into())
        }
    }
}

/// A type of events: two words with a dot between them.
fn check_event_type(faults: &mut Faults, pointer: &str, event_type: &str) {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_type = event_type.split_once('.').is_some_and(|(noun, verb)| is_word(noun) && is_word(verb));
    if !is_type || event_type.len() > EVENT_TYPE_LENGTH_MAX {
        faults.add(pointer, "invalid_code", "must look like invoice.paid");
    }
}

async fn find_target(cx: &Cx, endpoint: Option<WebhookEndpointId>) -> Result<(Target, String)> {
    let mut tx = cx.begin().await?;
    let found = webhook_endpoints::find(&mut tx, endpoint).await?;
    let target = match found {
        Some(endpoint) => target_of(cx, &mut tx, endpoint).await?,
        None => None,
    };
    let Some(target) = target else {
        return Err(match endpoint {
            Some(_) => Error::not_found("webhook endpoint"),
            None => Error::field("/webhook_url", "required", "no webhook URL is configured: set one first"),
        });
    };
    let tenant =
        tenants::find(&mut tx).await?.ok_or(Error::Internal("the caller's own tenant is missing"))?;
    Ok((target, tenant.company_name))
}
