//! The adapters of charge models, aggregations and delta rating.

mod aggregation;
mod prices;
mod windows;

use rust_decimal::Decimal;
use usance_core::{
    catalog::price::{ChargeModel, PriceTerms},
    money::Money,
    rating::{Charge, Run, Step, StepKind, Usage, delta, rate},
};

use super::{
    Outcome,
    case::{Case, same},
};

/// Runs a case about rating; nothing if it is about something else.
pub(crate) fn run(case: &Case) -> Option<Outcome> {
    let outcome = match case.model() {
        "flat"
        | "per_unit"
        | "tiered_graduated"
        | "tiered_volume"
        | "tiered_graduated_tier_cap"
        | "package"
        | "percentage"
        | "graduated_percentage"
        | "multiplier"
        | "unit_config_per_unit"
        | "unit_config_graduated" => rated_at_once(case),
        "per_unit_split"
        | "tiered_graduated_split"
        | "tiered_volume_split"
        | "package_split"
        | "multiplier_split"
        | "unit_config_per_unit_split"
        | "unit_config_graduated_split" => split(case),
        "package_count" | "package_billed_units" => packages(case),
        "dynamic_sum_of_event_amounts" => dynamic(case),
        "graduated_percentage_series" => series(case),
        "usage_discount_split" => usage_discount_split(case),
        "delta_rating" => delta_rating(case),
        "bucketed" => windows::bucketed(case),
        "windowed_commitment" => windows::commitment(case),
        "windowed_commitment_time_of_day" => windows::time_of_day(case),
        "aggregate_weighted_sum" => aggregation::weighted_sum(case),
        "weighted_sum_x_unit_price" => aggregation::weighted_sum_price(case),
        "recurring_sum_across_periods" => aggregation::recurring_sum(case),
        "round_quantity" => aggregation::round_quantity(case),
        _ => return None,
    };
    Some(outcome)
}

/// Why Usance has another rule than a vendor, by the model of the case.
pub(crate) fn vendor_reason(model: &str) -> Option<&'static str> {
    let reason = match model {
        "percentage" => {
            "free usage beside limits per event is one vendor's rule; that of Usance comes out the same"
        }
        "unit_config_per_unit_split" => {
            "each part is rounded on its own there; Usance rounds the period's usage once"
        }
        "tiered_volume_prorated" => {
            "the tier of full units and the price of prorated ones; Usance rates one quantity"
        }
        "prorated_graduated" => {
            "units are prorated before the tiers, rounded up; Usance weights them exactly"
        }
        "aggregate_prorated_recurring_sum" => {
            "whole days and 5 digits, rounded up; Usance weights by the microsecond"
        }
        _ => return None,
    };
    Some(reason)
}

fn rated(terms: &PriceTerms, usage: &Usage, run: Run) -> Result<Charge, String> {
    rate(terms, usage, run).map_err(|error| error.to_string())
}

fn rated_at_once(case: &Case) -> Outcome {
    let terms = prices::terms(case, prices::model_of(case.model()))?;
    let usage = prices::usage(case)?;
    let charge = rated(&terms, &usage, prices::run(case))?;
    case.check_amount("amount", charge.exact)?;
    check_lines(case, &charge.steps)?;
    check_discounts(case, &charge.steps)
}

/// A second bill of a period: what all usage costs less what the usage before it did.
fn split(case: &Case) -> Outcome {
    let terms = prices::terms(case, prices::model_of(case.model().trim_end_matches("_split")))?;
    let [before, after] = prices::split_usage(case)?;
    let earlier = rated(&terms, &before, Run::Interim)?;
    let money = |exact| Money::from_exact(exact, case.currency()?).map_err(|error| error.to_string());
    let booked = match case.params().decimal_opt("previously_billed")? {
        Some(booked) => money(booked)?,
        None => money(earlier.exact)?,
    };
    let booking =
        delta::book(&terms, [&after], booked, prices::run(case)).map_err(|error| error.to_string())?;
    case.check_money("amount", booking.amount)?;
    let charge = booking.charges.first().ok_or("nothing was rated")?;
    let steps = delta::difference(&earlier, charge).map_err(|error| error.to_string())?;
    check_lines(case, &steps)?;
    check_discounts(case, &steps)
}

/// Compares the lines at a price: units at no price are a line in some systems only.
fn check_lines(case: &Case, steps: &[Step]) -> Outcome {
    if !case.expected().has("lines") {
        return Ok(());
    }
    let priced =
        |amounts: Vec<Decimal>| amounts.into_iter().filter(|amount| !amount.is_zero()).collect::<Vec<_>>();
    let expected = priced(case.expected().decimals("lines")?);
    let charged = steps.iter().filter(|step| !step.kind.is_reduction());
    let actual = priced(charged.map(|step| step.amount).collect());
    if actual == expected { Ok(()) } else { Err(format!("lines are {actual:?}, expected {expected:?}")) }
}

