//! Where an unfinished import keeps its place.
//!
//! It only saves time: without it, or with an old one, the rows are sent again and the server recognizes them.

use super::file::create_private;
use super::summary::Counts;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// How far an import got; rows count only when all rows before them are acknowledged too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// SHA-256 of the file.
    file_sha256: String,
    /// Which import of the file this is: plan, mappings, id column, server and key.
    fingerprint: String,
    /// The outcome of the leading rows; `read` is their number.
    pub(super) counts: Counts,
    /// The length of the rejects file.
    pub(super) rejects_bytes: u64,
}

/// The place of the checkpoint: the first of some paths that can be written.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    candidates: Vec<PathBuf>,
    chosen: Option<PathBuf>,
}

impl Checkpoint {
    /// The checkpoint of an import that has sent nothing yet.
    pub(super) fn start(file_sha256: String, fingerprint: String) -> Self {
        Self { version: VERSION, file_sha256, fingerprint, counts: Counts::default(), rejects_bytes: 0 }
    }

    fn same_import(&self, other: &Self) -> bool {
        self.version == other.version
            && self.file_sha256 == other.file_sha256
            && self.fingerprint == other.fingerprint
    }
}

impl CheckpointFile {
    /// Names the places, best first.
    pub(super) fn new(candidates: Vec<PathBuf>) -> Self {
        Self { candidates, chosen: None }
    }

    /// Finds the state of an unfinished run of the same import; gives `start` back when there is none.
    pub(super) fn load_or(&self, start: Checkpoint) -> Checkpoint {
        self.candidates
            .iter()
            .filter_map(|path| fs::read(path).ok())
            .filter_map(|text| serde_json::from_slice::<Checkpoint>(&text).ok())
            .find(|found| found.same_import(&start))
            .unwrap_or(start)
    }

    /// Replaces the checkpoint, so that a crash leaves the old one or the new one and never a half.
    pub(super) fn save(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        if let Some(path) = &self.chosen {
            return write_replacing(path, checkpoint);
        }
        let mut failure = io::Error::other("there is no place for the checkpoint file");
        for path in &self.candidates {
            match write_replacing(path, checkpoint) {
                Ok(()) => {
                    self.chosen = Some(path.clone());
                    return Ok(());
                }
                Err(err) => failure = io::Error::new(err.kind(), format!("{}: {err}", path.display())),
            }
        }
        Err(failure)
    }

    /// Removes the checkpoint of a finished import.
    pub(super) fn remove(&self) -> io::Result<()> {
        let Some(path) = &self.chosen else { return Ok(()) };
        match fs::remove_file(path) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }
}

fn write_replacing(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = write_new(&draft, checkpoint).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The draft may not even exist; the error of the write is the one to report.
        fs::remove_file(&draft).ok();
    }
    written
}

fn write_new(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    create_private(path)?.write_all(&serde_json::to_vec(checkpoint)?)
}
