//! What subscribers are told: once when nothing is left of a limit, and once when there is something again.

use jiff::Timestamp;
use serde_json::json;
use usance_core::{
    decimal::decimal_text,
    entitlement::{Decision, decide, entitled},
    ids::{CustomerId, EntitlementCounterId},
};
use usance_db::{
    TenantTx, customers,
    entitlement_counters::{self, Counter},
};

use super::{rights::Rights, uses};
use crate::{
    Cx,
    error::{Error, Result},
    measure::measure_meters,
    outbox::announce,
    work,
};

/// A counter that is locked, at an instant.
pub(super) struct Subject<'a> {
    pub(super) cx: &'a Cx,
    pub(super) counter: &'a mut Counter,
    pub(super) now: Timestamp,
}

impl Subject<'_> {
    /// Tells of every crossing that was not told yet: whether nothing was left before, and how things stand now.
    pub(super) async fn tell(self, tx: &mut TenantTx, was_exhausted: bool, after: &Decision) -> Result<()> {
        if self.counter.exhausted && !was_exhausted {
            self.counter.exhausted = false;
            self.announce(tx, "entitlement.restored", after).await?;
        }
        if !self.counter.exhausted && after.is_exhausted() {
            self.counter.exhausted = true;
            self.announce(tx, "entitlement.exhausted", after).await?;
            self.look_again(tx, after).await?;
        }
        Ok(())
    }

    async fn look_again(&self, tx: &mut TenantTx, after: &Decision) -> Result<()> {
        let Some(reset_at) = after.reset_at else { return Ok(()) };
        work::schedule(tx, work::Kind::RestoreEntitlement, self.counter.id.uuid(), reset_at).await
    }

    async fn announce(&self, tx: &mut TenantTx, event_type: &str, after: &Decision) -> Result<()> {
        let data = json!({
            "customer": self.counter.customer_id,
            "feature": self.counter.feature_code,
            "limit": after.limit.map(decimal_text),
            "used": decimal_text(after.used),
            "remaining": after.remaining.map(decimal_text),
            "reset_at": after.reset_at,
            "at": self.now,
        });
        announce(self.cx, tx, event_type, data).await
    }
}

/// Looks whether there is something again of what was exhausted, and tells; else looks again when it may be so.
pub(crate) async fn restore(
    cx: &Cx,
    tx: &mut TenantTx,
    id: EntitlementCounterId,
    now: Timestamp,
) -> Result<()> {
    let Some(mut counter) = entitlement_counters::lock_by_id(tx, id).await? else { return Ok(()) };
    if !counter.exhausted {
        return Ok(());
    }
    let customer = customers::find_many(tx, &[counter.customer_id]).await?.pop();
    let customer = customer.ok_or(Error::Internal("a counter has no customer"))?;
    let rights = Rights::load(tx, &customer).await?;
    // Without a right nothing is restored; who gets one again is looked at then.
    let Ok(entitled) = entitled(&rights.subscriptions, &counter.feature_code, now) else { return Ok(()) };
    if let Some(span) = uses::span(&rights, &entitled, now) {
        let used = measure_meters(tx, &[span]).await?.pop().unwrap_or_default();
        counter.of = uses::of_meter(&span, used, counter.of.held);
    }
    let decision = decide(&entitled, &counter.of, rust_decimal::Decimal::ONE, now);
    let subject = Subject { cx, counter: &mut counter, now };
    if decision.is_exhausted() {
        return subject.look_again(tx, &decision).await;
    }
    subject.tell(tx, false, &decision).await?;
    Ok(entitlement_counters::update(tx, &counter).await?)
}

/// Plans a look at what customers had exhausted: their subscriptions changed.
pub(crate) async fn look_again(tx: &mut TenantTx, customers: &[CustomerId], now: Timestamp) -> Result<()> {
    for id in entitlement_counters::list_exhausted(tx, customers).await? {
        work::schedule(tx, work::Kind::RestoreEntitlement, id.uuid(), now).await?;
    }
    Ok(())
}
