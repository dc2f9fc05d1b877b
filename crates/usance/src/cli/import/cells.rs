//! The cells of one row by column name, the same for CSV and for JSON.

use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How much of a bad value is repeated in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a row does not become an event; the import goes on with the next row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowError {
    /// A stable word for programs, such as `bad_time`.
    pub(super) reason: &'static str,
    /// A sentence for people.
    pub(super) detail: String,
}

impl RowError {
    /// Makes an error from the stable word and the sentence.
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Cuts a value to a length that a message can carry.
    pub(super) fn shorten(text: &str) -> Cow<'_, str> {
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            None => Cow::Borrowed(text),
            Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        }
    }
}

/// The names of the columns of a CSV file, trimmed.
#[derive(Debug, Default)]
pub(super) struct Header {
    names: Vec<String>,
}

/// The fields of a CSV record, in one buffer that is used again for every row.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: String,
    ends: Vec<usize>,
}

/// One row, read by column name.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    /// A record with as many fields as the header has names.
    Delimited(&'a Header, &'a Fields),
    /// The top level of a JSON object.
    Json(BTreeMap<String, &'a RawValue>),
}

/// The content of one column in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// No such key, or JSON null.
    Missing,
    /// The text of a CSV field.
    Text(&'a str),
    /// A JSON value other than null, as written.
    Json(&'a str),
}

impl<'a> Cell<'a> {
    fn of_json(json: &'a str) -> Self {
        if json == "null" { Self::Missing } else { Self::Json(json) }
    }
}

impl Header {
    /// Takes the fields of the first record as names.
    pub(super) fn new(fields: &Fields) -> Self {
        Self { names: fields.iter().map(|name| name.trim().to_owned()).collect() }
    }

    /// The names in the order of the file; a column may have an empty one.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Fields {
    /// Forgets the record before.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a character to the field that is being read.
    pub(super) fn push(&mut self, ch: char) {
        self.text.push(ch);
    }

    /// Ends the field that is being read.
    pub(super) fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }

    /// How many fields the record has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a field, without its quotes.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.text.get(start..*self.ends.get(index)?)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'a> Cells<'a> {
    /// Reads a line of NDJSON.
    pub(super) fn from_json(line: &'a str) -> Result<Self, RowError> {
        serde_json::from_str(line).map(Self::Json).map_err(|err| {
            RowError::new("bad_row", format!("the line is not a JSON object: {}", json_fault(&err)))
        })
    }

    /// Finds a column; in JSON a dotted name leads into nested objects unless a key has that very name.
    pub(super) fn get(&self, column: &str) -> Cell<'_> {
        match self {
            Self::Delimited(header, fields) => header
                .names
                .iter()
                .position(|name| name == column)
                .and_then(|index| fields.get(index))
                .map_or(Cell::Missing, Cell::Text),
            Self::Json(object) => find_nested(object, column).map_or(Cell::Missing, Cell::of_json),
        }
    }

    /// Tells whether the row has the column at all, be it null.
    pub(super) fn has(&self, column: &str) -> bool {
        match self {
            Self::Delimited(header, _) => header.names.iter().any(|name| name == column),
            Self::Json(object) => find_nested(object, column).is_some(),
        }
    }

    /// The content of a column as trimmed text; `None` when it is missing or blank.
    pub(super) fn text(&self, column: &str) -> Result<Option<Cow<'_, str>>, RowError> {
        let text = match self.get(column) {
            Cell::Missing => return Ok(None),
            Cell::Text(text) => Cow::Borrowed(text.trim()),
            Cell::Json(json) if json.starts_with('"') => {
                let text: String = serde_json::from_str(json).map_err(|err| {
                    RowError::new("bad_row", format!("column {column} is not text: {}", json_fault(&err)))
                })?;
                Cow::Owned(text.trim().to_owned())
            }
            Cell::Json(json) if json.starts_with(['{', '[']) => {
                return Err(RowError::new("bad_row", format!("column {column} holds an object or a list")));
            }
            Cell::Json(json) => Cow::Borrowed(json),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The top-level columns of this row with their names.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&str, Cell<'_>)> + '_> {
        match self {
            Self::Delimited(header, fields) => {
                let names = header.names.iter().map(String::as_str);
                Box::new(names.zip(fields.iter().map(Cell::Text)))
            }
            Self::Json(object) => {
                Box::new(object.iter().map(|(name, json)| (name.as_str(), Cell::of_json(json.get()))))
            }
        }
    }
}

/// The fault without its line number, which would count from the row and not from the file.
fn json_fault(err: &serde_json::Error) -> String {
    let text = err.to_string();
    let fault = text.split_once(" at line ").map_or(text.as_str(), |(fault, _)| fault);
    format!("{fault} at byte {}", err.column())
}

fn find_nested<'a>(object: &BTreeMap<String, &'a RawValue>, column: &str) -> Option<&'a str> {
    if let Some(value) = object.get(column) {
        return Some(value.get());
    }
    let (first, mut path) = column.split_once('.')?;
    let mut value = object.get(first)?.get();
    loop {
        let inner: BTreeMap<String, &'a RawValue> = serde_json::from_str(value).ok()?;
        if let Some(found) = inner.get(path) {
            return Some(found.get());
        }
        let (next, rest) = path.split_once('.')?;
        value = inner.get(next)?.get();
        path = rest;
    }
}
