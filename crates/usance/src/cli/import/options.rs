//! What an import needs to know, whoever starts it.

use super::mapping::Mapping;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Everything that decides how a file is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The file to import; it is read twice, so it cannot be a pipe.
    pub file: PathBuf,
    /// The server, with or without a path in front of `/api/v1`.
    pub url: Url,
    /// A secret API key; it decides the tenant and the mode.
    pub key: SecretString,
    /// Whose usage the rows are.
    pub customer: Origin,
    /// The event type of the rows.
    pub event_type: Origin,
    /// The properties of the events; without any, all columns that have no other use become properties.
    pub mappings: Vec<Mapping>,
    /// The column with the time; without one, a column named `time` or `timestamp` is looked for.
    pub time_column: Option<String>,
    /// The column with the event id; without one, the id is made from file content and line number.
    pub id_column: Option<String>,
    /// How the rows are written.
    pub format: Format,
    /// Rows in a request, 1 to 10,000.
    pub batch_rows: usize,
    /// Requests at a time, 1 to 64.
    pub concurrency: usize,
    /// Where refused rows are written; without a path, beside the file.
    pub rejects: Option<PathBuf>,
    /// Where the state of an unfinished import is kept; without a path, beside the file.
    pub checkpoint: Option<PathBuf>,
    /// How progress is shown on standard error.
    pub progress: ProgressMode,
    /// How long a request is tried again while the server does not answer.
    pub retry_for: Duration,
    /// The seed of the retry jitter; two imports side by side should have different ones.
    pub jitter_seed: u64,
}

impl ImportOptions {
    /// Options with the defaults of the command line, silent, for the fields that most callers need.
    pub fn new(file: PathBuf, url: Url, key: SecretString, customer: Origin, event_type: Origin) -> Self {
        Self {
            file,
            url,
            key,
            customer,
            event_type,
            mappings: Vec::new(),
            time_column: None,
            id_column: None,
            format: Format::Delimited { delimiter: b',' },
            batch_rows: BATCH_ROWS_DEFAULT,
            concurrency: CONCURRENCY_DEFAULT,
            rejects: None,
            checkpoint: None,
            progress: ProgressMode::Silent,
            retry_for: RETRY_FOR_DEFAULT,
            jitter_seed: 0,
        }
    }
}

/// Rows in a request unless the caller says otherwise.
pub(super) const BATCH_ROWS_DEFAULT: usize = 1000;
/// Requests at a time unless the caller says otherwise.
pub(super) const CONCURRENCY_DEFAULT: usize = 2;
/// Patience with a silent server unless the caller says otherwise.
pub(super) const RETRY_FOR_DEFAULT: Duration = Duration::from_mins(1);

/// Where a value comes from that every event needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The same value for every row.
    Fixed(String),
    /// The column that holds it.
    Column(String),
}

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CSV with a header line.
    Delimited {
        /// The ASCII character between two fields.
        delimiter: u8,
    },
    /// One JSON object on each line.
    Ndjson,
}

/// How progress is shown on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar that is drawn in place.
    Bar,
    /// A line every few seconds, for logs.
    Lines,
    /// Nothing at all.
    Silent,
}
