use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    CancelTiming, ChangeTiming, Effect, Fees, LifecycleError, Rhythm, SubscriptionCommand, SubscriptionEvent,
    SubscriptionState, SubscriptionStatus, Terms, Trial, TrialEnd, WantedItem, apply, pass_time,
};
use crate::ids::{PlanVersionId, SubscriptionItemId};
use crate::period::{Alignment, BillingInterval, IntervalUnit, Period};
use crate::programmes::programmes;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(text: &str) -> Timestamp {
    at(&format!("{text}T00:00:00Z"))
}

fn rhythm(unit: IntervalUnit, alignment: Alignment) -> Rhythm {
    Rhythm { interval: BillingInterval::new(unit, 1).unwrap(), alignment }
}

fn monthly() -> Rhythm {
    rhythm(IntervalUnit::Month, Alignment::Calendar)
}

fn item(id: u128, version: u128, quantity: u32) -> WantedItem {
    WantedItem {
        id: SubscriptionItemId::from_uuid(Uuid::from_u128(id)),
        plan_version: PlanVersionId::from_uuid(Uuid::from_u128(version)),
        quantity,
    }
}

fn terms(rhythm: Rhythm, items: &[WantedItem]) -> Terms {
    Terms { rhythm, items: items.to_vec() }
}

fn started(terms: &Terms, start: &str) -> SubscriptionState {
    let state = SubscriptionState::new(day(start), TimeZone::UTC, terms, None).unwrap();
    pass_time(&state).unwrap().0
}

/// The effects in short: what, which plan version, from and to (day of the year 2024), and how many seats.
fn short(effects: &[Effect]) -> Vec<String> {
    let span = |period: &Period| {
        let day = |at: Timestamp| at.to_string()[5..10].to_owned();
        format!("{}..{}", day(period.start), day(period.end))
    };
    let version = |item: &super::Item| item.plan_version.uuid().as_u128();
    let fees = |fees: &Fees| if *fees == Fees::Seats { " seats" } else { "" };
    effects
        .iter()
        .map(|effect| match effect {
            Effect::TrialFee { service } => format!("trial {}", span(service)),
            Effect::Free { item, service } => format!("free {} {}", version(item), span(service)),
            Effect::Advance { item, service, fees: which, .. } => {
                format!("advance {}x{} {}{}", version(item), item.quantity, span(service), fees(which))
            }
            Effect::Arrears { item, service, .. } => format!("arrears {} {}", version(item), span(service)),
            Effect::ArrearsSeats { item, service, .. } => {
                format!("arrears seats {}x{} {}", version(item), item.quantity, span(service))
            }
            Effect::Credit { item, service, fees: which, .. } => {
                format!("credit {}x{} {}{}", version(item), item.quantity, span(service), fees(which))
            }
            Effect::Announce(event) => event.as_str().replace("subscription.", "tell "),
        })
        .collect()
}

#[test]
fn a_start_charges_the_rest_of_the_calendar_period_and_each_turn_the_next() {
    let plan = terms(monthly(), &[item(1, 10, 3)]);
    let state = SubscriptionState::new(day("2024-01-15"), TimeZone::UTC, &plan, None).unwrap();

    let (state, start) = pass_time(&state).unwrap();
    let (state, turn) = pass_time(&state).unwrap();

    assert_eq!(short(&start), ["advance 10x3 01-15..02-01", "tell activated"]);
    assert_eq!(short(&turn), ["arrears 10 01-15..02-01", "advance 10x3 02-01..03-01"]);
    assert_eq!(state.status, SubscriptionStatus::Active);
    assert_eq!(state.next_due(), Some(day("2024-03-01")));
}

#[test]
fn an_upgrade_settles_the_old_plan_and_charges_the_rest_of_the_period() {
    let state = started(&terms(monthly(), &[item(1, 10, 1), item(2, 30, 1)]), "2024-01-01");
    let upgrade = terms(monthly(), &[item(1, 20, 1), item(2, 30, 1)]);
    let command = SubscriptionCommand::Change(upgrade, ChangeTiming::Now);

    let (state, effects) = apply(&state, &command, day("2024-01-11")).unwrap();

    let expected =
        ["tell updated", "arrears 10 01-01..01-11", "credit 10x1 01-11..02-01", "advance 20x1 01-11..02-01"];
    assert_eq!(short(&effects), expected);
    // The add-on goes on untouched.
    assert_eq!(state.items[1].from, day("2024-01-01"));
    let (_, turn) = pass_time(&state).unwrap();
    assert_eq!(short(&turn)[..2], ["arrears 20 01-11..02-01", "arrears 30 01-01..02-01"]);
}

