use jiff::Timestamp;
use uuid::Uuid;

use super::{read_cursor, read_timed_cursor, write_cursor, write_timed_cursor};

#[test]
fn a_cursor_leads_back_to_where_it_came_from() {
    let id = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);
    let at: Timestamp = "2023-11-16T18:17:03.979960Z".parse().unwrap();

    assert_eq!(read_cursor(&write_cursor(id)).unwrap(), id);
    assert_eq!(read_timed_cursor(&write_timed_cursor(at, id)).unwrap(), (at, id));
}

#[test]
fn a_text_that_is_no_cursor_is_refused() {
    for text in ["", "x", "!!!!", "AAAA", "____________________________________"] {
        assert!(read_cursor(text).is_err(), "{text}");
        assert!(read_timed_cursor(text).is_err(), "{text}");
    }
}
