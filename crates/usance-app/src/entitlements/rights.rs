//! What a customer's subscriptions grant, read from the database.

use std::{collections::HashMap, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use usance_core::{
    entitlement::{Allowance, Counting, EntitlingSubscription, FeatureGrants, Grant},
    ids::{CustomerId, MeterId},
    period::{Alignment, BillingCycle, BillingInterval, IntervalUnit},
    subscription::{SubscriptionStatus, Trial, TrialEnd},
};
use usance_db::{
    TenantTx, catalog_versions,
    customers::Customer,
    entitlements::{self, Granter},
    meters::{self, Meter},
    plans::Entitlement,
    test_clocks,
};

use crate::{
    billing::time_zone,
    error::{Error, Result},
};

const UNREADABLE: Error = Error::Internal("a stored entitlement cannot be read");

/// What a customer may use, whatever was used.
#[derive(Debug)]
pub(super) struct Rights {
    pub(super) customer: CustomerId,
    /// Of the catalogue; what is read here is of this version or a later one.
    pub(super) version: i64,
    /// Where the tenant's clock stands, if it is a test clock.
    pub(super) frozen_at: Option<Timestamp>,
    /// The oldest first.
    pub(super) subscriptions: Vec<EntitlingSubscription>,
    /// The meters of the features that are granted.
    pub(super) meters: HashMap<MeterId, Arc<Meter>>,
}

impl Rights {
    /// Reads what a customer's subscriptions grant.
    pub(super) async fn load(tx: &mut TenantTx, customer: &Customer) -> Result<Self> {
        let version = catalog_versions::get(tx).await?;
        let frozen_at = if tx.scope().livemode { None } else { test_clocks::find(tx).await? };
        let zone = time_zone(customer)?;
        let mut subscriptions = Vec::new();
        for row in entitlements::list_subscriptions(tx, customer.id).await? {
            subscriptions.push(subscription(row, &zone)?);
        }
        let mut metered = Vec::new();
        for row in entitlements::list_grants(tx, customer.id).await? {
            metered.extend(row.meter_id);
            if let Some(subscription) = subscriptions.iter_mut().find(|it| it.id == row.subscription) {
                add(subscription, row)?;
            }
        }
        let meters = if metered.is_empty() { Vec::new() } else { meters::find_many(tx, &metered).await? };
        let meters = meters.into_iter().map(|meter| (meter.id, Arc::new(meter))).collect();
        Ok(Self { customer: customer.id, version, frozen_at, subscriptions, meters })
    }

    /// The tenant's time at a time of the wall clock.
    pub(super) fn tenant_now(&self, wall_now: Timestamp) -> Timestamp {
        self.frozen_at.unwrap_or(wall_now)
    }
}

fn subscription(row: entitlements::Subscription, zone: &TimeZone) -> Result<EntitlingSubscription> {
    let trial = match row.trial {
        None => None,
        Some((ends_at, then)) => Some(Trial { ends_at, then: TrialEnd::parse(&then).ok_or(UNREADABLE)? }),
    };
    let unit = IntervalUnit::parse(&row.interval_unit).ok_or(UNREADABLE)?;
    let count = u16::try_from(row.interval_count).map_err(|_| UNREADABLE)?;
    Ok(EntitlingSubscription {
        id: row.id,
        tier: row.family.unwrap_or(row.plan),
        status: SubscriptionStatus::parse(&row.status).ok_or(UNREADABLE)?,
        start_at: row.start_at,
        trial,
        cancel_at: row.cancel_at,
        open: row.period,
        cycle: BillingCycle {
            interval: BillingInterval::new(unit, count)?,
            alignment: Alignment::parse(&row.alignment).ok_or(UNREADABLE)?,
            time_zone: zone.clone(),
            anchor: row.anchor_at,
        },
        grants: HashMap::new(),
    })
}

fn add(subscription: &mut EntitlingSubscription, row: entitlements::Grant) -> Result<()> {
    let granted = grant(&row.entitlement)?;
    let grants = subscription
        .grants
        .entry(row.entitlement.feature)
        .or_insert_with(|| FeatureGrants::none(row.feature_id, row.meter_id));
    match row.granter {
        Granter::Plan => grants.plan = Some(granted),
        Granter::Trial => grants.trial = Some(granted),
        Granter::Subscription => grants.own = Some(granted),
        Granter::AddOn => grants.add_ons.push((u32::try_from(row.quantity).unwrap_or_default(), granted)),
    }
    Ok(())
}

fn grant(entitlement: &Entitlement) -> Result<Grant> {
    let allowance = match (&entitlement.value, entitlement.usage_limit) {
        (Some(value), _) => Allowance::Value(value.clone()),
        (None, Some(limit)) => Allowance::Limited { limit, hard: entitlement.hard },
        (None, None) => Allowance::Unlimited,
    };
    let counting = Counting::parse(&entitlement.reset, &entitlement.time_window).map_err(|_| UNREADABLE)?;
    Ok(Grant { allowance, counting })
}
