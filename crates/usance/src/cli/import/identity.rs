//! Which import this is, and which event a row is.
//!
//! A row without an id of its own gets one from the content of the file, the row's line number and the plan
//! of the import (customer, type, time, format). It does not depend on the path, the batch size, the server or
//! the time of day, so sending a file again changes nothing: the server recognizes every event. The plan is
//! part of it so that one file can be imported for two customers. The mapping of properties is not: the same
//! file with a corrected mapping comes into conflict with what is stored, where new ids would bill it twice.

use super::options::{Format, ImportOptions, Origin};
use aws_lc_rs::digest::{Context, Digest, SHA256};
use secrecy::ExposeSecret;
use usance_core::hexadecimal;

/// 128 bits: a collision among 10^12 rows has a chance below 10^-14.
const ROW_ID_BYTES: usize = 16;
/// The first word of everything hashed, so that a later scheme cannot repeat an id of this one.
const ROW_SCHEME: &[u8] = b"usance-import-row-1";

/// A SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sha256([u8; 32]);

/// The hash of a file and of the plan it is imported by: the base of the ids of its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowIdentity {
    file: Sha256,
    plan: Sha256,
}

impl Sha256 {
    /// Hashes parts, each with its length before it so that no two lists of parts look the same.
    pub(super) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self::from(context.finish())
    }

    /// The digest in lower-case hexadecimal.
    pub(super) fn hex(&self) -> String {
        hexadecimal(&self.0)
    }
}

impl From<Digest> for Sha256 {
    fn from(digest: Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl RowIdentity {
    /// Ties the content of a file to the plan it is imported by.
    pub(super) fn new(file: Sha256, plan: Sha256) -> Self {
        Self { file, plan }
    }

    /// The event id of the row that starts at this line (the first line of the file is 1).
    pub(super) fn row_id(&self, line: u64) -> String {
        let digest = Sha256::of_parts([ROW_SCHEME, &self.file.0, &self.plan.0, &line.to_be_bytes()]);
        format!("row_{}", hexadecimal(&digest.0[..ROW_ID_BYTES]))
    }
}

/// Hashes what tells the events of one file apart from those of another import of it, with the time column that was found.
///
/// The words below are written out, because the ids of rows must survive a renaming in this program.
pub(super) fn plan_fingerprint(options: &ImportOptions, time_column: Option<&str>) -> Sha256 {
    let format = match options.format {
        Format::Delimited { delimiter } => format!("csv {delimiter}"),
        Format::Ndjson => "ndjson".to_owned(),
    };
    let fixed =
        [origin_text(&options.customer), origin_text(&options.event_type), column_text(time_column), format];
    Sha256::of_parts(fixed.iter().map(String::as_bytes))
}

/// Hashes what makes an earlier, unfinished import the same one: plan, mappings, id column, server and key.
///
/// The key stands for the tenant and the mode; it cannot be found again from the digest.
pub(super) fn import_fingerprint(options: &ImportOptions, plan: &Sha256) -> String {
    let id_column = column_text(options.id_column.as_deref());
    let key = options.key.expose_secret().as_bytes();
    let mut mappings: Vec<String> = options.mappings.iter().map(ToString::to_string).collect();
    mappings.sort();
    let fixed = [options.url.as_str().as_bytes(), &plan.0, id_column.as_bytes(), key];
    Sha256::of_parts(fixed.into_iter().chain(mappings.iter().map(String::as_bytes))).hex()
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Fixed(value) => format!("fixed {value}"),
        Origin::Column(column) => format!("column {column}"),
    }
}

fn column_text(column: Option<&str>) -> String {
    column.map_or_else(|| "none".to_owned(), |column| format!("column {column}"))
}
