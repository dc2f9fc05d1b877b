//! Groups the events of a file into requests.
//!
//! The file is read in its own thread, which waits when the requests are behind: at most a few batches are in memory.

use super::cells::RowError;
use super::event::{BuiltEvent, EventPlan};
use super::file::open_rows;
use super::identity::Sha256;
use super::options::ImportOptions;
use super::rejects::Reject;
use anyhow::bail;
use tokio::sync::mpsc::Sender;

/// The limit of the API for one request.
pub(super) const BATCH_ROWS_MAX: usize = 10_000;
/// Below the API's 16 MiB, counting the text of the rows too, which is kept until the answer is there.
const BATCH_BYTES_MAX: usize = 15 * 1024 * 1024;
const BODY_START: &str = r#"{"events":["#;
const BODY_END: &str = "]}";

/// Some rows of the file, in order: the events of one request, and the rows that cannot become events.
#[derive(Debug)]
pub(super) struct Batch {
    /// The rows in it, good and bad.
    pub(super) rows: u64,
    /// How far into the file it reaches.
    pub(super) end_byte: u64,
    /// The request body; without a row in `sent` there is nothing to send.
    pub(super) body: String,
    /// The rows whose events are in the body, in its order.
    pub(super) sent: Vec<SentRow>,
    /// The rows that have no event.
    pub(super) rejects: Vec<Reject>,
    bytes: usize,
}

/// A row that waits for the server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentRow {
    /// The event id.
    pub(super) id: String,
    /// The line at which the row starts.
    pub(super) line: u64,
    /// The row as it stands in the file.
    pub(super) text: String,
}

impl Batch {
    /// An empty batch.
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            end_byte: 0,
            body: BODY_START.to_owned(),
            sent: Vec::new(),
            rejects: Vec::new(),
            bytes: 0,
        }
    }

    /// Tells whether a row of this size still fits; the first one always does.
    fn has_room(&self, bytes: usize, rows_max: usize) -> bool {
        self.rows == 0
            || (self.sent.len() + self.rejects.len() < rows_max && self.bytes + bytes <= BATCH_BYTES_MAX)
    }

    /// Adds the outcome of one row.
    pub(super) fn push(&mut self, line: u64, text: String, event: Result<BuiltEvent, RowError>) {
        self.rows += 1;
        self.bytes += row_bytes(&text, &event);
        match event {
            Err(err) => self.rejects.push(Reject::local(line, text, err)),
            Ok(event) => {
                if !self.sent.is_empty() {
                    self.body.push(',');
                }
                self.body.push_str(&event.json);
                self.sent.push(SentRow { id: event.id, line, text });
            }
        }
    }

    /// Completes the body.
    pub(super) fn finish(mut self, end_byte: u64) -> Self {
        self.body.push_str(BODY_END);
        self.end_byte = end_byte;
        self
    }
}

/// Reads the file from the row after `rows_done` and hands over its batches; returns early when nobody takes them.
///
/// The content is hashed again on the way: a file that changes while it is imported would mix up the identity of rows.
pub(super) fn read_batches(
    options: &ImportOptions,
    plan: &EventPlan,
    rows_done: u64,
    expected: &Sha256,
    batches: &Sender<Batch>,
) -> anyhow::Result<()> {
    let mut source = open_rows(&options.file, options.format)?;
    for _ in 0..rows_done {
        source.advance()?;
    }
    let mut batch = Batch::new();
    while let Some(line) = source.advance()? {
        let event = source.cells().and_then(|cells| plan.build(line, &cells));
        let text = source.text();
        if !batch.has_room(row_bytes(&text, &event), options.batch_rows) {
            let full = std::mem::replace(&mut batch, Batch::new());
            if batches.blocking_send(full.finish(source.reader().bytes_read())).is_err() {
                return Ok(());
            }
        }
        batch.push(line, text, event);
    }
    let reader = source.into_inner();
    let end_byte = reader.bytes_read();
    if reader.finish() != *expected {
        bail!("{} was changed while it was being imported", options.file.display());
    }
    if batch.rows > 0 {
        // An error means that nobody waits for the batch any more, and then nobody needs it.
        batches.blocking_send(batch.finish(end_byte)).ok();
    }
    Ok(())
}

fn row_bytes(text: &str, event: &Result<BuiltEvent, RowError>) -> usize {
    text.len() + event.as_ref().map_or(0, |event| event.json.len() + 1)
}
