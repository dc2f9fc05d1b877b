//! As much of HTTP/1.1 as a relay needs: messages whose length is in their head.

use std::io::{Error, ErrorKind, Result};

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A complete request or answer.
#[derive(Debug)]
pub(super) struct Message {
    /// All of it, as it came.
    pub(super) bytes: Vec<u8>,
    head_bytes: usize,
}

impl Message {
    /// Reads the next message; none if the other side has closed the connection, also in the middle of one.
    pub(super) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidData, "the head is too long"));
            }
            if stream.read_until(b'\n', &mut bytes).await? == 0 {
                return Ok(None);
            }
        }
        let head_bytes = bytes.len();
        let body_bytes = content_length(&bytes)?;
        bytes.resize(head_bytes + body_bytes, 0);
        match stream.read_exact(&mut bytes[head_bytes..]).await {
            Ok(_) => Ok(Some(Self { bytes, head_bytes })),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What stands behind the head.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.head_bytes..]
    }

    /// The counts of the answer to a batch of events, if it is one.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        if !self.bytes.starts_with(b"HTTP/1.1 200 ") {
            return None;
        }
        let body: Value = serde_json::from_slice(self.body()).ok()?;
        let count = |name: &str| body[name].as_u64();
        Some(Receipt {
            accepted: count("accepted")?,
            rows: ["accepted", "replayed", "unbilled", "conflict", "rejected"]
                .into_iter()
                .map(count)
                .sum::<Option<u64>>()?,
        })
    }
}

/// How many events a server has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    /// Events that were new to it.
    pub(super) accepted: u64,
    /// All events that it has answered for.
    pub(super) rows: u64,
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|text| text.trim().parse().ok()).filter(|length| *length <= BODY_BYTES_MAX);
    length.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the head tells no length of the body"))
}
