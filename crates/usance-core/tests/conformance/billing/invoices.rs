//! Rounding, coupons, taxes, credit notes and refunds.

use rust_decimal::Decimal;
use usance_core::{
    discount::{Coupon, CouponOrder, CouponValue, Discount, discount},
    fraction::Fraction,
    invoice::{
        InvoiceTerms, InvoiceTotals, LineInput, TaxBehavior,
        credit_note::{CreditRequest, credit_note, refund_cap},
        total,
    },
    money::Money,
};

use super::{
    Case, Outcome, bill, check_if_expected, currency,
    fees::{check_credit, in_cents, issued, share_of},
    line, major, refused, tax,
};
use crate::case::{Fields, same};

/// Refuses a rounding that Usance does not have.
fn half_up_only(case: &Case) -> Outcome {
    match case.params().text_opt("mode") {
        None | Some("half_up") => Ok(()),
        Some(other) => Err(format!("unsupported: the rounding {other}")),
    }
}

pub(super) fn round_currency(case: &Case) -> Outcome {
    half_up_only(case)?;
    let amount = major(case, case.usage().decimal("amount")?)?;
    case.check_money("amount", Money::from_exact(amount, currency(case)?).map_err(refused)?)
}

pub(super) fn round_lines(case: &Case) -> Outcome {
    half_up_only(case)?;
    let currency = currency(case)?;
    let mut lines = Vec::new();
    for amount in case.usage().decimals("line_amounts")? {
        lines.push(LineInput::from_exact(major(case, amount)?, currency, Vec::new()).map_err(refused)?);
    }
    case.check_money("amount", bill(currency, &lines)?.subtotal)
}

/// Reads an amount of whole minor units.
fn minor(case: &Case, value: i64) -> Result<Money, String> {
    Ok(Money::new(value, currency(case)?))
}

fn coupons(case: &Case) -> Result<Vec<Coupon>, String> {
    let coupon = |fields: Fields| {
        if let Some(other) = fields.text_opt("applies_to").filter(|scope| *scope != "all") {
            return Err(format!("unsupported: a coupon for {other}"));
        }
        let value = match fields.decimal_opt("percent")? {
            Some(percent) => CouponValue::Percent(percent),
            None if fields.has("fixed_cents") => {
                CouponValue::Fixed(minor(case, fields.whole("fixed_cents")?)?)
            }
            None => {
                CouponValue::Fixed(share_of(case, major(case, fields.decimal("amount")?)?, Fraction::WHOLE)?)
            }
        };
        Ok(Coupon { value })
    };
    case.params().objects("coupons")?.into_iter().map(coupon).collect()
}

fn coupon_order(case: &Case) -> Result<CouponOrder, String> {
    match case.policy() {
        None => Ok(CouponOrder::default()),
        Some("percentage_before_fixed") => Ok(CouponOrder::PercentBeforeFixed),
        Some(other) => Err(format!("unsupported: the policy {other}")),
    }
}

fn discounted(case: &Case, coupons: &[Coupon], lines: &[Money]) -> Result<Discount, String> {
    discount(currency(case)?, coupons, coupon_order(case)?, lines).map_err(refused)
}

pub(super) fn coupon_stack(case: &Case) -> Outcome {
    let amount = minor(case, case.usage().whole("amount_cents")?)?;
    case.check_money("discount", discounted(case, &coupons(case)?, &[amount])?.total)
}

pub(super) fn distribute_discount(case: &Case) -> Outcome {
    let mut lines = Vec::new();
    for amount in case.usage().decimals("line_cents")? {
        lines.push(minor(case, i64::try_from(amount).map_err(refused)?)?);
    }
    let coupon = Coupon { value: CouponValue::Fixed(minor(case, case.params().whole("discount_cents")?)?) };
    let shares = discounted(case, &[coupon], &lines)?.by_line;
    let taxable = lines.iter().zip(shares).map(|(line, share)| line.checked_sub(share));
    case.check_money_list("taxable", &taxable.collect::<Result<Vec<_>, _>>().map_err(refused)?)
}

pub(super) fn coupons_then_tax(case: &Case) -> Outcome {
    let fees = case.usage().objects("fees")?;
    let mut lines = Vec::new();
    for fee in &fees {
        let amount = share_of(case, major(case, fee.decimal("amount")?)?, Fraction::WHOLE)?;
        lines.push(line(amount, &tax(fee.decimal_opt("tax_percent")?)));
    }
    let coupons = coupons(case)?;
    let plain = InvoiceTerms::plain(currency(case)?);
    let terms = InvoiceTerms { coupons: &coupons, coupon_order: coupon_order(case)?, ..plain };
    let invoice = total(&terms, &lines).map_err(refused)?;
    check_fees(case, &fees, &invoice)?;
    match case.expected().object_opt("invoice") {
        Some(expected) => check_invoice(case, expected, &invoice),
        None => Ok(()),
    }
}

fn check_fees(case: &Case, fees: &[Fields], invoice: &InvoiceTotals) -> Outcome {
    let (coupons, taxes) =
        (case.expected().object_opt("precise_coupons"), case.expected().object_opt("fee_taxes"));
    for (fee, billed) in fees.iter().zip(&invoice.lines) {
        let id = fee.text("id")?;
        if let Some(coupons) = coupons {
            same(&format!("precise_coupons.{id}"), coupons.decimal(id)?, shown(case, billed.discount))?;
        }
        if let Some(taxes) = taxes {
            let tax = billed.taxes.first().map_or(Decimal::ZERO, |tax| shown(case, tax.amount));
            same(&format!("fee_taxes.{id}"), taxes.decimal(id)?, tax)?;
        }
    }
    Ok(())
}

fn check_invoice(case: &Case, expected: Fields, invoice: &InvoiceTotals) -> Outcome {
    let discounted = invoice.subtotal.checked_sub(invoice.discount).map_err(refused)?;
    for (name, actual) in [
        ("fees", invoice.subtotal),
        ("coupons", invoice.discount),
        ("sub_total_excluding_taxes", discounted),
        ("taxes", invoice.tax),
        ("total", invoice.total),
    ] {
        if expected.has(name) {
            same(&format!("invoice.{name}"), expected.decimal(name)?, shown(case, actual))?;
        }
    }
    Ok(())
}

/// An amount as a number of the case's unit.
pub(super) fn shown(case: &Case, money: Money) -> Decimal {
    if case.is_minor() { Decimal::from(money.minor()) } else { money.to_decimal() }
}

pub(super) fn credit_note_tax(case: &Case) -> Outcome {
    let amount = share_of(case, in_cents(case, case.usage(), "item_amount_cents")?, Fraction::WHOLE)?;
    let currency = currency(case)?;
    let invoice = bill(currency, &[line(amount, &tax(case.params().decimal_opt("tax_percent")?))])?;
    let note = credit_note(currency, TaxBehavior::Exclusive, &issued(&invoice), &CreditRequest::Full);
    check_credit(case, &note.map_err(refused)?)
}

pub(super) fn refunds(case: &Case) -> Outcome {
    let money = |amount| share_of(case, major(case, amount)?, Fraction::WHOLE);
    let paid = money(case.params().decimal("original_paid")?)?;
    let before = money(case.params().decimal("previous_credits")?)?;
    let wanted = money(case.usage().decimal("potential_credit")?)?;
    check_if_expected(case, "credit", refund_cap(paid, before, wanted).map_err(refused)?)
}
