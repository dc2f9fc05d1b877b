//! The test clock.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::test_clock;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, Mutation},
    wire::ProblemView,
};

/// Starts the clock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"now": "2023-11-01T00:00:00Z"}))]
pub(crate) struct SetTestClock {
    /// The tenant's time from now on.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Moves the clock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "2023-12-02T00:00:00Z"}))]
pub(crate) struct AdvanceTestClock {
    /// At most 400 days ahead.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
}

/// The tenant's time in test mode.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestClockView {
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    /// Whether a test clock holds the time; otherwise it is the wall clock's.
    frozen: bool,
}

/// Get the tenant's time
#[utoipa::path(get, path = "/test-clock", tag = "Test clock", responses(
    (status = 200, description = "The time", body = TestClockView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_test_clock(Authorized(cx): Authorized) -> ApiResult<Json<TestClockView>> {
    let mut tx = cx.begin().await?;
    let (now, frozen) = test_clock::get(&cx, &mut tx).await?;
    Ok(Json(TestClockView { now, frozen }))
}

/// Start the test clock
///
/// At any time, as long as there is no subscription.
#[utoipa::path(put, path = "/test-clock", tag = "Test clock", request_body = SetTestClock, responses(
    (status = 200, description = "The time", body = TestClockView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn set_test_clock(request: Mutation<SetTestClock>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, |cx, tx, body: SetTestClock| {
            async move { Ok(TestClockView { now: test_clock::set(cx, tx, body.now).await?, frozen: true }) }
                .boxed()
        })
        .await
}

/// Move the test clock forward
///
/// Everything that becomes due on the way happens in order before the answer.
#[utoipa::path(post, path = "/test-clock/advance", tag = "Test clock", request_body = AdvanceTestClock, responses(
    (status = 200, description = "The time", body = TestClockView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn advance_test_clock(request: Mutation<AdvanceTestClock>) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, |cx: &usance_app::Cx, body: AdvanceTestClock| {
            let cx = cx.clone();
            async move { Ok(TestClockView { now: test_clock::advance(&cx, body.to).await?, frozen: true }) }
                .boxed()
        })
        .await
}
