//! A body that holds secrets, or whose answer does: nothing of it is kept, so that it takes no `Idempotency-Key`.

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use usance_app::error::Code;

use super::body::{BodyLimits, from_json, object_or_nothing, receive_body};
use crate::{
    HttpState,
    error::{ApiError, ApiResult},
};

const BODY_BYTES_MAX: usize = 64 * 1024;

/// The body, or why it cannot be read.
#[derive(Debug)]
pub(crate) struct SecretBody<T>(ApiResult<T>);

impl<T: DeserializeOwned> FromRequest<HttpState> for SecretBody<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Self::Rejection> {
        Ok(Self(read(request, state).await))
    }
}

async fn read<T: DeserializeOwned>(request: Request, state: &HttpState) -> ApiResult<T> {
    let (mut parts, body) = request.into_parts();
    let limits = BodyLimits::new(BODY_BYTES_MAX, state.settings.request_timeout);
    let bytes = receive_body(state, &mut parts, body, limits, |_| Ok(())).await?;
    Ok(from_json(&object_or_nothing(&parts.headers, bytes)?)?)
}

impl<T> SecretBody<T> {
    pub(crate) fn read(self) -> ApiResult<T> {
        self.0
    }

    /// The same, refused as clients of the routes under `/auth/tenants` expect.
    pub(crate) fn read_or_bad_request(self) -> ApiResult<T> {
        self.0.map_err(as_bad_request)
    }
}

/// Clients of the routes under `/auth/tenants` expect 400 and a list of sentences under each field's name.
pub(crate) fn as_bad_request(error: impl Into<ApiError>) -> ApiError {
    let mut error = error.into();
    let refusal = error.refusal_mut();
    let mut fields: Vec<(String, String)> = refusal
        .fields
        .iter()
        .map(|fault| (fault.pointer.trim_start_matches('/').to_owned(), fault.detail.clone()))
        .collect();
    if refusal.code == Code::EmailTaken {
        fields.push(("email".to_owned(), "A tenant with this email already exists.".to_owned()));
    }
    for (name, sentence) in fields.into_iter().filter(|(name, _)| !name.is_empty()) {
        let sentences = refusal.extensions.entry(name).or_insert_with(|| json!([]));
        if let Some(sentences) = sentences.as_array_mut() {
            sentences.push(sentence.into());
        }
    }
    if matches!(error.code(), Code::InvalidField | Code::EmailTaken) {
        return error.with_status(StatusCode::BAD_REQUEST);
    }
    error
}
