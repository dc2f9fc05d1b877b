//! A request that changes something: caller, idempotency key and body in one.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use usance_app::{
    Cx,
    auth::Caller,
    error::{Code, Error, Result},
    idempotency::{Answer, at_least_once, once},
};
use usance_core::{
    hexadecimal,
    ids::{RequestId, SessionId},
};
use usance_db::{TenantTx, idempotency::RequestKey};

use super::{
    Authorized,
    body::{BodyLimits, from_json, object_or_nothing, receive_body},
};
use crate::{
    HttpState,
    error::{ApiError, ApiResult},
};

const BODY_BYTES_MAX: usize = 1024 * 1024;
const KEY_LENGTH_MAX: usize = 255;

/// An authorised request with its body.
#[derive(Debug)]
pub(crate) struct Mutation<T> {
    cx: Cx,
    key: Option<RequestKey>,
    body: T,
}

/// The body of a request that needs none: empty, or an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoBody {}

impl<T: DeserializeOwned> FromRequest<HttpState> for Mutation<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> ApiResult<Self> {
        let (mut parts, body) = request.into_parts();
        let key = parts.headers.get("idempotency-key").map(read_key).transpose()?;
        let limits = BodyLimits::new(BODY_BYTES_MAX, state.settings.request_timeout);
        let bytes = receive_body(state, &mut parts, body, limits, |_| Ok(())).await?;
        let Authorized(cx) = Authorized::from_request_parts(&mut parts, state).await?;
        let bytes = object_or_nothing(&parts.headers, bytes)?;
        let key = key.map(|key| RequestKey {
            route: route_hash(&parts.method, parts.uri.path(), own_session(&parts, &cx)),
            key,
            request_hash: digest(&SHA256, &bytes).as_ref().to_vec(),
        });
        Ok(Self { cx, key, body: from_json(&bytes)? })
    }
}

/// On these routes the same request means something else from another session: its key is another one.
const OF_THE_SESSION: [&str; 3] = [
    "/api/v1/auth/tenants/logout",
    "/api/v1/auth/tenants/sessions/{id}",
    "/api/v1/auth/tenants/verify-email/request",
];

fn own_session(parts: &Parts, cx: &Cx) -> Option<SessionId> {
    let route = parts.extensions.get::<MatchedPath>()?;
    let Some(Caller::Member(member)) = cx.caller else { return None };
    OF_THE_SESSION.contains(&route.as_str()).then_some(member.session)
}

fn route_hash(method: &Method, path: &str, session: Option<SessionId>) -> String {
    let session = session.map(|session| format!(" {session}")).unwrap_or_default();
    hexadecimal(digest(&SHA256, format!("{method} {path}{session}").as_bytes()).as_ref())
}

fn read_key(value: &HeaderValue) -> Result<String> {
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_LENGTH_MAX);
    key.map(str::to_owned).ok_or_else(|| {
        Error::field("Idempotency-Key", "invalid", "must have 1 to 255 visible ASCII characters")
    })
}

impl<T: Send + 'static> Mutation<T> {
    /// The `Idempotency-Key` as it was sent.
    pub(crate) fn key_text(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.key.as_str())
    }

    /// What was sent.
    pub(crate) fn body(&self) -> &T {
        &self.body
    }

    /// The caller and the body of a request that an id in its body identifies, whatever its idempotency key.
    pub(crate) fn into_parts(self) -> (Cx, T) {
        (self.cx, self.body)
    }

    /// Runs the request in one transaction, at most once per idempotency key.
    pub(crate) async fn run<V, F>(self, status: StatusCode, run: F) -> ApiResult<Response>
    where
        V: Serialize + Send + 'static,
        F: for<'a> FnOnce(&'a Cx, &'a mut TenantTx, T) -> BoxFuture<'a, Result<V>> + Send + 'static,
    {
        let body = self.body;
        let answer = once(&self.cx, self.key.as_ref(), kept_refusal, move |cx, tx| {
            async move {
                let view = run(cx, tx, body).await?;
                to_answer(status, &view)
            }
            .boxed()
        });
        Ok(respond(answer.await?, self.cx.request_id))
    }

    /// Runs a request of several transactions that is harmless when repeated, one at a time per idempotency key.
    pub(crate) async fn run_in_steps<V, F>(self, status: StatusCode, run: F) -> ApiResult<Response>
    where
        V: Serialize,
        F: for<'a> FnOnce(&'a Cx, T) -> BoxFuture<'a, Result<V>>,
    {
        let Self { cx, key, body } = self;
        let steps = async { to_answer(status, &run(&cx, body).await?) };
        let answer = at_least_once(&cx, key.as_ref(), kept_refusal, steps).await?;
        Ok(respond(answer, cx.request_id))
    }
}

fn to_answer<V: Serialize>(status: StatusCode, view: &V) -> Result<Answer> {
    let body = if status == StatusCode::NO_CONTENT {
        Vec::new()
    } else {
        serde_json::to_vec(view).map_err(|_| Error::Internal("an answer cannot be written"))?
    };
    Ok(Answer { status: status.as_u16(), body })
}

/// Refusals that would be the same the next time are kept; what depends on the moment is not.
fn kept_refusal(error: &Error) -> Option<Answer> {
    let Error::Refused(refusal) = error else { return None };
    let of_the_moment = matches!(
        refusal.code,
        Code::IdempotencyKeyReused
            | Code::IdempotencyKeyInUse
            | Code::PaymentInProgress
            | Code::PaymentUnknown
            | Code::TooManyRequests
            | Code::RateLimitExceeded
            | Code::SubscriptionInactive
            | Code::FeatureNotIncluded
            | Code::WebhookEndpointState
            | Code::StripeError
            | Code::StripeNotConfigured
            | Code::Timeout
            | Code::Unavailable
    );
    if of_the_moment {
        return None;
    }
    let error = ApiError::from(refusal.as_ref().clone());
    let members = error.members();
    let status = members.get("status")?.as_u64().and_then(|status| u16::try_from(status).ok())?;
    Some(Answer { status, body: serde_json::to_vec(&members).ok()? })
}

fn respond(answer: Answer, request_id: RequestId) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let problem = status.is_client_error();
    let media_type = if problem { "application/problem+json" } else { "application/json" };
    let body = if problem { with_request_id(answer.body, request_id) } else { answer.body };
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], Body::from(body)).into_response()
}

/// A kept refusal is repeated word by word, but each request has its own id.
fn with_request_id(body: Vec<u8>, request_id: RequestId) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut members)) = serde_json::from_slice(&body) else { return body };
    members.insert("request_id".to_owned(), request_id.to_string().into());
    serde_json::Value::Object(members).to_string().into_bytes()
}
