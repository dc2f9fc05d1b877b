//! Between stored subscriptions and the states that the core decides on.

use serde_json::{Value, json};
use usance_core::{
    ids::{PlanVersionId, SubscriptionItemId},
    subscription::{
        Item, OpenPeriod, ScheduledChange, SubscriptionState, SubscriptionStatus, Terms, Trial, TrialEnd,
        WantedItem,
    },
};
use usance_db::{
    customers::Customer,
    subscriptions::{Subscription, SubscriptionItem},
};

use crate::{
    billing::{Offers, time_zone},
    error::{Error, Result},
};

/// The plan versions that a subscription names now or will name after a planned change.
pub(crate) fn versions(subscription: &Subscription) -> Vec<PlanVersionId> {
    let planned = subscription.scheduled.as_ref().and_then(|(_, items)| read_items(items).ok());
    let planned = planned.unwrap_or_default().into_iter().map(|item| item.plan_version);
    subscription.items.iter().map(|item| item.plan_version_id).chain(planned).collect()
}

/// The plan version that a planned change leads to.
pub(crate) fn planned_version(subscription: &Subscription) -> Option<PlanVersionId> {
    let (_, items) = subscription.scheduled.as_ref()?;
    Some(read_items(items).ok()?.first()?.plan_version)
}

/// Reads the state of a stored subscription, whose offers are loaded.
pub(crate) fn load(stored: &Subscription, customer: &Customer, offers: &Offers) -> Result<SubscriptionState> {
    let unreadable = || Error::Internal("a stored subscription cannot be read");
    let plan = stored.items.first().ok_or_else(unreadable)?;
    let trial = match &stored.trial {
        None => None,
        Some((ends_at, then)) => {
            Some(Trial { ends_at: *ends_at, then: TrialEnd::parse(then).ok_or_else(unreadable)? })
        }
    };
    let scheduled = match &stored.scheduled {
        None => None,
        Some((at, items)) => Some(ScheduledChange { at: *at, terms: terms(read_items(items)?, offers)? }),
    };
    Ok(SubscriptionState {
        status: SubscriptionStatus::parse(&stored.status).ok_or_else(unreadable)?,
        start_at: stored.start_at,
        anchor: stored.anchor_at,
        time_zone: time_zone(customer)?,
        rhythm: offers.get(plan.plan_version_id)?.rhythm,
        open: OpenPeriod { period: stored.period, full: stored.full_period },
        items: stored.items.iter().map(load_item).collect(),
        trial,
        cancel_at: stored.cancel_at,
        scheduled,
        ended_at: stored.ended_at,
    })
}

fn load_item(item: &SubscriptionItem) -> Item {
    Item {
        id: item.id,
        plan_version: item.plan_version_id,
        quantity: u32::try_from(item.quantity).unwrap_or_default(),
        from: item.billed_to,
        seats_from: item.seats_from,
    }
}

/// The terms of items whose plan is the first of them.
pub(crate) fn terms(items: Vec<WantedItem>, offers: &Offers) -> Result<Terms> {
    let plan = items.first().ok_or(Error::Internal("a subscription has no plan"))?;
    Ok(Terms { rhythm: offers.get(plan.plan_version)?.rhythm, items })
}

/// Writes a state into a stored subscription.
pub(crate) fn store(state: &SubscriptionState, stored: &mut Subscription) {
    state.status.as_str().clone_into(&mut stored.status);
    stored.anchor_at = state.anchor;
    stored.period = state.open.period;
    stored.full_period = state.open.full;
    stored.trial = state.trial.map(|trial| (trial.ends_at, trial.then.as_str().to_owned()));
    stored.cancel_at = state.cancel_at;
    stored.scheduled = state.scheduled.as_ref().map(|change| (change.at, items_json(&change.terms.items)));
    stored.ended_at = state.ended_at;
    stored.items = state.items.iter().map(store_item).collect();
}

fn store_item(item: &Item) -> SubscriptionItem {
    SubscriptionItem {
        id: item.id,
        plan_version_id: item.plan_version,
        quantity: i32::try_from(item.quantity).unwrap_or(i32::MAX),
        billed_to: item.from,
        seats_from: item.seats_from,
    }
}

fn items_json(items: &[WantedItem]) -> Value {
    let item = |item: &WantedItem| json!({ "item": item.id, "plan_version": item.plan_version, "quantity": item.quantity });
    items.iter().map(item).collect()
}

fn read_items(items: &Value) -> Result<Vec<WantedItem>> {
    let item = |item: &Value| {
        Some(WantedItem {
            id: item.get("item")?.as_str()?.parse::<SubscriptionItemId>().ok()?,
            plan_version: item.get("plan_version")?.as_str()?.parse().ok()?,
            quantity: u32::try_from(item.get("quantity")?.as_u64()?).ok()?,
        })
    };
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let read: Option<Vec<_>> = items.iter().map(item).collect();
    read.ok_or(Error::Internal("a planned change cannot be read"))
}
