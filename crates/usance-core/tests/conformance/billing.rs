//! The adapters of fees, proration, taxes, coupons, credit notes, thresholds, periods and wallets.

mod dates;
mod fees;
mod invoices;
mod thresholds;
mod wallets;

use std::fmt::Display;

use rust_decimal::Decimal;
use usance_core::{
    catalog::price::{ChargeModel, PriceTerms},
    decimal::exact_mul,
    invoice::{InvoiceTerms, InvoiceTotals, LineInput, TaxRate, total},
    money::{Currency, Money},
    proration::Proration,
    rating::{Charge, Run, Usage, rate},
};

use super::{Outcome, case::Case};

/// Runs a case about billing; nothing if no adapter here knows its model.
pub(crate) fn run(case: &Case) -> Option<Outcome> {
    let adapter = match case.model() {
        "billing_period_starts" => dates::period_starts,
        "calendar_days_between" => dates::days_between,
        "proration_factor" => dates::factor,
        "time_ratio_proration" => dates::time_ratio,
        "subscription_fee_proration" => fees::active_part,
        "trial_then_prorated_fee" => fees::after_trial,
        "plan_change_proration" => fees::plan_change,
        "upgrade_credit" => fees::upgrade_credit,
        "plan_minimum_commitment_true_up" => fees::prorated_commitment,
        "commitment_true_up" => fees::commitment,
        "advance_then_terminate_credit" => fees::terminated_in_advance,
        "terminate_same_day_credit_note" => fees::terminated_same_day,
        "charge_spending_minimum_on_termination" => fees::spending_minimum,
        "round_currency" => invoices::round_currency,
        "round_lines_then_sum" => invoices::round_lines,
        "coupon_stack" => invoices::coupon_stack,
        "distribute_discount" => invoices::distribute_discount,
        "coupons_allocate_then_tax" => invoices::coupons_then_tax,
        "credit_note_item_tax" => invoices::credit_note_tax,
        "refund_cap" => invoices::refunds,
        "progressive_billing" => thresholds::one_period,
        "progressive_billing_terminate" => thresholds::terminated,
        "progressive_billing_lifetime" => thresholds::lifetime,
        "grant_burn_down" => wallets::burn,
        "grant_reset" => wallets::start_over,
        "credits_over_lines" => wallets::credits_over_lines,
        "prepaid_credit_cap" => wallets::prepaid,
        "wallet_topup" => wallets::buy,
        _ => return None,
    };
    Some(adapter(case))
}

/// Why Usance has another rule than a vendor, by the model of the case.
pub(crate) fn vendor_reason(model: &str) -> Option<&'static str> {
    match model {
        "prorated_graduated" | "tiered_volume_prorated" => Some(
            "tiers count the units of a period; a share of a period prorates the price and not the units",
        ),
        "aggregate_prorated_recurring_sum" => {
            Some("a carried quantity is weighted by time and rounded half-up, not by days and always up")
        }
        "grant_recurring" => Some("a reset carries overage on only where the grant preserves it"),
        "grant_activation_mid_period" => {
            Some("a grant pays for usage from its start and not for earlier overage")
        }
        "progressive_billing_terminate" => {
            Some("the proration policy and not the kind of the end alone says whether the last day is billed")
        }
        _ => None,
    }
}

/// Tells any error of the product as the outcome of a case.
fn refused(error: impl Display) -> String {
    format!("refused: {error}")
}

/// The proration that the tag of a case names; the default where it names none.
fn proration(case: &Case) -> Result<Proration, String> {
    match case.policy() {
        None => Ok(Proration::default()),
        Some("day_proration" | "day_proration_exclusive_end") => Ok(Proration::DayExclusiveEnd),
        Some("day_proration_inclusive") => Ok(Proration::DayInclusive),
        Some(other) => Err(format!("unsupported: the policy {other}")),
    }
}

/// The currency of the case, whose code some sources write in small letters; US dollars where it names none.
fn currency(case: &Case) -> Result<Currency, String> {
    let code = case.params().text_opt("currency").or_else(|| case.usage().text_opt("currency"));
    Currency::parse(&code.unwrap_or("USD").to_ascii_uppercase()).map_err(refused)
}

/// Reads an amount of the case's unit in major units.
fn major(case: &Case, amount: Decimal) -> Result<Decimal, String> {
    if case.is_minor() { cents(currency(case)?, amount) } else { Ok(amount) }
}

/// Reads an amount of minor units, which may have a fraction, in major units.
fn cents(currency: Currency, amount: Decimal) -> Result<Decimal, String> {
    exact_mul(amount, Decimal::new(1, currency.exponent())).map_err(refused)
}

/// Rates a quantity with a charge model.
fn charge(model: &ChargeModel, quantity: Decimal) -> Result<Charge, String> {
    rate(&PriceTerms::from(model.clone()), &Usage::of(quantity), Run::Final).map_err(refused)
}

/// The tax of a percentage, or none.
fn tax(percent: Option<Decimal>) -> Vec<TaxRate> {
    percent.map(|percent| TaxRate { name: "tax".to_owned(), percent }).into_iter().collect()
}

/// A line of an amount that is already rounded.
fn line(amount: Money, rates: &[TaxRate]) -> LineInput {
    LineInput { amount, exact: amount.to_decimal(), discountable: true, rates: rates.to_vec() }
}

/// Bills lines without coupons.
fn bill(currency: Currency, lines: &[LineInput]) -> Result<InvoiceTotals, String> {
    total(&InvoiceTerms::plain(currency), lines).map_err(refused)
}

/// Compares an amount where the case expects one.
fn check_if_expected(case: &Case, name: &str, actual: Money) -> Outcome {
    if case.expected().has(name) { case.check_money(name, actual) } else { Ok(()) }
}
