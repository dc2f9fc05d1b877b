//! Consuming: decided in the database, in one transaction with the event that it records.
//!
//! Whoever consumes holds the customer's counter of the feature from before the decision until the commit, and shares the
//! tenant's catalogue, so that neither a limit nor a right can change in between. A refusal leaves nothing behind; its
//! event id stays free.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use usance_core::{
    catalog::meter::Aggregation,
    decimal::decimal_text,
    entitlement::{Decision, Entitled, Reason, Use, decide, entitled},
    ids::EntitlementCounterId,
};
use usance_db::{
    TenantTx, WriterTx,
    entitlement_counters::{self, Counter},
    event_keys, feature_holds,
    meters::Meter,
};

use super::{
    access::{Checked, checked, read_quantity},
    memory::Remembered,
    refresh,
    rights::Rights,
    told, uses,
};
use crate::{
    Cx,
    contended::retried,
    customers,
    error::{Code, Error, Result},
    ingest::{BodyKind, EventStatus, Incoming, ParsedEvent, Single, Unmeasured, parse, rejected},
    measure::measure_meters,
};

/// What is to be consumed.
#[derive(Debug)]
pub struct Consumption {
    /// Id of the usage event; the same id consumes once.
    pub id: String,
    /// Our id of the customer, or the tenant's own name for it.
    pub customer: String,
    /// Code of the feature.
    pub feature: String,
    /// A decimal; 1 if absent.
    pub quantity: Option<String>,
    /// Type of the usage event; that of the feature's meter, or the feature's code, if absent.
    pub event_type: Option<String>,
    /// Properties of the usage event: an object.
    pub properties: Option<Box<RawValue>>,
}

/// What became of it.
#[derive(Debug)]
pub struct Consumed {
    /// The state after it, or why it was refused.
    pub checked: Checked,
    /// Whether the event was there before, and nothing was consumed now.
    pub replayed: bool,
}

/// Consumes a quantity of a feature and records it as a usage event, or does neither.
pub async fn consume(cx: &Cx, input: &Consumption) -> Result<Consumed> {
    let quantity = read_quantity("/quantity", input.quantity.as_deref())?;
    let remembered = refresh::find(cx, &input.customer).await?;
    let _turn = remembered.turn().await;
    let consumed = retried(|| try_consume(cx, &remembered, input, quantity)).await?;
    if consumed.replayed {
        // The event may have come by the ingest, whose commits do not wait for the disk.
        cx.app.db.flush().await?;
    }
    Ok(consumed)
}

/// A consumption or hold that is being decided.
pub(super) struct Deciding<'a> {
    pub(super) cx: &'a Cx,
    pub(super) rights: &'a Rights,
    pub(super) entitled: Entitled,
    pub(super) counter: Counter,
    pub(super) now: Timestamp,
}

