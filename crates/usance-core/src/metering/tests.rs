use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::catalog::meter::Aggregation;

use super::{
    BucketFold, EventName, MeterValue, Properties, PropertiesError, Scalar, bucket_start, identify, is_future,
};

fn canonical(json: &str) -> Result<String, PropertiesError> {
    Properties::parse(json).map(|properties| properties.canonical().to_owned())
}

#[test]
fn texts_that_mean_the_same_have_one_canonical_form() {
    for (json, expected) in [
        ("{}", "{}"),
        (" { } ", "{}"),
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (r#"{"n":1.0}"#, r#"{"n":1}"#),
        (r#"{"n":-0.0}"#, r#"{"n":0}"#),
        (r#"{"n":1e3}"#, r#"{"n":1000}"#),
        (r#"{"n":12.50E-1}"#, r#"{"n":1.25}"#),
        (r#"{"n":5e-4}"#, r#"{"n":0.0005}"#),
        (r#"{"n":0.1e+1}"#, r#"{"n":1}"#),
        (r#"{"n":100}"#, r#"{"n":100}"#),
        (r#"{"s":"\u0041\/\n"}"#, r#"{"s":"A/\u000a"}"#),
        (r#"{"s":"\ud83d\ude00"}"#, r#"{"s":"😀"}"#),
        (r#"{"x":[1 , {"z":null,"y":true}],"a":false}"#, r#"{"a":false,"x":[1,{"y":true,"z":null}]}"#),
    ] {
        assert_eq!(canonical(json).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn what_is_no_storable_object_is_refused() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    for (json, expected) in [
        ("", PropertiesError::Malformed),
        ("[]", PropertiesError::Malformed),
        ("{", PropertiesError::Malformed),
        (r#"{"a":1}x"#, PropertiesError::Malformed),
        (r#"{"a":1,}"#, PropertiesError::Malformed),
        (r#"{"a":01}"#, PropertiesError::Malformed),
        (r#"{"a":1.}"#, PropertiesError::Malformed),
        (r#"{"a":+1}"#, PropertiesError::Malformed),
        (r#"{"a":NaN}"#, PropertiesError::Malformed),
        (r#"{"a":1,"a":1}"#, PropertiesError::Malformed),
        (r#"{"a":1,"\u0061":1}"#, PropertiesError::Malformed),
        (r#"{"a":"\x"}"#, PropertiesError::Malformed),
        ("{\"a\":\"\n\"}", PropertiesError::Malformed),
        (r#"{"a":"\u0000"}"#, PropertiesError::UnstorableText),
        (r#"{"a":"\ud800"}"#, PropertiesError::UnstorableText),
        (r#"{"a":"\ud800\u0041"}"#, PropertiesError::UnstorableText),
        (r#"{"a":1e400000}"#, PropertiesError::NumberTooLong),
        (r#"{"a":1e99999999999999999999}"#, PropertiesError::NumberTooLong),
        (&deep, PropertiesError::TooDeep),
    ] {
        assert_eq!(canonical(json), Err(expected), "{json}");
    }
}

#[test]
fn a_member_is_found_by_its_decoded_name() {
    let properties = Properties::parse(
        r#"{"z":"a\"b","tokens":4818,"nested":{"tokens":1},"list":["}",2],"on":true,"none":null}"#,
    )
    .unwrap();

    assert_eq!(properties.get("tokens"), Some(Scalar::Number("4818")));
    assert_eq!(properties.get("z"), Some(Scalar::Text("a\"b".into())));
    assert_eq!(properties.get("on"), Some(Scalar::Bool(true)));
    for absent in ["nested", "list", "none", "missing", ""] {
        assert_eq!(properties.get(absent), None, "{absent}");
    }
}

#[test]
fn the_identity_of_an_event_ignores_the_order_of_keys_and_the_spelling_of_numbers() {
    let time = Some("2023-11-16T18:17:03.979960Z".parse().unwrap());
    let one = identify(
        EventName::Id("e1"),
        "call",
        "code",
        time,
        &Properties::parse(r#"{"a":1,"b":2.50}"#).unwrap(),
    );
    let two = identify(
        EventName::Id("e1"),
        "call",
        "code",
        time,
        &Properties::parse(r#"{"b":25e-1,"a":1.0}"#).unwrap(),
    );

    assert_eq!(one, two);
}

#[test]
fn names_that_read_alike_identify_different_events() {
    let properties = Properties::empty();
    let hash = |name| identify(name, "call", "code", None, &properties).id_hash;
    let names = [
        EventName::Id("a/b/c"),
        EventName::CloudEvent { source: "a/b", id: "c" },
        EventName::CloudEvent { source: "a", id: "b/c" },
        EventName::CloudEvent { source: "a/", id: "b/c" },
        EventName::CloudEvent { source: "", id: "a/b/c" },
    ];

    let distinct: std::collections::HashSet<_> = names.into_iter().map(hash).collect();

    assert_eq!(distinct.len(), names.len());
}

#[test]
fn every_part_of_an_event_changes_its_payload_hash() {
    let properties = Properties::parse(r#"{"a":1}"#).unwrap();
    let time = Some("2023-11-16T18:17:03Z".parse().unwrap());
    let base = identify(EventName::Id("e1"), "call", "code", time, &properties).payload_hash;

    assert_ne!(base, identify(EventName::Id("e1"), "cal", "lcode", time, &properties).payload_hash);
    assert_ne!(base, identify(EventName::Id("e1"), "call", "conv", time, &properties).payload_hash);
    assert_ne!(base, identify(EventName::Id("e1"), "call", "code", None, &properties).payload_hash);
    assert_ne!(base, identify(EventName::Id("e1"), "call", "code", time, &Properties::empty()).payload_hash);
    assert_eq!(base, identify(EventName::Id("e2"), "call", "code", time, &properties).payload_hash);
}

#[test]
fn an_event_may_be_five_minutes_ahead_of_the_later_clock() {
    let wall: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let test_clock: Timestamp = "2023-11-01T00:00:00Z".parse().unwrap();

    assert!(!is_future(wall + SignedDuration::from_mins(5), wall, test_clock));
    assert!(is_future(wall + SignedDuration::from_micros(300_000_001), wall, test_clock));
    assert!(!is_future(
        wall + SignedDuration::from_hours(1),
        test_clock,
        wall + SignedDuration::from_hours(1)
    ));
}

#[test]
fn a_bucket_begins_at_a_quarter_of_an_hour() {
    for (at, expected) in [
        ("2023-11-16T18:17:03.979960Z", "2023-11-16T18:15:00Z"),
        ("2023-11-16T18:15:00Z", "2023-11-16T18:15:00Z"),
        ("2023-11-16T18:14:59.999999Z", "2023-11-16T18:00:00Z"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:45:00Z"),
    ] {
        assert_eq!(bucket_start(at.parse().unwrap()), expected.parse().unwrap(), "{at}");
    }
}

fn any_fold() -> impl Strategy<Value = BucketFold> {
    let aggregation = proptest::sample::select(&Aggregation::ALL[..]);
    (aggregation, 0i64..3, any::<u128>(), -1_000_000i64..1_000_000).prop_map(
        |(aggregation, micros, hash, value)| {
            let at = Timestamp::from_microsecond(1_700_000_000_000_000 + micros).unwrap();
            BucketFold::of(
                aggregation,
                at,
                Uuid::from_u128(hash),
                MeterValue::Decimal(Decimal::new(value, 3)),
            )
        },
    )
}

proptest! {
    #[test]
    fn folding_events_in_any_order_and_grouping_gives_the_same_bucket(folds in proptest::collection::vec(any_fold(), 2..20), split in 1usize..19) {
        let merge_all = |folds: &[BucketFold]| {
            let mut result = folds[0].clone();
            for fold in &folds[1..] {
                result.merge(fold).unwrap();
            }
            result
        };
        let forward = merge_all(&folds);
        let mut reversed = folds.clone();
        reversed.reverse();
        let split = split.min(folds.len() - 1);
        let mut grouped = merge_all(&folds[split..]);
        grouped.merge(&merge_all(&folds[..split])).unwrap();

        prop_assert_eq!(&merge_all(&reversed), &forward);
        prop_assert_eq!(&grouped, &forward);
    }

    #[test]
    fn reading_any_text_neither_panics_nor_changes_a_canonical_form(text in "\\PC{0,60}|[\\[\\]{}\",:0-9eE.+\\\\a-f-]{0,60}") {
        if let Ok(first) = canonical(&text) {
            prop_assert_eq!(canonical(&first), Ok(first.clone()));
        }
    }
}

#[test]
fn amendments_are_named_unlike_each_other_and_their_event() {
    let origin = EventName::Id("e1").short_hash();
    let other = EventName::Id("e2").short_hash();
    let amendment = |origin, revision| EventName::Amendment { origin, revision }.short_hash();

    let mut names = vec![origin, amendment(origin, 1), amendment(origin, 2), amendment(other, 1)];
    names.sort_unstable();
    names.dedup();

    assert_eq!(names.len(), 4);
}
