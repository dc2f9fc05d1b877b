use usance_core::period::Period;

use super::split;

fn period(start: &str, end: &str) -> Period {
    Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn check(whole: &Period, edges: &[Period], split_period: &Period) {
    // The parts tile the period.
    let mut parts: Vec<_> = edges.to_vec();
    if whole.start < whole.end {
        parts.push(*whole);
    }
    parts.sort_by_key(|part| part.start);
    assert_eq!(parts.first().map(|part| part.start), Some(split_period.start));
    assert_eq!(parts.last().map(|part| part.end), Some(split_period.end));
    assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
}

#[test]
fn a_period_on_bucket_boundaries_has_no_ragged_ends() {
    let month = period("2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z");
    let (whole, edges) = split(month);

    assert_eq!(whole, month);
    assert!(edges.is_empty());
}

#[test]
fn ragged_ends_and_whole_buckets_tile_the_period() {
    for (start, end, ragged) in [
        ("2023-11-01T00:07:00Z", "2023-12-01T00:00:00Z", 1),
        ("2023-11-01T00:00:00Z", "2023-11-01T10:14:59.999999Z", 1),
        ("2023-11-01T00:07:00Z", "2023-11-01T10:22:00Z", 2),
        ("2023-11-01T00:01:00Z", "2023-11-01T00:14:00Z", 1),
        ("2023-11-01T00:07:00Z", "2023-11-01T00:22:00Z", 1),
        ("2023-11-01T00:15:00Z", "2023-11-01T00:15:00.000001Z", 1),
    ] {
        let period = period(start, end);
        let (whole, edges) = split(period);

        assert_eq!(edges.len(), ragged, "{start} {end}");
        check(&whole, &edges, &period);
    }
}
