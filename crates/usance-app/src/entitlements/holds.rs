//! Holds of units: a quantity of a feature that is reserved before work.
//!
//! Whoever makes or resolves a hold has the customer's counter of the feature alone, as who consumes has. What is held
//! counts against the limit in every window until it is resolved, and what is settled is used in the window of its settlement.
//! It is recorded by a usage event whose id is that of the hold, in the transaction that resolves the hold. A hold is a
//! promise: it is settled whatever became of the limit or the subscription meanwhile.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use usance_core::{
    decimal::{exact_add, exact_sub, parse_decimal, stored_decimal},
    entitlement::{Reason, decide, entitled},
    ids::{CustomerId, EntitlementCounterId, FeatureId, HoldId},
    wallet::{self, HoldCommand, HoldError, HoldStatus},
};
use usance_db::{
    TenantTx, due_work,
    entitlement_counters::{self, Counter},
    feature_holds::{self, FeatureHold},
    features,
    meters::{self, Meter},
};

use super::{
    access::{Checked, checked, read_quantity, require_feature},
    consume::{Consumption, Deciding, begin_sharing, conflict, current_rights, read_event, record},
    memory::Remembered,
    refresh,
    rights::Rights,
};
use crate::{
    Cx,
    contended::retried,
    error::{Code, Error, Faults, Result},
    fields::check_optional_text,
    ingest::{EventStatus, Single, Unmeasured},
    wallets::{check_reference, later, not_open, read_time},
    work,
};

/// A hold as it is sent.
#[derive(Debug)]
pub struct CreateFeatureHold {
    /// Our id of the customer, or the tenant's own name for it.
    pub customer: String,
    /// Code of the feature.
    pub feature: String,
    /// A decimal; 1 if absent.
    pub quantity: Option<String>,
    /// The tenant's own name for it, under which it is made once for the customer.
    pub id: Option<String>,
    /// The request's `Idempotency-Key`.
    pub key: Option<String>,
    /// For how long, in seconds; 15 minutes if absent.
    pub expires_in: Option<i64>,
    /// For people.
    pub description: Option<String>,
}

/// What became of it.
#[derive(Debug)]
pub enum FeatureHeld {
    /// It was made, or had been made under its name before.
    Made(Box<FeatureHold>),
    /// The limit or the rights are in the way; its name stays free.
    Refused(Box<Checked>),
}

/// What was used of a hold.
#[derive(Debug)]
pub struct SettleFeatureHold {
    /// A decimal of at most what is held; zero frees all.
    pub quantity: String,
    /// Type of the usage event; that of the feature's meter, or the feature's code, if absent.
    pub event_type: Option<String>,
    /// Properties of the usage event: an object.
    pub properties: Option<Box<RawValue>>,
}

/// What is asked for, read.
struct Wanted {
    customer: String,
    feature: String,
    quantity: Decimal,
    reference: Option<String>,
    time: SignedDuration,
    description: String,
}

/// Reserves a quantity of a feature.
pub async fn hold(cx: &Cx, input: CreateFeatureHold) -> Result<FeatureHeld> {
    let wanted = read(input)?;
    let remembered = refresh::find(cx, &wanted.customer).await?;
    let _turn = remembered.turn().await;
    retried(|| try_hold(cx, &remembered, &wanted)).await
}

fn read(input: CreateFeatureHold) -> Result<Wanted> {
    let quantity = read_quantity("/quantity", input.quantity.as_deref())?;
    let mut faults = Faults::default();
    if let Some(id) = &input.id {
        check_reference(&mut faults, id);
    }
    let description = input.description.unwrap_or_default();
    check_optional_text(&mut faults, "/description", &description);
    let time = read_time(&mut faults, input.expires_in);
    faults.check()?;
    // Without a name of its own a hold has that of its request, so that a repeated one makes no second hold.
    let named = input.id.map(|id| format!("hold:{id}"));
    let reference = named.or_else(|| input.key.map(|key| format!("key:{key}")));
    let CreateFeatureHold { customer, feature, .. } = input;
    Ok(Wanted { customer, feature, quantity, reference, time, description })
}

