//! What a customer used of features, read from counters and from the usage of meters.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    entitlement::{Entitled, SlidingUse, Use, entitled},
    ids::FeatureId,
};
use usance_db::{TenantTx, entitlement_counters};

use super::rights::Rights;
use crate::{
    error::Result,
    measure::{MeterSpan, measure_meters},
};

/// What was used, by feature.
pub(super) type Uses = HashMap<FeatureId, Use>;

/// Reads what a customer used of every feature that is granted at an instant.
pub(super) async fn load(tx: &mut TenantTx, rights: &Rights, now: Timestamp) -> Result<Uses> {
    let counters = entitlement_counters::list(tx, rights.customer, now).await?;
    let mut uses: Uses = counters.into_iter().map(|counter| (counter.feature_id, counter.of)).collect();
    let features: BTreeSet<&String> = rights.subscriptions.iter().flat_map(|it| it.grants.keys()).collect();
    let granted: Vec<Entitled> = features
        .into_iter()
        .filter_map(|feature| entitled(&rights.subscriptions, feature, now).ok())
        .collect();
    let metered: Vec<(&Entitled, MeterSpan<'_>)> =
        granted.iter().filter_map(|entitled| Some((entitled, span(rights, entitled, now)?))).collect();
    if metered.is_empty() {
        return Ok(uses);
    }
    let spans: Vec<MeterSpan<'_>> = metered.iter().map(|(_, span)| *span).collect();
    for ((entitled, span), used) in metered.iter().zip(measure_meters(tx, &spans).await?) {
        let held = uses.get(&entitled.feature).map_or(Decimal::ZERO, |of| of.held);
        uses.insert(entitled.feature, of_meter(span, used, held));
    }
    Ok(uses)
}

/// What is to be measured of a feature whose use is that of a meter, in its current window.
pub(super) fn span<'a>(rights: &'a Rights, entitled: &Entitled, now: Timestamp) -> Option<MeterSpan<'a>> {
    let meter = rights.meters.get(&entitled.meter?)?;
    Some(MeterSpan { customer: rights.customer, meter, period: entitled.window(now)? })
}

/// What is used of a feature by its meter, and held besides.
pub(super) fn of_meter(span: &MeterSpan<'_>, used: Decimal, held: Decimal) -> Use {
    Use { window_start: span.period.start, used, sliding: SlidingUse::default(), held }
}