fn check_discounts(case: &Case, steps: &[Step]) -> Outcome {
    if !case.expected().has("discounts") {
        return Ok(());
    }
    let taken_off: Decimal =
        steps.iter().filter(|step| step.kind.is_reduction()).map(|step| -step.amount).sum();
    case.check_amount("discounts", taken_off)
}

fn packages(case: &Case) -> Outcome {
    let terms = prices::terms(case, "package")?;
    let charge = rated(&terms, &prices::usage(case)?, Run::Final)?;
    let packages = quantity_of(&charge.steps, StepKind::Package);
    if case.expected().has("packages") {
        case.check_decimal("packages", packages)?;
    }
    if case.expected().has("billed_units") {
        // The units of a package are the unit of the count.
        case.check_decimal("billed_units", packages * case.params().decimal("package_size")?)?;
    }
    Ok(())
}

fn dynamic(case: &Case) -> Outcome {
    let cents = case.usage().decimal("precise_total_amount_cents")?;
    let event_amount = cents / Decimal::ONE_HUNDRED;
    let usage = Usage { event_amount, ..Usage::of(case.usage().decimal("quantity")?) };
    let terms = PriceTerms::from(ChargeModel::Dynamic { multiplier: Decimal::ONE });
    let charge = rated(&terms, &usage, Run::Final)?;
    case.check_amount("amount", charge.exact)?;
    if case.expected().has("unit_amount") {
        case.check_decimal("unit_amount", charge.average_unit().unwrap_or_default())?;
    }
    Ok(())
}

/// One bill for each event: each books what all events so far cost beyond what was booked.
fn series(case: &Case) -> Outcome {
    let terms = prices::terms(case, "graduated_percentage")?;
    let mut totals = Vec::new();
    for event in case.events() {
        let before = totals.last().copied().unwrap_or_default();
        totals.push(before + event.decimal("value")?);
    }
    let booked = book_each(case, &terms, &totals, None)?;
    case.check_money_list("amounts", &booked)?;
    let total: Decimal = booked.iter().map(Money::to_decimal).sum();
    same("total", case.expected().decimal("total")?, total)
}

fn delta_rating(case: &Case) -> Outcome {
    let mut terms = prices::priced(case.params().object("price")?)?;
    prices::limit(&mut terms, case.params())?;
    let cumulative = case.usage().decimals("cumulative_quantity")?;
    let booked = book_each(case, &terms, &cumulative, case.params().whole_opt("final_run_index")?)?;
    case.check_money_list("booked", &booked)
}

/// Books a period in parts, of which those from an index on are at its end.
fn book_each(
    case: &Case,
    terms: &PriceTerms,
    cumulative: &[Decimal],
    final_index: Option<i64>,
) -> Result<Vec<Money>, String> {
    let mut total = Money::zero(case.currency()?);
    let mut booked = Vec::new();
    for (index, quantity) in (0_i64..).zip(cumulative) {
        let run = if final_index.is_some_and(|last| index >= last) { Run::Final } else { Run::Interim };
        let booking =
            delta::book(terms, [&Usage::of(*quantity)], total, run).map_err(|error| error.to_string())?;
        total = total.checked_add(booking.amount).map_err(|error| error.to_string())?;
        booked.push(booking.amount);
    }
    Ok(booked)
}

fn usage_discount_split(case: &Case) -> Outcome {
    let mut terms = PriceTerms::from(ChargeModel::PerUnit { unit: Decimal::ONE });
    terms.usage_discount = Some(case.params().decimal("discount_quantity")?);
    let [before, after] = prices::split_usage(case)?;
    let earlier = rated(&terms, &before, Run::Interim)?;
    let later = rated(&terms, &after, Run::Interim)?;
    let steps = delta::difference(&earlier, &later).map_err(|error| error.to_string())?;
    let checks = [
        ("quantity", quantity_of(&steps, StepKind::Unit)),
        ("pre_line_quantity", earlier.quantity),
        ("discounted_now", quantity_of(&steps, StepKind::UsageDiscount)),
        ("discounted_before", quantity_of(&earlier.steps, StepKind::UsageDiscount)),
    ];
    for (name, actual) in checks {
        if case.expected().has(name) {
            case.check_decimal(name, actual)?;
        }
    }
    Ok(())
}

fn quantity_of(steps: &[Step], kind: StepKind) -> Decimal {
    steps.iter().filter(|step| step.kind == kind).map(|step| step.quantity).sum()
}
