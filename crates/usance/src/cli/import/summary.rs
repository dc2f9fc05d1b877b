//! What an import did, in exact numbers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Rows by outcome. `read` is the sum of the others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the file, without header and blank lines.
    pub read: u64,
    /// New events.
    pub accepted: u64,
    /// Events that were stored before with the same content.
    pub replayed: u64,
    /// Events that are stored but match no meter, customer or subscription yet.
    pub unbilled: u64,
    /// Events whose id is stored with another content.
    pub conflict: u64,
    /// Events that the server refused.
    pub rejected: u64,
    /// Rows that could not become an event.
    pub unreadable: u64,
}

/// The result of an import that came to the end of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSummary {
    /// The file that was imported.
    pub file: PathBuf,
    /// The outcome of every row of the file, those of an earlier, unfinished run included.
    pub counts: Counts,
    /// The rows at the beginning that an earlier run had sent; 0 without one.
    pub resumed_rows: u64,
    /// Whether the event ids are made from the content of the file, so that a changed file is a new one.
    pub ids_from_rows: bool,
    /// The time that this run took.
    pub elapsed: Duration,
    /// Where the rows that are not billed are listed, if there are any.
    pub rejects_file: Option<PathBuf>,
}

impl Counts {
    /// Adds the outcome of a batch.
    pub(super) fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.unbilled += other.unbilled;
        self.conflict += other.conflict;
        self.rejected += other.rejected;
        self.unreadable += other.unreadable;
    }
}

impl ImportSummary {
    /// Tells whether every row is stored as an event.
    pub fn complete(&self) -> bool {
        self.counts.conflict == 0 && self.counts.rejected == 0 && self.counts.unreadable == 0
    }

    /// The exit status of the command: 0, or 2 when rows were refused.
    pub fn exit_code(&self) -> ExitCode {
        if self.complete() { ExitCode::SUCCESS } else { ExitCode::from(2) }
    }

    fn closing_sentences(&self) -> Vec<String> {
        let counts = &self.counts;
        let mut sentences = Vec::new();
        if counts.read == 0 {
            sentences.push("The file has no rows.".to_owned());
        } else if counts.replayed == counts.read {
            sentences.push(format!("Nothing changed: all {} events were imported before.", counts.read));
        }
        if counts.unbilled > 0 {
            sentences.push(
                "Unbilled events are stored and are billed once their meter, customer or subscription exists."
                    .to_owned(),
            );
        }
        if counts.conflict > 0 {
            sentences.push(
                "In conflict: the event id is stored with another content; nothing was changed.".to_owned(),
            );
        }
        if let Some(path) = &self.rejects_file {
            sentences.push(format!(
                "The rows that are not billed are listed with their reasons in {}",
                path.display()
            ));
        }
        if self.ids_from_rows && !self.complete() {
            sentences.push(
                "Import corrected rows from a file of their own: a changed copy of this file counts as a new file."
                    .to_owned(),
            );
        }
        sentences
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let rows = counts.read - self.resumed_rows;
        let (seconds, rate) = (seconds_text(self.elapsed), rows_per_second(rows, self.elapsed));
        writeln!(f, "Imported {} in {seconds} s ({rate} rows/s)", self.file.display())?;
        if self.resumed_rows > 0 {
            writeln!(f, "  continued behind row {}, where an earlier run had stopped", self.resumed_rows)?;
        }
        let refused = counts.rejected + counts.unreadable;
        for (name, count) in [
            ("read", counts.read),
            ("accepted", counts.accepted),
            ("replayed", counts.replayed),
            ("unbilled", counts.unbilled),
            ("conflict", counts.conflict),
            ("rejected", refused),
        ] {
            write!(f, "  {name:<9} {count}")?;
            if name == "rejected" && counts.unreadable > 0 {
                write!(f, "  ({} not sent, {} by the server)", counts.unreadable, counts.rejected)?;
            }
            writeln!(f)?;
        }
        self.closing_sentences().iter().try_for_each(|sentence| writeln!(f, "{sentence}"))
    }
}

/// Whole rows in a second, counting no time as a millisecond.
pub(super) fn rows_per_second(rows: u64, elapsed: Duration) -> u128 {
    u128::from(rows) * 1000 / elapsed.as_millis().max(1)
}

fn seconds_text(elapsed: Duration) -> String {
    format!("{}.{:01}", elapsed.as_secs(), elapsed.subsec_millis() / 100)
}
