//! Groups: the usage of one price, told apart by the values of properties.

use std::collections::{BTreeMap, btree_map::Entry};

use rust_decimal::Decimal;
use usance_core::{
    decimal::{exact_add, stored_decimal},
    metering::{Point, Properties, Scalar, Walk, WalkPlan},
    rating::{RateError, Usage},
};

use super::GroupUsage;
use crate::error::{Error, Result};

/// Groups that one price may have of one customer in one period.
pub(crate) const GROUPS_MAX: usize = 1_000;

/// The values of the properties of a group, in the order of the price's `group_by`; an event may lack one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKey(Vec<Option<String>>);

impl GroupKey {
    pub(crate) fn of(group_by: &[String], properties: &Properties) -> Self {
        let value = |name: &String| {
            properties.get(name).map(|value| match value {
                Scalar::Number(text) => text.to_owned(),
                Scalar::Text(text) => text.into_owned(),
                Scalar::Bool(value) => value.to_string(),
            })
        };
        Self(group_by.iter().map(value).collect())
    }

    /// The values, in the order of the properties.
    pub(crate) fn values(&self) -> &[Option<String>] {
        &self.0
    }

    /// What people read: `model=large, region=eu`, and of a property that the events lack only its name.
    fn label(&self, group_by: &[String]) -> Option<String> {
        let part = |(name, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let parts: Vec<_> = group_by.iter().zip(&self.0).map(part).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// One group so far.
#[derive(Debug, Default)]
pub(super) struct Group {
    walk: Walk,
    /// The events of the period.
    pub(super) event_count: u64,
    /// The value of each, where the price needs them.
    pub(super) values: Vec<Decimal>,
    amount: Decimal,
}

impl Group {
    pub(super) fn add(&mut self, plan: &WalkPlan, point: &Point) -> Result<()> {
        Ok(self.walk.add(plan, point).map_err(RateError::from)?)
    }

    pub(super) fn add_amount(&mut self, amount: Decimal) -> Result<()> {
        self.amount = exact_add(self.amount, amount).map_err(RateError::from)?;
        Ok(())
    }

    fn finish(self, plan: &WalkPlan) -> Result<Usage> {
        let windows = self.walk.finish(plan).map_err(RateError::from)?;
        let mut quantity = Decimal::ZERO;
        for window in &windows {
            quantity = exact_add(quantity, window.quantity).map_err(RateError::from)?;
        }
        Ok(Usage {
            quantity: stored_decimal(quantity).map_err(RateError::from)?,
            event_count: self.event_count,
            // Like a quantity: corrections may outweigh the usage, but nobody is paid for it.
            event_amount: self.amount.max(Decimal::ZERO),
            events: self.values,
            windows,
        })
    }
}

/// The groups of one measurement so far.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<GroupKey, Group>);

impl Groups {
    /// Finds the group of a key or makes it; too many are refused, with the meter to look at.
    pub(super) fn entry(&mut self, key: GroupKey, meter: &str) -> Result<&mut Group> {
        let is_full = self.0.len() >= GROUPS_MAX;
        match self.0.entry(key) {
            Entry::Occupied(group) => Ok(group.into_mut()),
            Entry::Vacant(_) if is_full => {
                Err(Error::TooManyGroups { meter: meter.to_owned(), most: GROUPS_MAX })
            }
            Entry::Vacant(place) => Ok(place.insert(Group::default())),
        }
    }

    /// Gives the usage of each group, in the order of their values, and the sum of the quantities. Without any event there
    /// is one group without usage, so that what is due at zero usage is charged once.
    pub(super) fn finish(self, plan: &WalkPlan, group_by: &[String]) -> Result<(Vec<GroupUsage>, Decimal)> {
        if self.0.is_empty() {
            let usage = Group::default().finish(plan)?;
            let quantity = usage.quantity;
            return Ok((vec![GroupUsage { group: None, usage }], quantity));
        }
        let (mut usages, mut total) = (Vec::with_capacity(self.0.len()), Decimal::ZERO);
        for (key, group) in self.0 {
            let usage = group.finish(plan)?;
            total = exact_add(total, usage.quantity).map_err(RateError::from)?;
            usages.push(GroupUsage { group: key.label(group_by), usage });
        }
        Ok((usages, total))
    }
}

#[cfg(test)]
mod tests;
