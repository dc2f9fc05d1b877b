//! A price along a curve: dear single units that become cheaper the more are taken.

use rust_decimal::Decimal;

/// Discounts that one curve may have.
pub const CURVE_DISCOUNTS_MAX: usize = 100;

/// The parameters of `price(b)`, the amount for `b` units.
///
/// One unit costs `unit_floor + unit_spread * e^(-b / decay)`. That times `b` is rounded to whole currency units and is
/// at least `minimum`. The discount of the greatest threshold that `b` reaches is taken off, and the rest rounded
/// again. The price is never below `minimum`, nor below `unit_floor * b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// What a unit costs at least, and at very large quantities.
    pub unit_floor: Decimal,
    /// How much more the first units cost.
    pub unit_spread: Decimal,
    /// The quantity after which the spread has shrunk to 1/e of itself, about 37 %.
    pub decay: Decimal,
    /// What any quantity costs at least.
    pub minimum: Decimal,
    /// The discounts by quantity, in ascending order.
    pub discounts: Vec<CurveDiscount>,
}

/// A discount on all units from a quantity on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurveDiscount {
    /// The first quantity that has the discount.
    pub from: Decimal,
    /// The discount: 10 stands for 10 %.
    pub percent: Decimal,
}
