//! Events and questions over HTTP.

use crate::connection::{Connection, excerpt, find};
use crate::events::Event;
use crate::load::Driven;
use crate::target::Target;
use anyhow::{Context, Result, ensure};

/// Returns the bytes of the request that sends events.
pub(crate) fn events_request(target: &Target, events: &[Event]) -> Vec<u8> {
    let mut body = String::from(r#"{"events":["#);
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        event.write_json(&mut body);
    }
    body.push_str("]}");
    target.request("POST", "/api/v1/events", &body)
}

/// Returns the bytes of the request that reads a customer's usage of the day of all events by the hour.
pub(crate) fn usage_request(target: &Target, customer: u32) -> Vec<u8> {
    let path = format!(
        "/api/v1/usage?customer=c{customer}&meter=tokens&from=2023-11-16T00:00:00Z&to=2023-11-17T00:00:00Z&window=hour"
    );
    target.request("GET", &path, "")
}

/// A connection that reads.
#[derive(Debug)]
pub(crate) struct HttpReader(pub(crate) Connection);

impl Driven for HttpReader {
    type Batch = Vec<u8>;

    async fn store(&mut self, batch: &Vec<u8>) -> Result<u64> {
        let (status, body) = self.0.exchange(batch).await?;
        ensure!(status == 200, "answer {status}: {}", excerpt(body));
        Ok(1)
    }
}

impl Driven for Connection {
    type Batch = Vec<u8>;

    async fn store(&mut self, batch: &Vec<u8>) -> Result<u64> {
        let (status, body) = self.exchange(batch).await?;
        ensure!(status == 200, "answer {status}: {}", excerpt(body));
        accepted(body).with_context(|| format!("no number of accepted events: {}", excerpt(body)))
    }
}

/// Finds the number in `"accepted":1000`; a full parse would cost as much as what is measured.
fn accepted(body: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = br#""accepted":"#;
    let value = &body[find(body, FIELD)? + FIELD.len()..];
    let end = value.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(&value[..end]).ok()?.parse().ok()
}
