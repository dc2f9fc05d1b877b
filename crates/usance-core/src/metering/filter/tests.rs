use super::{Filter, matches_all, overlaps};
use crate::metering::Properties;

fn filter(property: &str, values: &[&str]) -> Filter {
    Filter { property: property.to_owned(), values: values.iter().map(ToString::to_string).collect() }
}

#[test]
fn an_event_matches_by_any_of_the_values() {
    let properties = Properties::parse(r#"{"region":"eu","size":5.0,"spot":true,"tags":["a"]}"#).unwrap();
    let cases = [
        (filter("region", &["us", "eu"]), true),
        (filter("region", &["us"]), false),
        (filter("size", &["5"]), true),
        (filter("spot", &["true"]), true),
        (filter("spot", &["false"]), false),
        (filter("tags", &["a"]), false),
        (filter("absent", &[""]), false),
        (filter("region", &[]), false),
    ];
    for (filter, expected) in cases {
        assert_eq!(filter.matches(&properties), expected, "{filter:?}");
    }
}

#[test]
fn an_event_passes_all_filters_or_none_of_them_counts() {
    let properties = Properties::parse(r#"{"region":"eu","model":"large"}"#).unwrap();

    assert!(matches_all(&[], &properties));
    assert!(matches_all(&[filter("region", &["eu"]), filter("model", &["large"])], &properties));
    assert!(!matches_all(&[filter("region", &["eu"]), filter("model", &["small"])], &properties));
}

#[test]
fn filters_overlap_unless_a_property_tells_them_apart() {
    let eu = [filter("region", &["eu"])];
    let us = [filter("region", &["us"])];
    let both = [filter("region", &["eu", "us"])];
    let large = [filter("model", &["large"])];
    let large_us = [filter("model", &["large"]), filter("region", &["us"])];
    let cases = [
        (&eu[..], &us[..], false),
        (&eu[..], &both[..], true),
        (&eu[..], &large[..], true),
        (&eu[..], &large_us[..], false),
        (&eu[..], &[][..], true),
        (&[][..], &[][..], true),
    ];
    for (left, right, expected) in cases {
        assert_eq!(overlaps(left, right), expected, "{left:?} {right:?}");
        assert_eq!(overlaps(right, left), expected, "{right:?} {left:?}");
    }
}
