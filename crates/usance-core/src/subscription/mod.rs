//! The life of a subscription as one pure function: a state and a command, or the passing of time, give the next state
//! and what is to be billed.
//!
//! A subscription holds *items*: its plan first, then add-ons. Each item knows from when its usage is not billed yet, so
//! that a change in the middle of a period settles what it ends and leaves the rest alone. Fixed fees that are paid in
//! advance are charged when a service begins and given back when it ends early; what that comes to is decided by the
//! proration policy, not here.

mod change;
#[cfg(test)]
mod tests;
mod types;

pub use types::{
    CancelTiming, ChangeTiming, Effect, Fees, Item, LifecycleError, OpenPeriod, Rhythm, ScheduledChange,
    Step, SubscriptionCommand, SubscriptionEvent, SubscriptionState, SubscriptionStatus, Terms, Trial,
    TrialEnd, WantedItem,
};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::period::{BillingCycle, Period, PeriodError};

impl SubscriptionState {
    /// Plans a subscription. Nothing is billed before [`pass_time`] reaches its start.
    pub fn new(
        start_at: Timestamp,
        time_zone: TimeZone,
        terms: &Terms,
        trial: Option<Trial>,
    ) -> Result<Self, LifecycleError> {
        if terms.items.is_empty() {
            return Err(LifecycleError::NoItems);
        }
        let items = terms.items.iter().map(|wanted| wanted.begin(start_at)).collect();
        let trial = trial.filter(|trial| start_at < trial.ends_at);
        let anchor = trial.map_or(start_at, |trial| trial.ends_at);
        let cycle = cycle(terms.rhythm, &time_zone, anchor);
        let open = match trial {
            Some(trial) => {
                let period = Period { start: start_at, end: trial.ends_at };
                OpenPeriod { period, full: period }
            }
            None => open_at(&cycle, start_at)?,
        };
        Ok(Self {
            status: SubscriptionStatus::Incomplete,
            start_at,
            anchor,
            time_zone,
            rhythm: terms.rhythm,
            open,
            items,
            trial,
            cancel_at: None,
            scheduled: None,
            ended_at: None,
        })
    }

    /// When [`pass_time`] has something to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        match self.status {
            SubscriptionStatus::Incomplete => Some(self.start_at),
            SubscriptionStatus::Trialing | SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                let scheduled = self.scheduled.as_ref().map(|change| change.at);
                [Some(self.open.period.end), self.cancel_at, scheduled].into_iter().flatten().min()
            }
            SubscriptionStatus::Paused => self.cancel_at,
            SubscriptionStatus::Canceled => None,
        }
    }

    fn cycle(&self) -> BillingCycle {
        cycle(self.rhythm, &self.time_zone, self.anchor)
    }
}

impl WantedItem {
    const fn begin(&self, at: Timestamp) -> Item {
        Item {
            id: self.id,
            plan_version: self.plan_version,
            quantity: self.quantity,
            from: at,
            seats_from: at,
        }
    }
}

fn cycle(rhythm: Rhythm, time_zone: &TimeZone, anchor: Timestamp) -> BillingCycle {
    BillingCycle {
        interval: rhythm.interval,
        alignment: rhythm.alignment,
        time_zone: time_zone.clone(),
        anchor,
    }
}

/// The period that opens at an instant inside it: cut at its start, whole at its end.
fn open_at(cycle: &BillingCycle, at: Timestamp) -> Result<OpenPeriod, PeriodError> {
    let full = cycle.full_period_containing(at)?;
    Ok(OpenPeriod { period: Period { start: at, end: full.end }, full })
}

/// Carries out what is due at [`SubscriptionState::next_due`]; without anything due the state stays as it is.
pub fn pass_time(state: &SubscriptionState) -> Result<Step, LifecycleError> {
    let mut next = state.clone();
    let mut effects = Vec::new();
    let Some(at) = state.next_due() else { return Ok((next, effects)) };
    match state.status {
        SubscriptionStatus::Incomplete => begin(&mut next, &mut effects),
        SubscriptionStatus::Paused => change::end(&mut next, &mut effects, at),
        SubscriptionStatus::Canceled => {}
        SubscriptionStatus::Trialing | SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
            if at == state.open.period.end {
                turn(&mut next, &mut effects)?;
            } else if state.cancel_at == Some(at) {
                change::settle(&next, &mut effects, at, change::Settlement::WITH_CREDIT);
                change::end(&mut next, &mut effects, at);
            } else if let Some(scheduled) = next.scheduled.take() {
                change::change_now(&mut next, &mut effects, &scheduled.terms, at)?;
            }
        }
    }
    Ok((next, effects))
}

