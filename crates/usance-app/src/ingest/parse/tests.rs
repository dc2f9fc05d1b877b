use usance_core::metering::RejectReason;

use super::{BodyKind, parse};
use crate::ingest::{EVENTS_MAX, Incoming};

fn reasons(kind: BodyKind, body: &str) -> Vec<Option<RejectReason>> {
    let reason = |incoming: &Incoming| match incoming {
        Incoming::Event(_) => None,
        Incoming::Rejected { reason, .. } => Some(*reason),
    };
    parse(kind, body.as_bytes()).unwrap().events.iter().map(reason).collect()
}

fn event(member: &str, value: &str) -> String {
    let mut members = serde_json::json!({"id": "e1", "type": "call", "customer": "code", "time": "2023-11-16T18:17:03Z", "properties": {"tokens": 1}});
    members[member] = serde_json::from_str(value).unwrap();
    members.to_string()
}

#[test]
fn an_event_without_time_subscription_or_properties_is_complete() {
    assert_eq!(reasons(BodyKind::Json, r#"{"id":"e1","type":"call","customer":"code"}"#), [None]);
}

#[test]
fn each_wrong_member_has_its_own_reason() {
    for (member, value, reason) in [
        ("id", r#""""#, RejectReason::InvalidId),
        ("id", "7", RejectReason::InvalidId),
        ("id", r#""a\u0000b""#, RejectReason::InvalidId),
        ("type", r#""""#, RejectReason::InvalidType),
        ("type", "null", RejectReason::InvalidType),
        ("customer", "[]", RejectReason::InvalidCustomer),
        ("customer", r#""a\nb""#, RejectReason::InvalidCustomer),
        ("time", r#""yesterday""#, RejectReason::MalformedTime),
        ("time", r#""2023-11-16T18:17:03""#, RejectReason::MalformedTime),
        ("time", r#""2014-12-31T23:59:59Z""#, RejectReason::MalformedTime),
        ("time", "1700158623", RejectReason::MalformedTime),
        ("properties", "[]", RejectReason::MalformedProperties),
        ("properties", r#"{"a":"\u0000"}"#, RejectReason::MalformedProperties),
        ("propertys", "{}", RejectReason::MalformedEvent),
    ] {
        assert_eq!(reasons(BodyKind::Json, &event(member, value)), [Some(reason)], "{member} = {value}");
    }
}

#[test]
fn one_bad_event_does_not_spoil_its_neighbours() {
    let body = format!(
        r#"{{"events":[{},"nonsense",{},{}]}}"#,
        event("id", r#""a""#),
        event("time", "0"),
        event("id", r#""b""#)
    );

    let expected = [None, Some(RejectReason::MalformedEvent), Some(RejectReason::MalformedTime), None];
    assert_eq!(reasons(BodyKind::Json, &body), expected);
}

#[test]
fn an_event_over_64_kib_is_too_large_and_keeps_its_id_in_the_receipt() {
    let body = event("properties", &format!(r#"{{"note":"{}"}}"#, "x".repeat(300 * 1024)));
    let parsed = parse(BodyKind::Json, body.as_bytes()).unwrap();

    assert!(
        matches!(&parsed.events[..], [Incoming::Rejected { id: Some(id), reason: RejectReason::TooLarge }] if id == "e1")
    );
}

#[test]
fn a_cloud_event_is_identified_by_source_and_id() {
    let cloud_event = |source: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"{source}","type":"call","subject":"code","data":{{"tokens":1}},"traceparent":"x"}}"#
        )
    };
    let read = |kind, body: &str| match &parse(kind, body.as_bytes()).unwrap().events[0] {
        Incoming::Event(event) => (event.id.clone(), event.identity.id_hash),
        Incoming::Rejected { reason, .. } => panic!("{reason:?}"),
    };
    let cloud = |source: &str| read(BodyKind::CloudEvent, &cloud_event(source));
    let native = |id: &str| read(BodyKind::Json, &event("id", &format!("\"{id}\"")));

    assert_eq!(cloud("/gateway").0, "1");
    assert_ne!(cloud("/a").1, cloud("/b").1);
    assert_ne!(cloud("/a").1, native("/a/1").1);
    assert_ne!(cloud("/a").1, native("1").1);
    assert_eq!(
        reasons(BodyKind::CloudEvents, &format!("[{},{{}}]", cloud_event("/a"))),
        [None, Some(RejectReason::InvalidId)]
    );
}

#[test]
fn a_body_that_is_no_json_of_the_form_or_holds_too_many_events_is_refused_whole() {
    let many = format!(r#"{{"events":[{}]}}"#, vec!["{}"; 10_001].join(","));
    for body in [
        "",
        "{",
        r#"{"events":{}}"#,
        r#"{"events":null}"#,
        r#"{"events":[],"more":1}"#,
        "[[]]",
        "\u{feff}{}",
        many.as_str(),
    ] {
        assert!(parse(BodyKind::Json, body.as_bytes()).is_err(), "{}", &body[..body.len().min(40)]);
    }
    assert!(parse(BodyKind::Json, b"\xff").is_err());
    assert!(parse(BodyKind::CloudEvents, b"{}").is_err());
}

#[test]
fn a_list_is_never_read_as_an_event_by_position() {
    let list = r#"["e1","call","code",null,null,{"tokens":1}]"#;

    let [Incoming::Rejected { id: None, reason }] =
        &parse(BodyKind::CloudEvent, list.as_bytes()).unwrap().events[..]
    else {
        panic!("a list was read as an event")
    };
    assert_eq!(*reason, RejectReason::MalformedEvent);
    let batch = format!(r#"{{"events":[{list}, {}]}}"#, event("id", r#""a""#));
    assert_eq!(reasons(BodyKind::Json, &batch), [Some(RejectReason::MalformedEvent), None]);
    for whole in [list.to_owned(), format!("[[{}]]", event("id", r#""a""#)), " [] ".to_owned()] {
        let error = parse(BodyKind::Json, whole.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(r#"{"events": [...]}"#), "{error}");
    }
}

#[test]
fn exactly_as_many_events_as_are_allowed_are_taken() {
    let body = |count: usize| format!(r#"{{"events":[{}]}}"#, vec!["1"; count].join(","));

    assert_eq!(parse(BodyKind::Json, body(EVENTS_MAX).as_bytes()).unwrap().events.len(), EVENTS_MAX);
    for count in [EVENTS_MAX + 1, 3 * EVENTS_MAX] {
        let error = parse(BodyKind::Json, body(count).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    }
}
