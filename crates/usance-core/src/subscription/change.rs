//! What the commands do to a subscription.

use jiff::Timestamp;

use super::{
    CancelTiming, ChangeTiming, Effect, Fees, Item, LifecycleError, OpenPeriod, ScheduledChange,
    SubscriptionEvent, SubscriptionState, SubscriptionStatus, Terms, cycle, open_at,
};
use crate::period::Period;
use crate::proration::ServiceEnd;

/// How everything that runs is settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settlement {
    end: ServiceEnd,
    credit: bool,
}

impl Settlement {
    pub(super) const AT_PERIOD_END: Self = Self { end: ServiceEnd::PeriodEnd, credit: false };
    pub(super) const WITH_CREDIT: Self = Self { end: ServiceEnd::Termination, credit: true };
    pub(super) const WITHOUT_CREDIT: Self = Self { end: ServiceEnd::Termination, credit: false };
    const BY_CHANGE: Self = Self { end: ServiceEnd::Change, credit: true };
}

/// Bills every item up to an instant, and gives back what was paid beyond it.
pub(super) fn settle(
    state: &SubscriptionState,
    effects: &mut Vec<Effect>,
    at: Timestamp,
    settlement: Settlement,
) {
    for item in &state.items {
        settle_item(state, effects, *item, at, settlement);
    }
}

fn settle_item(
    state: &SubscriptionState,
    effects: &mut Vec<Effect>,
    item: Item,
    at: Timestamp,
    settlement: Settlement,
) {
    let OpenPeriod { period, full } = state.open;
    let rendered = Period { start: item.from, end: at };
    let rest = Period { start: at, end: period.end };
    let trialing = state.status == SubscriptionStatus::Trialing;
    if rendered.start < rendered.end {
        effects.push(if trialing {
            Effect::Free { item, service: rendered }
        } else {
            Effect::Arrears { item, service: rendered, full, end: settlement.end }
        });
    }
    if settlement.credit && !trialing && rest.start < rest.end {
        effects.push(Effect::Credit { item, service: rest, full, end: settlement.end, fees: Fees::All });
    }
}

/// Marks the end; what is due has been settled.
pub(super) fn end(state: &mut SubscriptionState, effects: &mut Vec<Effect>, at: Timestamp) {
    state.status = SubscriptionStatus::Canceled;
    state.ended_at = Some(at.max(state.start_at));
    state.scheduled = None;
    for item in &mut state.items {
        item.from = item.from.max(at);
        item.seats_from = item.from;
    }
    effects.push(Effect::Announce(SubscriptionEvent::Canceled));
}

pub(super) fn change(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
    terms: &Terms,
    timing: ChangeTiming,
    at: Timestamp,
) -> Result<(), LifecycleError> {
    require_running(state, "changed")?;
    if terms.items.is_empty() {
        return Err(LifecycleError::NoItems);
    }
    let schedule = |at| Some(ScheduledChange { at, terms: terms.clone() });
    match timing {
        ChangeTiming::Now => {
            state.scheduled = None;
            return change_now(state, effects, terms, at);
        }
        ChangeTiming::NowUnprorated => {
            state.scheduled = None;
            change_unprorated(state, effects, terms, at)?;
        }
        ChangeTiming::PeriodEnd => state.scheduled = schedule(state.open.period.end),
        ChangeTiming::At(later) if later <= at => return Err(LifecycleError::NotAhead),
        ChangeTiming::At(later) => state.scheduled = schedule(later),
    }
    effects.push(Effect::Announce(SubscriptionEvent::Updated));
    Ok(())
}

/// Settles what ends, charges what begins. A trial is not billed, and a subscription that has not begun neither.
pub(super) fn change_now(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
    terms: &Terms,
    at: Timestamp,
) -> Result<(), LifecycleError> {
    effects.push(Effect::Announce(SubscriptionEvent::Updated));
    let same_rhythm = terms.rhythm == state.rhythm;
    match state.status {
        SubscriptionStatus::Incomplete | SubscriptionStatus::Trialing => {
            let at = if state.status == SubscriptionStatus::Incomplete { state.start_at } else { at };
            settle_free(state, effects, at);
            state.rhythm = terms.rhythm;
            state.items = terms.items.iter().map(|wanted| wanted.begin(at)).collect();
            if !same_rhythm && state.trial.is_none() {
                state.open = open_at(&state.cycle(), at)?;
            }
            return Ok(());
        }
        SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled => {}
    }
    let old = state.items.clone();
    let stays = |item: &Item| {
        same_rhythm
            && terms
                .items
                .iter()
                .any(|wanted| wanted.id == item.id && wanted.plan_version == item.plan_version)
    };
    for item in old.iter().filter(|item| !stays(item)) {
        settle_item(state, effects, *item, at, Settlement::BY_CHANGE);
    }
    if !same_rhythm {
        state.anchor = at;
        state.rhythm = terms.rhythm;
        state.open = open_at(&cycle(terms.rhythm, &state.time_zone, at), at)?;
    }
    let OpenPeriod { period, full } = state.open;
    let rest = Period { start: at, end: period.end };
    state.items.clear();
    for wanted in &terms.items {
        let before = old.iter().find(|item| item.id == wanted.id).filter(|item| stays(item));
        let item = match before {
            None => wanted.begin(at),
            Some(before) if before.quantity == wanted.quantity => *before,
            Some(before) => {
                let seats = Period { start: before.seats_from, end: at };
                if seats.start < seats.end {
                    effects.push(Effect::ArrearsSeats { item: *before, service: seats, full });
                }
                let end = ServiceEnd::Change;
                effects.push(Effect::Credit { item: *before, service: rest, full, end, fees: Fees::Seats });
                Item { quantity: wanted.quantity, seats_from: at, ..*before }
            }
        };
        let fees = if before.is_none() { Fees::All } else { Fees::Seats };
        if before.is_none_or(|before| before.quantity != wanted.quantity) {
            effects.push(Effect::Advance { item, service: rest, full, fees });
        }
        state.items.push(item);
    }
    Ok(())
}

