//! The rules that the parameters of a price keep.

use rust_decimal::Decimal;
use thiserror::Error;

use super::{CURVE_DISCOUNTS_MAX, ChargeModel, Curve, PercentTier, Percentage, TIMES_OF_DAY_MAX, Tier};
use crate::decimal::{DecimalError, stored_decimal};

mod terms;

/// One hundred, the percentage that is all of an amount.
const HUNDRED: Decimal = Decimal::ONE_HUNDRED;

/// Tiers that one price may have.
pub const TIERS_MAX: usize = 1_000;

/// A parameter that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {fault}")]
pub struct PriceError {
    /// The end of a JSON pointer, relative to the price and without a leading slash, such as `tiers/1/up_to`.
    pub field: String,
    /// The rule that is broken.
    pub fault: PriceFault,
}

/// The rule that a parameter breaks, as the end of a sentence about the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PriceFault {
    /// Credits are coupons or credit notes, not prices below zero.
    #[error("must not be negative")]
    Negative,
    /// A package of no units has no count.
    #[error("must be greater than zero")]
    NotPositive,
    /// The value does not fit a stored decimal.
    #[error("must have at most 12 digits after the point and 16 before it")]
    NotStorable(DecimalError),
    /// A price of no tiers has no amount.
    #[error("must have at least one tier")]
    NoTiers,
    /// The price has more than [`TIERS_MAX`] tiers.
    #[error("must have at most {TIERS_MAX} tiers")]
    TooManyTiers,
    /// The bound is not above the bound of the tier before, or for the first tier above zero.
    #[error("must be greater than the bound of the tier before it")]
    NotAscending,
    /// A tier after this one could never be reached.
    #[error("must not be null, except in the last tier")]
    OpenBeforeLast,
    /// A quantity above the bound would have no price.
    #[error("must be null in the last tier")]
    LastNotOpen,
    /// More would be taken off than there is.
    #[error("must be at most 100 percent")]
    AboveHundredPercent,
    /// The upper limit is below the lower one.
    #[error("must not be less than the lower limit beside it")]
    LimitsCrossed,
    /// The thresholds of the discounts do not ascend.
    #[error("must be greater than the threshold of the discount before it")]
    ThresholdNotAscending,
    /// The curve has more than [`CURVE_DISCOUNTS_MAX`] discounts.
    #[error("must have at most {CURVE_DISCOUNTS_MAX} discounts")]
    TooManyDiscounts,
    /// The term changes a quantity, and the model has none, or makes an amount of single events.
    #[error("is not allowed with this charge model: leave it out")]
    NotAllowed,
    /// Each window is rated on its own, so that nothing is left to take the free quantity off.
    #[error("is not allowed with windows: leave it out")]
    NotAllowedWithWindows,
    /// A day has no hours of its own.
    #[error("is only allowed with windows of an hour")]
    OnlyWithHours,
    /// The scale is not one that quantities are rounded to.
    #[error("must be between -6 and 12")]
    ScaleOutOfRange,
    /// The hour is not on the clock.
    #[error("must be an hour of the day: 0 to 23 to start with, and 1 to 24 to end with")]
    NotAnHour,
    /// An hour would have two prices.
    #[error("must not overlap with a time of day before it")]
    Overlapping,
    /// The price has more than [`TIMES_OF_DAY_MAX`] times of day.
    #[error("must have at most {TIMES_OF_DAY_MAX} times of day")]
    TooManyTimesOfDay,
}

