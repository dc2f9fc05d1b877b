//! Parameters in the path.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;
use usance_app::error::{Code, Error};

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
};

/// Reads the parameters of a path; what cannot be read names nothing.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> ApiResult<Self> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let axum::extract::Path(value) = read.map_err(|_| {
            let detail = "there is nothing at this address: its percent-encoding must be UTF-8";
            Error::refused(Code::NotFound, detail)
        })?;
        Ok(Self(value))
    }
}
