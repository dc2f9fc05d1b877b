//! What is granted of one feature, and how grants add up.

use rust_decimal::Decimal;

use super::Counting;
use crate::decimal::{exact_add, exact_mul};

/// How much of a feature may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowance {
    /// All of it: the feature is included (a boolean entitlement).
    Unlimited,
    /// It is included with a value (a static entitlement), such as `priority`.
    Value(String),
    /// An amount per window (a metered entitlement).
    Limited {
        /// In the feature's unit, inclusive.
        limit: Decimal,
        /// Whether use over the limit is refused; else it is overage.
        hard: bool,
    },
}

/// An allowance and the window that it is counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// How much.
    pub allowance: Allowance,
    /// In which window.
    pub counting: Counting,
}

impl Grant {
    /// Adds another grant of the same feature. The window stays that of the first; unlimited and anything is unlimited,
    /// limits add up and are hard if both are, and the first of two values counts.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let allowance = match (self.allowance, &other.allowance) {
            (Allowance::Limited { limit, hard }, Allowance::Limited { limit: more, hard: also_hard }) => {
                Allowance::Limited { limit: sum(limit, *more), hard: hard && *also_hard }
            }
            (Allowance::Limited { .. }, Allowance::Unlimited) => Allowance::Unlimited,
            (first @ Allowance::Limited { .. }, Allowance::Value(_))
            | (first @ (Allowance::Unlimited | Allowance::Value(_)), _) => first,
        };
        Self { allowance, counting: self.counting }
    }

    /// The same grant bought several times.
    #[must_use]
    pub fn times(&self, quantity: u32) -> Self {
        let allowance = match &self.allowance {
            Allowance::Limited { limit, hard } => {
                Allowance::Limited { limit: product(*limit, quantity), hard: *hard }
            }
            other @ (Allowance::Unlimited | Allowance::Value(_)) => other.clone(),
        };
        Self { allowance, counting: self.counting }
    }
}

/// A limit that needs more digits than a decimal has is one that nobody can reach.
fn sum(a: Decimal, b: Decimal) -> Decimal {
    exact_add(a, b).unwrap_or(Decimal::MAX)
}

fn product(limit: Decimal, quantity: u32) -> Decimal {
    exact_mul(limit, Decimal::from(quantity)).unwrap_or(Decimal::MAX)
}
