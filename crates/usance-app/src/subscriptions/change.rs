//! What is asked of a subscription: another plan or quantity, an end, a pause.

use jiff::Timestamp;
use usance_core::{
    ids::{PlanVersionId, SubscriptionId},
    proration::Proration,
    subscription::{CancelTiming, ChangeTiming, SubscriptionCommand, SubscriptionState, WantedItem, apply},
};
use usance_db::{
    TenantTx,
    customers::Customer,
    subscriptions::{self, Subscription},
};

use super::{
    AddOn, Buying, SubscriptionOfPlan,
    advance::{Move, settle},
    get, lifecycle_error, state,
};
use crate::{
    Cx,
    billing::Offers,
    catalog::overrides::PriceOverride,
    customers,
    error::{Error, Result},
    work,
};

/// A change of what a subscription buys; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct ChangeSubscription {
    /// Code of the plan; its newest version is taken.
    pub plan: Option<String>,
    /// Seats of the plan.
    pub quantity: Option<u32>,
    /// All add-ons from then on.
    pub add_ons: Option<Vec<AddOn>>,
    /// All prices that are other ones for this subscription, from then on. If absent, they stay with the plan and end with
    /// another one.
    pub overrides: Option<Vec<PriceOverride>>,
    /// When it takes effect; at once if absent.
    pub when: Option<ChangeWhen>,
    /// The word of the proration policy; the plan's if absent.
    pub proration: Option<String>,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy)]
pub enum ChangeWhen {
    /// At once.
    Now,
    /// When the open period ends.
    PeriodEnd,
    /// At a time to come.
    At(Timestamp),
}

/// How a subscription is to end.
#[derive(Debug, Clone, Copy)]
pub struct CancelSubscription {
    /// When the open period ends, or at once.
    pub at_period_end: bool,
    /// Whether fees in advance are given back for the rest of the period; true if absent.
    pub credit: Option<bool>,
}

/// A subscription that is locked for a change, with what it needs.
struct Locked {
    stored: Subscription,
    customer: Customer,
    offers: Offers,
    state: SubscriptionState,
    at: Timestamp,
}

impl Locked {
    /// Locks a subscription and brings it up to now: what was due before the change happens before it.
    async fn load(cx: &Cx, tx: &mut TenantTx, id: SubscriptionId) -> Result<Self> {
        tx.lock_catalog().await?;
        let at = cx.tenant_now(tx).await?;
        let mut steps = 0;
        loop {
            let stored =
                subscriptions::lock(tx, id).await?.ok_or_else(|| Error::not_found("subscription"))?;
            let mut offers = Offers::default();
            offers.load(tx, state::versions(&stored).into_iter()).await?;
            let customer = customers::stored(tx, stored.customer_id).await?;
            let state = state::load(&stored, &customer, &offers)?;
            if state.next_due().is_none_or(|due_at| at < due_at) {
                return Ok(Self { stored, customer, offers, state, at });
            }
            steps += 1;
            if steps > STEPS_MAX {
                let detail = "earlier periods of the subscription are being billed: try again in a moment";
                return Err(Error::refused(crate::error::Code::Unavailable, detail));
            }
            super::advance(cx, tx, &[id], at).await?;
        }
    }

    /// Changes what is bought, the plan first, by the given proration or by the plan's.
    async fn buy(
        self,
        cx: &Cx,
        tx: &mut TenantTx,
        items: Vec<WantedItem>,
        when: ChangeWhen,
        proration: Option<Proration>,
    ) -> Result<()> {
        let terms = state::terms(items, &self.offers)?;
        let plan = self.offers.get(terms.items.first().ok_or(NO_PLAN)?.plan_version)?;
        let timing = match when {
            ChangeWhen::PeriodEnd => ChangeTiming::PeriodEnd,
            ChangeWhen::At(at) => ChangeTiming::At(at),
            ChangeWhen::Now if proration.unwrap_or(plan.proration) == Proration::None => {
                ChangeTiming::NowUnprorated
            }
            ChangeWhen::Now => ChangeTiming::Now,
        };
        self.apply(cx, tx, &SubscriptionCommand::Change(terms, timing), proration).await
    }

    /// Applies a command, bills what it brings, and stores the next state.
    async fn apply(
        self,
        cx: &Cx,
        tx: &mut TenantTx,
        command: &SubscriptionCommand,
        proration: Option<Proration>,
    ) -> Result<()> {
        let Self { stored, customer, offers, state, at } = self;
        let (next, effects) = apply(&state, command, at).map_err(lifecycle_error)?;
        let customers = [(customer.id, customer)].into();
        let moves = vec![Move { stored, next, effects, at, proration }];
        settle(cx, tx, &offers, &customers, moves).await?;
        work::rate_unbilled(cx, tx).await
    }
}

/// Periods that a request catches up with; more are left to the worker.
const STEPS_MAX: u32 = 24;

/// Changes plan, quantity or add-ons.
pub async fn change(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    input: ChangeSubscription,
) -> Result<SubscriptionOfPlan> {
    let proration = read_proration(input.proration.as_deref())?;
    let mut locked = Locked::load(cx, tx, id).await?;
    let items = wanted(cx, tx, &mut locked, &input).await?;
    locked.buy(cx, tx, items, input.when.unwrap_or(ChangeWhen::Now), proration).await?;
    get(tx, id).await
}