#[test]
fn more_seats_are_charged_without_touching_usage() {
    let state = started(&terms(monthly(), &[item(1, 10, 2)]), "2024-01-01");
    let command = SubscriptionCommand::Change(terms(monthly(), &[item(1, 10, 5)]), ChangeTiming::Now);

    let (state, effects) = apply(&state, &command, day("2024-01-21")).unwrap();

    let expected = [
        "tell updated",
        "arrears seats 10x2 01-01..01-21",
        "credit 10x2 01-21..02-01 seats",
        "advance 10x5 01-21..02-01 seats",
    ];
    assert_eq!(short(&effects), expected);
    assert_eq!(state.items[0].from, day("2024-01-01"));
}

#[test]
fn an_unprorated_change_bills_the_whole_period_by_the_new_terms() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let command =
        SubscriptionCommand::Change(terms(monthly(), &[item(1, 20, 1)]), ChangeTiming::NowUnprorated);

    let (state, effects) = apply(&state, &command, day("2024-01-11")).unwrap();
    let (_, turn) = pass_time(&state).unwrap();

    assert_eq!(short(&effects), ["tell updated"]);
    assert_eq!(short(&turn), ["arrears 20 01-01..02-01", "advance 20x1 02-01..03-01"]);
}

#[test]
fn another_interval_starts_a_new_period_at_once_or_with_the_next_one() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let yearly = terms(rhythm(IntervalUnit::Year, Alignment::Anniversary), &[item(1, 20, 1)]);

    let now = SubscriptionCommand::Change(yearly.clone(), ChangeTiming::Now);
    let (at_once, effects) = apply(&state, &now, day("2024-01-11")).unwrap();
    let later = SubscriptionCommand::Change(yearly.clone(), ChangeTiming::PeriodEnd);
    let (planned, _) = apply(&state, &later, day("2024-01-11")).unwrap();
    let (turned, _) = pass_time(&planned).unwrap();
    let unprorated = SubscriptionCommand::Change(yearly, ChangeTiming::NowUnprorated);

    assert_eq!(short(&effects).last().unwrap(), "advance 20x1 01-11..01-11");
    assert_eq!(at_once.open.period.end, day("2025-01-11"));
    assert_eq!(turned.open.period, Period { start: day("2024-02-01"), end: day("2025-02-01") });
    assert_eq!(apply(&state, &unprorated, day("2024-01-11")), Err(LifecycleError::IntervalUnprorated));
}

#[test]
fn a_downgrade_waits_for_the_periods_end() {
    let state = started(&terms(monthly(), &[item(1, 20, 1)]), "2024-01-01");
    let command = SubscriptionCommand::Change(terms(monthly(), &[item(1, 10, 1)]), ChangeTiming::PeriodEnd);

    let (state, effects) = apply(&state, &command, day("2024-01-11")).unwrap();
    let (state, turn) = pass_time(&state).unwrap();

    assert_eq!(short(&effects), ["tell updated"]);
    assert_eq!(short(&turn), ["arrears 20 01-01..02-01", "tell updated", "advance 10x1 02-01..03-01"]);
    assert_eq!(state.scheduled, None);
}

#[test]
fn a_cancellation_at_the_periods_end_can_be_taken_back() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let cancel = SubscriptionCommand::Cancel(CancelTiming::PeriodEnd);

    let (canceling, _) = apply(&state, &cancel, day("2024-01-11")).unwrap();
    let (back, _) = apply(&canceling, &SubscriptionCommand::Uncancel, day("2024-01-12")).unwrap();
    let (ended, effects) = pass_time(&canceling).unwrap();

    assert_eq!(back, state);
    assert_eq!(short(&effects), ["arrears 10 01-01..02-01", "tell canceled"]);
    assert_eq!((ended.status, ended.ended_at), (SubscriptionStatus::Canceled, Some(day("2024-02-01"))));
    assert_eq!(ended.next_due(), None);
    let again = apply(&back, &SubscriptionCommand::Uncancel, day("2024-01-12"));
    assert_eq!(again, Err(LifecycleError::NotCanceling));
}

