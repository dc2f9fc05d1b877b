use super::super::cells::{Cell, Fields};
use super::super::delimited::{self, Quoting};
use super::super::options::Format;
use super::super::source::RowSource;
use std::fmt::Write as _;

const CSV: Format = Format::Delimited { delimiter: b',' };

/// The rows with their lines; cells are joined by a bar, and a refused row shows its reason.
fn read(content: &str, format: Format) -> Vec<(u64, String)> {
    let mut source = RowSource::open(content.as_bytes(), format).unwrap();
    let mut rows = Vec::new();
    while let Some(line) = source.advance().unwrap() {
        let shown = match source.cells() {
            Err(err) => err.reason.to_owned(),
            Ok(cells) => cells
                .iter()
                .map(|(name, cell)| format!("{name}={}", text(cell)))
                .collect::<Vec<_>>()
                .join("|"),
        };
        rows.push((line, shown));
    }
    rows
}

fn text(cell: Cell<'_>) -> &str {
    match cell {
        Cell::Missing => "-",
        Cell::Text(text) | Cell::Json(text) => text,
    }
}

fn row(line: u64, shown: &str) -> (u64, String) {
    (line, shown.to_owned())
}

#[test]
fn line_ends_byte_order_mark_blank_lines_and_a_missing_final_newline_make_no_difference() {
    for content in ["a,b\n1,2\n\n3,4\n", "\u{feff}a,b\r\n1,2\r\n\r\n3,4", "a , b\n1,2\n\n3,4\r"] {
        assert_eq!(read(content, CSV), [row(2, "a=1|b=2"), row(4, "a=3|b=4")], "{content:?}");
    }
}

#[test]
fn a_quoted_field_may_hold_delimiters_quotes_and_line_ends() {
    let content = "a,b\n\"x,\"\"y\"\"\",\"1\r\n2\"\nplain \"inch\",\"\"\n";
    assert_eq!(read(content, CSV), [row(2, "a=x,\"y\"|b=1\r\n2"), row(4, "a=plain \"inch\"|b=")]);
}

#[test]
fn another_delimiter_leaves_commas_alone() {
    assert_eq!(read("a;b\n1,5;2\n", Format::Delimited { delimiter: b';' }), [row(2, "a=1,5|b=2")]);
}

#[test]
fn a_row_with_too_few_or_too_many_fields_is_refused_alone() {
    assert_eq!(read("a,b\n1\n1,2,3\n4,5\n", CSV), [row(2, "bad_row"), row(3, "bad_row"), row(4, "a=4|b=5")]);
}

#[test]
fn a_quote_that_the_end_of_the_file_leaves_open_refuses_the_row() {
    assert_eq!(read("a,b\n1,2\n3,\"4\n", CSV), [row(2, "a=1|b=2"), row(3, "bad_row")]);
}

#[test]
fn a_quote_that_is_never_closed_stops_with_its_line_and_does_not_swallow_the_file() {
    let content = format!("a,b\n1,2\n3,\"4\n{}", "5,6\n".repeat(300_000));
    let mut source = RowSource::open(content.as_bytes(), CSV).unwrap();
    assert_eq!(source.advance().unwrap(), Some(2));
    let err = source.advance().unwrap_err().to_string();
    assert!(err.starts_with("line 3: a quoted field does not end"), "{err}");
}

#[test]
fn a_line_without_end_is_refused_alone_and_kept_short() {
    for (format, head, tail, shown) in
        [(CSV, "a\n", "7", "a=7"), (Format::Ndjson, "{\"a\":0}\n", "{\"a\":7}", "a=7")]
    {
        let content = format!("{head}{}\n{tail}\n", "x".repeat(2_000_000));
        let mut source = RowSource::open(content.as_bytes(), format).unwrap();
        if format == Format::Ndjson {
            source.advance().unwrap();
        }
        assert_eq!(source.advance().unwrap(), Some(2));
        assert_eq!(source.cells().unwrap_err().reason, "row_too_long");
        assert!(source.text().len() <= 1024 * 1024);
        assert_eq!(source.advance().unwrap(), Some(3));
        assert_eq!(
            source
                .cells()
                .unwrap()
                .iter()
                .map(|(name, cell)| format!("{name}={}", text(cell)))
                .next()
                .unwrap(),
            shown
        );
    }
}

#[test]
fn ndjson_has_one_object_on_each_line() {
    let content = "\u{feff}{\"a\":1}\r\n  \n[1]\n{\"a\":2\n{\"a\":\"é\"}";
    let rows = [row(1, "a=1"), row(3, "bad_row"), row(4, "bad_row"), row(5, "a=\"é\"")];
    assert_eq!(read(content, Format::Ndjson), rows);
}

#[test]
fn bytes_that_are_no_text_refuse_the_row_and_other_encodings_the_file() {
    let mut source = RowSource::open(&b"a\n\xff\nx\n"[..], CSV).unwrap();
    source.advance().unwrap();
    assert_eq!(source.cells().unwrap_err().reason, "bad_row");
    assert_eq!(source.advance().unwrap(), Some(3));
    assert!(source.cells().is_ok());
    let utf16 = RowSource::open(&b"\xff\xfea\0\n\0"[..], CSV).unwrap_err();
    assert!(utf16.to_string().contains("UTF-16"), "{utf16}");
}

#[test]
fn a_record_is_split_as_the_csv_library_splits_it() {
    // Given every record of six characters from an alphabet of the ones that matter,
    let alphabet = [b'a', b',', b'"', b'\n', b' '];
    let mut compared = 0;
    for number in 0..5_usize.pow(6) {
        let bytes: Vec<u8> = (0..6).map(|place| alphabet[number / 5_usize.pow(place) % 5]).collect();
        let content = String::from_utf8(bytes).unwrap();
        let first_end = content
            .match_indices('\n')
            .map(|(at, _)| at)
            .find(|at| Quoting::FieldStart.scan(&content.as_bytes()[..*at], b',') != Quoting::Quoted);
        let record = &content[..first_end.unwrap_or(content.len())];
        if record.is_empty() || Quoting::FieldStart.scan(record.as_bytes(), b',') == Quoting::Quoted {
            continue;
        }
        // when both read the first record,
        let mut fields = Fields::default();
        delimited::split(record, b',', &mut fields);
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content.as_bytes());
        let expected = reader.records().next().unwrap().unwrap();
        // then they agree.
        let found: Vec<&str> = (0..fields.len()).filter_map(|index| fields.get(index)).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{content:?}");
        compared += 1;
    }
    assert!(compared > 8000, "{compared}");
}

#[test]
fn no_input_makes_the_reader_panic() {
    let alphabet = ["\"", ",", "\n", "\r", "é", "{", "}", ":", "1", "\u{feff}", "null", "\0"];
    for number in 0..20_000_usize {
        let mut content = String::new();
        let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while rest > 0 {
            write!(content, "{}", alphabet[rest % 12]).unwrap();
            rest /= 12;
        }
        for format in [CSV, Format::Ndjson] {
            let Ok(mut source) = RowSource::open(content.as_bytes(), format) else { continue };
            let mut last = 0;
            while let Some(line) = source.advance().unwrap() {
                assert!(line > last, "{content:?}");
                last = line;
                if let Ok(cells) = source.cells() {
                    assert!(cells.iter().count() > 0 || source.text().contains('{'), "{content:?}");
                }
            }
        }
    }
}
