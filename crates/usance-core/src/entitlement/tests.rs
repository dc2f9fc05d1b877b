use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{
    Allowance, Counting, CountingError, EntitlingSubscription, FeatureGrants, Grant, Reason, Reset,
    SlidingSpan, SlidingUse, Use, decide, entitled, fixed_window,
};
use crate::{
    ids::{FeatureId, SubscriptionId},
    period::{Alignment, BillingCycle, BillingInterval, IntervalUnit, Period},
    subscription::{SubscriptionStatus, Trial, TrialEnd},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn limited(limit: &str, reset: &str, window: &str) -> Grant {
    let allowance = Allowance::Limited { limit: decimal(limit), hard: true };
    Grant { allowance, counting: Counting::parse(reset, window).unwrap() }
}

fn soft(limit: &str) -> Grant {
    let allowance = Allowance::Limited { limit: decimal(limit), hard: false };
    Grant { allowance, ..limited(limit, "day", "fixed") }
}

fn none() -> FeatureGrants {
    FeatureGrants::none(FeatureId::from_uuid(Uuid::nil()), None)
}

/// A subscription from 1 January 2024 with the feature `calls`.
fn subscription(status: SubscriptionStatus, grants: FeatureGrants) -> EntitlingSubscription {
    let start_at = at("2024-01-01T00:00:00Z");
    EntitlingSubscription {
        id: SubscriptionId::from_uuid(Uuid::nil()),
        tier: "pro".to_owned(),
        status,
        start_at,
        trial: None,
        cancel_at: None,
        open: Period { start: start_at, end: at("2024-02-01T00:00:00Z") },
        cycle: BillingCycle {
            interval: BillingInterval::new(IntervalUnit::Month, 1).unwrap(),
            alignment: Alignment::Calendar,
            time_zone: TimeZone::UTC,
            anchor: start_at,
        },
        grants: HashMap::from([("calls".to_owned(), grants)]),
    }
}

fn active(grant: Grant) -> [EntitlingSubscription; 1] {
    [subscription(SubscriptionStatus::Active, FeatureGrants { plan: Some(grant), ..none() })]
}

/// The limit of `calls` at noon of 10 January, or why there is none.
fn limit_of(subscriptions: &[EntitlingSubscription]) -> Result<String, Reason> {
    let entitled = entitled(subscriptions, "calls", at("2024-01-10T12:00:00Z"))?;
    Ok(match entitled.grant.allowance {
        Allowance::Limited { limit, hard } => format!("{limit} {}", if hard { "hard" } else { "soft" }),
        Allowance::Unlimited => "unlimited".to_owned(),
        Allowance::Value(value) => value,
    })
}

#[test]
fn fixed_windows_follow_utc_and_the_billing_period() {
    // given
    let period = Period { start: at("2024-02-10T08:00:00Z"), end: at("2024-03-10T08:00:00Z") };
    let now = at("2024-02-29T23:59:59.999999Z");
    let cases = [
        (Reset::Minute, "2024-02-29T23:59:00Z", "2024-03-01T00:00:00Z"),
        (Reset::Hour, "2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z"),
        (Reset::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        (Reset::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        (Reset::Period, "2024-02-10T08:00:00Z", "2024-03-10T08:00:00Z"),
    ];

    for (reset, start, end) in cases {
        // when
        let window = fixed_window(reset, period, now);

        // then
        assert_eq!(window, Period { start: at(start), end: at(end) }, "{reset:?}");
    }
    assert_eq!(fixed_window(Reset::Never, period, now).end, Timestamp::MAX);
    assert!(fixed_window(Reset::Hour, period, Timestamp::MAX).contains(at("9999-12-30T22:00:00Z")));
}

#[test]
fn only_windows_of_a_fixed_length_slide() {
    // given
    let words = Reset::ALL.map(Reset::as_str);

    // when
    let sliding = words.map(|word| Counting::parse(word, "sliding"));

    // then
    assert!(sliding[..4].iter().all(Result::is_ok));
    assert_eq!(sliding[4..], [Err(CountingError::CannotSlide), Err(CountingError::CannotSlide)]);
    assert_eq!(Counting::parse("year", "fixed"), Err(CountingError::UnknownReset));
    assert_eq!(Counting::parse("day", "open"), Err(CountingError::UnknownWindow));
}

#[test]
fn a_subscription_grants_what_its_state_at_the_time_allows() {
    // given
    let granted = || FeatureGrants {
        plan: Some(limited("1000", "month", "fixed")),
        trial: Some(limited("100", "day", "fixed")),
        ..none()
    };
    let with = |status| subscription(status, granted());
    let trial = |ends_at: &str, then| {
        let trial = Some(Trial { ends_at: at(ends_at), then });
        EntitlingSubscription { trial, ..with(SubscriptionStatus::Trialing) }
    };
    let canceled_on_9 = EntitlingSubscription {
        cancel_at: Some(at("2024-01-09T00:00:00Z")),
        ..with(SubscriptionStatus::Active)
    };
    let (plan, own) = (Ok("1000 hard".to_owned()), Ok("100 hard".to_owned()));
    let cases = [
        ("active", with(SubscriptionStatus::Active), plan.clone()),
        ("not dealt with yet", with(SubscriptionStatus::Incomplete), plan.clone()),
        ("past due", with(SubscriptionStatus::PastDue), Err(Reason::SubscriptionInactive)),
        ("paused", with(SubscriptionStatus::Paused), Err(Reason::SubscriptionInactive)),
        ("canceled", with(SubscriptionStatus::Canceled), Err(Reason::SubscriptionInactive)),
        ("cancel is due", canceled_on_9, Err(Reason::SubscriptionInactive)),
        ("in the trial", trial("2024-01-11T00:00:00Z", TrialEnd::Convert), own),
        ("converted", trial("2024-01-10T12:00:00Z", TrialEnd::Convert), plan),
        ("trial over", trial("2024-01-10T12:00:00Z", TrialEnd::Cancel), Err(Reason::SubscriptionInactive)),
    ];

    for (name, subscription, expected) in cases {
        // when
        let limit = limit_of(&[subscription]);

        // then
        assert_eq!(limit, expected, "{name}");
    }
}

#[test]
fn grants_of_the_subscription_replace_and_add_ons_and_further_subscriptions_add() {
    // given
    let plan = FeatureGrants { plan: Some(limited("10", "day", "fixed")), ..none() };
    let own = FeatureGrants { own: Some(limited("7", "hour", "fixed")), ..plan.clone() };
    let packs = FeatureGrants { add_ons: vec![(3, limited("5", "day", "fixed"))], ..own.clone() };
    let only_pack = FeatureGrants { add_ons: vec![(2, limited("5", "day", "fixed"))], ..none() };
    let unlimited = Grant { allowance: Allowance::Unlimited, ..limited("0", "day", "fixed") };
    let lifted = FeatureGrants { add_ons: vec![(1, unlimited)], ..plan.clone() };
    let softened = FeatureGrants { add_ons: vec![(1, soft("5"))], ..plan.clone() };
    let huge = FeatureGrants {
        add_ons: vec![(u32::MAX, limited("9999999999999999", "day", "fixed"))],
        ..plan.clone()
    };
    let limit = |grants: &[FeatureGrants]| {
        let with = |grants: &FeatureGrants| subscription(SubscriptionStatus::Active, grants.clone());
        limit_of(&grants.iter().map(with).collect::<Vec<_>>())
    };

    // when
    let limits = [
        limit(std::slice::from_ref(&own)),
        limit(std::slice::from_ref(&packs)),
        limit(&[only_pack]),
        limit(&[lifted]),
        limit(&[softened]),
        limit(&[plan.clone(), own]),
        limit(&[]),
        limit(&[none()]),
    ];

    // then
    let granted = |text: &str| Ok(text.to_owned());
    let expected = [
        granted("7 hard"),
        granted("22 hard"),
        granted("10 hard"),
        granted("unlimited"),
        granted("15 soft"),
        granted("17 hard"),
        Err(Reason::SubscriptionInactive),
        Err(Reason::FeatureNotIncluded),
    ];
    assert_eq!(limits, expected);
    assert!(limit(&[huge]).is_ok());
}

#[test]
fn the_thousandth_is_allowed_and_the_next_one_waits_until_the_first_leaves() {
    // given
    let subscriptions = active(limited("1000", "hour", "sliding"));
    let (first, second, now) =
        (at("2024-01-10T11:00:00Z"), at("2024-01-10T11:30:00Z"), at("2024-01-10T11:59:59Z"));
    let entitled = entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use::default();
    entitled.add(&mut of, decimal("600"), first).unwrap();
    entitled.add(&mut of, decimal("399"), second).unwrap();

    // when
    let thousandth = decide(&entitled, &of, Decimal::ONE, now);
    entitled.add(&mut of, Decimal::ONE, now).unwrap();
    let refused = decide(&entitled, &of, Decimal::ONE, now);
    let too_much = decide(&entitled, &of, decimal("1001"), now);
    let later = decide(&entitled, &of, decimal("600"), at("2024-01-10T12:00:00Z"));

    // then
    assert!(thousandth.allowed && !refused.allowed && later.allowed);
    assert_eq!((refused.reason, refused.remaining), (Some(Reason::LimitReached), Some(Decimal::ZERO)));
    assert_eq!(refused.reset_at, Some(at("2024-01-10T12:00:00Z")));
    assert_eq!((too_much.allowed, too_much.reset_at), (false, None));
}

#[test]
fn a_soft_limit_lets_everything_through_and_says_what_is_above_it() {
    // given
    let subscriptions = active(soft("3"));
    let now = at("2024-01-10T12:00:00Z");
    let entitled = entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use::default();
    entitled.add(&mut of, decimal("5.5"), now).unwrap();

    // when
    let decision = decide(&entitled, &of, Decimal::ONE, now);

    // then
    assert!(decision.allowed && decision.is_exhausted());
    assert_eq!((decision.overage, decision.remaining), (decimal("2.5"), Some(Decimal::ZERO)));
}

#[test]
fn a_fixed_window_starts_again_from_zero_and_a_clock_that_is_behind_does_not_undo_that() {
    // given
    let subscriptions = active(limited("2", "day", "fixed"));
    let (late, midnight) = (at("2024-01-10T23:59:59Z"), at("2024-01-11T00:00:00Z"));
    let of_day = |now| entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use::default();
    of_day(late).add(&mut of, decimal("2"), late).unwrap();

    // when
    let full = decide(&of_day(late), &of, Decimal::ONE, late);
    let fresh = decide(&of_day(midnight), &of, decimal("2"), midnight);
    of_day(midnight).add(&mut of, decimal("2"), midnight).unwrap();
    let behind = decide(&of_day(late), &of, Decimal::ONE, late);

    // then
    assert!(!full.allowed && fresh.allowed && !behind.allowed);
    assert_eq!(full.reset_at, Some(midnight));
}

#[test]
fn a_use_is_given_back_and_counted_again_in_the_window_that_counted_it() {
    let cases = [
        // counting, used at, given back of, looked at, used then, and after it was counted again
        ("day", "fixed", "2024-01-10T08:00:00Z", "2024-01-10T23:00:00Z", "1", "4"),
        ("day", "fixed", "2024-01-09T23:59:59Z", "2024-01-10T23:00:00Z", "1", "1"),
        ("never", "fixed", "2024-01-09T23:59:59Z", "2024-01-10T23:00:00Z", "1", "4"),
        ("day", "sliding", "2024-01-09T23:59:59Z", "2024-01-10T23:00:00Z", "1", "4"),
        ("day", "sliding", "2024-01-09T23:00:00Z", "2024-01-10T23:00:00Z", "1", "1"),
        ("hour", "sliding", "2024-01-10T08:00:00Z", "2024-01-10T23:00:00Z", "1", "1"),
    ];
    for (reset, window, used_at, now, without, again) in cases {
        // given
        let subscriptions = active(limited("9", reset, window));
        let (used_at, now) = (at(used_at), at(now));
        let of_calls = |now| entitled(&subscriptions, "calls", now).unwrap();
        let mut of = Use::default();
        of_calls(used_at).add(&mut of, decimal("3"), used_at).unwrap();
        of_calls(now).add(&mut of, decimal("1"), now).unwrap();

        // when
        of_calls(now).give_back(&mut of, decimal("3"), used_at, now);
        let given_back = of_calls(now).used(&of, now);
        of_calls(now).count_again(&mut of, decimal("3"), used_at, now).unwrap();

        // then
        let case = format!("{reset} {window} {used_at}");
        assert_eq!((given_back, of_calls(now).used(&of, now)), (decimal(without), decimal(again)), "{case}");
    }
}

#[test]
fn what_is_counted_again_first_in_a_window_begins_it() {
    // given
    let subscriptions = active(limited("9", "day", "fixed"));
    let (yesterday, today) = (at("2024-01-09T12:00:00Z"), at("2024-01-10T12:00:00Z"));
    let of_day = |now| entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use::default();
    of_day(yesterday).add(&mut of, decimal("5"), yesterday).unwrap();

    // when
    of_day(today).count_again(&mut of, decimal("2"), at("2024-01-10T01:00:00Z"), today).unwrap();

    // then
    assert_eq!(of_day(today).used(&of, today), decimal("2"));
}

#[test]
fn more_than_was_used_is_never_given_back() {
    for window in ["fixed", "sliding"] {
        // given
        let subscriptions = active(limited("9", "day", window));
        let now = at("2024-01-10T12:00:00Z");
        let entitled = entitled(&subscriptions, "calls", now).unwrap();
        let mut of = Use::default();
        entitled.add(&mut of, decimal("2"), now).unwrap();

        // when
        entitled.give_back(&mut of, decimal("5"), now, now);

        // then
        assert_eq!(entitled.used(&of, now), Decimal::ZERO);
    }
}

#[test]
fn what_is_held_counts_against_the_limit_in_every_window_and_is_not_used() {
    // given a limit of 10 of which 4 are used and 5 held
    let now = at("2024-01-10T12:00:00Z");
    let next_day = at("2024-01-11T12:00:00Z");
    let subscriptions = active(limited("10", "day", "fixed"));
    let of_day = |now| entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use { held: decimal("5"), ..Use::default() };
    of_day(now).add(&mut of, decimal("4"), now).unwrap();

    // when
    let last = decide(&of_day(now), &of, Decimal::ONE, now);
    let beyond = decide(&of_day(now), &of, decimal("1.5"), now);
    let tomorrow = decide(&of_day(next_day), &of, decimal("5"), next_day);
    let beyond_tomorrow = decide(&of_day(next_day), &of, decimal("5.1"), next_day);

    // then
    assert!(last.allowed && !beyond.allowed && tomorrow.allowed && !beyond_tomorrow.allowed);
    assert_eq!((last.used, last.held, last.remaining), (decimal("4"), decimal("5"), Some(Decimal::ONE)));
    assert!(!decide(&of_day(now), &Use { held: decimal("10"), ..of }, Decimal::ONE, now).is_exhausted());
}

#[test]
fn a_sliding_window_does_not_promise_what_is_held() {
    // given a limit of 10 in an hour of which 4 are used and 5 held
    let now = at("2024-01-10T12:00:00Z");
    let subscriptions = active(limited("10", "hour", "sliding"));
    let entitled = entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use { held: decimal("5"), ..Use::default() };
    entitled.add(&mut of, decimal("4"), now).unwrap();

    // when
    let fits_later = decide(&entitled, &of, decimal("5"), now);
    let never_fits = decide(&entitled, &of, decimal("6"), now);

    // then
    assert_eq!(fits_later.reset_at, Some(at("2024-01-10T13:00:00Z")));
    assert!(!never_fits.allowed && never_fits.reset_at.is_none());
}

#[test]
fn sums_of_too_many_digits_are_refused_and_not_wrapped() {
    // given
    let subscriptions = active(limited("9999999999999999", "never", "fixed"));
    let now = at("2024-01-10T12:00:00Z");
    let entitled = entitled(&subscriptions, "calls", now).unwrap();
    let mut of = Use { used: Decimal::MAX, ..Use::default() };

    // when
    let decision = decide(&entitled, &of, decimal("0.000000000001"), now);
    let added = entitled.add(&mut of, decimal("0.000000000001"), now);

    // then
    assert!(!decision.allowed && added.is_err());
}

proptest! {
    #[test]
    fn no_window_of_the_length_ever_holds_more_than_the_limit(
        steps in prop::collection::vec((0_i64..90_000, 1_u32..4), 1..200),
        limit in 1_u32..12,
    ) {
        let span = SlidingSpan::of(Reset::Minute).unwrap();
        let most = Decimal::from(limit);
        let (mut of, mut taken) = (SlidingUse::default(), Vec::new());
        let mut now = at("2024-01-01T00:00:00Z");

        for (wait_ms, quantity) in steps {
            now += SignedDuration::from_millis(wait_ms / 10);
            let wanted = Decimal::from(quantity);
            let fits = of.used(span, now) + wanted <= most;
            let fits_at = of.fits_at(span, most, wanted, now);
            prop_assert_eq!(fits, fits_at == Some(now));
            if fits {
                of.add(span, wanted, now).unwrap();
                taken.push((now, quantity));
            } else if let Some(fits_at) = fits_at {
                // What it promises is true, if nothing else is used meanwhile.
                prop_assert!(of.used(span, fits_at) + wanted <= most);
            }
            let begins = now - span.duration();
            let within: u32 = taken.iter().filter(|(at, _)| *at > begins).map(|(_, quantity)| quantity).sum();
            prop_assert!(within <= limit);
            prop_assert!(of.slots().len() <= 61);
        }
    }

    #[test]
    fn giving_back_frees_what_lies_in_a_sliding_window_and_nothing_else(
        steps in prop::collection::vec((0_i64..4_000, 1_u32..4, any::<bool>()), 1..60),
    ) {
        let span = SlidingSpan::of(Reset::Minute).unwrap();
        let mut of = SlidingUse::default();
        let mut taken = Vec::new();
        let mut now = at("2024-01-01T00:00:00Z");
        for (wait_ms, quantity, is_voided) in steps {
            now += SignedDuration::from_millis(wait_ms);
            of.add(span, Decimal::from(quantity), now).unwrap();
            taken.push((now, quantity, is_voided));
        }
        let begins = now - span.duration();
        let before = of.clone();

        let mut within = Decimal::ZERO;
        for (at, quantity, _) in taken.iter().filter(|(_, _, is_voided)| *is_voided) {
            let used = of.used(span, now);
            of.give_back(span, Decimal::from(*quantity), *at, now);
            // Outside of the window it may share a slot with what lies within.
            if *at > begins {
                prop_assert_eq!(of.used(span, now), used - Decimal::from(*quantity));
            }
        }
        for (at, quantity, is_voided) in &taken {
            within += if *at > begins && !is_voided { Decimal::from(*quantity) } else { Decimal::ZERO };
        }
        prop_assert!(of.used(span, now) >= within);

        // What is counted again counts for as long as it did.
        for (at, quantity, _) in taken.iter().filter(|(at, _, is_voided)| *is_voided && *at > begins) {
            of.insert(span, Decimal::from(*quantity), *at, now).unwrap();
        }
        prop_assert!(of.used(span, now) <= before.used(span, now));
        let all_left = now + span.duration();
        prop_assert_eq!(of.used(span, all_left), Decimal::ZERO);
        prop_assert!(of.slots().is_sorted_by_key(|slot| slot.last_at) && of.slots().len() <= 61);
    }

    #[test]
    fn what_was_used_is_free_again_at_most_a_sixtieth_of_the_window_late(
        waits in prop::collection::vec(0_i64..3_000, 1..100),
    ) {
        let span = SlidingSpan::of(Reset::Minute).unwrap();
        let mut of = SlidingUse::default();
        let mut now = at("2024-01-01T00:00:00Z");

        for wait_ms in waits {
            now += SignedDuration::from_millis(wait_ms);
            of.add(span, Decimal::ONE, now).unwrap();
        }

        let all_left = now + span.duration();
        prop_assert_eq!(of.used(span, all_left), Decimal::ZERO);
        let first = of.first_leaves_at(span, now).unwrap();
        prop_assert!(first <= all_left);
    }
}
