//! Coupons, the order they are applied in, and how long they last.

use std::cmp::Reverse;

use rust_decimal::Decimal;

use crate::money::Money;

/// A discount on an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coupon {
    /// What it takes off.
    pub value: CouponValue,
}

/// What a coupon takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CouponValue {
    /// A percentage of what is left: 10 stands for 10 %.
    Percent(Decimal),
    /// An amount, or what is left if that is less.
    Fixed(Money),
}

/// In which order coupons are applied, and what each is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CouponOrder {
    /// Percentages first, the largest of them at the start, then fixed amounts; the sum is divided over the lines.
    #[default]
    PercentBeforeFixed,
    /// The order given; the sum is divided over the lines.
    AsApplied,
    /// The order given; each is divided over what the ones before it left of the lines.
    ProRataOnRemaining,
}

/// On how many invoices a coupon is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CouponDuration {
    /// One invoice.
    Once,
    /// The invoices of that many periods.
    Repeating(u32),
    /// Every invoice.
    Forever,
}

impl CouponOrder {
    /// Every order; the first is the default.
    pub const ALL: [Self; 3] = [Self::PercentBeforeFixed, Self::AsApplied, Self::ProRataOnRemaining];

    /// Reads the word of [`CouponOrder::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }

    /// Returns the word of the database's coupon order.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PercentBeforeFixed => "percent_before_fixed",
            Self::AsApplied => "as_applied",
            Self::ProRataOnRemaining => "pro_rata_on_remaining",
        }
    }

    /// Lists the places of the coupons in the order they are applied in.
    ///
    /// Percentages are sorted by value, so that the order they are given in cannot change a rounding.
    pub(super) fn sequence(self, coupons: &[Coupon]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..coupons.len()).collect();
        match self {
            Self::PercentBeforeFixed => places.sort_by_key(|place| match coupons[*place].value {
                CouponValue::Percent(percent) => (0, Reverse(percent)),
                CouponValue::Fixed(_) => (1, Reverse(Decimal::ZERO)),
            }),
            Self::AsApplied | Self::ProRataOnRemaining => {}
        }
        places
    }
}

impl CouponDuration {
    /// Tells what is left after a number of invoices that the coupon took something off; nothing once it is used up.
    pub const fn remaining_after(self, used: u32) -> Option<Self> {
        match self {
            Self::Forever => Some(Self::Forever),
            Self::Once if used == 0 => Some(Self::Once),
            Self::Repeating(periods) if used < periods => Some(Self::Repeating(periods - used)),
            Self::Once | Self::Repeating(_) => None,
        }
    }
}
