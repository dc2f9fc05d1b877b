//! Fees for a part of a period, commitments, and what a termination gives back.

use jiff::{Timestamp, tz::TimeZone};
use rust_decimal::Decimal;
use usance_core::{
    catalog::price::ChargeModel,
    commitment::true_up,
    fraction::Fraction,
    invoice::{
        InvoiceTotals, TaxBehavior,
        credit_note::{CreditNote, CreditRequest, IssuedLine, LineCredit, credit_note},
    },
    money::Money,
    period::Period,
    proration::{ServiceEnd, Split, fraction, prorate, split},
    wallet::prepaid_applied,
};

use super::{
    Case, Outcome, bill, cents, charge, check_if_expected, currency,
    dates::{cycle, days_later, full_period, instant_of, midnight, time_zone},
    line, major, proration, refused, tax,
};
use crate::case::{Fields, same};

/// An amount of the case in minor units, as an exact amount in major units.
pub(super) fn in_cents(case: &Case, fields: Fields, name: &str) -> Result<Decimal, String> {
    cents(currency(case)?, fields.decimal(name)?)
}

pub(super) fn share_of(case: &Case, amount: Decimal, share: Fraction) -> Result<Money, String> {
    Ok(prorate(amount, share, currency(case)?).map_err(refused)?.money)
}

pub(super) fn active_part(case: &Case) -> Outcome {
    let params = case.params();
    let start = instant_of(params, "active_from")?;
    let full = full_period(params, start)?;
    let (end, why) = if params.has("active_to_inclusive") {
        (instant_of(params, "active_to_inclusive")?, ServiceEnd::Termination)
    } else {
        (full.end, ServiceEnd::PeriodEnd)
    };
    let share = fraction(proration(case)?, Period { start, end }, full, &time_zone(params)?, why);
    case.check_money("amount", share_of(case, in_cents(case, params, "amount_cents")?, share)?)
}

pub(super) fn after_trial(case: &Case) -> Outcome {
    let params = case.params();
    let tz = time_zone(params)?;
    let start = instant_of(params, "subscription_start")?;
    let trial_end = days_later(start, params.whole("trial_days")?, &tz)?;
    let full = if let Some(days) = params.whole_opt("days_billed")? {
        ending(days_later(midnight(trial_end, &tz)?, days, &tz)?, params, &tz)?
    } else {
        let first_day = days_later(midnight(start, &tz)?, -params.whole("days_before_start")?, &tz)?;
        Period { start: first_day, end: days_later(first_day, params.whole("period_days")?, &tz)? }
    };
    let service = Period { start: trial_end, end: full.end };
    let share = fraction(proration(case)?, service, full, &tz, ServiceEnd::PeriodEnd);
    case.check_money("amount", share_of(case, in_cents(case, params, "amount_cents")?, share)?)
}

/// The period of so many days that ends at an instant.
fn ending(end: Timestamp, params: Fields, tz: &TimeZone) -> Result<Period, String> {
    Ok(Period { start: days_later(end, -params.whole("period_days")?, tz)?, end })
}

pub(super) fn plan_change(case: &Case) -> Outcome {
    let (params, policy) = (case.params(), proration(case)?);
    let (at, tz) = (instant_of(params, "change_on")?, time_zone(params)?);
    let full = full_period(params, at)?;
    let price = |name: &str| {
        let side = params.object(name)?;
        let unit = major(case, side.decimal("unit")?)?;
        Ok::<Decimal, String>(charge(&ChargeModel::PerUnit { unit }, side.decimal("quantity")?)?.exact)
    };
    let unused = split(policy, full, at, full, &tz, ServiceEnd::Change).unused;
    let rest = fraction(policy, Period { start: at, end: full.end }, full, &tz, ServiceEnd::PeriodEnd);
    let credit = share_of(case, -price("old")?, unused)?;
    let charge = share_of(case, price("new")?, rest)?;
    check_if_expected(case, "credit", credit)?;
    check_if_expected(case, "charge", charge)?;
    check_if_expected(case, "net", charge.checked_add(credit).map_err(refused)?)
}

pub(super) fn upgrade_credit(case: &Case) -> Outcome {
    let params = case.params();
    let at = instant_of(params, "upgrade_on")?;
    let full = full_period(params, at)?;
    let part = split(proration(case)?, full, at, full, &time_zone(params)?, ServiceEnd::Change);
    case.check_money(
        "credit_amount",
        share_of(case, in_cents(case, params, "old_amount_cents")?, part.unused)?,
    )
}

