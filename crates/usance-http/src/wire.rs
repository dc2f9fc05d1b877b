//! Shapes that many answers share.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_core::period::Period;
use usance_db::Page;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::write_cursor;

/// An amount of money.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"amount_minor": 1210, "currency": "USD"}))]
pub(crate) struct MoneyView {
    /// In minor units of the currency: cents, yen, fils.
    pub(crate) amount_minor: i64,
    /// ISO 4217.
    pub(crate) currency: String,
}

impl MoneyView {
    pub(crate) fn new(amount_minor: i64, currency: &str) -> Self {
        Self { amount_minor, currency: currency.to_owned() }
    }
}

/// A half-open span of time, UTC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PeriodView {
    /// The first instant in it.
    #[schema(value_type = String, format = DateTime, example = "2023-11-01T00:00:00Z")]
    pub(crate) start: Timestamp,
    /// The first instant after it.
    #[schema(value_type = String, format = DateTime, example = "2023-12-01T00:00:00Z")]
    pub(crate) end: Timestamp,
}

impl From<Period> for PeriodView {
    fn from(period: Period) -> Self {
        Self { start: period.start, end: period.end }
    }
}

/// A page of a list, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ListView<T> {
    /// The items of this page.
    pub(crate) data: Vec<T>,
    /// Whether a next page exists.
    pub(crate) has_more: bool,
    /// `cursor` of the next page.
    pub(crate) next_cursor: Option<String>,
}

impl<T> ListView<T> {
    /// A page of rows that are ordered by `id`.
    pub(crate) fn new<R>(page: Page<R>, id: impl Fn(&R) -> Uuid, view: impl FnMut(R) -> T) -> Self {
        Self::with_cursor(page, |row| write_cursor(id(row)), view)
    }

    /// A page of rows whose place is written by `cursor`.
    pub(crate) fn with_cursor<R>(
        page: Page<R>,
        cursor: impl Fn(&R) -> String,
        view: impl FnMut(R) -> T,
    ) -> Self {
        let next_cursor = page.items.last().filter(|_| page.has_more).map(cursor);
        Self { has_more: page.has_more, next_cursor, data: page.items.into_iter().map(view).collect() }
    }
}

/// An error (RFC 9457).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "https://docs.usance.dev/errors/invalid_field", "title": "Unprocessable Entity", "status": 422,
    "code": "invalid_field", "detail": "/currency: must be an ISO 4217 currency code in upper case, such as USD",
    "errors": [{"pointer": "/currency", "code": "unknown_currency", "detail": "must be an ISO 4217 currency code in upper case, such as USD"}],
    "request_id": "req_01h455vb4pex5vsknk084sn02q"
}))]
pub(crate) struct ProblemView {
    /// Address of the page that describes the code.
    #[serde(rename = "type")]
    problem_type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable name of the error.
    code: String,
    /// What is wrong and what to do.
    detail: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorView>,
    /// Names the request in the server's logs.
    request_id: String,
}

/// One field at fault.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FieldErrorView {
    /// JSON pointer into the body, or `?name` for a query parameter.
    pointer: String,
    /// Stable name of the fault.
    code: String,
    /// What is wrong and what to do.
    detail: String,
}
