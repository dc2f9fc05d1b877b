//! The terms of a plan version: everything that decides money, read from a request and checked as a whole.

use std::collections::HashSet;

use usance_core::{
    entitlement::{Counting, CountingError, Reset},
    period::{Alignment, IntervalUnit},
};
use usance_db::{
    TenantTx, features,
    plans::{Entitlement, PlanPolicies, Price},
    tenant_profiles,
};

use super::{
    plan_policies::{self, CreatePolicies},
    plan_prices::{CreatePrice, read_price, refuse_overlaps},
};
use crate::{
    Cx,
    error::{Faults, Result},
    fields::{check_optional_text, read_currency, read_decimal},
};

const PRICES_MAX: usize = 100;
const ENTITLEMENTS_MAX: usize = 200;
const INTERVAL_COUNT_MAX: u16 = 120;

/// The money of a plan as sent.
#[derive(Debug, Clone)]
pub struct PlanTerms {
    /// ISO 4217.
    pub currency: String,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub interval: String,
    /// Units per billing period.
    pub interval_count: u16,
    /// `calendar` or `anniversary`.
    pub alignment: String,
    /// In the order of the invoice.
    pub prices: Vec<CreatePrice>,
    /// What the plan grants.
    pub entitlements: Vec<CreateEntitlement>,
    /// What else decides money.
    pub policies: CreatePolicies,
}

/// An entitlement as sent.
#[derive(Debug, Clone)]
pub struct CreateEntitlement {
    /// Code of the feature.
    pub feature: String,
    /// Of a static entitlement.
    pub value: Option<String>,
    /// Of a metered entitlement, a decimal.
    pub limit: Option<String>,
    /// When usage starts again from zero, or how long a sliding window is; `period` if absent.
    pub reset: Option<String>,
    /// `fixed` or `sliding`; `fixed` if absent.
    pub window: Option<String>,
    /// Whether usage over the limit is refused; true if absent.
    pub hard: Option<bool>,
}

/// Checks the terms and resolves the codes in them.
pub(super) async fn read(
    cx: &Cx,
    tx: &mut TenantTx,
    terms: &PlanTerms,
) -> Result<(Vec<Price>, Vec<Entitlement>, PlanPolicies)> {
    let mut faults = Faults::default();
    let currency = read_currency(&mut faults, "/currency", &terms.currency);
    let profile = tenant_profiles::get(tx).await?;
    let policies = plan_policies::read(&mut faults, &terms.policies, currency, &profile);
    if IntervalUnit::parse(&terms.interval).is_none() {
        faults.add("/interval", "unknown_interval", "must be day, week, month, quarter or year");
    }
    if terms.interval_count == 0 || terms.interval_count > INTERVAL_COUNT_MAX {
        faults.add("/interval_count", "out_of_range", format!("must be 1 to {INTERVAL_COUNT_MAX}"));
    }
    if Alignment::parse(&terms.alignment).is_none() {
        faults.add("/alignment", "unknown_alignment", "must be calendar or anniversary");
    }
    if terms.prices.len() > PRICES_MAX {
        faults.add("/prices", "too_many", format!("must have at most {PRICES_MAX} prices"));
    }
    let mut prices = Vec::new();
    for (index, price) in terms.prices.iter().take(PRICES_MAX).enumerate() {
        let pointer = format!("/prices/{index}");
        prices.extend(read_price(cx, tx, &mut faults, (&pointer, index), price).await?);
    }
    refuse_overlaps(&mut faults, &prices);
    refuse_repeated(&mut faults, "/prices", "code", terms.prices.iter().map(|price| price.code.as_str()));
    let mut entitlements =
        read_entitlements(tx, &mut faults, "/entitlements", &terms.entitlements, false).await?;
    let trial_limits = terms.policies.trial.as_ref().map(|trial| trial.limits.as_slice()).unwrap_or_default();
    entitlements.extend(read_entitlements(tx, &mut faults, "/trial/limits", trial_limits, true).await?);
    faults.check()?;
    Ok((prices, entitlements, policies))
}

