use super::PostgresError;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tracing::warn;

/// The size at which the log becomes `postgres.log.1`, replacing the one before.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How much of the log's end is read for an error message.
const TAIL_BYTES_MAX: u64 = 16 * 1024;

/// How many lines of it are shown.
const TAIL_LINES_MAX: usize = 12;

/// The file the server writes its messages to.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) path: PathBuf,
}

impl Log {
    /// Names the log of a data directory without touching it.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self { path: data_dir.join("postgres.log") }
    }

    /// Opens the log for appending.
    pub(super) fn open(&self) -> Result<File, PostgresError> {
        // Messages quote statements, which are nobody else's business.
        let mut options = File::options();
        options.create(true).append(true).mode(0o600);
        options.open(&self.path).map_err(PostgresError::file("open", &self.path))
    }

    /// Returns the current length in bytes, as the mark from which [`Log::tail`] reads.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Returns the last lines after a mark, or nothing if the log cannot be read.
    pub(super) fn tail(&self, mark: u64) -> String {
        last_lines(&self.read_end(mark).unwrap_or_default(), TAIL_LINES_MAX)
    }

    /// Moves a log that has grown too long aside.
    ///
    /// The server keeps the file open, so its content is copied and the file emptied; a line written in between is lost,
    /// which a log of warnings can bear.
    pub(super) fn rotate(&self) {
        if self.len() <= LOG_BYTES_MAX {
            return;
        }
        let copied = fs::copy(&self.path, self.path.with_extension("log.1"));
        let emptied = copied.and_then(|_| File::options().write(true).open(&self.path)?.set_len(0));
        if let Err(error) = emptied {
            warn!(%error, "Could not rotate the log of PostgreSQL");
        }
    }

    fn read_end(&self, mark: u64) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(mark.min(length).max(length.saturating_sub(TAIL_BYTES_MAX))))?;
        let mut end = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    }
}

/// Returns the last lines of a text.
pub(super) fn last_lines(text: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}
