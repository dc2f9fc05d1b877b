use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use usance_app::error::{Code, Error, Refusal, Result};

use super::{BodyLimits, from_json, objects, read_body};

#[derive(Debug, Deserialize)]
struct Outer {
    #[serde(rename = "list", deserialize_with = "objects")]
    _list: Vec<Inner>,
    #[serde(rename = "choice", default)]
    _choice: Option<Choice>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Debug, Deserialize)]
enum Choice {
    #[serde(rename = "one")]
    One(()),
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> Refusal {
    let Err(Error::Refused(refusal)) = result else { panic!("{result:?}") };
    *refusal
}

fn pieces(pieces: &[&'static str]) -> Vec<std::io::Result<Bytes>> {
    pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect()
}

#[test]
fn a_list_is_not_taken_for_an_object_at_any_depth() {
    assert!(from_json::<Outer>(br#"{"list":[{"name":"a"}],"choice":{"one":null}}"#).is_ok());
    for (body, pointer) in [
        (r#"[[{"name":"a"}]]"#, ""),
        (r#"{"list":[["a"]]}"#, "/list/0"),
        (r#"{"list":[{"name":"a"}, ["a"]]}"#, "/list/1"),
        (r#"{"list":[],"choice":[[]]}"#, "/choice"),
        (r#""text""#, ""),
    ] {
        let refusal = refusal(from_json::<Outer>(body.as_bytes()));
        assert_eq!(
            (refusal.code, refusal.fields[0].pointer.as_str()),
            (Code::InvalidField, pointer),
            "{body}"
        );
    }
    for body in ["", "{", r#"{"list":[]"#, r#"{"list":[]} {}"#, r#"{"list":[],"choice":x}"#] {
        assert_eq!(refusal(from_json::<Outer>(body.as_bytes())).code, Code::MalformedJson, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up_in_time() {
    // given: a body whose second piece never comes
    let body = Body::from_stream(stream::iter(pieces(&["{"])).chain(stream::pending()));
    let limits = BodyLimits::new(100, Duration::from_millis(20));

    // when
    let read = read_body(body, limits, |_| Ok(())).await;

    // then
    assert_eq!(refusal(read).code, Code::Timeout);
}

#[tokio::test]
async fn each_piece_of_a_body_is_announced_before_it_is_kept() {
    let limits = BodyLimits::new(6, Duration::from_mins(1));
    let body = |parts: &[&'static str]| Body::from_stream(stream::iter(pieces(parts)));
    let mut lengths = Vec::new();

    let read = read_body(body(&["ab", "cde"]), limits, |length| {
        lengths.push(length);
        Ok(())
    });
    assert_eq!(read.await.unwrap(), b"abcde");
    assert_eq!(lengths, [2, 3]);

    let full = || Error::refused(Code::TooManyRequests, "full");
    let read =
        read_body(body(&["ab", "cde"]), limits, |length| if length > 2 { Err(full()) } else { Ok(()) });
    assert_eq!(refusal(read.await).code, Code::TooManyRequests);
    let read = read_body(body(&["abcd", "efg"]), limits, |_| Ok(()));
    assert_eq!(refusal(read.await).code, Code::PayloadTooLarge);
}