pub(super) fn prorated_commitment(case: &Case) -> Outcome {
    let (params, usage) = (case.params(), case.usage());
    let start = instant_of(params, "subscription_start")?;
    let full = full_period(params, start)?;
    let service = Period { start, end: full.end };
    let share = fraction(proration(case)?, service, full, &time_zone(params)?, ServiceEnd::PeriodEnd);
    let committed = share_of(case, in_cents(case, params, "min_commitment_cents")?, share)?;
    let fee = share_of(case, in_cents(case, params, "plan_amount_cents")?, share)?;
    let charges = share_of(case, in_cents(case, usage, "charges_amount_cents")?, Fraction::WHOLE)?;
    let used = bill(currency(case)?, &[line(fee, &[]), line(charges, &[])])?.subtotal;
    case.check_money("true_up_amount", true_up(committed, used).map_err(refused)?)
}

pub(super) fn commitment(case: &Case) -> Outcome {
    let money = |amount| share_of(case, major(case, amount)?, Fraction::WHOLE);
    let (committed, used) =
        (money(case.params().decimal("commitment")?)?, money(case.usage().decimal("used")?)?);
    case.check_money("amount", true_up(committed, used).map_err(refused)?)
}

pub(super) fn terminated_in_advance(case: &Case) -> Outcome {
    let params = case.params();
    let (tz, start, cut) =
        (time_zone(params)?, instant_of(params, "start")?, instant_of(params, "terminate")?);
    let full = ending(days_later(midnight(start, &tz)?, params.whole("days_billed")?, &tz)?, params, &tz)?;
    let paid = Period { start, end: full.end };
    let policy = proration(case)?;
    let billed = fraction(policy, paid, full, &tz, ServiceEnd::PeriodEnd);
    let part = split(policy, paid, cut, full, &tz, ServiceEnd::Termination);
    if let Some(days) = params.decimal_opt("days_credited")? {
        same("days_credited", days, Decimal::from_i128_with_scale(part.unused.numerator(), 0))?;
    }
    let invoice = fee_invoice(case, "amount_cents", billed)?;
    check_if_expected(case, "invoice_total", invoice.total)?;
    check_credit(case, &credit_for(case, "amount_cents", &invoice, part)?)
}

pub(super) fn terminated_same_day(case: &Case) -> Outcome {
    let (params, utc) = (case.params(), TimeZone::UTC);
    let (days, credited) = (params.whole("period_days")?, params.whole("days_credited")?);
    let full = Period { start: Timestamp::UNIX_EPOCH, end: days_later(Timestamp::UNIX_EPOCH, days, &utc)? };
    // The day of the termination is the one before the first that is credited.
    let cut = days_later(full.end, -credited - 1, &utc)?;
    let part = split(proration(case)?, full, cut, full, &utc, ServiceEnd::Termination);
    let invoice = fee_invoice(case, "amount_cents", Fraction::WHOLE)?;
    check_credit(case, &credit_for(case, "amount_cents", &invoice, part)?)
}

pub(super) fn spending_minimum(case: &Case) -> Outcome {
    let (params, policy) = (case.params(), proration(case)?);
    let (full, cut) = minimum_period(params)?;
    let part = split(policy, full, cut, full, &time_zone(params)?, ServiceEnd::Termination);
    if params.has("start") {
        let start = instant_of(params, "start")?;
        let month = monthly(params, start)?;
        let first = fraction(
            policy,
            Period { start, end: month.end },
            month,
            &time_zone(params)?,
            ServiceEnd::PeriodEnd,
        );
        check_if_expected(case, "first_invoice_total", fee_invoice(case, "plan_amount_cents", first)?.total)?;
    }
    let used = usage_fees(case)?;
    let currency = currency(case)?;
    let lines: Vec<_> = used.iter().map(|fee| line(*fee, &[])).collect();
    let minimum = share_of(case, in_cents(case, params, "min_amount_cents")?, part.used)?;
    let missing = true_up(minimum, bill(currency, &lines)?.subtotal).map_err(refused)?;
    let rates = tax(params.decimal_opt("tax_percent")?);
    let lines: Vec<_> = used.iter().chain([&missing]).map(|fee| line(*fee, &rates)).collect();
    let invoice = bill(currency, &lines)?;
    check_minimum_lines(case, &invoice)?;
    let advance = fee_invoice(case, "plan_amount_cents", Fraction::WHOLE)?;
    let credit = credit_for(case, "plan_amount_cents", &advance, part)?;
    check_credit(case, &credit)?;
    let applied = prepaid_applied(invoice.total, credit.total).map_err(refused)?;
    check_if_expected(case, "final_total", invoice.total.checked_sub(applied).map_err(refused)?)
}

