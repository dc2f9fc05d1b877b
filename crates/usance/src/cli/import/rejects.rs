//! The file that lists the rows which are not billed, with their reasons.

use super::batch::SentRow;
use super::cells::RowError;
use super::file::create_private;
use super::send::EventResult;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// One line of the rejects file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reject {
    /// The line at which the row starts; the header is line 1.
    pub(super) line: u64,
    /// The event id, if the row got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// `rejected`, `conflict` or `unbilled`.
    pub(super) status: String,
    /// A stable word, such as `bad_time` or `unknown_customer`.
    pub(super) reason: String,
    /// A sentence about it; empty when the server gave none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
    /// The row as it stands in the file.
    pub(super) row: String,
}

impl Reject {
    /// A row that was refused before anything was sent.
    pub(super) fn local(line: u64, row: String, err: RowError) -> Self {
        let (reason, detail) = (err.reason.to_owned(), err.detail);
        Self { line, id: None, status: "rejected".to_owned(), reason, detail, row }
    }

    /// A row whose event the server did not take, or took without billing it.
    pub(super) fn by_server(row: SentRow, result: EventResult) -> Self {
        Self {
            line: row.line,
            id: Some(row.id),
            status: result.status,
            reason: result.reason.unwrap_or_default(),
            detail: result.detail.unwrap_or_default(),
            row: row.text,
        }
    }
}

/// Writes rejects as NDJSON; the file is made with the first one.
#[derive(Debug)]
pub(super) struct RejectsFile {
    candidates: Vec<PathBuf>,
    /// How long the file was when an unfinished import stopped.
    kept_bytes: u64,
    open: Option<(PathBuf, BufWriter<File>)>,
}

impl RejectsFile {
    /// Goes on behind `kept_bytes` in the first of these places that can be written; 0 starts afresh.
    pub(super) fn new(candidates: Vec<PathBuf>, kept_bytes: u64) -> Self {
        Self { candidates, kept_bytes, open: None }
    }

    /// Appends the rejects and gives the length of the file, which is then safely written.
    pub(super) fn append(&mut self, rejects: &[Reject]) -> std::io::Result<u64> {
        if rejects.is_empty() {
            return Ok(self.kept_bytes);
        }
        if self.open.is_none() {
            self.open = Some(open_first(&self.candidates, self.kept_bytes)?);
        }
        let Some((_, writer)) = &mut self.open else { return Ok(self.kept_bytes) };
        for reject in rejects {
            serde_json::to_writer(&mut *writer, reject)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()?;
        self.kept_bytes = writer.get_mut().stream_position()?;
        Ok(self.kept_bytes)
    }

    /// Where the rejects are, if there are any.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.open {
            Some((path, _)) => Some(path),
            None if self.kept_bytes > 0 => {
                self.candidates.iter().find(|path| path.exists()).map(PathBuf::as_path)
            }
            None => None,
        }
    }
}

fn open_first(candidates: &[PathBuf], kept_bytes: u64) -> std::io::Result<(PathBuf, BufWriter<File>)> {
    let mut failure = std::io::Error::other("there is no place for the rejects file");
    for path in candidates {
        match open_at(path, kept_bytes) {
            Ok(file) => return Ok((path.clone(), BufWriter::new(file))),
            Err(err) => failure = std::io::Error::new(err.kind(), format!("{}: {err}", path.display())),
        }
    }
    Err(failure)
}

/// Cuts off what was written behind the last checkpoint, so that no row is listed twice.
fn open_at(path: &Path, kept_bytes: u64) -> std::io::Result<File> {
    if kept_bytes == 0 {
        return create_private(path);
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let length = file.metadata()?.len().min(kept_bytes);
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(file)
}
