//! One attempt at a delivery: the request, its signatures, the answer.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Response, StatusCode, header};
use tokio::time::timeout_at;
use usance_core::webhook::{FailedAttempt, SigningSecret, body_signature, signatures};
use usance_db::webhook_deliveries::Attempt;
use uuid::Uuid;

use super::message::Message;
use crate::guard::{GuardedClient, NoAddress};

/// From the search for the address to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read at most.
const RESPONSE_BYTES_READ: usize = 16 * 1024;
/// Characters of an answer or an error that are kept.
const RESPONSE_CHARS_KEPT: usize = 500;

/// An endpoint as it is called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) livemode: bool,
    /// The current secret first; none if it cannot be opened.
    pub(super) secrets: Vec<SigningSecret>,
}

/// How an attempt went.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) attempt: Attempt,
    /// What the answer asks for, if it did not arrive.
    pub(super) failed: Option<FailedAttempt>,
    pub(super) has_timed_out: bool,
}

impl Sent {
    /// Whether the endpoint says that it is gone for good.
    pub(super) fn is_gone(&self) -> bool {
        self.attempt.answer == Ok(StatusCode::GONE.as_u16())
    }
}

/// What names an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptStamp {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
}

/// Sends a message. It fails in no other way than by what it returns. `limit` covers everything from the search for the
/// address to the last byte that is read of the answer.
pub(super) async fn send(
    client: &GuardedClient,
    target: &Target,
    message: Message,
    stamp: AttemptStamp,
    limit: Duration,
) -> Sent {
    let began = Instant::now();
    let outcome = exchange(client, target, message, stamp.at, began + limit).await;
    let duration = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
    let attempt =
        |answer, response| Attempt { id: stamp.id, attempted_at: stamp.at, duration, answer, response };
    match outcome {
        Ok(Answer { status, retry_after, beginning }) => Sent {
            attempt: attempt(Ok(status.as_u16()), beginning),
            failed: failed(status, retry_after),
            has_timed_out: false,
        },
        Err(NoAnswer::TimedOut) => {
            let error = format!("no answer within {} seconds", limit.as_secs());
            let failed = Some(FailedAttempt::Busy { retry_after: None });
            Sent { attempt: attempt(Err(error), String::new()), failed, has_timed_out: true }
        }
        Err(NoAnswer::Because(error)) => Sent {
            attempt: attempt(Err(keep(&error)), String::new()),
            failed: Some(FailedAttempt::Refused),
            has_timed_out: false,
        },
    }
}

struct Answer {
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    beginning: String,
}

enum NoAnswer {
    TimedOut,
    Because(String),
}

async fn exchange(
    client: &GuardedClient,
    target: &Target,
    message: Message,
    at: Timestamp,
    deadline: Instant,
) -> Result<Answer, NoAnswer> {
    let Some(current) = target.secrets.first() else {
        return Err(NoAnswer::Because("the signing secret cannot be opened: rotate it".to_owned()));
    };
    let request = client
        .request(Method::POST, &target.url, target.livemode)
        .map_err(|fault| NoAnswer::Because(fault.to_string()))?;
    let Message { id, event_type, body } = message;
    let request = request
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", at.as_second().to_string())
        .header("webhook-signature", signatures(&target.secrets, &id, at, &body))
        .header("x-webhook-event-id", &id)
        .header("x-webhook-event-type", event_type)
        .header("x-webhook-signature", body_signature(current, &body))
        .body(body);
    let response = match timeout_at(deadline.into(), request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.is_timeout() => return Err(NoAnswer::TimedOut),
        Ok(Err(error)) => return Err(NoAnswer::Because(cause(&error))),
        Err(_) => return Err(NoAnswer::TimedOut),
    };
    let (status, retry_after) = (response.status(), retry_after(&response));
    Ok(Answer { status, retry_after, beginning: read(response, deadline).await })
}

fn failed(status: StatusCode, retry_after: Option<SignedDuration>) -> Option<FailedAttempt> {
    match status {
        status if status.is_success() => None,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Some(FailedAttempt::Busy { retry_after }),
        _ => Some(FailedAttempt::Refused),
    }
}

/// Only seconds: a date would trust the clock of the endpoint.
fn retry_after(response: &Response) -> Option<SignedDuration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(SignedDuration::from_secs(seconds))
}

/// Reads the beginning of an answer. What the status says stands, also if the rest does not come.
async fn read(mut response: Response, deadline: Instant) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < RESPONSE_BYTES_READ
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline.into(), response.chunk()).await
    {
        bytes.extend_from_slice(&chunk);
    }
    keep(&String::from_utf8_lossy(&bytes))
}

/// As much of a text as is stored. NUL cannot be.
fn keep(text: &str) -> String {
    text.chars().filter(|char| *char != '\0').take(RESPONSE_CHARS_KEPT).collect()
}

/// Why the guard found no address, or else the cause at the end of the chain. The address of the endpoint is left out: it may
/// carry a secret of the tenant.
fn cause(error: &reqwest::Error) -> String {
    let mut text = "the endpoint could not be reached".to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        if inner.is::<NoAddress>() {
            break;
        }
        cause = inner.source();
    }
    text
}
