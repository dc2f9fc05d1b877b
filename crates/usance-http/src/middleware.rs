//! What surrounds every request: its id, its span, its metrics, its end.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use usance_app::error::Code;
use usance_core::ids::RequestId;

use crate::{HttpState, error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, runs it to its end even if the client goes away, and notes what became of it.
#[expect(
    clippy::disallowed_methods,
    reason = "the task is awaited; it outlives only a client that went away"
)]
pub(crate) async fn observe(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let request_id = RequestId::from_uuid(state.app.ids.next());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(request_id);
    let span = tracing::info_span!("request", request.id = %request_id, %method, route);
    let started = Instant::now();
    let running = tokio::spawn(next.run(request).instrument(span.clone()));
    let response = match tokio::time::timeout(state.settings.request_timeout, running).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let _entered = span.enter();
            tracing::error!("The handler panicked");
            error::refused(
                Code::InternalError,
                "something went wrong on our side; the request_id names it in our logs",
            )
        }
        Err(_) => error::refused(
            Code::Timeout,
            "the request took too long and may still be carried out: repeat it with the same Idempotency-Key or event ids",
        ),
    };
    let mut response = error::render(response, request_id);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    metrics::counter!("usance_http_requests_total", "method" => method.to_string(), "route" => route.clone(), "status" => status.to_string()).increment(1);
    metrics::histogram!("usance_http_request_seconds", "route" => route).record(elapsed);
    tracing::debug!(parent: &span, status, elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), "Answered");
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
