//! What other services tell. Their signature over the bytes is the credential.

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::HeaderMap,
};
use serde::Serialize;
use usance_app::{
    error::{Code, Error, Result},
    stripe_connect,
};
use utoipa::ToSchema;

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
    extract::{BodyLimits, receive_body, require_plain},
    wire::ProblemView,
};

/// The largest body of a signed message; Stripe's are smaller.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A message of Stripe, as it came.
#[derive(Debug)]
pub(crate) struct OfStripe {
    signature: String,
    body: Vec<u8>,
}

impl FromRequest<HttpState> for OfStripe {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> ApiResult<Self> {
        let (mut parts, body) = request.into_parts();
        // Before anything of the body is kept: anybody can send one.
        let signature = signature(&parts.headers, "Stripe-Signature")?;
        require_plain(&parts.headers)?;
        let limits = BodyLimits::new(BODY_BYTES_MAX, state.settings.request_timeout);
        let body = receive_body(state, &mut parts, body, limits, |_| Ok(())).await?;
        Ok(Self { signature, body })
    }
}

fn signature(headers: &HeaderMap, name: &'static str) -> Result<String> {
    let mut values = headers.get_all(name).iter();
    let signature = values.next().and_then(|value| value.to_str().ok());
    signature.filter(|_| values.next().is_none()).map(str::to_owned).ok_or_else(|| {
        let detail = format!("{name}: must be sent once, as text");
        Error::refused(Code::SignatureInvalid, detail)
    })
}

/// That a message was taken, and is not to be sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceivedView {
    /// True.
    received: bool,
}

/// Take a notice of Stripe about a connected account
///
/// Register this address at Stripe as an endpoint for events on connected accounts, with `account.updated` and
/// `account.application.deauthorized`, and give its signing secret to the server as `STRIPE_CONNECT_WEBHOOK_SECRET`. Stripe is
/// asked how the account is now; until that has worked the answer is an error, so that Stripe sends the notice again. Other
/// events are taken and change nothing.
#[utoipa::path(post, path = "/inbound/stripe/connect", tag = "Stripe Connect", security(()), params(
    ("Stripe-Signature" = String, Header, description = "`t=…,v1=…`: HMAC-SHA256 of time and body, at most five minutes old"),
), request_body(content = serde_json::Value, description = "An event of Stripe"), responses(
    (status = 200, description = "Taken", body = ReceivedView),
    (status = 400, description = "Stripe did not sign these bytes, or not now", body = ProblemView),
    (status = 500, description = "Stripe could not be asked", body = ProblemView),
    (status = 503, description = "The server is not configured for Stripe", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn take_connect_notice(
    State(state): State<HttpState>,
    OfStripe { signature, body }: OfStripe,
) -> ApiResult<Json<ReceivedView>> {
    stripe_connect::take_notice(&state.app, &signature, &body).await?;
    Ok(Json(ReceivedView { received: true }))
}
