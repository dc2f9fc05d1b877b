//! The quoting rules of CSV (RFC 4180), one character at a time.
//!
//! The records are split here and not by a CSV library for two reasons: a quote that is never closed must not draw the
//! rest of the file into memory, and a rejected row needs its exact line number and its text as it stands in the file.

use super::cells::Fields;

/// Where a character stands in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Before the first character of a field.
    FieldStart,
    /// In a field, outside quotes.
    Plain,
    /// Between quotes, where delimiters and line ends are content.
    Quoted,
    /// Behind a quote that either ends the quotes or is the first of a doubled one.
    QuoteSeen,
}

impl Quoting {
    /// The state behind a character.
    fn next(self, ch: char, delimiter: char) -> Self {
        match self {
            Self::FieldStart | Self::QuoteSeen if ch == '"' => Self::Quoted,
            Self::Quoted if ch == '"' => Self::QuoteSeen,
            Self::Quoted => Self::Quoted,
            Self::FieldStart | Self::Plain | Self::QuoteSeen if ch == delimiter => Self::FieldStart,
            Self::FieldStart | Self::Plain | Self::QuoteSeen => Self::Plain,
        }
    }

    /// The state behind a part of a record; `Quoted` says that the record goes on in the next line.
    pub(super) fn scan(self, bytes: &[u8], delimiter: u8) -> Self {
        let delimiter = char::from(delimiter);
        bytes.iter().fold(self, |state, byte| state.next(char::from(*byte), delimiter))
    }
}

/// Splits a whole record into its fields, without quotes.
pub(super) fn split(record: &str, delimiter: u8, fields: &mut Fields) {
    let delimiter = char::from(delimiter);
    let mut state = Quoting::FieldStart;
    fields.clear();
    for ch in record.chars() {
        let next = state.next(ch, delimiter);
        match (state, next) {
            (Quoting::FieldStart, Quoting::Quoted) | (Quoting::Quoted, Quoting::QuoteSeen) => {}
            (_, Quoting::FieldStart) => fields.end_field(),
            _ => fields.push(ch),
        }
        state = next;
    }
    fields.end_field();
}