async fn try_consume(
    cx: &Cx,
    remembered: &Remembered,
    input: &Consumption,
    quantity: Decimal,
) -> Result<Consumed> {
    let (mut tx, version) = begin_sharing(cx).await?;
    let rights = current_rights(&mut tx, version, Some(remembered), &input.customer).await?;
    let now = rights.tenant_now(cx.app.now());
    let answer = |decision| checked(cx, &rights, &input.feature, decision, now);
    let entitled = entitled(&rights.subscriptions, &input.feature, now);
    let meter = entitled.as_ref().ok().and_then(|it| rights.meters.get(&it.meter?)).cloned();
    let event = read_event(input, quantity, meter.as_deref())?;
    let known = find_known(&mut tx, &event).await?;
    let entitled = match entitled {
        Ok(entitled) => entitled,
        Err(_) if known => {
            return Ok(Consumed { checked: answer(Decision::allowed_once()), replayed: true });
        }
        Err(reason) => {
            // Whoever waits for a second connection must not hold one.
            drop(tx);
            if reason == Reason::FeatureNotIncluded {
                super::access::require_feature(cx, &input.feature).await?;
            }
            return Ok(Consumed { checked: answer(Decision::refused(reason)), replayed: false });
        }
    };
    let new_id = EntitlementCounterId::from_uuid(cx.app.ids.next());
    let counter = entitlement_counters::lock(&mut tx, new_id, rights.customer, entitled.feature).await?;
    let mut deciding = Deciding { cx, rights: &rights, entitled, counter, now };
    deciding.read(&mut tx).await?;
    let before = decide(&deciding.entitled, &deciding.counter.of, quantity, now);
    if known {
        return Ok(Consumed { checked: answer(before.allowed_before()), replayed: true });
    }
    if !before.allowed {
        let feature = deciding.entitled.feature;
        let of = deciding.store(&mut tx, &before, &before).await?;
        tx.commit().await?;
        remembered.set_use(feature, of);
        return Ok(Consumed { checked: answer(before), replayed: false });
    }
    let after = deciding.take(quantity)?;
    let feature = Some(deciding.entitled.feature);
    let unmeasured = Unmeasured { customer: rights.customer, feature, at: now };
    let single = Single { scope: cx.scope, event, unmeasured: meter.is_none().then_some(unmeasured) };
    let (status, usage, mut tx) = record(cx, tx, single, meter.as_deref()).await?;
    if status == EventStatus::Replayed {
        // Another request with the same id won while this one waited for the counter.
        return Ok(Consumed { checked: answer(before.allowed_before()), replayed: true });
    }
    let feature = deciding.entitled.feature;
    let of = deciding.store(&mut tx, &before, &after).await?;
    tx.commit().await?;
    cx.app.entitlements.add_usage_but_of(Some(feature), &usage);
    remembered.set_use(feature, of);
    cx.app.work_added.notify_one();
    Ok(Consumed { checked: answer(after), replayed: false })
}

/// Begins a transaction that holds the tenant's catalogue still, at the version that is returned.
pub(super) async fn begin_sharing(cx: &Cx) -> Result<(TenantTx, i64)> {
    let mut tx = cx.app.db.writer().await?;
    let versions = tx.share_catalogs(&[cx.scope]).await?;
    let version = versions.first().map_or(0, |(_, version)| *version);
    Ok((tx.into_tenant(cx.scope).await?, version))
}

/// The rights by the catalogue that is held still: those that are remembered, or read anew.
pub(super) async fn current_rights(
    tx: &mut TenantTx,
    version: i64,
    remembered: Option<&Remembered>,
    name: &str,
) -> Result<Arc<Rights>> {
    if let Some(remembered) = remembered {
        let rights = Arc::clone(&remembered.known().rights);
        if rights.version == version {
            return Ok(rights);
        }
    }
    let customer = customers::get(tx, name).await?;
    Ok(Arc::new(Rights::load(tx, &customer).await?))
}

/// Whether an event is stored already. Another event under its id is refused.
async fn find_known(tx: &mut TenantTx, event: &ParsedEvent) -> Result<bool> {
    let key = event.key(tx.scope());
    match event_keys::find_payload_hash(tx, key).await? {
        None => Ok(false),
        Some(hash) if hash == event.payload_hash() => Ok(true),
        Some(_) => Err(conflict()),
    }
}

pub(super) fn conflict() -> Error {
    let detail = "another event has this id: the stored one stays; consume with an id of its own";
    Error::refused(Code::EventConflict, detail)
}

impl Deciding<'_> {
    /// Frees holds whose time is over, and puts the usage of the feature's meter in the place of what the counter says.
    pub(super) async fn read(&mut self, tx: &mut TenantTx) -> Result<()> {
        self.counter.of.held = feature_holds::expire(tx, &self.counter, self.now).await?;
        if let Some(span) = uses::span(self.rights, &self.entitled, self.now) {
            // Another feature of the same meter has a counter of its own.
            entitlement_counters::lock_meter(tx, span.customer, span.meter.id).await?;
            let used = measure_meters(tx, &[span]).await?.pop().unwrap_or_default();
            self.counter.of = uses::of_meter(&span, used, self.counter.of.held);
        }
        Ok(())
    }

    /// Counts the quantity and says how things stand then.
    pub(super) fn take(&mut self, quantity: Decimal) -> Result<Decision> {
        self.entitled.add(&mut self.counter.of, quantity, self.now).map_err(|_| {
            Error::field("/quantity", "too_large", "is too large to be added to what was used")
        })?;
        let after = decide(&self.entitled, &self.counter.of, Decimal::ONE, self.now);
        Ok(after.allowed_before())
    }

    /// Stores what is used now, and tells of a limit that was reached or is there again.
    pub(super) async fn store(
        mut self,
        tx: &mut TenantTx,
        before: &Decision,
        after: &Decision,
    ) -> Result<Use> {
        let was_exhausted = before.is_exhausted();
        let subject = told::Subject { cx: self.cx, counter: &mut self.counter, now: self.now };
        subject.tell(tx, was_exhausted, after).await?;
        entitlement_counters::update(tx, &self.counter).await?;
        Ok(self.counter.of)
    }
}

