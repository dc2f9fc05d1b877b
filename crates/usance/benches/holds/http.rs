//! A client of HTTP/1.1 that costs little, because it shares the machine with the server it measures.

use crate::options::Load;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest a drive may take, so that a server which does not answer ends the benchmark.
const DRIVE_TIMEOUT: Duration = Duration::from_mins(30);

/// Where requests go and in whose name.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The server on loopback.
    pub(crate) address: SocketAddr,
    /// The API key; empty before there is a tenant.
    pub(crate) key: String,
}

/// A kept-alive connection to the server.
struct Connection {
    stream: TcpStream,
    /// The last answer; the buffer is used again.
    received: Vec<u8>,
}

/// How many were reserved, and how many refused because of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Answers {
    /// Reserved.
    pub(crate) accepted: u64,
    /// Refused.
    pub(crate) refused: u64,
}

impl Target {
    /// Makes one request outside the measurement, expects a success, and returns the answer's JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(method, path, &body.to_string());
        let exchange = async {
            let mut connection = self.connect().await?;
            let (status, body) = connection.exchange(&request).await?;
            ensure!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(body));
            Ok(serde_json::from_slice(body).unwrap_or(Value::Null))
        };
        let reply = timeout(CALL_TIMEOUT, exchange).await.unwrap_or_else(|_| bail!("no answer"));
        reply.with_context(|| format!("{method} {path} was not answered with a success"))
    }

    /// Reserves 1 of a wallet, so many times.
    pub(crate) async fn reserve(&self, wallet: &str, load: Load, connections: usize) -> Result<Answers> {
        let body = format!(r#"{{"wallet":"{wallet}","amount":{{"amount_minor":1,"currency":"USD"}}}}"#);
        let request: Arc<[u8]> = self.request("POST", "/api/v1/holds", &body).into();
        let left = Arc::new(AtomicU64::new(load.requests));
        let mut workers = JoinSet::new();
        for _ in 0..connections.max(1) {
            let connection = self.connect().await?;
            workers.spawn(work(connection, Arc::clone(&request), Arc::clone(&left)));
        }
        let finished = timeout(DRIVE_TIMEOUT, workers.join_all()).await;
        let mut all = Answers::default();
        for worker in finished.map_err(|_| anyhow!("not finished after {} s", DRIVE_TIMEOUT.as_secs()))? {
            let Answers { accepted, refused } = worker?;
            all.accepted += accepted;
            all.refused += refused;
        }
        Ok(all)
    }

    async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::new() })
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { address, key } = self;
        let authorization =
            if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

async fn work(mut connection: Connection, request: Arc<[u8]>, left: Arc<AtomicU64>) -> Result<Answers> {
    let mut answers = Answers::default();
    while take_one(&left) {
        match connection.exchange(&request).await? {
            (201, _) => answers.accepted += 1,
            (402, _) => answers.refused += 1,
            (status, body) => bail!("answer {status}: {}", String::from_utf8_lossy(body)),
        }
    }
    Ok(answers)
}

/// Takes one of what is left to do, if there is any.
pub(crate) fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Connection {
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the server closed the connection");
            let Some(head) = self.received.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = str::from_utf8(&self.received[..head]).context("the head is not text")?;
            let (status, length) = parse_head(text)?;
            let end = head + 4 + length;
            if self.received.len() >= end {
                return Ok((status, &self.received[head + 4..end]));
            }
        }
    }
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