/// The period of a termination and the instant of it, from dates or from counts of days.
fn minimum_period(params: Fields) -> Result<(Period, Timestamp), String> {
    if params.has("terminate") {
        let cut = instant_of(params, "terminate")?;
        return Ok((monthly(params, cut)?, cut));
    }
    let (start, tz) = (Timestamp::UNIX_EPOCH, time_zone(params)?);
    let end = days_later(start, params.whole("period_days")?, &tz)?;
    Ok((Period { start, end }, days_later(start, params.whole("days_used")? - 1, &tz)?))
}

/// The calendar month around an instant, which these cases bill by without saying so.
fn monthly(params: Fields, at: Timestamp) -> Result<Period, String> {
    use usance_core::period::{Alignment, BillingCycle};

    let calendar = BillingCycle { alignment: Alignment::Calendar, ..cycle(params, at)? };
    calendar.full_period_containing(at).map_err(refused)
}

fn usage_fees(case: &Case) -> Result<Vec<Money>, String> {
    let (params, usage) = (case.params(), case.usage());
    let exact = if usage.has("usage_fees_cents") {
        usage
            .decimals("usage_fees_cents")?
            .into_iter()
            .map(|fee| cents(currency(case)?, fee))
            .collect::<Result<_, _>>()?
    } else {
        let unit = in_cents(case, params, "charge_unit_cents")?;
        vec![charge(&ChargeModel::PerUnit { unit }, usage.decimal("quantity")?)?.exact]
    };
    exact.into_iter().map(|fee| share_of(case, fee, Fraction::WHOLE)).collect()
}

/// Compares the usage lines and the true-up, which is the last line.
fn check_minimum_lines(case: &Case, invoice: &InvoiceTotals) -> Outcome {
    let [usage @ .., missing] = &invoice.lines[..] else { return Err("the invoice has no line".to_owned()) };
    let zero = Money::zero(currency(case)?);
    let tax = |taxes: &[usance_core::invoice::TaxAmount]| taxes.first().map_or(zero, |tax| tax.amount);
    if let [only] = usage {
        check_if_expected(case, "usage_fee", only.amount)?;
        check_if_expected(case, "usage_tax", tax(&only.taxes))?;
    }
    check_if_expected(case, "true_up_fee", missing.amount)?;
    check_if_expected(case, "true_up_tax", tax(&missing.taxes))?;
    check_if_expected(case, "fees", invoice.subtotal)?;
    check_if_expected(case, "taxes", invoice.tax)?;
    check_if_expected(case, "invoice_total_before_credit", invoice.total)
}

/// The invoice of a share of a fee, with the case's tax.
fn fee_invoice(case: &Case, fee: &str, share: Fraction) -> Result<InvoiceTotals, String> {
    let amount = share_of(case, in_cents(case, case.params(), fee)?, share)?;
    bill(currency(case)?, &[line(amount, &tax(case.params().decimal_opt("tax_percent")?))])
}

/// The credit note for the unused share of a fee that an invoice of one line has charged.
fn credit_for(case: &Case, fee: &str, invoice: &InvoiceTotals, part: Split) -> Result<CreditNote, String> {
    let amount = share_of(case, in_cents(case, case.params(), fee)?, part.unused)?;
    let request = if amount.minor() == invoice.subtotal.minor() {
        CreditRequest::Full
    } else {
        CreditRequest::Amount(amount)
    };
    credit_note(currency(case)?, TaxBehavior::Exclusive, &issued(invoice), &request).map_err(refused)
}

/// The lines of an invoice that no credit note has taken from.
pub(super) fn issued(invoice: &InvoiceTotals) -> Vec<IssuedLine> {
    let line = |line: &usance_core::invoice::LineTotal| IssuedLine {
        amount: line.amount,
        discount: line.discount,
        taxes: line.taxes.iter().map(|tax| tax.amount).collect(),
        credited: LineCredit::none(line.amount.currency(), line.taxes.len()),
    };
    invoice.lines.iter().map(line).collect()
}

pub(super) fn check_credit(case: &Case, credit: &CreditNote) -> Outcome {
    check_if_expected(case, "credit_sub_total", credit.subtotal)?;
    check_if_expected(case, "credit_tax", credit.tax)?;
    check_if_expected(case, "credit_total", credit.total)
}
