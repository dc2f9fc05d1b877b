//! Counters follow the corrections of events that recorded what was consumed of features without a meter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    decimal::DecimalError,
    entitlement::{Entitled, Use, decide, entitled},
    ids::{CustomerId, EntitlementCounterId, FeatureId},
};
use usance_db::{TenantTx, customers, entitlement_counters};

use super::{rights::Rights, told};
use crate::{
    Cx,
    error::{Error, Result},
};

/// What a correction does to the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountChange {
    /// What was consumed does not count any more.
    GiveBack,
    /// It counts again, or as something else.
    Count,
}

/// What was consumed at an instant, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CorrectedUse {
    pub(crate) customer: CustomerId,
    pub(crate) feature: FeatureId,
    pub(crate) at: Timestamp,
    pub(crate) quantity: Decimal,
    pub(crate) change: CountChange,
}

/// Brings counters up to date with corrections, and tells of the crossings of limits. The tenant's catalogue is held alone.
/// A correction says what happened: limits do not refuse it.
pub(crate) async fn correct_uses(
    cx: &Cx,
    tx: &mut TenantTx,
    corrected: &[CorrectedUse],
    now: Timestamp,
) -> Result<()> {
    let whose: BTreeSet<CustomerId> = corrected.iter().map(|it| it.customer).collect();
    let whose: Vec<CustomerId> = whose.into_iter().collect();
    let mut rights = BTreeMap::new();
    for customer in customers::find_many(tx, &whose).await? {
        rights.insert(customer.id, Rights::load(tx, &customer).await?);
    }
    let mut counters: BTreeMap<(CustomerId, FeatureId), Vec<&CorrectedUse>> = BTreeMap::new();
    for it in corrected {
        counters.entry((it.customer, it.feature)).or_default().push(it);
    }
    for ((customer, feature), corrected) in counters {
        let rights = rights.get(&customer).ok_or(Error::Internal("what was consumed has no customer"))?;
        correct_counter(cx, tx, rights, (feature, &corrected), now).await?;
    }
    Ok(())
}

async fn correct_counter(
    cx: &Cx,
    tx: &mut TenantTx,
    rights: &Rights,
    (feature, corrected): (FeatureId, &[&CorrectedUse]),
    now: Timestamp,
) -> Result<()> {
    let new_id = EntitlementCounterId::from_uuid(cx.app.ids.next());
    let mut counter = entitlement_counters::lock(tx, new_id, rights.customer, feature).await?;
    let entitled = entitled(&rights.subscriptions, &counter.feature_code, now).ok();
    if entitled.as_ref().is_some_and(|it| it.meter.is_some()) {
        // The feature has a meter by now, which counts instead.
        return Ok(());
    }
    let is_exhausted = |of: &Use| {
        entitled.as_ref().is_some_and(|entitled| decide(entitled, of, Decimal::ONE, now).is_exhausted())
    };
    let was_exhausted = is_exhausted(&counter.of);
    for it in corrected {
        apply(entitled.as_ref(), &mut counter.of, it, now)
            .map_err(|_| Error::field("/properties/quantity", "too_large", "is too large to be counted"))?;
    }
    if let Some(entitled) = &entitled {
        let after = decide(entitled, &counter.of, Decimal::ONE, now);
        let was_exhausted = was_exhausted && after.is_exhausted();
        told::Subject { cx, counter: &mut counter, now }.tell(tx, was_exhausted, &after).await?;
    }
    Ok(entitlement_counters::update(tx, &counter).await?)
}

fn apply(
    entitled: Option<&Entitled>,
    of: &mut Use,
    it: &CorrectedUse,
    now: Timestamp,
) -> std::result::Result<(), DecimalError> {
    match (entitled, it.change) {
        (Some(entitled), CountChange::GiveBack) => entitled.give_back(of, it.quantity, it.at, now),
        (Some(entitled), CountChange::Count) => return entitled.count_again(of, it.quantity, it.at, now),
        (None, CountChange::GiveBack) => of.give_back(it.quantity, it.at),
        (None, CountChange::Count) => return of.count_again(it.quantity, it.at),
    }
    Ok(())
}
