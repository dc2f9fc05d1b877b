//! The named policies, the trial and the commitments of a plan, read from a request.

use rust_decimal::Decimal;
use usance_core::{
    discount::CouponOrder, late_usage::LateUsage, money::Currency, proration::Proration,
    subscription::TrialEnd,
};
use usance_db::{plans::PlanPolicies, tenant_profiles::TenantProfile};

use super::plan_terms::CreateEntitlement;
use crate::{
    error::Faults,
    fields::{check_word, read_decimal},
};

const THRESHOLDS_MAX: usize = 20;
const TRIAL_HOURS_MAX: i16 = 720;
const TRIAL_DAYS_MAX: i16 = 730;
/// Words of `first_tier_flat`.
const FIRST_TIER_FLAT: [&str; 2] = ["charge", "skip"];

/// Policies as sent; what is absent is the tenant's or the product's default.
#[derive(Debug, Clone, Default)]
pub struct CreatePolicies {
    /// How parts of a period are charged.
    pub proration: Option<String>,
    /// Whether the flat fee of the first tier is due at zero usage.
    pub first_tier_flat: Option<String>,
    /// In which order coupons are taken off.
    pub coupon_order: Option<String>,
    /// What becomes of usage that comes after its invoice.
    pub late_usage: Option<String>,
    /// A time before the first billing period.
    pub trial: Option<CreateTrial>,
    /// The minimum commitment per full period: a decimal of major units.
    pub minimum: Option<String>,
    /// Usage that crosses one of these, in minor units, is invoiced at once.
    pub billing_thresholds: Vec<i64>,
}

/// A trial as sent: days or hours.
#[derive(Debug, Clone)]
pub struct CreateTrial {
    /// Days of the customer's calendar.
    pub days: Option<i16>,
    /// Hours.
    pub hours: Option<i16>,
    /// Charged once when it begins, a decimal of major units; free if absent.
    pub price: Option<String>,
    /// `convert` or `cancel`; convert if absent.
    pub then: Option<String>,
    /// What the trial grants of features instead of what the plan does.
    pub limits: Vec<CreateEntitlement>,
}

/// Checks policies and fills in what is absent.
pub(super) fn read(
    faults: &mut Faults,
    input: &CreatePolicies,
    currency: Option<Currency>,
    profile: &TenantProfile,
) -> PlanPolicies {
    let prorations = Proration::ALL.map(Proration::as_str);
    let orders = CouponOrder::ALL.map(CouponOrder::as_str);
    let late = LateUsage::ALL.map(LateUsage::as_str);
    let mut word = |name: &str, sent: &Option<String>, default: &str, words: &[&str]| {
        let word = sent.clone().unwrap_or_else(|| default.to_owned());
        check_word(faults, &format!("/{name}"), &word, words);
        word
    };
    let mut policies = PlanPolicies {
        proration: word("proration", &input.proration, prorations[0], &prorations),
        first_tier_flat: word(
            "first_tier_flat",
            &input.first_tier_flat,
            FIRST_TIER_FLAT[0],
            &FIRST_TIER_FLAT,
        ),
        coupon_order: word("coupon_order", &input.coupon_order, &profile.coupon_order, &orders),
        late_usage: word("late_usage", &input.late_usage, &profile.late_usage, &late),
        ..PlanPolicies::default()
    };
    policies.minimum = positive(faults, "/minimum", input.minimum.as_ref());
    if let Some(trial) = &input.trial {
        read_trial(faults, trial, &mut policies);
    }
    check_thresholds(faults, &input.billing_thresholds);
    policies.billing_thresholds.clone_from(&input.billing_thresholds);
    check_representable(faults, currency, &policies);
    policies
}

fn positive(faults: &mut Faults, pointer: &str, text: Option<&String>) -> Option<Decimal> {
    let amount = read_decimal(faults, pointer, text?)?;
    if amount <= Decimal::ZERO {
        faults.add(pointer, "out_of_range", "must be greater than zero: leave it out for none");
    }
    Some(amount)
}

fn read_trial(faults: &mut Faults, trial: &CreateTrial, policies: &mut PlanPolicies) {
    let (unit, count, max) = match (trial.days, trial.hours) {
        (Some(days), None) => ("day", days, TRIAL_DAYS_MAX),
        (None, Some(hours)) => ("hour", hours, TRIAL_HOURS_MAX),
        (None, None) | (Some(_), Some(_)) => {
            faults.add("/trial", "ambiguous", "has either days or hours");
            return;
        }
    };
    if !(1..=max).contains(&count) {
        faults.add(&format!("/trial/{unit}s"), "out_of_range", format!("must be 1 to {max}"));
    }
    policies.trial = Some((unit.to_owned(), count));
    policies.trial_price = positive(faults, "/trial/price", trial.price.as_ref());
    let then = trial.then.clone().unwrap_or_else(|| TrialEnd::Convert.as_str().to_owned());
    check_word(faults, "/trial/then", &then, &[TrialEnd::Convert.as_str(), TrialEnd::Cancel.as_str()]);
    policies.trial_then = then;
}

fn check_thresholds(faults: &mut Faults, thresholds: &[i64]) {
    if thresholds.len() > THRESHOLDS_MAX {
        faults.add(
            "/billing_thresholds",
            "too_many",
            format!("must have at most {THRESHOLDS_MAX} thresholds"),
        );
    }
    let ascending = thresholds.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || thresholds.first().is_some_and(|first| *first <= 0) {
        faults.add("/billing_thresholds", "not_ascending", "must be positive amounts in ascending order");
    }
}

/// A price that nobody can pay is refused when it is set, not when it is billed.
fn check_representable(faults: &mut Faults, currency: Option<Currency>, policies: &PlanPolicies) {
    let Some(currency) = currency else { return };
    for (pointer, amount) in [("/minimum", policies.minimum), ("/trial/price", policies.trial_price)] {
        if amount.is_some_and(|amount| usance_core::money::Money::from_exact(amount, currency).is_err()) {
            faults.add(pointer, "too_large", "must fit 64 bits of minor units");
        }
    }
}
