//! The arguments of `usance import`.

use super::mapping::Mapping;
use super::options::{
    BATCH_ROWS_DEFAULT, CONCURRENCY_DEFAULT, Format, ImportOptions, Origin, ProgressMode, RETRY_FOR_DEFAULT,
};
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Imports usage events from a CSV or NDJSON file through the public API.
///
/// Every row becomes one event. Importing the same file again changes nothing: the id of an event is taken
/// from the column --id, or made from the content of the file, the line number, and the customer, type and
/// time given here; so a changed file is a new set of events. The same file with another --map is not: rows
/// whose properties differ from what is stored are reported as conflicts and change nothing. Times without
/// a zone are UTC and are cut to microseconds.
///
/// Exit status: 0 when no row was refused, 2 when rows were rejected or in conflict, 1 when the import failed.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// The file: CSV with a header line, or NDJSON with one object on each line
    pub file: PathBuf,

    /// Address of the server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: Url,

    /// Secret API key of the tenant, for test or for live data
    #[arg(long, env = "USANCE_API_KEY", hide_env_values = true, value_name = "SECRET")]
    pub key: Option<SecretString>,

    /// File that holds the secret API key, instead of --key
    #[arg(long, env = "USANCE_API_KEY_FILE", value_name = "PATH", conflicts_with = "key")]
    pub key_file: Option<PathBuf>,

    /// Customer of all rows: a cus_… id or your own id of the customer
    #[arg(long, required_unless_present = "customer_column", conflicts_with = "customer_column")]
    pub customer: Option<String>,

    /// Column that names the customer of each row
    #[arg(long, value_name = "COLUMN")]
    pub customer_column: Option<String>,

    /// Event type of all rows
    #[arg(
        long = "type",
        value_name = "TYPE",
        required_unless_present = "type_column",
        conflicts_with = "type_column"
    )]
    pub event_type: Option<String>,

    /// Column that holds the event type of each row
    #[arg(long, value_name = "COLUMN")]
    pub type_column: Option<String>,

    /// Property of the event: a column, or columns and numbers joined by + and -; may be repeated
    ///
    /// A name with special characters is put in double quotes: tokens='"Input tokens"+"Output-tokens"'. In
    /// NDJSON a dotted name leads into nested objects. An empty column gives no property, and in a sum it
    /// refuses the row. Without any --map, all columns that have no other use become properties.
    #[arg(long = "map", value_name = "NAME=EXPR")]
    pub mappings: Vec<Mapping>,

    /// Column with the time [default: the column named time or timestamp]
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,

    /// Column with the event id [default: made from file content and line number]
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,

    /// How the rows are written [default: by the ending of the file name]
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,

    /// Character between two fields of CSV, or `tab` [default: a comma, in .tsv files a tab]
    #[arg(long, value_parser = parse_delimiter, value_name = "CHAR")]
    pub delimiter: Option<u8>,

    /// Rows in a request, at most 10000
    #[arg(long, default_value_t = BATCH_ROWS_DEFAULT, value_name = "ROWS", value_parser = parse_batch_rows)]
    pub batch: usize,

    /// Requests at a time, at most 64
    #[arg(long, default_value_t = CONCURRENCY_DEFAULT, value_name = "REQUESTS", value_parser = parse_concurrency)]
    pub concurrency: usize,

    /// Where refused rows are written [default: FILE.rejects.ndjson]
    #[arg(long, value_name = "PATH")]
    pub rejects: Option<PathBuf>,

    /// Where an unfinished import keeps its place [default: FILE.usance-checkpoint]
    #[arg(long, value_name = "PATH")]
    pub checkpoint: Option<PathBuf>,

    /// How many seconds a request is tried again while the server does not answer
    #[arg(long, default_value_t = RETRY_FOR_DEFAULT.as_secs(), value_name = "SECONDS")]
    pub retry_for: u64,

    /// Prints a line every few seconds and draws no bar
    #[arg(long)]
    pub no_progress: bool,
}

/// The names of the formats on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FormatName {
    /// Fields with a delimiter between them, the first line holding the names
    Csv,
    /// One JSON object on each line
    Ndjson,
}

impl ImportArgs {
    /// Reads the key file if there is one, and settles everything that has a default.
    pub fn into_options(self) -> anyhow::Result<ImportOptions> {
        let key = self.read_key()?;
        let format = self.resolve_format()?;
        let customer = origin(self.customer, self.customer_column)
            .context("--customer or --customer-column is needed")?;
        let event_type =
            origin(self.event_type, self.type_column).context("--type or --type-column is needed")?;
        Ok(ImportOptions {
            file: self.file,
            url: self.url,
            key,
            customer,
            event_type,
            mappings: self.mappings,
            time_column: self.time,
            id_column: self.id,
            format,
            batch_rows: self.batch,
            concurrency: self.concurrency,
            rejects: self.rejects,
            checkpoint: self.checkpoint,
            progress: if self.no_progress || !std::io::stderr().is_terminal() {
                ProgressMode::Lines
            } else {
                ProgressMode::Bar
            },
            retry_for: Duration::from_secs(self.retry_for),
            // Two imports that run side by side must not retry in step.
            jitter_seed: u64::from(std::process::id()),
        })
    }

    fn read_key(&self) -> anyhow::Result<SecretString> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let Some(path) = &self.key_file else {
            bail!("an API key is needed: pass --key or --key-file, or set USANCE_API_KEY");
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the key file {} cannot be read", path.display()))?;
        Ok(SecretString::from(text.trim()))
    }

    fn resolve_format(&self) -> anyhow::Result<Format> {
        let ending = ending(&self.file);
        let name = match (self.format, ending.as_str()) {
            (Some(name), _) => name,
            (None, "csv" | "tsv") => FormatName::Csv,
            (None, "ndjson" | "jsonl") => FormatName::Ndjson,
            (None, _) => bail!(
                "the format of {} is not clear from its name: add --format csv or --format ndjson",
                self.file.display()
            ),
        };
        let default_delimiter = if ending == "tsv" { b'\t' } else { b',' };
        Ok(match name {
            FormatName::Csv => Format::Delimited { delimiter: self.delimiter.unwrap_or(default_delimiter) },
            FormatName::Ndjson => Format::Ndjson,
        })
    }
}

fn ending(path: &Path) -> String {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn origin(fixed: Option<String>, column: Option<String>) -> Option<Origin> {
    fixed.map(Origin::Fixed).or(column.map(Origin::Column))
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err("one character other than a quote, such as ; or |, or the word tab".to_owned()),
    }
}

fn parse_batch_rows(text: &str) -> Result<usize, String> {
    parse_count(text, super::batch::BATCH_ROWS_MAX)
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    parse_count(text, super::transfer::CONCURRENCY_MAX)
}

fn parse_count(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        _ => Err(format!("a number from 1 to {max}")),
    }
}
