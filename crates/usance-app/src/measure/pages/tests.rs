use jiff::Timestamp;
use usance_db::events::SpanEvent;
use uuid::Uuid;

use super::follow;

fn event(place: usize, second: i64) -> SpanEvent {
    SpanEvent {
        place,
        occurred_at: Timestamp::from_second(second).unwrap(),
        id_hash: Uuid::from_u128(7),
        properties: "{}".to_owned(),
    }
}

#[test]
fn a_full_page_is_followed_by_what_comes_after_its_last_event() {
    // given a page as long as the limit
    let page = [event(3, 1), event(5, 2)];

    // when
    let (place, after) = follow(9, &page, 2);

    // then
    let after = after.unwrap();
    assert_eq!((place, after.occurred_at.as_second(), after.id_hash), (5, 2, Uuid::from_u128(7)));
}

#[test]
fn a_page_that_is_not_full_is_followed_by_the_next_spans() {
    for page in [vec![], vec![event(3, 1)]] {
        let (place, after) = follow(9, &page, 2);

        assert_eq!((place, after.is_none()), (9, true));
    }
}