fn begin(state: &mut SubscriptionState, effects: &mut Vec<Effect>) {
    if state.trial.is_some() {
        state.status = SubscriptionStatus::Trialing;
        effects.push(Effect::TrialFee { service: state.open.period });
    } else {
        activate(state, effects);
    }
}

fn activate(state: &mut SubscriptionState, effects: &mut Vec<Effect>) {
    state.status = SubscriptionStatus::Active;
    charge_all(state, effects);
    effects.push(Effect::Announce(SubscriptionEvent::Activated));
}

fn charge_all(state: &SubscriptionState, effects: &mut Vec<Effect>) {
    let OpenPeriod { period, full } = state.open;
    effects.extend(state.items.iter().map(|item| Effect::Advance {
        item: *item,
        service: period,
        full,
        fees: Fees::All,
    }));
}

/// Ends the open period or the trial, and opens the next period unless the subscription ends with it.
fn turn(state: &mut SubscriptionState, effects: &mut Vec<Effect>) -> Result<(), LifecycleError> {
    let end = state.open.period.end;
    let was_trialing = state.status == SubscriptionStatus::Trialing;
    change::settle(state, effects, end, change::Settlement::AT_PERIOD_END);
    let unconverted = was_trialing && state.trial.is_some_and(|trial| trial.then == TrialEnd::Cancel);
    if unconverted || state.cancel_at.is_some_and(|cancel_at| cancel_at <= end) {
        change::end(state, effects, end);
        return Ok(());
    }
    let mut same_rhythm = true;
    if let Some(due) = state.scheduled.take_if(|change| change.at <= end) {
        same_rhythm = due.terms.rhythm == state.rhythm;
        state.rhythm = due.terms.rhythm;
        state.items = due.terms.items.iter().map(|wanted| wanted.begin(end)).collect();
        effects.push(Effect::Announce(SubscriptionEvent::Updated));
    }
    if !same_rhythm {
        state.anchor = end;
    }
    state.open = if same_rhythm && !was_trialing {
        let period = state.cycle().next(&state.open.period)?;
        OpenPeriod { period, full: period }
    } else {
        open_at(&state.cycle(), end)?
    };
    for item in &mut state.items {
        item.from = end;
        item.seats_from = end;
    }
    if was_trialing {
        activate(state, effects);
    } else {
        charge_all(state, effects);
    }
    Ok(())
}

/// Decides what a command leads to at a time within the open period.
pub fn apply(
    state: &SubscriptionState,
    command: &SubscriptionCommand,
    at: Timestamp,
) -> Result<Step, LifecycleError> {
    let mut next = state.clone();
    let mut effects = Vec::new();
    match command {
        SubscriptionCommand::Change(terms, timing) => {
            change::change(&mut next, &mut effects, terms, *timing, at)?;
        }
        SubscriptionCommand::Cancel(timing) => change::cancel(&mut next, &mut effects, *timing, at)?,
        SubscriptionCommand::Uncancel => change::uncancel(&mut next, &mut effects)?,
        SubscriptionCommand::Pause => change::pause(&mut next, &mut effects, at)?,
        SubscriptionCommand::Resume => {
            change::resume(&mut next, at)?;
            charge_all(&next, &mut effects);
            effects.push(Effect::Announce(SubscriptionEvent::Resumed));
        }
        SubscriptionCommand::PaymentFailed => {
            if state.status == SubscriptionStatus::Active {
                next.status = SubscriptionStatus::PastDue;
                effects.push(Effect::Announce(SubscriptionEvent::PastDue));
            }
        }
        SubscriptionCommand::PaymentRecovered => {
            if state.status == SubscriptionStatus::PastDue {
                next.status = SubscriptionStatus::Active;
                effects.push(Effect::Announce(SubscriptionEvent::Activated));
            }
        }
        SubscriptionCommand::DunningExhausted => {
            if state.status == SubscriptionStatus::PastDue {
                change::settle(&next, &mut effects, at, change::Settlement::WITHOUT_CREDIT);
                change::end(&mut next, &mut effects, at);
            }
        }
    }
    Ok((next, effects))
}