/// Moves a subscription to another version of its plan; quantity and add-ons stay.
pub(crate) async fn move_to_version(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    version: PlanVersionId,
    when: ChangeWhen,
) -> Result<()> {
    let mut locked = Locked::load(cx, tx, id).await?;
    locked.offers.load(tx, [version].into_iter()).await?;
    let offers = std::mem::take(&mut locked.offers);
    let buying = Buying { cx, customer: &locked.customer, subscription: Some(id), offers };
    let (plan, add_ons) = locked.state.items.split_first().ok_or(NO_PLAN)?;
    let item = buying.item(tx, version, Some(plan.quantity), Some(plan.id), "/quantity").await?;
    let mut items = vec![item];
    buying.keep_add_ons(add_ons, &mut items)?;
    locked.offers = buying.offers;
    locked.buy(cx, tx, items, when, None).await
}

const NO_PLAN: Error = Error::Internal("a subscription has no plan");

fn read_proration(word: Option<&str>) -> Result<Option<Proration>> {
    let Some(word) = word else { return Ok(None) };
    let detail = "must be day_exclusive_end, day_inclusive, second or none";
    Proration::parse(word).map(Some).ok_or_else(|| Error::field("/proration", "unknown_proration", detail))
}

/// The items that a change leads to.
async fn wanted(
    cx: &Cx,
    tx: &mut TenantTx,
    locked: &mut Locked,
    input: &ChangeSubscription,
) -> Result<Vec<WantedItem>> {
    let (plan, add_ons) = locked.state.items.split_first().ok_or(NO_PLAN)?;
    let offers = std::mem::take(&mut locked.offers);
    let mut buying = Buying { cx, customer: &locked.customer, subscription: Some(locked.stored.id), offers };
    let version = match (&input.plan, &input.overrides) {
        (Some(code), overrides) => buying.plan(tx, code, overrides.as_deref().unwrap_or_default()).await?,
        (None, Some(overrides)) => buying.overridden(tx, plan, overrides).await?,
        (None, None) => plan.plan_version,
    };
    let quantity = Some(input.quantity.unwrap_or(plan.quantity));
    let mut items = vec![buying.item(tx, version, quantity, Some(plan.id), "/quantity").await?];
    match &input.add_ons {
        None => buying.keep_add_ons(add_ons, &mut items)?,
        Some(wanted) => buying.add_ons(tx, wanted, add_ons, &mut items).await?,
    }
    locked.offers = buying.offers;
    Ok(items)
}

/// Ends a subscription, or plans its end.
pub async fn cancel(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    input: CancelSubscription,
) -> Result<SubscriptionOfPlan> {
    let timing = match (input.at_period_end, input.credit.unwrap_or(true)) {
        (true, _) => CancelTiming::PeriodEnd,
        (false, true) => CancelTiming::NowWithCredit,
        (false, false) => CancelTiming::NowWithoutCredit,
    };
    command(cx, tx, id, &SubscriptionCommand::Cancel(timing)).await
}

/// Takes back a cancellation that is planned.
pub async fn uncancel(cx: &Cx, tx: &mut TenantTx, id: SubscriptionId) -> Result<SubscriptionOfPlan> {
    command(cx, tx, id, &SubscriptionCommand::Uncancel).await
}

/// Stops counting and billing; fees in advance are given back for the rest of the period.
pub async fn pause(cx: &Cx, tx: &mut TenantTx, id: SubscriptionId) -> Result<SubscriptionOfPlan> {
    command(cx, tx, id, &SubscriptionCommand::Pause).await
}

/// Goes on after a pause, in the period that then runs.
pub async fn resume(cx: &Cx, tx: &mut TenantTx, id: SubscriptionId) -> Result<SubscriptionOfPlan> {
    command(cx, tx, id, &SubscriptionCommand::Resume).await
}

/// Notes that an invoice of a subscription could not be collected, or that the dunning ladder ended.
pub(crate) async fn note_payment_failed(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    cancel: bool,
) -> Result<()> {
    let past_due = Locked::load(cx, tx, id).await?;
    past_due.apply(cx, tx, &SubscriptionCommand::PaymentFailed, None).await?;
    if cancel {
        let exhausted = Locked::load(cx, tx, id).await?;
        exhausted.apply(cx, tx, &SubscriptionCommand::DunningExhausted, None).await?;
    }
    Ok(())
}

/// Notes that no invoice of a subscription is overdue any more.
pub(crate) async fn note_recovered(cx: &Cx, tx: &mut TenantTx, id: SubscriptionId) -> Result<()> {
    let locked = Locked::load(cx, tx, id).await?;
    locked.apply(cx, tx, &SubscriptionCommand::PaymentRecovered, None).await
}

async fn command(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    command: &SubscriptionCommand,
) -> Result<SubscriptionOfPlan> {
    Locked::load(cx, tx, id).await?.apply(cx, tx, command, None).await?;
    get(tx, id).await
}