#[test]
fn a_cancellation_at_once_gives_back_the_rest_or_keeps_it() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let cancel = |timing| apply(&state, &SubscriptionCommand::Cancel(timing), day("2024-01-11")).unwrap().1;

    let with_credit = cancel(CancelTiming::NowWithCredit);
    let without = cancel(CancelTiming::NowWithoutCredit);

    assert_eq!(short(&with_credit), ["arrears 10 01-01..01-11", "credit 10x1 01-11..02-01", "tell canceled"]);
    assert_eq!(short(&without), ["arrears 10 01-01..01-11", "tell canceled"]);
}

#[test]
fn a_pause_stops_billing_and_a_resumption_charges_the_rest_of_the_running_period() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");

    let (paused, pause) = apply(&state, &SubscriptionCommand::Pause, day("2024-01-11")).unwrap();
    let (resumed, resume) = apply(&paused, &SubscriptionCommand::Resume, day("2024-03-20")).unwrap();

    assert_eq!(short(&pause), ["arrears 10 01-01..01-11", "credit 10x1 01-11..02-01", "tell paused"]);
    assert_eq!(paused.next_due(), None);
    assert_eq!(short(&resume), ["advance 10x1 03-20..04-01", "tell resumed"]);
    assert_eq!(resumed.open.full, Period { start: day("2024-03-01"), end: day("2024-04-01") });
}

#[test]
fn a_free_trial_converts_or_ends_and_a_paid_one_is_charged_once() {
    let plan = terms(monthly(), &[item(1, 10, 1)]);
    let trial = |then| {
        let trial = Some(Trial { ends_at: day("2024-01-15"), then });
        pass_time(&SubscriptionState::new(day("2024-01-08"), TimeZone::UTC, &plan, trial).unwrap()).unwrap()
    };

    let (trialing, start) = trial(TrialEnd::Convert);
    let (_, converted) = pass_time(&trialing).unwrap();
    let (ended, canceled) = pass_time(&trial(TrialEnd::Cancel).0).unwrap();

    assert_eq!(trialing.status, SubscriptionStatus::Trialing);
    assert_eq!(short(&start), ["trial 01-08..01-15"]);
    assert_eq!(short(&converted), ["free 10 01-08..01-15", "advance 10x1 01-15..02-01", "tell activated"]);
    assert_eq!(short(&canceled), ["free 10 01-08..01-15", "tell canceled"]);
    assert_eq!(ended.status, SubscriptionStatus::Canceled);
}

#[test]
fn a_failed_payment_makes_past_due_and_the_end_of_dunning_cancels() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let tell = |event| vec![Effect::Announce(event)];

    let (past_due, failed) = apply(&state, &SubscriptionCommand::PaymentFailed, day("2024-01-02")).unwrap();
    let again = apply(&past_due, &SubscriptionCommand::PaymentFailed, day("2024-01-03")).unwrap();
    let recovered = apply(&past_due, &SubscriptionCommand::PaymentRecovered, day("2024-01-04")).unwrap();
    let (canceled, exhausted) =
        apply(&past_due, &SubscriptionCommand::DunningExhausted, day("2024-01-09")).unwrap();

    assert_eq!(failed, tell(SubscriptionEvent::PastDue));
    assert_eq!(again, (past_due.clone(), Vec::new()));
    assert_eq!(recovered, (state, tell(SubscriptionEvent::Activated)));
    assert_eq!(canceled.status, SubscriptionStatus::Canceled);
    assert_eq!(short(&exhausted), ["arrears 10 01-01..01-09", "tell canceled"]);
}

#[test]
fn what_has_ended_or_rests_is_not_changed() {
    let state = started(&terms(monthly(), &[item(1, 10, 1)]), "2024-01-01");
    let cancel = SubscriptionCommand::Cancel(CancelTiming::NowWithoutCredit);
    let (ended, _) = apply(&state, &cancel, day("2024-01-11")).unwrap();
    let (paused, _) = apply(&state, &SubscriptionCommand::Pause, day("2024-01-11")).unwrap();
    let change = SubscriptionCommand::Change(terms(monthly(), &[item(1, 20, 1)]), ChangeTiming::Now);
    let refused = |state: &SubscriptionState, command: &SubscriptionCommand| {
        matches!(apply(state, command, day("2024-01-12")), Err(LifecycleError::NotAllowed { .. }))
    };

    for command in [&change, &cancel, &SubscriptionCommand::Pause, &SubscriptionCommand::Resume] {
        assert!(refused(&ended, command), "{command:?}");
    }
    assert!(refused(&paused, &change));
    assert!(refused(&paused, &SubscriptionCommand::Pause));
    assert!(refused(&state, &SubscriptionCommand::Resume));
}

