//! Invoice arithmetic: exact line amounts and tax rates in, rounded lines and totals out.
//!
//! A line is rounded once, half-up. Each of its taxes is computed on the *rounded* line and rounded half-up too; the
//! tax of the invoice is the sum of these, so that three lines of 0.05 at 10 % carry 0.03 and not 0.02.

pub mod state;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use thiserror::Error;

use crate::decimal::{DecimalError, exact_mul};
use crate::money::{Currency, Money, MoneyError};

/// A tax that applies to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    /// The name shown on the invoice.
    pub name: String,
    /// The percentage: 8 stands for 8 %.
    pub percent: Decimal,
}

/// A line before rounding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineInput {
    /// The exact amount in major units, after discounts; negative for a credit.
    pub exact: Decimal,
    /// The taxes that apply, each to the line's own amount and not to the other taxes.
    pub rates: Vec<TaxRate>,
}

/// A line as it is billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTotal {
    /// The amount before tax, rounded half-up.
    pub amount: Money,
    /// The amount before rounding, in major units.
    pub exact: Decimal,
    /// One tax amount for each rate of the line, in the same order.
    pub taxes: Vec<TaxAmount>,
}

/// What one tax rate comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxAmount {
    /// The name of the rate.
    pub name: String,
    /// The percentage of the rate.
    pub percent: Decimal,
    /// The tax: rounded half-up on a line, and on an invoice the sum of those.
    pub amount: Money,
}

/// An invoice as it is billed; every figure is a sum of rounded ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceTotals {
    /// The lines, in the order they were given.
    pub lines: Vec<LineTotal>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// The sum of the lines' taxes.
    pub tax: Money,
    /// The subtotal and the tax.
    pub total: Money,
    /// The taxes by name and percentage, in the order they first occur.
    pub tax_by_rate: Vec<TaxAmount>,
}

/// Why an invoice cannot be totalled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvoiceError {
    /// A tax rate is below zero.
    #[error("the tax `{name}` has a negative percentage")]
    NegativeTax {
        /// The name of the rate.
        name: String,
    },
    /// An amount or a sum is beyond 64 bits of minor units.
    #[error("an amount of the invoice cannot be represented")]
    Amount(#[from] MoneyError),
    /// A tax needs more digits than are computed exactly.
    #[error("a tax amount has more digits than can be computed exactly")]
    Inexact(#[from] DecimalError),
}

/// Rounds the lines and their taxes, once each, and adds them up.
pub fn total(currency: Currency, lines: &[LineInput]) -> Result<InvoiceTotals, InvoiceError> {
    let (mut subtotal, mut tax) = (Money::zero(currency), Money::zero(currency));
    let mut totals = Vec::with_capacity(lines.len());
    let mut tax_by_rate: Vec<TaxAmount> = Vec::new();
    for line in lines {
        let line = line_total(currency, line)?;
        subtotal = subtotal.checked_add(line.amount)?;
        for line_tax in &line.taxes {
            tax = tax.checked_add(line_tax.amount)?;
            add_to_rate(&mut tax_by_rate, line_tax)?;
        }
        totals.push(line);
    }
    let total = subtotal.checked_add(tax)?;
    Ok(InvoiceTotals { lines: totals, subtotal, tax, total, tax_by_rate })
}

fn line_total(currency: Currency, line: &LineInput) -> Result<LineTotal, InvoiceError> {
    let amount = Money::from_exact(line.exact, currency)?;
    let taxes = line.rates.iter().map(|rate| line_tax(amount, rate)).collect::<Result<_, _>>()?;
    Ok(LineTotal { amount, exact: line.exact, taxes })
}

fn line_tax(amount: Money, rate: &TaxRate) -> Result<TaxAmount, InvoiceError> {
    if rate.percent < Decimal::ZERO {
        return Err(InvoiceError::NegativeTax { name: rate.name.clone() });
    }
    let one_percent = Decimal::new(1, 2);
    let exact = exact_mul(exact_mul(amount.to_decimal(), rate.percent)?, one_percent)?;
    let amount = Money::from_exact(exact, amount.currency())?;
    Ok(TaxAmount { name: rate.name.clone(), percent: rate.percent, amount })
}

fn add_to_rate(rates: &mut Vec<TaxAmount>, tax: &TaxAmount) -> Result<(), MoneyError> {
    let known = rates.iter_mut().find(|rate| rate.name == tax.name && rate.percent == tax.percent);
    match known {
        Some(rate) => rate.amount = rate.amount.checked_add(tax.amount)?,
        None => rates.push(tax.clone()),
    }
    Ok(())
}