async fn try_hold(cx: &Cx, remembered: &Remembered, wanted: &Wanted) -> Result<FeatureHeld> {
    let (mut tx, version) = begin_sharing(cx).await?;
    let rights = current_rights(&mut tx, version, Some(remembered), &wanted.customer).await?;
    let now = rights.tenant_now(cx.app.now());
    let refused =
        |decision| FeatureHeld::Refused(Box::new(checked(cx, &rights, &wanted.feature, decision, now)));
    let entitled = match entitled(&rights.subscriptions, &wanted.feature, now) {
        Ok(entitled) => entitled,
        Err(reason) => {
            if let Some(known) = find_known(&mut tx, rights.customer, wanted).await? {
                return Ok(FeatureHeld::Made(Box::new(known)));
            }
            // Whoever waits for a second connection must not hold one.
            drop(tx);
            if reason == Reason::FeatureNotIncluded {
                require_feature(cx, &wanted.feature).await?;
            }
            return Ok(refused(usance_core::entitlement::Decision::refused(reason)));
        }
    };
    let meter = entitled.meter.and_then(|meter| rights.meters.get(&meter)).cloned();
    let hold = new_hold(cx, wanted, (rights.customer, entitled.feature), now)?;
    // What could not be settled is not held.
    read_event(&consumption(&hold, None), wanted.quantity, meter.as_deref())?;
    let counter = lock(cx, &mut tx, &hold).await?;
    if let Some(known) = find_known(&mut tx, rights.customer, wanted).await? {
        return Ok(FeatureHeld::Made(Box::new(known)));
    }
    let mut deciding = Deciding { cx, rights: &rights, entitled, counter, now };
    deciding.read(&mut tx).await?;
    let decision = decide(&deciding.entitled, &deciding.counter.of, wanted.quantity, now);
    if !decision.allowed {
        return Ok(refused(decision));
    }
    exact_add(deciding.counter.of.held, wanted.quantity).map_err(|_| too_large())?;
    feature_holds::insert(&mut tx, &hold).await.map_err(|error| {
        Error::on_conflict(error, "feature_holds_reference_key", Code::IdempotencyKeyReused, REUSED)
    })?;
    plan_sweep(&mut tx, &deciding.counter, hold.expires_at).await?;
    tx.commit().await?;
    remembered.note_changed();
    Ok(FeatureHeld::Made(Box::new(hold)))
}

const REUSED: &str =
    "this id was used for another hold of the customer: send the same request, or choose a new id";

/// The hold that was made under the same name before, as it was made. Another one is refused.
async fn find_known(tx: &mut TenantTx, customer: CustomerId, wanted: &Wanted) -> Result<Option<FeatureHold>> {
    let Some(reference) = &wanted.reference else { return Ok(None) };
    let Some(known) = feature_holds::find_named(tx, customer, reference).await? else { return Ok(None) };
    let is_same = known.feature == wanted.feature
        && known.quantity == wanted.quantity
        && i64::from(known.seconds) == wanted.time.as_secs();
    if !is_same {
        return Err(Error::refused(Code::IdempotencyKeyReused, REUSED));
    }
    let expires_at = later(known.created_at, wanted.time)?;
    let status = HoldStatus::Open.as_str().to_owned();
    Ok(Some(FeatureHold { status, settled: Decimal::ZERO, expires_at, resolved_at: None, ..known }))
}

fn new_hold(
    cx: &Cx,
    wanted: &Wanted,
    (customer_id, feature_id): (CustomerId, FeatureId),
    now: Timestamp,
) -> Result<FeatureHold> {
    Ok(FeatureHold {
        id: HoldId::from_uuid(cx.app.ids.next()),
        customer_id,
        feature_id,
        feature: wanted.feature.clone(),
        reference: wanted.reference.clone(),
        quantity: wanted.quantity,
        status: HoldStatus::Open.as_str().to_owned(),
        settled: Decimal::ZERO,
        description: wanted.description.clone(),
        seconds: i32::try_from(wanted.time.as_secs()).unwrap_or(i32::MAX),
        created_at: now,
        expires_at: later(now, wanted.time)?,
        resolved_at: None,
    })
}

async fn lock(cx: &Cx, tx: &mut TenantTx, hold: &FeatureHold) -> Result<Counter> {
    let new_id = EntitlementCounterId::from_uuid(cx.app.ids.next());
    Ok(entitlement_counters::lock(tx, new_id, hold.customer_id, hold.feature_id).await?)
}

async fn plan_sweep(tx: &mut TenantTx, counter: &Counter, at: Timestamp) -> Result<()> {
    let kind = work::Kind::SweepFeatureHolds.as_str();
    Ok(due_work::schedule_earlier(tx, kind, &[(counter.id.uuid(), at)]).await?)
}

