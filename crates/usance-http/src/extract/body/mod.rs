//! Request bodies: bounded in size and time, and as JSON objects with a pointer to what cannot be read.

mod change;
mod objects;
mod texts;

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{HeaderMap, header, request::Parts},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use usance_app::error::{Code, Error, Result};

use crate::{HttpState, error::ApiResult, permissions::readmit};

pub(crate) use change::change;
pub(crate) use objects::{ObjectOnly, objects, optional_object, optional_objects};
pub(crate) use texts::Texts;

/// The longest time that a body may take to arrive.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How large a body may be, and how long it may take to arrive in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    bytes: usize,
    time: Duration,
}

impl BodyLimits {
    /// A body never takes longer than its whole request may.
    pub(crate) fn new(bytes: usize, request_timeout: Duration) -> Self {
        Self { bytes, time: TIME_MAX.min(request_timeout) }
    }
}

/// Reads the body of a request within its limits, and asks again who calls if it took long. `arrived` is told the length of
/// each piece before it is kept, and may refuse it.
pub(crate) async fn receive_body(
    state: &HttpState,
    parts: &mut Parts,
    body: Body,
    limits: BodyLimits,
    arrived: impl FnMut(usize) -> Result<()>,
) -> ApiResult<Vec<u8>> {
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > limits.bytes as u64)
    {
        return Err(too_large(limits.bytes).into());
    }
    let began = Instant::now();
    let bytes = read_body(body, limits, arrived).await?;
    readmit(state, parts, began).await?;
    Ok(bytes)
}

async fn read_body(
    body: Body,
    limits: BodyLimits,
    arrived: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u8>> {
    tokio::time::timeout(limits.time, read_frames(body, limits.bytes, arrived)).await.unwrap_or_else(|_| {
        let detail =
            format!("the body did not arrive within {:?}: send it faster, or less at once", limits.time);
        Err(Error::refused(Code::Timeout, detail))
    })
}

fn too_large(bytes_max: usize) -> Error {
    Error::refused(
        Code::PayloadTooLarge,
        format!("the body has more than {bytes_max} bytes: send less at once"),
    )
}

async fn read_frames(
    mut body: Body,
    bytes_max: usize,
    mut arrived: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Error::refused(Code::MalformedJson, "the body ended before its announced length"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > bytes_max - bytes.len() {
            return Err(too_large(bytes_max));
        }
        arrived(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Refuses a body that is announced as something else than JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<()> {
    require_plain(headers)?;
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Error::refused(Code::UnsupportedMediaType, "send the body as Content-Type: application/json"))
}

/// Refuses a body that is announced as compressed.
pub(crate) fn require_plain(headers: &HeaderMap) -> Result<()> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    let Some(coding) = codings.iter().find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    else {
        return Ok(());
    };
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let detail = format!("a body in Content-Encoding: {coding} is not read: send it as it is");
    Err(Error::refused(Code::UnsupportedMediaType, detail))
}

/// The body of a request that may do without one: nothing is an empty object.
pub(crate) fn object_or_nothing(headers: &HeaderMap, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(b"{}".to_vec());
    }
    require_json(headers)?;
    Ok(bytes)
}

/// Reads a JSON object into a wire type. A list is not taken for an object by position.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let ObjectOnly(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = pointer(error.path());
        let source = error.into_inner();
        match source.classify() {
            Category::Data => unreadable(&path, &sentence(&source)),
            // The reader calls a wrong form where a choice is expected a fault of syntax.
            Category::Syntax if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() => {
                Error::field(&path, "invalid", "has the wrong form: the documentation shows an example")
            }
            Category::Io | Category::Syntax | Category::Eof => {
                Error::refused(Code::MalformedJson, format!("the body is not JSON: {source}"))
            }
        }
    })?;
    reader
        .end()
        .map_err(|error| Error::refused(Code::MalformedJson, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// The place in the document as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

/// A field that is missing is the one to name, not the object that lacks it.
fn unreadable(path: &str, sentence: &str) -> Error {
    let missing = sentence.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(field) => Error::field(&format!("{path}/{field}"), "required", "is required"),
        None => Error::field(path, "invalid", sentence),
    }
}

/// What the reader said, without its line and column.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
