//! Request bodies: bounded, and as JSON with a pointer to what cannot be read.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use usance_app::error::{Code, Error, Result};

/// Reads at most this many bytes.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::refused(
            Code::PayloadTooLarge,
            format!("the body has more than {bytes_max} bytes: send less at once"),
        )),
        Err(_) => Err(Error::refused(Code::MalformedJson, "the body ended before its announced length")),
    }
}

/// Refuses a body that is announced as something else than JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<()> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Error::refused(Code::UnsupportedMediaType, "send the body as Content-Type: application/json"))
}

/// Reads JSON into a wire type.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().clone();
        let source = error.into_inner();
        match source.classify() {
            serde_json::error::Category::Data => Error::field(&pointer(&path), "invalid", sentence(&source)),
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => {
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

/// What the reader said, without its line and column.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
