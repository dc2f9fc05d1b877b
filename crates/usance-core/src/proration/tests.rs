use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Proration, ServiceEnd, calendar_days_between, fraction, prorate, split};
use crate::decimal::parse_decimal;
use crate::fraction::Fraction;
use crate::money::{Currency, MoneyError};
use crate::period::Period;
use crate::programmes::programmes;

const ENDS: [ServiceEnd; 3] = [ServiceEnd::PeriodEnd, ServiceEnd::Change, ServiceEnd::Termination];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The midnights of two days in a zone.
fn days(tz: &TimeZone, from: &str, to: &str) -> Period {
    let midnight =
        |day: &str| day.parse::<jiff::civil::Date>().unwrap().to_zoned(tz.clone()).unwrap().timestamp();
    Period { start: midnight(from), end: midnight(to) }
}

fn share(numerator: i128, denominator: i128) -> Fraction {
    Fraction::new(numerator, denominator).unwrap()
}

#[test]
fn days_are_counted_without_the_last() {
    let utc = TimeZone::UTC;
    for (service, full, expected) in [
        (("2025-10-08", "2026-01-01"), ("2025-10-01", "2026-01-01"), share(85, 92)),
        (("2025-04-15", "2026-04-01"), ("2025-04-01", "2026-04-01"), share(351, 365)),
        (("2024-02-01", "2024-02-15"), ("2024-02-01", "2024-03-01"), share(14, 29)),
        (("2024-02-15", "2024-02-15"), ("2024-02-01", "2024-03-01"), Fraction::NONE),
        (("2024-01-15", "2024-04-15"), ("2024-02-01", "2024-03-01"), Fraction::WHOLE),
        (("2024-03-15", "2024-04-15"), ("2024-02-01", "2024-03-01"), Fraction::NONE),
    ] {
        for end in ENDS {
            let (service, full) = (days(&utc, service.0, service.1), days(&utc, full.0, full.1));
            assert_eq!(fraction(Proration::DayExclusiveEnd, service, full, &utc, end), expected);
        }
    }
}

#[test]
fn an_inclusive_day_is_used_by_a_termination_and_not_by_a_change() {
    // given a month that ends early on the 15th
    let utc = TimeZone::UTC;
    let full = days(&utc, "2024-03-01", "2024-04-01");
    let cut = days(&utc, "2024-03-15", "2024-04-01").start;

    // when it is divided there
    let [_, change, termination] = ENDS.map(|end| split(Proration::DayInclusive, full, cut, full, &utc, end));

    // then the day of the change belongs to what follows, and the day of the termination to what was used
    assert_eq!((change.used, change.unused), (share(14, 31), share(17, 31)));
    assert_eq!((termination.used, termination.unused), (share(15, 31), share(16, 31)));
}

#[test]
fn a_service_that_is_terminated_on_its_first_day_has_used_that_day() {
    // given a service that starts and ends at an instant which is still 7 February in Los Angeles
    let at: Timestamp = "2023-02-08T00:00:00Z".parse().unwrap();
    for (tz, unused) in [("UTC", 20), ("America/Los_Angeles", 21)] {
        let tz = zone(tz);
        let full = days(&tz, "2023-02-01", "2023-03-01");
        let service = Period { start: at, end: full.end };

        // when it is divided
        let split = split(Proration::DayInclusive, service, at, full, &tz, ServiceEnd::Termination);

        // then the days after the local day are credited
        assert_eq!((split.used, split.unused), (share(1, 28), share(unused, 28)));
    }
}

#[test]
fn elapsed_time_is_exact_to_the_microsecond() {
    let full = days(&TimeZone::UTC, "2026-01-01", "2026-02-01");
    let service = Period { start: full.start, end: full.start + SignedDuration::from_micros(1) };

    let counted = fraction(Proration::Second, service, full, &TimeZone::UTC, ServiceEnd::Change);

    assert_eq!(counted, share(1, 31 * 86_400_000_000));
}

#[test]
fn a_policy_of_none_charges_the_whole_and_credits_nothing() {
    let full = days(&TimeZone::UTC, "2026-01-01", "2026-02-01");

    let split = split(Proration::None, full, full.start, full, &TimeZone::UTC, ServiceEnd::Termination);

    assert_eq!((split.used, split.unused), (Fraction::WHOLE, Fraction::NONE));
}

#[test]
fn a_period_that_is_shorter_than_a_day_is_divided_by_time() {
    let start: Timestamp = "2026-01-01T08:00:00Z".parse().unwrap();
    let hours = |count| Period { start, end: start + SignedDuration::from_hours(count) };
    let utc = TimeZone::UTC;

    for policy in [Proration::DayExclusiveEnd, Proration::DayInclusive, Proration::Second] {
        assert_eq!(fraction(policy, hours(3), hours(12), &utc, ServiceEnd::Change), share(1, 4));
        assert_eq!(fraction(policy, hours(3), hours(0), &utc, ServiceEnd::Change), Fraction::WHOLE);
        assert_eq!(fraction(policy, hours(3), hours(-1), &utc, ServiceEnd::Change), Fraction::WHOLE);
    }
}

