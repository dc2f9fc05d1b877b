//! A client of HTTP/1.1 that costs little, because it shares the machine with the server it measures.

use crate::events::Event;
use crate::load::Connection;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an unexpected answer is shown.
const EXCERPT_BYTES: usize = 400;

/// A kept-alive connection to the server.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    stream: TcpStream,
    /// The last answer; the buffer is used again.
    received: Vec<u8>,
}

/// Where requests go and in whose name.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The server on loopback.
    pub(crate) address: SocketAddr,
    /// The API key; empty before there is a tenant.
    pub(crate) key: String,
}

struct Reply<'a> {
    status: u16,
    body: &'a [u8],
}

impl Target {
    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<HttpConnection> {
        let stream = TcpStream::connect(self.address).await.context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        Ok(HttpConnection { stream, received: Vec::new() })
    }

    /// Opens so many connections.
    pub(crate) async fn connect_many(&self, count: usize) -> Result<Vec<HttpConnection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    /// Returns the bytes of the request that sends events.
    pub(crate) fn events_request(&self, events: &[Event]) -> Vec<u8> {
        let mut body = String::from(r#"{"events":["#);
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            event.write_json(&mut body);
        }
        body.push_str("]}");
        self.request("POST", "/api/v1/events", &body)
    }

    /// Returns the bytes of the request that reads a customer's usage of the day of all events by the hour.
    pub(crate) fn usage_request(&self, customer: u32) -> Vec<u8> {
        let path = format!(
            "/api/v1/usage?customer=c{customer}&meter=tokens&from=2023-11-16T00:00:00Z&to=2023-11-17T00:00:00Z&window=hour"
        );
        self.request("GET", &path, "")
    }

    /// Makes one request outside the measurement, expects a success, and returns the answer's JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(method, path, &body.to_string());
        let mut connection = self.connect().await?;
        let exchange = async {
            let reply = connection.exchange(&request).await?;
            ensure!((200..300).contains(&reply.status), "{}: {}", reply.status, excerpt(reply.body));
            Ok(serde_json::from_slice(reply.body).unwrap_or(Value::Null))
        };
        let reply = timeout(CALL_TIMEOUT, exchange).await.unwrap_or_else(|_| bail!("no answer"));
        reply.with_context(|| format!("{method} {path} was not answered with a success"))
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { address, key } = self;
        let authorization =
            if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

impl HttpConnection {
    async fn exchange(&mut self, request: &[u8]) -> Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (status, head, length) = loop {
            self.receive().await?;
            if let Some(head) = find(&self.received, b"\r\n\r\n") {
                let text = str::from_utf8(&self.received[..head]).context("the head is not text")?;
                let (status, length) = parse_head(text)?;
                break (status, head + 4, length);
            }
        };
        while self.received.len() < head + length {
            self.receive().await?;
        }
        Ok(Reply { status, body: &self.received[head..head + length] })
    }

    async fn receive(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.received).await?;
        ensure!(read > 0, "the server closed the connection");
        ensure!(
            self.received.len() <= ANSWER_BYTES_MAX,
            "the answer is longer than {ANSWER_BYTES_MAX} bytes"
        );
        Ok(())
    }
}

/// A connection that reads.
#[derive(Debug)]
pub(crate) struct HttpReader(pub(crate) HttpConnection);

impl Connection for HttpReader {
    type Batch = Vec<u8>;

    async fn store(&mut self, batch: &Vec<u8>) -> Result<u64> {
        let reply = self.0.exchange(batch).await?;
        ensure!(reply.status == 200, "answer {}: {}", reply.status, excerpt(reply.body));
        Ok(1)
    }
}

impl Connection for HttpConnection {
    type Batch = Vec<u8>;

    async fn store(&mut self, batch: &Vec<u8>) -> Result<u64> {
        let reply = self.exchange(batch).await?;
        ensure!(reply.status == 200, "answer {}: {}", reply.status, excerpt(reply.body));
        accepted(reply.body).with_context(|| format!("no number of accepted events: {}", excerpt(reply.body)))
    }
}

/// Finds the number in `"accepted":1000`; a full parse would cost as much as what is measured.
fn accepted(body: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = br#""accepted":"#;
    let value = &body[find(body, FIELD)? + FIELD.len()..];
    let end = value.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(&value[..end]).ok()?.parse().ok()
}

/// Reads the status and the length of the body.
fn parse_head(head: &str) -> Result<(u16, usize)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status.context("no status")?, length.context("an answer without content-length")?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]).into_owned()
}