/// Makes the usage event that records a consumption.
pub(super) fn read_event(
    input: &Consumption,
    quantity: Decimal,
    meter: Option<&Meter>,
) -> Result<ParsedEvent> {
    let mut properties: BTreeMap<String, Box<RawValue>> = match &input.properties {
        None => BTreeMap::new(),
        Some(sent) => serde_json::from_str(sent.get())
            .map_err(|_| Error::field("/properties", "invalid", "must be an object"))?,
    };
    let amount = raw(&decimal_text(quantity))?;
    match meter.map(|meter| (meter.aggregation, meter.value_property.as_ref())) {
        None => {
            properties.insert("feature".to_owned(), text(&input.feature)?);
            properties.insert("quantity".to_owned(), amount);
        }
        Some((Aggregation::Count, _)) if quantity == Decimal::ONE => {}
        Some((Aggregation::Count, _)) => {
            let detail = "must be 1: the meter of the feature counts events";
            return Err(Error::field("/quantity", "not_one", detail));
        }
        Some((Aggregation::Sum, Some(property))) => {
            properties.insert(property.clone(), amount);
        }
        Some((
            Aggregation::Sum
            | Aggregation::Average
            | Aggregation::WeightedSum
            | Aggregation::UniqueCount
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Latest,
            _,
        )) => {
            let detail = "has a meter that does not add up: send usage events, and check";
            return Err(Error::field("/feature", "not_consumable", detail));
        }
    }
    let event_type = input.event_type.as_ref().or(meter.map(|meter| &meter.event_type));
    let members = BTreeMap::from([
        ("id", text(&input.id)?),
        ("type", text(event_type.unwrap_or(&input.feature))?),
        ("customer", text(&input.customer)?),
        ("properties", raw(&json(&properties)?)?),
    ]);
    let body = parse(BodyKind::Json, json(&members)?.as_bytes())?;
    match body.events.into_iter().next() {
        Some(Incoming::Event(event)) => Ok(*event),
        Some(Incoming::Rejected { reason, .. }) => Err(Error::field("", reason.as_str(), reason.detail())),
        None => Err(Error::Internal("a consumption makes no event")),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Error::Internal("an event cannot be written"))
}

fn raw(json: &str) -> Result<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).map_err(|_| Error::Internal("an event cannot be written"))
}

fn text(text: &str) -> Result<Box<RawValue>> {
    raw(&json(&text)?)
}

/// Records the event. One that the meter of the feature would not count is refused.
pub(super) async fn record(
    cx: &Cx,
    tx: TenantTx,
    single: Single,
    meter: Option<&Meter>,
) -> Result<(EventStatus, Vec<super::NewUsage>, TenantTx)> {
    let mut tx: WriterTx = tx.into_writer().await?;
    let (receipt, usage) = cx.app.ingest.store_single(&cx.app, &mut tx, single).await?;
    let is_counted = meter.is_none_or(|meter| receipt.meters.contains(&meter.code));
    match receipt.status {
        EventStatus::Replayed => {}
        EventStatus::Accepted | EventStatus::Unbilled(_) if is_counted => {}
        EventStatus::Accepted | EventStatus::Unbilled(_) => {
            let detail =
                "make an event that the meter of the feature does not count: look at its type and filters";
            return Err(Error::field("/properties", "not_counted", detail));
        }
        EventStatus::Conflict => return Err(conflict()),
        EventStatus::Rejected(reason) => {
            return Err(rejected(reason).into());
        }
    }
    Ok((receipt.status, usage, tx.into_tenant(cx.scope).await?))
}