// Published as "fp-days-*" in the conformance cases.
#[test]
fn calendar_days_do_not_depend_on_their_hours() {
    for (tz, from, to, expected) in [
        ("America/New_York", "2024-03-09T00:00:00Z", "2024-03-11T00:00:00Z", 2),
        ("America/New_York", "2024-11-02T00:00:00Z", "2024-11-04T00:00:00Z", 2),
        ("Asia/Tokyo", "2024-07-15T12:30:00Z", "2024-07-16T08:15:00Z", 1),
        ("Asia/Tokyo", "2024-07-15T14:59:59Z", "2024-07-15T15:00:00Z", 1),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z", 2),
        ("UTC", "2024-03-11T00:00:00Z", "2024-03-09T00:00:00Z", -2),
    ] {
        let days = calendar_days_between(from.parse().unwrap(), to.parse().unwrap(), &zone(tz));
        assert_eq!(days, expected, "{tz} {from}");
    }
}

#[test]
fn a_share_of_a_price_is_rounded_once_and_shown_exactly() {
    let prorated = |amount: &str, part, whole, code: &str| {
        let prorated =
            prorate(parse_decimal(amount).unwrap(), share(part, whole), Currency::parse(code).unwrap())
                .unwrap();
        (prorated.money.to_string(), prorated.exact.to_string())
    };
    let expected = |money: &str, exact: &str| (money.to_owned(), exact.to_owned());

    assert_eq!(prorated("50", 17, 31, "USD"), expected("USD 27.42", "27.41935483871"));
    assert_eq!(prorated("1000", 10, 31, "JPY"), expected("JPY 323", "322.58064516129"));
    assert_eq!(prorated("-100", 1, 3, "KWD"), expected("KWD -33.333", "-33.333333333333"));
    assert_eq!(prorated("0.01", 1, 2, "USD"), expected("USD 0.01", "0.005"));
}

#[test]
fn a_price_that_is_too_large_is_an_error() {
    let usd = Currency::parse("USD").unwrap();

    assert_eq!(prorate(Decimal::MAX, Fraction::WHOLE, usd), Err(MoneyError::TooLarge));
}

#[test]
fn words_are_read_back() {
    for policy in Proration::ALL {
        assert_eq!(Proration::parse(policy.as_str()), Some(policy));
    }
    assert_eq!((Proration::parse("days"), Proration::default()), (None, Proration::DayExclusiveEnd));
}

/// A service inside of a full period of up to two years, an instant in it, and a zone with daylight saving.
fn any_service() -> impl Strategy<Value = (Period, Timestamp, Period, TimeZone)> {
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"];
    let parts = (0_i64..63_072_000, 0_i64..63_072_000, 0_i64..63_072_000, 1_i64..63_072_000);
    (1_300_000_000_i64..1_800_000_000, parts, 0..zones.len()).prop_map(move |(start, parts, index)| {
        let mut offsets = [parts.0 % parts.3, parts.1 % parts.3, parts.2 % parts.3];
        offsets.sort_unstable();
        let at = |offset| Timestamp::from_second(start + offset).unwrap();
        let service = Period { start: at(offsets[0]), end: at(offsets[2]) };
        (service, at(offsets[1]), Period { start: at(0), end: at(parts.3) }, zone(zones[index]))
    })
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn used_and_unused_make_the_uncut_service((service, cut, full, tz) in any_service()) {
        for policy in Proration::ALL {
            let uncut = fraction(policy, service, full, &tz, ServiceEnd::PeriodEnd);
            let whole = fraction(policy, full, full, &tz, ServiceEnd::PeriodEnd);
            prop_assert_eq!(whole, Fraction::WHOLE);
            for end in ENDS {
                let part = split(policy, service, cut, full, &tz, end);
                prop_assert_eq!(part.used.numerator() + part.unused.numerator(), uncut.numerator());
                prop_assert_eq!(part.used.denominator(), uncut.denominator());
                prop_assert_eq!(part.unused.denominator(), uncut.denominator());
                let of_full = split(policy, full, cut, full, &tz, end);
                prop_assert_eq!(of_full.used.rest(), of_full.unused);
            }
        }
    }

    #[test]
    fn what_the_old_plan_did_not_use_is_what_the_new_plan_is_charged((service, cut, full, tz) in any_service()) {
        let after = Period { start: cut, end: service.end };
        for policy in [Proration::DayExclusiveEnd, Proration::DayInclusive, Proration::Second] {
            let old = split(policy, service, cut, full, &tz, ServiceEnd::Change);
            prop_assert_eq!(fraction(policy, after, full, &tz, ServiceEnd::PeriodEnd), old.unused);
        }
    }

    #[test]
    fn a_longer_service_never_has_a_smaller_share((service, cut, full, tz) in any_service()) {
        let shorter = Period { start: service.start, end: cut };
        for policy in Proration::ALL {
            for end in ENDS {
                let (less, more) = (fraction(policy, shorter, full, &tz, end), fraction(policy, service, full, &tz, end));
                prop_assert!(less.numerator() <= more.numerator());
                prop_assert!(more.numerator() <= more.denominator());
            }
        }
    }

    #[test]
    fn the_shown_amount_is_within_half_a_unit_of_the_billed_one(minor in -1_000_000_000_i64..1_000_000_000, part in 0_i128..400, whole in 1_i128..400) {
        let prorated = prorate(Decimal::new(minor, 3), share(part.min(whole), whole), Currency::parse("USD").unwrap()).unwrap();

        let error = (prorated.money.to_decimal() - prorated.exact).abs();
        prop_assert!(error <= parse_decimal("0.0050000000005").unwrap());
    }
}