impl ChargeModel {
    /// Checks every parameter and reports the first that breaks a rule.
    pub fn validate(&self) -> Result<(), PriceError> {
        match self.faults().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Checks every parameter and reports all that break a rule, in the order of the fields.
    pub fn faults(&self) -> Vec<PriceError> {
        let mut faults = Vec::new();
        match self {
            Self::Flat { amount } => check_amount(&mut faults, "amount", *amount),
            Self::PerUnit { unit } => check_amount(&mut faults, "unit", *unit),
            Self::Graduated { tiers } | Self::Volume { tiers } => check_tiers(&mut faults, tiers),
            Self::Package { amount, package_size, free_units, rounding: _ } => {
                check_amount(&mut faults, "amount", *amount);
                check_positive(&mut faults, "package_size", *package_size);
                check_amount(&mut faults, "free_units", *free_units);
            }
            Self::Percentage(percentage) => check_percentage(&mut faults, percentage),
            Self::GraduatedPercentage { tiers } => check_percent_tiers(&mut faults, tiers),
            Self::Dynamic { multiplier } => check_amount(&mut faults, "multiplier", *multiplier),
            Self::Seat { unit, minimum_seats, maximum_seats } => {
                check_amount(&mut faults, "unit", *unit);
                check_limits(
                    &mut faults,
                    ["minimum_seats", "maximum_seats"],
                    [*minimum_seats, *maximum_seats],
                );
            }
            Self::Curve(curve) => check_curve(&mut faults, curve),
        }
        faults
    }
}

fn check_tiers(faults: &mut Vec<PriceError>, tiers: &[Tier]) {
    let bounds: Vec<_> = tiers.iter().map(|tier| tier.up_to).collect();
    if !check_bounds(faults, &bounds) {
        return;
    }
    for (index, tier) in tiers.iter().enumerate() {
        check_amount(faults, &format!("tiers/{index}/unit"), tier.unit);
        check_amount(faults, &format!("tiers/{index}/flat"), tier.flat);
        check_optional(faults, &format!("tiers/{index}/cap"), tier.cap);
    }
}

fn check_percent_tiers(faults: &mut Vec<PriceError>, tiers: &[PercentTier]) {
    let bounds: Vec<_> = tiers.iter().map(|tier| tier.up_to).collect();
    if !check_bounds(faults, &bounds) {
        return;
    }
    for (index, tier) in tiers.iter().enumerate() {
        check_amount(faults, &format!("tiers/{index}/rate_percent"), tier.rate_percent);
        check_amount(faults, &format!("tiers/{index}/flat"), tier.flat);
    }
}

/// Checks where tiers end; false if the number of tiers is such that nothing else needs to be said.
fn check_bounds(faults: &mut Vec<PriceError>, bounds: &[Option<Decimal>]) -> bool {
    if bounds.is_empty() {
        report(faults, "tiers", PriceFault::NoTiers);
        return false;
    }
    if bounds.len() > TIERS_MAX {
        report(faults, "tiers", PriceFault::TooManyTiers);
        return false;
    }
    let last = bounds.len() - 1;
    let mut lower = Decimal::ZERO;
    for (index, bound) in bounds.iter().enumerate() {
        let field = format!("tiers/{index}/up_to");
        match *bound {
            None if index < last => report(faults, &field, PriceFault::OpenBeforeLast),
            None => {}
            Some(_) if index == last => report(faults, &field, PriceFault::LastNotOpen),
            Some(up_to) if up_to <= lower => report(faults, &field, PriceFault::NotAscending),
            Some(up_to) => check_amount(faults, &field, up_to),
        }
        lower = bound.unwrap_or(lower);
    }
    true
}

fn check_percentage(faults: &mut Vec<PriceError>, percentage: &Percentage) {
    check_amount(faults, "rate_percent", percentage.rate_percent);
    check_amount(faults, "fixed_amount_per_event", percentage.fixed_amount_per_event);
    check_optional(faults, "free_units_total", percentage.free_units_total);
    let limits = [percentage.per_event_min, percentage.per_event_max];
    check_limits(faults, ["per_event_min", "per_event_max"], limits);
}

fn check_curve(faults: &mut Vec<PriceError>, curve: &Curve) {
    check_amount(faults, "unit_floor", curve.unit_floor);
    check_amount(faults, "unit_spread", curve.unit_spread);
    check_positive(faults, "decay", curve.decay);
    check_amount(faults, "minimum", curve.minimum);
    if curve.discounts.len() > CURVE_DISCOUNTS_MAX {
        report(faults, "discounts", PriceFault::TooManyDiscounts);
    }
    let mut lower = None;
    for (index, discount) in curve.discounts.iter().enumerate().take(CURVE_DISCOUNTS_MAX) {
        let field = format!("discounts/{index}/from");
        if lower.is_some_and(|lower| discount.from <= lower) {
            report(faults, &field, PriceFault::ThresholdNotAscending);
        }
        check_amount(faults, &field, discount.from);
        check_share(faults, &format!("discounts/{index}/percent"), discount.percent);
        lower = Some(discount.from);
    }
}

/// Checks a lower and an upper limit, which may both be absent.
fn check_limits(faults: &mut Vec<PriceError>, fields: [&str; 2], limits: [Option<Decimal>; 2]) {
    check_optional(faults, fields[0], limits[0]);
    check_optional(faults, fields[1], limits[1]);
    if let [Some(lower), Some(upper)] = limits
        && upper < lower
    {
        report(faults, fields[1], PriceFault::LimitsCrossed);
    }
}

/// Checks a percentage that is taken off.
fn check_share(faults: &mut Vec<PriceError>, field: &str, percent: Decimal) {
    if percent > HUNDRED {
        report(faults, field, PriceFault::AboveHundredPercent);
    } else {
        check_amount(faults, field, percent);
    }
}

fn check_optional(faults: &mut Vec<PriceError>, field: &str, value: Option<Decimal>) {
    if let Some(value) = value {
        check_amount(faults, field, value);
    }
}

fn check_amount(faults: &mut Vec<PriceError>, field: &str, value: Decimal) {
    if value < Decimal::ZERO {
        report(faults, field, PriceFault::Negative);
    } else if let Err(error) = stored_decimal(value) {
        report(faults, field, PriceFault::NotStorable(error));
    }
}

fn check_positive(faults: &mut Vec<PriceError>, field: &str, value: Decimal) {
    if value.is_zero() {
        report(faults, field, PriceFault::NotPositive);
    } else {
        check_amount(faults, field, value);
    }
}

fn report(faults: &mut Vec<PriceError>, field: &str, fault: PriceFault) {
    faults.push(PriceError { field: field.to_owned(), fault });
}
