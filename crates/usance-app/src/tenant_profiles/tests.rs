use super::{check_prefix, read_color, read_domain, read_retry_days};
use crate::error::Faults;

fn is_refused(check: impl FnOnce(&mut Faults)) -> bool {
    let mut faults = Faults::default();
    check(&mut faults);
    faults.check().is_err()
}

#[test]
fn a_number_prefix_has_few_capitals_digits_and_hyphens() {
    for (prefix, refused) in [
        ("A", false),
        ("ACME-2026-EU", false),
        ("", true),
        ("ACME-2026-EUR", true),
        ("acme", true),
        ("A B", true),
        ("Ä", true),
    ] {
        assert_eq!(is_refused(|faults| check_prefix(faults, prefix)), refused, "{prefix}");
    }
}

#[test]
fn colours_and_domains_are_kept_in_lower_case_or_refused() {
    let mut faults = Faults::default();
    assert_eq!(read_color(&mut faults, "#1D4ED8"), "#1d4ed8");
    assert_eq!(read_domain(&mut faults, "Billing.Example.com"), "billing.example.com");
    faults.check().unwrap();
    for color in ["", "#", "1d4ed8", "#1d4ed", "#1d4ed8a", "#1d4edg", "##1d4ed"] {
        assert!(is_refused(|faults| drop(read_color(faults, color))), "{color}");
    }
    for domain in ["", "localhost", ".com", "a..b", "-a.b", "a-.b", "a b.c", "https://a.b", "ä.de"] {
        assert!(is_refused(|faults| drop(read_domain(faults, domain))), "{domain}");
    }
}

#[test]
fn retry_days_ascend() {
    for (days, refused) in [
        (&[1, 3, 5, 7][..], false),
        (&[], false),
        (&[90], false),
        (&[3, 3], true),
        (&[5, 3], true),
        (&[0], true),
        (&[91], true),
        (&[70_000], true),
        (&[1; 13], true),
    ] {
        assert_eq!(is_refused(|faults| drop(read_retry_days(faults, days))), refused, "{days:?}");
    }
}
