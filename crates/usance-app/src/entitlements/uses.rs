//! What a customer used of features, read from counters and from the usage of meters.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    entitlement::{Entitled, SlidingUse, Use, entitled},
    ids::{CustomerId, FeatureId},
};
use usance_db::{TenantTx, entitlement_counters};

use super::rights::Rights;
use crate::{
    error::Result,
    measure::{MeterSpan, measure_meters},
};

/// What was used, by feature.
pub(super) type Uses = HashMap<FeatureId, Use>;

/// Reads what customers used of every feature that is granted at a time of the wall clock, in their order.
pub(super) async fn load(tx: &mut TenantTx, of: &[&Rights], wall_now: Timestamp) -> Result<Vec<Uses>> {
    let asked: Vec<(CustomerId, Timestamp)> =
        of.iter().map(|rights| (rights.customer, rights.tenant_now(wall_now))).collect();
    let mut uses: Vec<Uses> = vec![Uses::new(); of.len()];
    for (place, counter) in entitlement_counters::list(tx, &asked).await? {
        uses[place].insert(counter.feature_id, counter.of);
    }
    let (mut granted, mut spans) = (Vec::new(), Vec::new());
    for (place, (rights, (_, now))) in of.iter().zip(asked).enumerate() {
        let features: BTreeSet<&String> =
            rights.subscriptions.iter().flat_map(|it| it.grants.keys()).collect();
        for feature in features {
            let Ok(entitled) = entitled(&rights.subscriptions, feature, now) else { continue };
            if let Some(span) = span(rights, &entitled, now) {
                granted.push((place, entitled.feature));
                spans.push(span);
            }
        }
    }
    let used = measure_meters(tx, &spans).await?;
    for (((place, feature), span), used) in granted.into_iter().zip(&spans).zip(used) {
        let held = uses[place].get(&feature).map_or(Decimal::ZERO, |of| of.held);
        uses[place].insert(feature, of_meter(span, used, held));
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