fn any_timing() -> [ChangeTiming; 4] {
    [
        ChangeTiming::Now,
        ChangeTiming::NowUnprorated,
        ChangeTiming::PeriodEnd,
        ChangeTiming::At(day("2024-03-05")),
    ]
}

/// Without those that leave fees of the running period as they are.
fn prorated_timing() -> [ChangeTiming; 4] {
    [ChangeTiming::Now, ChangeTiming::Now, ChangeTiming::PeriodEnd, ChangeTiming::At(day("2024-03-05"))]
}

/// One step of a programme: how long to wait, then what to ask.
type Action = (i64, SubscriptionCommand);

fn actions(timings: [ChangeTiming; 4]) -> impl Strategy<Value = Vec<Action>> {
    let items = proptest::collection::vec((1_u128..4, 10_u128..13, 0_u32..4), 1..3);
    let change = (items, 0_usize..4, 0_usize..2).prop_map(move |(items, timing, unit)| {
        let mut wanted: BTreeMap<u128, WantedItem> =
            items.into_iter().map(|(id, version, quantity)| (id, item(id, version, quantity))).collect();
        wanted.insert(1, wanted.get(&1).copied().unwrap_or_else(|| item(1, 10, 1)));
        let units = [IntervalUnit::Month, IntervalUnit::Week];
        let items: Vec<_> = wanted.into_values().collect();
        SubscriptionCommand::Change(
            terms(rhythm(units[unit], Alignment::Anniversary), &items),
            timings[timing],
        )
    });
    let command = prop_oneof![
        4 => change,
        1 => Just(SubscriptionCommand::Cancel(CancelTiming::PeriodEnd)),
        1 => Just(SubscriptionCommand::Cancel(CancelTiming::NowWithCredit)),
        1 => Just(SubscriptionCommand::Uncancel),
        2 => Just(SubscriptionCommand::Pause),
        2 => Just(SubscriptionCommand::Resume),
        1 => Just(SubscriptionCommand::PaymentFailed),
        1 => Just(SubscriptionCommand::PaymentRecovered),
        1 => Just(SubscriptionCommand::DunningExhausted),
    ];
    proptest::collection::vec((0_i64..60 * 24, command), 1..12)
}

/// Runs a programme from January 2024 on and returns the last state, everything that was to be billed, and its end.
fn run(actions: &[Action], trial: Option<TrialEnd>) -> (SubscriptionState, Vec<Effect>, Timestamp) {
    let start = day("2024-01-31");
    let first = terms(rhythm(IntervalUnit::Month, Alignment::Anniversary), &[item(1, 10, 1)]);
    let trial = trial.map(|then| Trial { ends_at: day("2024-02-07"), then });
    let mut state = SubscriptionState::new(start, TimeZone::UTC, &first, trial).unwrap();
    let (mut effects, mut now) = (Vec::new(), start);
    for (hours, command) in actions {
        now = now.checked_add(SignedDuration::from_hours(*hours)).unwrap();
        while state.next_due().is_some_and(|due_at| due_at <= now) {
            let (next, more) = pass_time(&state).unwrap();
            assert_ne!(next, state, "time passes");
            (state, effects) = (next, [effects, more].concat());
        }
        if let Ok((next, more)) = apply(&state, command, now) {
            (state, effects) = (next, [effects, more].concat());
        }
    }
    (state, effects, now)
}