fn settle_free(state: &SubscriptionState, effects: &mut Vec<Effect>, at: Timestamp) {
    for item in &state.items {
        if item.from < at {
            let service = Period { start: item.from, end: at };
            effects.push(Effect::Free { item: *item, service });
        }
    }
}

/// The whole period is billed by the new terms. What is no longer bought is billed up to now, as nothing follows it.
fn change_unprorated(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
    terms: &Terms,
    at: Timestamp,
) -> Result<(), LifecycleError> {
    if terms.rhythm != state.rhythm {
        return Err(LifecycleError::IntervalUnprorated);
    }
    for item in &state.items {
        if !terms.items.iter().any(|wanted| wanted.id == item.id) {
            settle_item(state, effects, *item, at, Settlement { end: ServiceEnd::Change, credit: false });
        }
    }
    let old = std::mem::take(&mut state.items);
    state.items = terms
        .items
        .iter()
        .map(|wanted| {
            let before = old.iter().find(|item| item.id == wanted.id);
            let (from, seats_from) = before.map_or((at, at), |item| (item.from, item.seats_from));
            Item { from, seats_from, ..wanted.begin(at) }
        })
        .collect();
    Ok(())
}

pub(super) fn cancel(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
    timing: CancelTiming,
    at: Timestamp,
) -> Result<(), LifecycleError> {
    if state.status == SubscriptionStatus::Canceled {
        return Err(not_allowed(state, "canceled"));
    }
    let settlement = match timing {
        CancelTiming::PeriodEnd => match state.status {
            SubscriptionStatus::Trialing | SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                state.cancel_at = Some(state.open.period.end);
                effects.push(Effect::Announce(SubscriptionEvent::Updated));
                return Ok(());
            }
            SubscriptionStatus::Incomplete | SubscriptionStatus::Paused | SubscriptionStatus::Canceled => {
                Settlement::WITHOUT_CREDIT
            }
        },
        CancelTiming::NowWithCredit => Settlement::WITH_CREDIT,
        CancelTiming::NowWithoutCredit => Settlement::WITHOUT_CREDIT,
    };
    match state.status {
        SubscriptionStatus::Trialing | SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
            settle(state, effects, at, settlement);
        }
        // Nothing runs.
        SubscriptionStatus::Incomplete | SubscriptionStatus::Paused | SubscriptionStatus::Canceled => {}
    }
    end(state, effects, at);
    Ok(())
}

pub(super) fn uncancel(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
) -> Result<(), LifecycleError> {
    if state.status == SubscriptionStatus::Canceled {
        return Err(not_allowed(state, "uncanceled"));
    }
    state.cancel_at.take().ok_or(LifecycleError::NotCanceling)?;
    effects.push(Effect::Announce(SubscriptionEvent::Updated));
    Ok(())
}

pub(super) fn pause(
    state: &mut SubscriptionState,
    effects: &mut Vec<Effect>,
    at: Timestamp,
) -> Result<(), LifecycleError> {
    match state.status {
        SubscriptionStatus::Active => {}
        SubscriptionStatus::Incomplete
        | SubscriptionStatus::Trialing
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled => return Err(not_allowed(state, "paused")),
    }
    settle(state, effects, at, Settlement::WITH_CREDIT);
    state.status = SubscriptionStatus::Paused;
    state.scheduled = None;
    for item in &mut state.items {
        item.from = at;
        item.seats_from = at;
    }
    effects.push(Effect::Announce(SubscriptionEvent::Paused));
    Ok(())
}

/// Opens the period around an instant, cut at it.
pub(super) fn resume(state: &mut SubscriptionState, at: Timestamp) -> Result<(), LifecycleError> {
    if state.status != SubscriptionStatus::Paused {
        return Err(not_allowed(state, "resumed"));
    }
    state.status = SubscriptionStatus::Active;
    state.open = open_at(&state.cycle(), at)?;
    for item in &mut state.items {
        item.from = at;
        item.seats_from = at;
    }
    Ok(())
}

fn require_running(state: &SubscriptionState, command: &'static str) -> Result<(), LifecycleError> {
    match state.status {
        SubscriptionStatus::Incomplete
        | SubscriptionStatus::Trialing
        | SubscriptionStatus::Active
        | SubscriptionStatus::PastDue => Ok(()),
        SubscriptionStatus::Paused | SubscriptionStatus::Canceled => Err(not_allowed(state, command)),
    }
}

const fn not_allowed(state: &SubscriptionState, command: &'static str) -> LifecycleError {
    LifecycleError::NotAllowed { status: state.status, command }
}
