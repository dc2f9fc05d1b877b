//! What time brings to subscriptions: starts, trials that end, periods that turn, planned changes. Many at a time.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use usance_core::{
    ids::{CustomerId, SubscriptionId},
    proration::Proration,
    subscription::{Effect, Item, SubscriptionState, pass_time},
};
use usance_db::{
    TenantTx, catalog_versions,
    customers::{self, Customer},
    due_work,
    subscriptions::{self, Subscription, SubscriptionItem},
};
use uuid::Uuid;

use super::state;
use crate::{
    Cx,
    billing::{Bill, CHECK_EVERY, Offers, bill},
    entitlements,
    error::{Error, Result},
    outbox::announce_many,
    work,
};

/// A subscription on its way from one state to the next.
pub(super) struct Move {
    pub(super) stored: Subscription,
    pub(super) next: SubscriptionState,
    pub(super) effects: Vec<Effect>,
    pub(super) at: Timestamp,
    /// Instead of the plans' own.
    pub(super) proration: Option<Proration>,
}

/// Carries out what is due for subscriptions at a time. The catalogue is locked: no event is accepted into a period that
/// is closed. Nothing happens to one whose time has not come.
pub(crate) async fn advance(cx: &Cx, tx: &mut TenantTx, ids: &[SubscriptionId], by: Timestamp) -> Result<()> {
    let found = subscriptions::lock_many(tx, ids).await?;
    if found.len() != ids.len() {
        return Err(Error::Internal("due work names no subscription"));
    }
    let mut offers = Offers::default();
    offers.load(tx, found.iter().flat_map(state::versions)).await?;
    let customers = load_customers(tx, &found).await?;
    let mut moves = Vec::with_capacity(found.len());
    for stored in found {
        let current = state::load(&stored, customer_of(&customers, &stored)?, &offers)?;
        let Some(at) = current.next_due().filter(|due_at| *due_at <= by) else { continue };
        let (next, effects) = pass_time(&current).map_err(super::lifecycle_error)?;
        moves.push(Move { stored, next, effects, at, proration: None });
    }
    settle(cx, tx, &offers, &customers, moves).await
}

pub(super) async fn load_customers(
    tx: &mut TenantTx,
    found: &[Subscription],
) -> Result<HashMap<CustomerId, Customer>> {
    let ids: Vec<CustomerId> = found.iter().map(|stored| stored.customer_id).collect();
    let customers = customers::find_many(tx, &ids).await?;
    Ok(customers.into_iter().map(|customer| (customer.id, customer)).collect())
}

pub(super) fn customer_of<'a>(
    customers: &'a HashMap<CustomerId, Customer>,
    stored: &Subscription,
) -> Result<&'a Customer> {
    customers.get(&stored.customer_id).ok_or(Error::Internal("a subscription has no customer"))
}

/// Bills what the moves bring, stores the next states, and plans what comes then.
pub(super) async fn settle(
    cx: &Cx,
    tx: &mut TenantTx,
    offers: &Offers,
    customers: &HashMap<CustomerId, Customer>,
    moves: Vec<Move>,
) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let mut bills = Vec::with_capacity(moves.len());
    for it in &moves {
        bills.push(Bill {
            subscription: it.stored.id,
            customer: customer_of(customers, &it.stored)?,
            trial: it.stored.items.first().map(|item| item.plan_version_id),
            at: it.at,
            proration: it.proration,
            effects: &it.effects,
        });
    }
    let mut next = Vec::with_capacity(moves.len());
    for it in &moves {
        let mut stored = it.stored.clone();
        state::store(&it.next, &mut stored);
        next.push((stored, changes_items(it)));
    }
    // Whatever bills do not depend on comes first: their numbers let other runs of the tenant wait.
    let same_items: Vec<_> = next.iter().filter(|(_, changed)| !changed).map(|(stored, _)| stored).collect();
    subscriptions::update_many(tx, &same_items, cx.now).await?;
    schedule(tx, offers, &moves).await?;
    look_at_entitlements(tx, &moves).await?;
    bill(cx, tx, offers, &bills).await?;
    for (stored, _) in next.iter().filter(|(_, changed)| *changed) {
        subscriptions::update(tx, stored, cx.now).await?;
    }
    let events = moves.iter().zip(&next).flat_map(|(it, (stored, _))| announcements(&it.effects, stored));
    announce_many(cx, tx, events.collect()).await?;
    Ok(catalog_versions::bump(tx).await?)
}

/// Who gets more of something that was exhausted is told so.
async fn look_at_entitlements(tx: &mut TenantTx, moves: &[Move]) -> Result<()> {
    let customers: Vec<CustomerId> = moves.iter().map(|it| it.stored.customer_id).collect();
    let Some(at) = moves.iter().map(|it| it.at).max() else { return Ok(()) };
    entitlements::look_again(tx, &customers, at).await
}

/// Whether more than how far the items are billed is to be stored of them, or a planned change.
fn changes_items(it: &Move) -> bool {
    let same = |(old, new): (&SubscriptionItem, &Item)| {
        old.id == new.id
            && old.plan_version_id == new.plan_version
            && i64::from(old.quantity) == i64::from(new.quantity)
    };
    it.next.scheduled.is_some()
        || it.stored.scheduled.is_some()
        || it.stored.items.len() != it.next.items.len()
        || !it.stored.items.iter().zip(&it.next.items).all(same)
}

fn announcements(effects: &[Effect], stored: &Subscription) -> impl Iterator<Item = (&'static str, Value)> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Announce(event) => {
            let data = json!({ "id": stored.id, "customer": stored.customer_id, "status": stored.status });
            Some((event.as_str(), data))
        }
        Effect::Free { .. }
        | Effect::TrialFee { .. }
        | Effect::Advance { .. }
        | Effect::Arrears { .. }
        | Effect::ArrearsSeats { .. }
        | Effect::Credit { .. } => None,
    })
}

/// Plans what comes next for each subscription; for some nothing does.
async fn schedule(tx: &mut TenantTx, offers: &Offers, moves: &[Move]) -> Result<()> {
    let kind = work::Kind::AdvanceSubscription.as_str();
    let (mut next_due, mut ended, mut checks) = (Vec::with_capacity(moves.len()), Vec::new(), Vec::new());
    for it in moves {
        let subject = it.stored.id.uuid();
        checks.extend(threshold_check(offers, it)?);
        match it.next.next_due() {
            Some(due_at) => next_due.push((subject, due_at)),
            None => ended.push(subject),
        }
    }
    due_work::schedule_many(tx, kind, &next_due).await?;
    due_work::schedule_many(tx, work::Kind::CheckThresholds.as_str(), &checks).await?;
    Ok(due_work::cancel_many(tx, kind, &ended).await?)
}

/// When the usage of a subscription that has just moved is to be compared with its plan's thresholds, if it has any.
fn threshold_check(offers: &Offers, it: &Move) -> Result<Option<(Uuid, Timestamp)>> {
    let Some(plan) = it.next.items.first().filter(|_| it.next.next_due().is_some()) else { return Ok(None) };
    let policies = &offers.get(plan.plan_version)?.plan.version.policies;
    let at = it.at.saturating_add(CHECK_EVERY).unwrap_or(it.at);
    Ok((!policies.billing_thresholds.is_empty()).then(|| (it.stored.id.uuid(), at)))
}