proptest! {
    #![proptest_config(programmes())]

    /// What is settled of an item never overlaps, and while the subscription runs it reaches to where the item is billed.
    #[test]
    fn settled_stretches_tile(
        actions in actions(any_timing()),
        trial in proptest::option::of(prop_oneof![Just(TrialEnd::Convert), Just(TrialEnd::Cancel)]),
    ) {
        let (state, effects, _) = run(&actions, trial);

        let mut settled: BTreeMap<SubscriptionItemId, Vec<Period>> = BTreeMap::new();
        for effect in &effects {
            if let Effect::Arrears { item, service, .. } | Effect::Free { item, service } = effect {
                settled.entry(item.id).or_default().push(*service);
            }
        }
        for stretches in settled.values() {
            prop_assert!(stretches.iter().all(|stretch| stretch.start < stretch.end));
            prop_assert!(stretches.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", stretches);
        }
        let rests = matches!(state.status, SubscriptionStatus::Paused | SubscriptionStatus::Canceled);
        for item in &state.items {
            let reached = settled.get(&item.id).and_then(|stretches| stretches.last()).map(|last| last.end);
            prop_assert!(rests || reached.is_none_or(|reached| reached <= item.from));
            prop_assert!(state.open.period.start <= item.from && item.from <= state.open.period.end || rests);
        }
        prop_assert!(state.open.full.start <= state.open.period.start);
        prop_assert!(state.open.period.end <= state.open.full.end);
    }

    /// At every instant, the fees in advance that were charged less those given back are owed once per item at most.
    #[test]
    fn fees_in_advance_are_charged_once(actions in actions(prorated_timing())) {
        let (state, effects, _) = run(&actions, None);

        let mut owed: BTreeMap<(SubscriptionItemId, Timestamp), i32> = BTreeMap::new();
        for effect in &effects {
            let (item, service, sign) = match effect {
                Effect::Advance { item, service, fees: Fees::All, .. } => (item, service, 1),
                Effect::Credit { item, service, fees: Fees::All, .. } => (item, service, -1),
                Effect::Advance { .. }
                | Effect::Credit { .. }
                | Effect::TrialFee { .. }
                | Effect::Free { .. }
                | Effect::Arrears { .. }
                | Effect::ArrearsSeats { .. }
                | Effect::Announce(_) => continue,
            };
            *owed.entry((item.id, service.start)).or_default() += sign;
            *owed.entry((item.id, service.end)).or_default() -= sign;
        }
        let mut running: BTreeMap<SubscriptionItemId, i32> = BTreeMap::new();
        for ((item, _), change) in owed {
            let now = running.entry(item).or_default();
            *now += change;
            prop_assert!((0..=1).contains(now), "{item} is charged {now} times");
        }
        prop_assert!(running.values().all(|left| *left == 0));
        prop_assert!(state.next_due().is_some() == !matches!(
            state.status,
            SubscriptionStatus::Canceled | SubscriptionStatus::Paused
        ) || state.cancel_at.is_some());
    }

    /// An upgrade and a downgrade in the same instant give back exactly what they charge.
    #[test]
    fn there_and_back_in_the_same_instant_is_free(hours in 0_i64..29 * 24, seats in 0_u32..5) {
        let here = terms(monthly(), &[item(1, 10, 1)]);
        let there = terms(monthly(), &[item(1, 20, seats)]);
        let state = started(&here, "2024-01-01");
        let now = day("2024-01-01").checked_add(SignedDuration::from_hours(hours)).unwrap();

        let (up, first) = apply(&state, &SubscriptionCommand::Change(there, ChangeTiming::Now), now).unwrap();
        let (down, second) = apply(&up, &SubscriptionCommand::Change(here, ChangeTiming::Now), now).unwrap();

        let charged = |effects: &[Effect], version: u128| -> i32 {
            effects.iter().map(|effect| match effect {
                Effect::Advance { item, .. } if item.plan_version.uuid().as_u128() == version => 1,
                Effect::Credit { item, .. } if item.plan_version.uuid().as_u128() == version => -1,
                Effect::TrialFee { .. }
                | Effect::Free { .. }
                | Effect::Advance { .. }
                | Effect::Arrears { .. }
                | Effect::ArrearsSeats { .. }
                | Effect::Credit { .. }
                | Effect::Announce(_) => 0,
            }).sum()
        };
        let both = [first, second].concat();
        prop_assert_eq!((charged(&both, 10), charged(&both, 20)), (0, 0));
        prop_assert_eq!(down.open, state.open);
        let usage = both.iter().filter(|effect| matches!(effect, Effect::Arrears { .. })).count();
        prop_assert!(usage <= 1, "usage is settled once");
    }
}