/// Records what was used of a hold as usage and frees the rest.
pub async fn settle_hold(cx: &Cx, id: HoldId, input: &SettleFeatureHold) -> Result<FeatureHold> {
    let quantity = parse_decimal(&input.quantity).and_then(stored_decimal).ok();
    let quantity = quantity.filter(|quantity| *quantity >= Decimal::ZERO).ok_or_else(|| {
        let detail =
            "must be a decimal string, zero or above, with at most 16 digits before and 12 after the point";
        Error::field("/quantity", "malformed_decimal", detail)
    })?;
    retried(|| try_settle(cx, id, input, quantity)).await
}

async fn try_settle(
    cx: &Cx,
    id: HoldId,
    input: &SettleFeatureHold,
    quantity: Decimal,
) -> Result<FeatureHold> {
    let (mut tx, version) = begin_sharing(cx).await?;
    let customer = get(&mut tx, id).await?.customer_id;
    let remembered = cx.app.entitlements.find(cx.scope, customer);
    let rights = current_rights(&mut tx, version, remembered.as_deref(), &customer.to_string()).await?;
    let now = rights.tenant_now(cx.app.now());
    let (tx, hold, counter) = resolve(cx, tx, (id, HoldCommand::Settle(quantity)), now).await?;
    if quantity.is_zero() {
        tx.commit().await?;
    } else {
        let consumption = consumption(&hold, Some(input));
        record_use(cx, tx, &rights, (&hold, counter), (&consumption, now)).await?;
    }
    if let Some(remembered) = remembered {
        remembered.note_changed();
    }
    cx.app.work_added.notify_one();
    Ok(hold)
}

/// Records what was settled, and counts it if the customer still has a right to the feature. Commits.
async fn record_use(
    cx: &Cx,
    mut tx: TenantTx,
    rights: &Rights,
    (hold, counter): (&FeatureHold, Counter),
    (consumption, now): (&Consumption, Timestamp),
) -> Result<()> {
    let meter = find_meter(&mut tx, rights, &hold.feature).await?;
    let event = read_event(consumption, hold.settled, meter.as_deref())?;
    let mut deciding = None;
    if let Ok(entitled) = entitled(&rights.subscriptions, &hold.feature, now) {
        let mut of = Deciding { cx, rights, entitled, counter, now };
        of.read(&mut tx).await?;
        let before = decide(&of.entitled, &of.counter.of, hold.settled, now);
        let after = of.take(hold.settled)?;
        deciding = Some((of, before, after));
    }
    let feature = deciding.is_some().then_some(hold.feature_id);
    let unmeasured = Unmeasured { customer: hold.customer_id, feature, at: now };
    let single = Single { scope: cx.scope, event, unmeasured: meter.is_none().then_some(unmeasured) };
    // Without a right its meter may not count it: the work is done all the same.
    let counted_by = meter.as_deref().filter(|_| deciding.is_some());
    let (status, usage, mut tx) = record(cx, tx, single, counted_by).await?;
    if status == EventStatus::Replayed {
        return Err(conflict());
    }
    if let Some((deciding, before, after)) = deciding {
        deciding.store(&mut tx, &before, &after).await?;
    }
    tx.commit().await?;
    cx.app.entitlements.add_usage(&usage);
    Ok(())
}

async fn find_meter(tx: &mut TenantTx, rights: &Rights, feature: &str) -> Result<Option<Arc<Meter>>> {
    let Some(feature) = features::find(tx, feature).await? else { return Ok(None) };
    let Some((meter, _)) = feature.meter else { return Ok(None) };
    if let Some(known) = rights.meters.get(&meter) {
        return Ok(Some(Arc::clone(known)));
    }
    Ok(meters::find_many(tx, &[meter]).await?.pop().map(Arc::new))
}

/// The usage event of a hold has its id, so that there is one.
fn consumption(hold: &FeatureHold, input: Option<&SettleFeatureHold>) -> Consumption {
    Consumption {
        id: hold.id.to_string(),
        customer: hold.customer_id.to_string(),
        feature: hold.feature.clone(),
        quantity: None,
        event_type: input.and_then(|input| input.event_type.clone()),
        properties: input.and_then(|input| input.properties.clone()),
    }
}

/// Frees what a hold reserves.
pub async fn release_hold(cx: &Cx, id: HoldId) -> Result<FeatureHold> {
    change(cx, id, |_| Ok(HoldCommand::Release)).await
}

/// Reserves for so many seconds from now on; a hold is never shortened.
pub async fn extend_hold(cx: &Cx, id: HoldId, expires_in: Option<i64>) -> Result<FeatureHold> {
    let mut faults = Faults::default();
    let time = read_time(&mut faults, expires_in);
    faults.check()?;
    change(cx, id, |now| Ok(HoldCommand::Extend(later(now, time)?))).await
}

