//! Reads a file row by row in constant memory.

use super::cells::{Cells, Fields, Header, RowError};
use super::delimited::{self, Quoting};
use super::options::Format;
use anyhow::{Context as _, bail};
use std::io::{BufRead, BufReader, Read};

/// An event has at most 64 KiB; a row has room for many columns that are not sent.
const ROW_BYTES_MAX: usize = 1024 * 1024;
const READ_BUFFER_BYTES: usize = 256 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of a file, one at a time.
#[derive(Debug)]
pub(super) struct RowSource<R> {
    lines: Lines<R>,
    format: Format,
    header: Header,
    row: Vec<u8>,
    row_line: u64,
    row_fault: Option<RowError>,
    fields: Fields,
}

#[derive(Debug)]
struct Lines<R> {
    inner: BufReader<R>,
    count: u64,
}

/// What a physical line was.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// The file has ended.
    End,
    /// The whole line was appended.
    Whole,
    /// Only the beginning was appended; the rest was skipped.
    Cut,
}

impl<R: Read> RowSource<R> {
    /// Reads the header of a CSV file; NDJSON has none.
    pub(super) fn open(reader: R, format: Format) -> anyhow::Result<Self> {
        let mut source = Self {
            lines: Lines { inner: BufReader::with_capacity(READ_BUFFER_BYTES, reader), count: 0 },
            format,
            header: Header::default(),
            row: Vec::new(),
            row_line: 0,
            row_fault: None,
            fields: Fields::default(),
        };
        source.lines.skip_byte_order_mark()?;
        if let Format::Delimited { delimiter } = format {
            source.read_header(delimiter)?;
        }
        Ok(source)
    }

    /// The names in the header of a CSV file; empty for NDJSON.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Moves to the next row that is not blank and gives the line it starts at; `None` at the end of the file.
    pub(super) fn advance(&mut self) -> anyhow::Result<Option<u64>> {
        loop {
            let more = match self.format {
                Format::Delimited { delimiter } => self.read_record(delimiter)?,
                Format::Ndjson => self.read_line()?,
            };
            if !more {
                return Ok(None);
            }
            trim_line_end(&mut self.row);
            let blank = match self.format {
                Format::Delimited { .. } => self.row.is_empty(),
                Format::Ndjson => self.row.trim_ascii().is_empty(),
            };
            if !blank {
                return Ok(Some(self.row_line));
            }
        }
    }

    /// Splits the current row into cells.
    pub(super) fn cells(&mut self) -> Result<Cells<'_>, RowError> {
        if let Some(fault) = &self.row_fault {
            return Err(fault.clone());
        }
        let text = str::from_utf8(&self.row)
            .map_err(|err| RowError::new("bad_row", format!("the row is not UTF-8 text: {err}")))?;
        match self.format {
            Format::Ndjson => Cells::from_json(text),
            Format::Delimited { delimiter } => {
                delimited::split(text, delimiter, &mut self.fields);
                let (found, wanted) = (self.fields.len(), self.header.names().len());
                if found != wanted {
                    let detail = format!("the row has {found} fields and the header has {wanted}");
                    return Err(RowError::new("bad_row", detail));
                }
                Ok(Cells::Delimited(&self.header, &self.fields))
            }
        }
    }

    /// The current row as it stands in the file, without its line end.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.row).into_owned()
    }

    /// What the rows were read from.
    pub(super) fn into_inner(self) -> R {
        self.lines.inner.into_inner()
    }

    /// Access to the reader below, to ask it how far it is.
    pub(super) fn reader(&self) -> &R {
        self.lines.inner.get_ref()
    }

    fn read_header(&mut self, delimiter: u8) -> anyhow::Result<()> {
        let Some(_) = self.advance()? else { return Ok(()) };
        if let Some(fault) = &self.row_fault {
            bail!("the header cannot be read: {}", fault.detail);
        }
        let text = str::from_utf8(&self.row).context("the header is not UTF-8 text")?;
        delimited::split(text, delimiter, &mut self.fields);
        self.header = Header::new(&self.fields);
        Ok(())
    }

    fn read_line(&mut self) -> anyhow::Result<bool> {
        self.row.clear();
        self.row_fault = None;
        let line = self.lines.read(&mut self.row)?;
        self.row_line = self.lines.count;
        if line == Line::Cut {
            self.row_fault = Some(row_too_long());
        }
        Ok(line != Line::End)
    }

    /// Reads one line, and more while a quote is open.
    fn read_record(&mut self, delimiter: u8) -> anyhow::Result<bool> {
        if !self.read_line()? {
            return Ok(false);
        }
        let mut quoting = Quoting::FieldStart.scan(&self.row, delimiter);
        while quoting == Quoting::Quoted {
            if self.row.len() >= ROW_BYTES_MAX {
                bail!(
                    "line {}: a quoted field does not end within 1 MiB; look for a double quote that is not closed",
                    self.row_line
                );
            }
            let scanned = self.row.len();
            if self.lines.read(&mut self.row)? == Line::End {
                self.row_fault =
                    Some(RowError::new("bad_row", "a double quote is not closed before the end of the file"));
                break;
            }
            quoting = quoting.scan(&self.row[scanned..], delimiter);
        }
        if self.row.len() >= ROW_BYTES_MAX {
            self.row_fault = Some(row_too_long());
        }
        Ok(true)
    }
}

impl<R: Read> Lines<R> {
    fn skip_byte_order_mark(&mut self) -> anyhow::Result<()> {
        let start = self.inner.fill_buf()?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            bail!("the file is written in UTF-16; save it as UTF-8");
        }
        if start.starts_with(BYTE_ORDER_MARK) {
            self.inner.consume(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// Appends the next line with its end, as far as the row stays within its limit.
    fn read(&mut self, row: &mut Vec<u8>) -> std::io::Result<Line> {
        let room = ROW_BYTES_MAX.saturating_sub(row.len());
        let count = self.inner.by_ref().take(room as u64).read_until(b'\n', row)?;
        if count == 0 {
            return Ok(Line::End);
        }
        self.count += 1;
        if count < room || row.last() == Some(&b'\n') {
            return Ok(Line::Whole);
        }
        self.inner.skip_until(b'\n')?;
        Ok(Line::Cut)
    }
}

fn trim_line_end(row: &mut Vec<u8>) {
    for end in *b"\n\r" {
        if row.last() == Some(&end) {
            row.pop();
        }
    }
}

fn row_too_long() -> RowError {
    RowError::new("row_too_long", "the row is longer than 1 MiB")
}
