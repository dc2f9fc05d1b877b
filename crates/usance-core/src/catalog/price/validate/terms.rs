//! The rules of the terms around a charge model.

use super::{
    ChargeModel, PriceError, PriceFault, TIMES_OF_DAY_MAX, check_amount, check_limits, check_positive,
    check_share, report,
};
use crate::catalog::price::{Commitment, Committed, PriceTerms, TimeOfDay, WindowPricing, WindowSize};

const HOURS: u8 = 24;

impl PriceTerms {
    /// Checks the model and every term, and reports all that break a rule by the names of the API.
    pub fn faults(&self) -> Vec<PriceError> {
        let mut faults = self.model.faults();
        let takes_quantity = takes_quantity(&self.model);
        if let Some(conversion) = &self.conversion {
            check_positive(&mut faults, "unit_config/factor", conversion.factor);
            if conversion.rounding.is_some_and(|rounding| !rounding.is_valid()) {
                report(&mut faults, "unit_config/precision", PriceFault::ScaleOutOfRange);
            }
            if !takes_quantity {
                report(&mut faults, "unit_config", PriceFault::NotAllowed);
            }
        }
        if let Some(usage_discount) = self.usage_discount {
            check_amount(&mut faults, "usage_discount", usage_discount);
            if !takes_quantity {
                report(&mut faults, "usage_discount", PriceFault::NotAllowed);
            } else if self.window.is_some() {
                report(&mut faults, "usage_discount", PriceFault::NotAllowedWithWindows);
            }
        }
        if let Some(percent) = self.discount_percent {
            check_share(&mut faults, "discount_percent", percent);
        }
        check_limits(&mut faults, ["minimum_amount", "maximum_amount"], [self.minimum, self.maximum]);
        if let Some(window) = &self.window {
            if !takes_quantity {
                report(&mut faults, "window", PriceFault::NotAllowed);
            }
            check_window(&mut faults, window);
        }
        faults
    }
}

/// Tells whether the amount follows from one measured quantity, which can be converted and cut into windows.
const fn takes_quantity(model: &ChargeModel) -> bool {
    match model {
        ChargeModel::PerUnit { .. }
        | ChargeModel::Graduated { .. }
        | ChargeModel::Volume { .. }
        | ChargeModel::Package { .. }
        | ChargeModel::GraduatedPercentage { .. } => true,
        ChargeModel::Flat { .. }
        | ChargeModel::Percentage(_)
        | ChargeModel::Dynamic { .. }
        | ChargeModel::Seat { .. }
        | ChargeModel::Curve(_) => false,
    }
}

fn check_window(faults: &mut Vec<PriceError>, window: &WindowPricing) {
    if let Some(commitment) = &window.commitment {
        check_commitment(faults, "window/commitment", commitment);
    }
    if window.times_of_day.is_empty() {
        return;
    }
    match window.size {
        WindowSize::Hour => {}
        WindowSize::Day => report(faults, "window/times_of_day", PriceFault::OnlyWithHours),
    }
    if window.times_of_day.len() > TIMES_OF_DAY_MAX {
        return report(faults, "window/times_of_day", PriceFault::TooManyTimesOfDay);
    }
    for (index, time) in window.times_of_day.iter().enumerate() {
        check_time_of_day(faults, &format!("window/times_of_day/{index}"), time);
        let earlier = &window.times_of_day[..index];
        if (0..HOURS).any(|hour| time.contains(hour) && earlier.iter().any(|one| one.contains(hour))) {
            report(faults, &format!("window/times_of_day/{index}"), PriceFault::Overlapping);
        }
    }
}

fn check_time_of_day(faults: &mut Vec<PriceError>, field: &str, time: &TimeOfDay) {
    if time.from_hour >= HOURS {
        report(faults, &format!("{field}/from_hour"), PriceFault::NotAnHour);
    }
    if time.to_hour == 0 || time.to_hour > HOURS {
        report(faults, &format!("{field}/to_hour"), PriceFault::NotAnHour);
    }
    if let Some(model) = &time.model {
        for fault in model.faults() {
            report(faults, &format!("{field}/{}", fault.field), fault.fault);
        }
        if !takes_quantity(model) {
            report(faults, &format!("{field}/charge_model"), PriceFault::NotAllowed);
        }
    }
    if let Some(commitment) = &time.commitment {
        check_commitment(faults, &format!("{field}/commitment"), commitment);
    }
}

fn check_commitment(faults: &mut Vec<PriceError>, field: &str, commitment: &Commitment) {
    let (name, value) = match commitment.committed {
        Committed::Amount(amount) => ("amount", amount),
        Committed::Quantity(quantity) => ("quantity", quantity),
    };
    check_amount(faults, &format!("{field}/{name}"), value);
    check_amount(faults, &format!("{field}/overage_factor"), commitment.overage_factor);
}
