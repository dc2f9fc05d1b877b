use usance_core::metering::Properties;

use super::{GROUPS_MAX, GroupKey, Groups};
use crate::error::Error;

fn key(json: &str) -> GroupKey {
    let group_by = ["model".to_owned(), "region".to_owned()];
    GroupKey::of(&group_by, &Properties::parse(json).unwrap())
}

#[test]
fn a_group_is_named_by_the_values_of_its_properties() {
    let group_by = ["model".to_owned(), "region".to_owned()];
    for (json, expected) in [
        (r#"{"region":"eu","model":"large","other":1}"#, "model=large, region=eu"),
        (r#"{"region":1.50,"model":true}"#, "model=true, region=1.5"),
        (r#"{"region":"","other":1}"#, "model, region="),
    ] {
        assert_eq!(key(json).label(&group_by).as_deref(), Some(expected));
    }
    assert_eq!(GroupKey::of(&[], &Properties::empty()).label(&[]), None);
}

#[test]
fn values_that_only_read_alike_together_are_groups_of_their_own() {
    assert_ne!(key(r#"{"model":"a, region=b"}"#), key(r#"{"model":"a","region":"b"}"#));
    assert_ne!(key(r#"{"model":""}"#), key("{}"));
    assert_eq!(key(r#"{"model":5}"#), key(r#"{"model":"5"}"#));
}

#[test]
fn more_groups_than_a_price_may_have_are_refused_and_those_there_go_on() {
    // given
    let mut groups = Groups::default();
    for number in 0..GROUPS_MAX {
        groups.entry(key(&format!(r#"{{"model":{number}}}"#)), "m").unwrap();
    }

    // when
    let refused = groups.entry(key(r#"{"model":"one more"}"#), "m").unwrap_err();

    // then
    assert!(matches!(refused, Error::TooManyGroups { most: GROUPS_MAX, .. }), "{refused}");
    assert!(groups.entry(key(r#"{"model":7}"#), "m").is_ok());
}