async fn change(
    cx: &Cx,
    id: HoldId,
    command: impl Fn(Timestamp) -> Result<HoldCommand<Decimal>> + Send,
) -> Result<FeatureHold> {
    let mut tx = cx.begin().await?;
    let now = cx.tenant_now(&mut tx).await?;
    let (tx, hold, _) = resolve(cx, tx, (id, command(now)?), now).await?;
    tx.commit().await?;
    if let Some(remembered) = cx.app.entitlements.find(cx.scope, hold.customer_id) {
        remembered.note_changed();
    }
    Ok(hold)
}

/// Carries a command out under the lock of the counter, which is returned with what is held after it. Who is told that the
/// hold is over must not see it released afterwards by somebody whose time is earlier: its end is committed with the refusal.
async fn resolve(
    cx: &Cx,
    mut tx: TenantTx,
    (id, command): (HoldId, HoldCommand<Decimal>),
    now: Timestamp,
) -> Result<(TenantTx, FeatureHold, Counter)> {
    let found = get(&mut tx, id).await?;
    let mut counter = lock(cx, &mut tx, &found).await?;
    // Read again: before the lock somebody else may have changed it.
    let hold = get(&mut tx, id).await?;
    let status = HoldStatus::parse(&hold.status)
        .ok_or(Error::Internal("the status of a stored hold cannot be read"))?;
    let before = wallet::Hold {
        amount: hold.quantity,
        status,
        settled: hold.settled,
        created_at: hold.created_at,
        expires_at: hold.expires_at,
    };
    let after = match before.apply(command, now) {
        Ok(after) => after,
        Err(error) => {
            if status == HoldStatus::Open && error == HoldError::NotOpen(HoldStatus::Expired) {
                feature_holds::expire(&mut tx, &counter, now).await?;
                tx.commit().await?;
            }
            return Err(refuse(error));
        }
    };
    let resolved_at = (after.status != HoldStatus::Open).then_some(now);
    let hold = FeatureHold {
        status: after.status.as_str().to_owned(),
        settled: after.settled,
        expires_at: after.expires_at,
        resolved_at,
        ..hold
    };
    feature_holds::update(&mut tx, &hold).await?;
    if resolved_at.is_some() {
        counter.of.held = exact_sub(counter.of.held, hold.quantity)
            .map_err(|_| Error::Internal("a counter holds less than its holds"))?;
    } else {
        plan_sweep(&mut tx, &counter, hold.expires_at).await?;
    }
    Ok((tx, hold, counter))
}

async fn get(tx: &mut TenantTx, id: HoldId) -> Result<FeatureHold> {
    feature_holds::find(tx, id).await?.ok_or_else(|| Error::not_found("hold"))
}

fn refuse(error: HoldError<Decimal>) -> Error {
    match error {
        HoldError::NotOpen(status) => not_open(status, "what was used is recorded by a usage event"),
        HoldError::AboveHeld { held } => Error::field(
            "/quantity",
            "out_of_range",
            format!("the hold is of {}: settle at most that, and consume the rest", held.normalize()),
        ),
    }
}

fn too_large() -> Error {
    Error::field("/quantity", "too_large", "is too large to be added to what is held")
}

/// Finds a hold; one whose time is over is shown as expired.
pub async fn find_hold(cx: &Cx, tx: &mut TenantTx, id: HoldId) -> Result<Option<FeatureHold>> {
    let Some(mut hold) = feature_holds::find(tx, id).await? else { return Ok(None) };
    let now = cx.tenant_now(tx).await?;
    if hold.status == HoldStatus::Open.as_str() && hold.expires_at <= now {
        HoldStatus::Expired.as_str().clone_into(&mut hold.status);
        hold.resolved_at = Some(hold.expires_at);
    }
    Ok(Some(hold))
}

/// Frees holds of a counter whose time is over, and plans the next look.
pub(crate) async fn sweep_holds(cx: &Cx, id: EntitlementCounterId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let now = cx.tenant_now(&mut tx).await?;
    let Some(counter) = entitlement_counters::lock_by_id(&mut tx, id).await? else { return Ok(()) };
    feature_holds::expire(&mut tx, &counter, now).await?;
    if let Some(next) = feature_holds::find_first_expiry(&mut tx, &counter).await? {
        work::postpone(&mut tx, work::Kind::SweepFeatureHolds, id.uuid(), next).await?;
    }
    Ok(tx.commit().await?)
}
