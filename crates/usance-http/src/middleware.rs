//! What surrounds every request: its id, its span, its metrics, its end.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::Instrument;
use usance_app::error::Code;
use usance_core::ids::RequestId;

use crate::{HttpState, error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, runs it to its end even if the client goes away, and notes what became of it.
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
    let running = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
    let running = ToTheEnd(Some(Box::pin(running)));
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
    if route.starts_with("/api/") {
        // Answers are a tenant's own, and some hold secrets: what may be kept says so itself.
        let cache = response.headers_mut().entry(header::CACHE_CONTROL);
        cache.or_insert_with(|| HeaderValue::from_static("no-store"));
    }
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

type Answer = Result<Response, Box<dyn Any + Send>>;

/// A handler that is run to its end even if nobody waits for it any more.
struct ToTheEnd(Option<Pin<Box<dyn Future<Output = Answer> + Send>>>);

impl Future for ToTheEnd {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(running) = &mut self.0 else { return Poll::Pending };
        let answer = std::task::ready!(running.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for ToTheEnd {
    fn drop(&mut self) {
        if let Some(running) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(running));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_handler_that_nobody_waits_for_any_more_is_run_to_its_end() {
        let ((go_on, may_go_on), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let handler = async move {
            may_go_on.await.unwrap();
            done.send("done").unwrap();
            Ok(Response::default())
        };
        let mut running = ToTheEnd(Some(Box::pin(handler)));
        assert!((&mut running).now_or_never().is_none(), "it waits");
        drop(running);
        go_on.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));
    }

    #[tokio::test]
    async fn a_handler_that_panics_ends() {
        let handler = AssertUnwindSafe(async { panic!("on purpose") }).catch_unwind();
        let ended = ToTheEnd(Some(Box::pin(handler))).await;
        assert!(ended.is_err());
    }
}
