//! From lines to discounts, taxes and totals: the one way for invoices and quotes.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    decimal::{decimal_text, parse_decimal},
    discount::{Coupon, CouponValue},
    invoice::{InvoiceTerms, InvoiceTotals, LineInput, LineTotal, TaxAmount, TaxRate, total},
    money::{Currency, Money},
};
use usance_db::discounts::Discount;

use super::LineDraft;
use crate::{
    error::{Error, Result},
    tax::CustomerTax,
};

/// Adds lines up. A line without rates of its own has the customer's.
pub(crate) fn total_lines(
    terms: &InvoiceTerms<'_>,
    tax: &CustomerTax,
    lines: &[LineDraft],
) -> Result<InvoiceTotals> {
    let inputs: Vec<_> = lines.iter().map(|line| line_input(line, tax)).collect();
    Ok(total(terms, &inputs)?)
}

fn line_input(line: &LineDraft, tax: &CustomerTax) -> LineInput {
    LineInput {
        amount: line.amount,
        exact: line.exact,
        discountable: line.is_discountable(),
        rates: line.rates.clone().unwrap_or_else(|| tax.rates.clone()),
    }
}

/// What a customer's discount takes off.
pub(super) fn coupon(discount: &Discount, currency: Currency) -> Result<Coupon> {
    coupon_of(discount.percent, discount.fixed_left_minor.or(discount.amount_minor), currency)
}

/// What a coupon takes off: a percentage, or an amount in minor units.
pub(crate) fn coupon_of(
    percent: Option<Decimal>,
    fixed_minor: Option<i64>,
    currency: Currency,
) -> Result<Coupon> {
    let value = match (percent, fixed_minor) {
        (Some(percent), _) => CouponValue::Percent(percent),
        (None, Some(minor)) => CouponValue::Fixed(Money::new(minor, currency)),
        (None, None) => return Err(Error::Internal("a stored coupon takes nothing off")),
    };
    Ok(Coupon { value })
}

/// The taxes of a line as they are stored.
pub(super) fn taxes_json(total: &LineTotal) -> Value {
    let tax = |tax: &TaxAmount| json!({ "name": tax.name, "percent": decimal_text(tax.percent), "amount_minor": tax.amount.minor() });
    total.taxes.iter().map(tax).collect()
}

/// The rates by which a stored line was taxed.
pub(crate) fn stored_rates(taxes: &Value) -> Result<Vec<TaxRate>> {
    let rate = |tax: &Value| {
        let name = tax.get("name")?.as_str()?.to_owned();
        let percent = parse_decimal(tax.get("percent")?.as_str()?).ok()?;
        Some(TaxRate { name, percent })
    };
    let taxes = taxes.as_array().map(Vec::as_slice).unwrap_or_default();
    let rates: Option<Vec<_>> = taxes.iter().map(rate).collect();
    rates.ok_or(Error::Internal("the taxes of a stored line cannot be read"))
}
