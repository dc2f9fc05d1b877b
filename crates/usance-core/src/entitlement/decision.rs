//! Whether a quantity may be used now.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Allowance, Counting, Entitled, SlidingUse, fixed_window};
use crate::{
    decimal::{DecimalError, exact_add, exact_sub},
    period::Period,
};

/// What was used of a feature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// The start of the fixed window that `used` belongs to.
    pub window_start: Timestamp,
    /// What was used in that window.
    pub used: Decimal,
    /// What was used in a sliding window.
    pub sliding: SlidingUse,
    /// What open holds reserve, whatever the window: it is used when they are settled.
    pub held: Decimal,
}

/// Why a use is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No subscription of the customer runs.
    SubscriptionInactive,
    /// No subscription that runs grants the feature.
    FeatureNotIncluded,
    /// The quantity does not fit under the limit of the window.
    LimitReached,
}

impl Reason {
    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionInactive => "subscription_inactive",
            Self::FeatureNotIncluded => "feature_not_included",
            Self::LimitReached => "limit_reached",
        }
    }
}

/// The answer to whether a quantity may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<Reason>,
    /// The value of a static entitlement.
    pub value: Option<String>,
    /// What may be used in the window; nothing limits the others.
    pub limit: Option<Decimal>,
    /// What is used in the window so far.
    pub used: Decimal,
    /// What open holds reserve.
    pub held: Decimal,
    /// What is neither used nor held of the limit, never below zero.
    pub remaining: Option<Decimal>,
    /// What is used above a soft limit.
    pub overage: Decimal,
    /// When a fixed window ends; of a sliding one, when the quantity fits or, if it does now, when the first of what
    /// was used leaves the window. Nothing if that never happens.
    pub reset_at: Option<Timestamp>,
}

impl Decision {
    /// A refusal of everything.
    pub const fn refused(reason: Reason) -> Self {
        Self {
            allowed: false,
            reason: Some(reason),
            value: None,
            limit: Some(Decimal::ZERO),
            used: Decimal::ZERO,
            held: Decimal::ZERO,
            remaining: Some(Decimal::ZERO),
            overage: Decimal::ZERO,
            reset_at: None,
        }
    }

    /// What was allowed once, where nothing is known any more of how things stand.
    pub const fn allowed_once() -> Self {
        Self {
            allowed: true,
            reason: None,
            value: None,
            limit: None,
            used: Decimal::ZERO,
            held: Decimal::ZERO,
            remaining: None,
            overage: Decimal::ZERO,
            reset_at: None,
        }
    }

    /// How things stand now for what was allowed before.
    #[must_use]
    pub fn allowed_before(self) -> Self {
        Self { allowed: true, reason: None, ..self }
    }

    /// Whether a limit is used up; what is only held may be free again.
    pub fn is_exhausted(&self) -> bool {
        self.limit.is_some_and(|limit| limit <= self.used)
    }
}

impl Entitled {
    /// The fixed window around an instant; a sliding one has none.
    pub fn window(&self, now: Timestamp) -> Option<Period> {
        match self.grant.counting {
            Counting::Fixed(reset) => Some(fixed_window(reset, self.period, now)),
            Counting::Sliding(_) => None,
        }
    }

    /// What of a use counts at an instant: that of an earlier window does not. A window that began later than the one
    /// around the instant, by a clock that is ahead, counts in full.
    pub fn used(&self, of: &Use, now: Timestamp) -> Decimal {
        match self.grant.counting {
            Counting::Sliding(span) => of.sliding.used(span, now),
            Counting::Fixed(_) => {
                let begins = self.window(now).map_or(now, |window| window.start);
                if of.window_start < begins { Decimal::ZERO } else { of.used }
            }
        }
    }

    /// The use after a quantity was used; an error means that it needs more digits than a decimal has.
    pub fn add(&self, of: &mut Use, quantity: Decimal, now: Timestamp) -> Result<(), DecimalError> {
        match self.grant.counting {
            Counting::Sliding(span) => of.sliding.add(span, quantity, now),
            Counting::Fixed(_) => {
                of.used = exact_add(self.used(of, now), quantity)?;
                of.window_start = self.window(now).map_or(now, |window| window.start).max(of.window_start);
                Ok(())
            }
        }
    }
}

/// Decides whether a quantity above zero may be used.
pub fn decide(entitled: &Entitled, of: &Use, quantity: Decimal, now: Timestamp) -> Decision {
    let used = entitled.used(of, now);
    let value = match &entitled.grant.allowance {
        Allowance::Value(value) => Some(value.clone()),
        Allowance::Unlimited | Allowance::Limited { .. } => None,
    };
    let Allowance::Limited { limit, hard } = entitled.grant.allowance else {
        return Decision {
            allowed: true,
            reason: None,
            value,
            limit: None,
            used,
            held: of.held,
            remaining: None,
            overage: Decimal::ZERO,
            reset_at: reset_at(entitled, of, None, now),
        };
    };
    // A sum of too many digits is above any limit.
    let taken = exact_add(used, of.held).unwrap_or(Decimal::MAX);
    let fits = exact_add(taken, quantity).is_ok_and(|after| after <= limit);
    let allowed = fits || !hard;
    // What is held leaves no window.
    let waiting = (!allowed).then(|| (exact_sub(limit, of.held).unwrap_or(-Decimal::ONE), quantity));
    Decision {
        allowed,
        reason: (!allowed).then_some(Reason::LimitReached),
        value,
        limit: Some(limit),
        used,
        held: of.held,
        remaining: Some(exact_sub(limit, taken).unwrap_or_default().max(Decimal::ZERO)),
        overage: exact_sub(used, limit).unwrap_or_default().max(Decimal::ZERO),
        reset_at: reset_at(entitled, of, waiting, now),
    }
}

fn reset_at(
    entitled: &Entitled,
    of: &Use,
    waiting: Option<(Decimal, Decimal)>,
    now: Timestamp,
) -> Option<Timestamp> {
    match entitled.grant.counting {
        Counting::Fixed(_) => {
            entitled.window(now).map(|window| window.end).filter(|end| *end < Timestamp::MAX)
        }
        Counting::Sliding(span) => match waiting {
            Some((limit, quantity)) => of.sliding.fits_at(span, limit, quantity, now),
            None => of.sliding.first_leaves_at(span, now),
        },
    }
}
