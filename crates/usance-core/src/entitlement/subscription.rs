//! What the subscriptions of a customer grant together, at an instant.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Grant, Reason};
use crate::{
    ids::{FeatureId, MeterId, SubscriptionId},
    period::{BillingCycle, Period},
    subscription::{SubscriptionStatus, Trial, TrialEnd},
};

/// What one subscription grants of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureGrants {
    /// The feature.
    pub feature: FeatureId,
    /// The meter whose usage counts; without one, what is consumed counts.
    pub meter: Option<MeterId>,
    /// By the plan.
    pub plan: Option<Grant>,
    /// By the plan, instead, while the trial runs.
    pub trial: Option<Grant>,
    /// By the subscription itself, instead of both.
    pub own: Option<Grant>,
    /// By add-ons, each with how many of it were bought.
    pub add_ons: Vec<(u32, Grant)>,
}

impl FeatureGrants {
    /// Nothing is granted yet.
    pub const fn none(feature: FeatureId, meter: Option<MeterId>) -> Self {
        Self { feature, meter, plan: None, trial: None, own: None, add_ons: Vec::new() }
    }

    fn combined(&self, status: SubscriptionStatus) -> Option<Grant> {
        let trial = self.trial.as_ref().filter(|_| status == SubscriptionStatus::Trialing);
        let base = self.own.as_ref().or(trial).or(self.plan.as_ref()).cloned();
        let add_ons = self.add_ons.iter().map(|(quantity, grant)| grant.times(*quantity));
        base.into_iter().chain(add_ons).reduce(|sum, grant| sum.plus(&grant))
    }
}

/// A subscription as far as it decides what its customer may use.
#[derive(Debug, Clone, PartialEq)]
pub struct EntitlingSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What customers know its plan by: the plan's family, else its code.
    pub tier: String,
    /// Where it stood when it was last dealt with.
    pub status: SubscriptionStatus,
    /// When it begins.
    pub start_at: Timestamp,
    /// Its trial, also after the end of it.
    pub trial: Option<Trial>,
    /// When it is to end.
    pub cancel_at: Option<Timestamp>,
    /// The billing period that was open then.
    pub open: Period,
    /// What decides the periods after that.
    pub cycle: BillingCycle,
    /// By code of the feature.
    pub grants: HashMap<String, FeatureGrants>,
}

impl EntitlingSubscription {
    /// Where it stands at an instant, also when nobody has dealt yet with what time has brought.
    pub fn status_at(&self, now: Timestamp) -> SubscriptionStatus {
        let has_passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let trial = self.trial.filter(|trial| now < trial.ends_at);
        match self.status {
            SubscriptionStatus::Canceled => SubscriptionStatus::Canceled,
            SubscriptionStatus::Incomplete if now < self.start_at => SubscriptionStatus::Incomplete,
            SubscriptionStatus::Incomplete
            | SubscriptionStatus::Trialing
            | SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Paused
                if has_passed(self.cancel_at) =>
            {
                SubscriptionStatus::Canceled
            }
            SubscriptionStatus::Incomplete | SubscriptionStatus::Trialing => match (trial, self.trial) {
                (Some(_), _) => SubscriptionStatus::Trialing,
                (None, Some(Trial { then: TrialEnd::Cancel, .. })) => SubscriptionStatus::Canceled,
                (None, Some(Trial { then: TrialEnd::Convert, .. }) | None) => SubscriptionStatus::Active,
            },
            status @ (SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Paused) => status,
        }
    }

    /// The billing period around an instant.
    pub fn period_at(&self, now: Timestamp) -> Period {
        if now < self.open.end {
            return self.open;
        }
        let later = self.cycle.full_period_containing(now);
        later.map_or(self.open, |full| Period { start: full.start.max(self.open.end), end: full.end })
    }
}

/// Whether a customer may use what its subscription in this state grants. A subscription that is `past_due` or paused
/// grants nothing, as at the first of the source systems.
const fn grants_access(status: SubscriptionStatus) -> bool {
    match status {
        SubscriptionStatus::Trialing | SubscriptionStatus::Active => true,
        SubscriptionStatus::Incomplete
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled => false,
    }
}

/// What a customer may use of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitled {
    /// The feature.
    pub feature: FeatureId,
    /// The meter whose usage counts; without one, what is consumed counts.
    pub meter: Option<MeterId>,
    /// How much, in which window.
    pub grant: Grant,
    /// The billing period of the first subscription that grants it.
    pub period: Period,
}

/// Combines what the subscriptions grant of a feature: the first one decides about the window, further ones add up.
///
/// # Errors
///
/// Says why nothing is granted: no subscription runs, or none of those that run grants the feature.
pub fn entitled(
    subscriptions: &[EntitlingSubscription],
    feature: &str,
    now: Timestamp,
) -> Result<Entitled, Reason> {
    let mut found: Option<Entitled> = None;
    let mut runs = false;
    for subscription in subscriptions {
        let status = subscription.status_at(now);
        if !grants_access(status) {
            continue;
        }
        runs = true;
        let Some(grants) = subscription.grants.get(feature) else { continue };
        let Some(grant) = grants.combined(status) else { continue };
        found = Some(match found {
            Some(first) => Entitled { grant: first.grant.plus(&grant), ..first },
            None => Entitled {
                feature: grants.feature,
                meter: grants.meter,
                grant,
                period: subscription.period_at(now),
            },
        });
    }
    found.ok_or(if runs { Reason::FeatureNotIncluded } else { Reason::SubscriptionInactive })
}

/// The subscription that says what a customer's tier is: the first that runs, else the latest.
pub fn leading(
    subscriptions: &[EntitlingSubscription],
    now: Timestamp,
) -> Option<(&EntitlingSubscription, SubscriptionStatus)> {
    let mut with_status = subscriptions.iter().map(|it| (it, it.status_at(now)));
    let running = with_status.find(|(_, status)| grants_access(*status));
    running.or_else(|| subscriptions.last().map(|it| (it, it.status_at(now))))
}
