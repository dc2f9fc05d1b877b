//! Query parameters.

use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use usance_app::error::{Error, Result};
use usance_db::PageRequest;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
};

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 100;

/// Reads the query of a request.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<HttpState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> ApiResult<Self> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(fault(&rejection.body_text()).into()),
        }
    }
}

/// Names the parameter in what the reader said, which is `<context>: <name>: <fault>`.
fn fault(said: &str) -> Error {
    let fault = said.split_once(": ").map_or(said, |(_, fault)| fault);
    // A parameter that is sent twice is named by the fault alone.
    let quoted = fault.split('`').nth(1).unwrap_or_default();
    let (name, fault) = fault.split_once(": ").unwrap_or((quoted, fault));
    let pointer = format!("?{name}");
    if fault.starts_with("unknown field") {
        let known = fault.split_once("expected ").map_or("none", |(_, known)| known);
        return Error::field(&pointer, "unknown", format!("is no parameter here; known is {known}"));
    }
    if fault.starts_with("duplicate field") {
        return Error::field(&pointer, "duplicate", "must be sent once");
    }
    Error::field(&pointer, "invalid", "cannot be read: the documentation shows its form")
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// The same, of one customer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerQuery {
    /// Id or `external_id` of a customer.
    pub(crate) customer: Option<String>,
    /// Items per page, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

impl ListQuery {
    pub(crate) fn page(&self) -> Result<PageRequest> {
        Ok(PageRequest {
            limit: limit(self.limit)?,
            after: self.cursor.as_deref().map(read_cursor).transpose()?,
        })
    }
}

impl CustomerQuery {
    pub(crate) fn page(&self) -> Result<PageRequest> {
        Ok(PageRequest {
            limit: limit(self.limit)?,
            after: self.cursor.as_deref().map(read_cursor).transpose()?,
        })
    }

    /// The page of a list that is ordered by time; the cursor holds time and id.
    pub(crate) fn timed_page(&self) -> Result<(PageRequest, Option<(Timestamp, Uuid)>)> {
        let page = PageRequest { limit: limit(self.limit)?, after: None };
        Ok((page, self.cursor.as_deref().map(read_timed_cursor).transpose()?))
    }
}

fn limit(limit: Option<u16>) -> Result<u16> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Error::field("?limit", "out_of_range", format!("must be 1 to {LIMIT_MAX}"))),
    }
}

fn unknown_cursor() -> Error {
    Error::field("?cursor", "unknown_cursor", "must be the next_cursor of the page before")
}

pub(crate) fn write_cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn read_cursor(cursor: &str) -> Result<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown_cursor())?;
    Uuid::from_slice(&bytes).map_err(|_| unknown_cursor())
}

pub(crate) fn write_timed_cursor(at: Timestamp, id: Uuid) -> String {
    let mut bytes = at.as_microsecond().to_be_bytes().to_vec();
    bytes.extend(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_timed_cursor(cursor: &str) -> Result<(Timestamp, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown_cursor())?;
    let (micros, id) = bytes.split_first_chunk::<8>().ok_or_else(unknown_cursor)?;
    let at = Timestamp::from_microsecond(i64::from_be_bytes(*micros)).map_err(|_| unknown_cursor())?;
    Ok((at, Uuid::from_slice(id).map_err(|_| unknown_cursor())?))
}

#[cfg(test)]
mod tests;
