use super::super::backoff::Backoff;
use super::super::send::{SendError, events_url, read_answer, refusal};
use reqwest::StatusCode;
use std::time::Duration;

#[test]
fn delays_double_up_to_five_seconds_and_are_shortened_by_at_most_a_half() {
    let mut backoff = Backoff::new(7);
    for full_ms in [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000] {
        let delay = backoff.next_delay();
        let (shortest, longest) = (Duration::from_millis(full_ms / 2), Duration::from_millis(full_ms));
        assert!((shortest..=longest).contains(&delay), "{delay:?} of {full_ms} ms");
    }
}

#[test]
fn delays_follow_from_the_seed_alone() {
    let delays = |seed| {
        let mut backoff = Backoff::new(seed);
        [(); 5].map(|()| backoff.next_delay())
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
}

#[test]
fn the_events_route_is_found_below_any_server_address() {
    for (base, expected) in [
        ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/api/v1/events?results=failures")),
        ("https://x.example/billing/", Some("https://x.example/billing/api/v1/events?results=failures")),
        ("https://x.example/api/v1/?a=b#c", Some("https://x.example/api/v1/events?results=failures")),
        ("ftp://x.example", None),
        ("data:text/plain,x", None),
    ] {
        let url = events_url(&base.parse().unwrap());
        assert_eq!(url.as_ref().map(url::Url::as_str), expected, "{base}");
    }
}

#[test]
fn an_answer_must_cover_every_event_that_was_sent() {
    let text = r#"{"accepted":1,"replayed":1,"unbilled":1,"conflict":1,"rejected":1,"results":[{"id":"a","status":"conflict"}]}"#;
    assert_eq!(read_answer(text, 5).unwrap().results.len(), 1);
    for (text, events) in [
        (text, 6),
        ("<html>", 5),
        ("{}", 0),
        (r#"{"accepted":18446744073709551615,"replayed":1,"unbilled":0,"conflict":0,"rejected":0}"#, 0),
    ] {
        assert!(matches!(read_answer(text, events), Err(SendError::Unreadable(_))), "{text}");
    }
}

#[test]
fn a_refusal_repeats_what_the_server_says() {
    let problem = r#"{"title":"Forbidden","detail":"This key is publishable.","status":403}"#;
    assert_eq!(refusal(StatusCode::FORBIDDEN, problem), "This key is publishable.");
    assert_eq!(refusal(StatusCode::BAD_GATEWAY, ""), "status 502 Bad Gateway");
    assert_eq!(refusal(StatusCode::BAD_GATEWAY, &"x".repeat(1000)).len(), 200);
    assert!(
        refusal(StatusCode::UNAUTHORIZED, problem).ends_with("(check --key, or the variable USANCE_API_KEY)")
    );
}