fn refuse_repeated<'a>(faults: &mut Faults, list: &str, field: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            faults.add(
                &format!("{list}/{index}/{field}"),
                "repeated",
                "must be different from the ones before",
            );
        }
    }
}

/// Reads what a plan, a trial or a subscription grants; `list` is the JSON pointer of the list.
pub(crate) async fn read_entitlements(
    tx: &mut TenantTx,
    faults: &mut Faults,
    list: &str,
    inputs: &[CreateEntitlement],
    in_trial: bool,
) -> Result<Vec<Entitlement>> {
    if inputs.len() > ENTITLEMENTS_MAX {
        faults.add(list, "too_many", format!("must have at most {ENTITLEMENTS_MAX} entitlements"));
    }
    let mut entitlements = Vec::new();
    for (index, input) in inputs.iter().take(ENTITLEMENTS_MAX).enumerate() {
        let pointer = format!("{list}/{index}");
        if let Some(entitlement) = read_entitlement(tx, faults, &pointer, input).await? {
            entitlements.push(Entitlement { in_trial, ..entitlement });
        }
    }
    refuse_repeated(faults, list, "feature", inputs.iter().map(|grant| grant.feature.as_str()));
    Ok(entitlements)
}

async fn read_entitlement(
    tx: &mut TenantTx,
    faults: &mut Faults,
    pointer: &str,
    input: &CreateEntitlement,
) -> Result<Option<Entitlement>> {
    let feature = features::find(tx, &input.feature).await?.filter(|feature| feature.archived_at.is_none());
    if feature.is_none() {
        faults.add(
            &format!("{pointer}/feature"),
            "unknown_feature",
            "there is no feature with this code: create it first",
        );
    }
    if input.value.is_some() && input.limit.is_some() {
        faults.add(pointer, "ambiguous", "has either a value or a limit, not both");
    }
    if let Some(value) = &input.value {
        check_optional_text(faults, &format!("{pointer}/value"), value);
    }
    let usage_limit =
        input.limit.as_ref().map(|limit| read_decimal(faults, &format!("{pointer}/limit"), limit));
    if usage_limit.flatten().is_some_and(|limit| limit.is_sign_negative()) {
        faults.add(&format!("{pointer}/limit"), "out_of_range", "must not be negative");
    }
    let reset = input.reset.clone().unwrap_or_else(|| Reset::Period.as_str().to_owned());
    let time_window = input.window.clone().unwrap_or_else(|| "fixed".to_owned());
    let has_meter = feature.as_ref().is_some_and(|feature| feature.meter.is_some());
    check_counting(faults, pointer, (&reset, &time_window), has_meter);
    Ok(feature.map(|feature| Entitlement {
        feature: feature.code,
        value: input.value.clone(),
        usage_limit: usage_limit.flatten(),
        reset,
        time_window,
        hard: input.hard.unwrap_or(true),
        in_trial: false,
    }))
}

fn check_counting(faults: &mut Faults, pointer: &str, (reset, window): (&str, &str), has_meter: bool) {
    let (field, code, detail) = match Counting::parse(reset, window) {
        Err(error @ CountingError::UnknownReset) => ("reset", "unknown_reset", error.to_string()),
        Err(error @ CountingError::UnknownWindow) => ("window", "unknown_window", error.to_string()),
        Err(error @ CountingError::CannotSlide) => ("reset", "cannot_slide", error.to_string()),
        Ok(Counting::Fixed(Reset::Minute)) if has_meter => {
            let detail = "the usage of a meter is known by the quarter of an hour: choose a longer window";
            ("reset", "too_short", detail.to_owned())
        }
        Ok(Counting::Fixed(_) | Counting::Sliding(_)) => return,
    };
    faults.add(&format!("{pointer}/{field}"), code, detail);
}
