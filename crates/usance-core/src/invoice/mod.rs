//! Invoice arithmetic: rounded lines, coupons and tax rates in; discounts, taxes and totals out.
//!
//! A line is rounded once, half-up. The discount is divided over the rounded lines so that its parts add up to it. Each
//! tax is computed on the *discounted* line and rounded half-up too; the tax of the invoice is the sum of these, so
//! that three lines of 0.05 at 10 % carry 0.03 and not 0.02.

pub mod credit_note;
pub mod document;
pub mod state;
mod tax;
#[cfg(test)]
mod tests;

pub use tax::{TaxAmount, TaxBehavior, TaxRate, TaxRounding};

use rust_decimal::Decimal;
use thiserror::Error;

use crate::decimal::DecimalError;
use crate::discount::{Coupon, CouponOrder, DiscountError, discount};
use crate::money::{Currency, Money, MoneyError};

/// What holds for all lines of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvoiceTerms<'a> {
    /// The currency of every line and fixed coupon.
    pub currency: Currency,
    /// Whether the lines contain their taxes already.
    pub tax_behavior: TaxBehavior,
    /// Whether taxes are rounded by line or by invoice.
    pub tax_rounding: TaxRounding,
    /// The coupons, in the order they were applied to the subscription or customer.
    pub coupons: &'a [Coupon],
    /// The order in which the coupons are taken off.
    pub coupon_order: CouponOrder,
}

/// A line before discounts and taxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineInput {
    /// The amount, already rounded; negative for a credit.
    pub amount: Money,
    /// The amount before rounding, in major units.
    pub exact: Decimal,
    /// Whether coupons apply; they never do to a negative line.
    pub discountable: bool,
    /// The taxes that apply, each to the line's own amount and not to the other taxes.
    pub rates: Vec<TaxRate>,
}

/// A line as it is billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTotal {
    /// The amount before discount, rounded half-up.
    pub amount: Money,
    /// The amount before rounding, in major units.
    pub exact: Decimal,
    /// What coupons take off the line, as a positive amount.
    pub discount: Money,
    /// One tax amount for each rate of the line, in the same order.
    pub taxes: Vec<TaxAmount>,
    /// What the line asks for: less the discount, and with the taxes that it does not contain already.
    pub total: Money,
}

/// An invoice as it is billed; every figure is a sum of rounded ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceTotals {
    /// The lines, in the order they were given.
    pub lines: Vec<LineTotal>,
    /// The sum of the lines before discount.
    pub subtotal: Money,
    /// The sum of the lines' discounts.
    pub discount: Money,
    /// What each coupon took, in the order the coupons were given.
    pub discount_by_coupon: Vec<Money>,
    /// The sum of the lines' taxes.
    pub tax: Money,
    /// The sum of the lines' totals: subtotal less discount, and the tax where the lines do not contain it.
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
    /// An amount or a sum is beyond 64 bits of minor units, or in another currency.
    #[error("an amount of the invoice cannot be represented")]
    Amount(#[from] MoneyError),
    /// A tax needs more digits than are computed exactly.
    #[error("a tax amount has more digits than can be computed exactly")]
    Inexact(#[from] DecimalError),
    /// A coupon cannot be applied.
    #[error("a discount of the invoice cannot be computed")]
    Discount(#[from] DiscountError),
}

impl<'a> InvoiceTerms<'a> {
    /// Gives the terms of an invoice without coupons, whose taxes come on top of its lines.
    pub const fn plain(currency: Currency) -> InvoiceTerms<'a> {
        InvoiceTerms {
            currency,
            tax_behavior: TaxBehavior::Exclusive,
            tax_rounding: TaxRounding::Line,
            coupons: &[],
            coupon_order: CouponOrder::PercentBeforeFixed,
        }
    }
}

impl LineInput {
    /// Rounds an exact amount in major units to a line that coupons apply to.
    pub fn from_exact(exact: Decimal, currency: Currency, rates: Vec<TaxRate>) -> Result<Self, MoneyError> {
        Ok(Self { amount: Money::from_exact(exact, currency)?, exact, discountable: true, rates })
    }
}

/// Takes coupons off the lines, computes their taxes, rounding each once, and adds everything up.
pub fn total(terms: &InvoiceTerms<'_>, lines: &[LineInput]) -> Result<InvoiceTotals, InvoiceError> {
    let zero = Money::zero(terms.currency);
    let bases: Vec<Money> =
        lines.iter().map(|line| if line.discountable { line.amount } else { zero }).collect();
    let discounts = discount(terms.currency, terms.coupons, terms.coupon_order, &bases)?;
    let mut totals = InvoiceTotals {
        lines: Vec::with_capacity(lines.len()),
        subtotal: zero,
        discount: discounts.total,
        discount_by_coupon: discounts.by_coupon,
        tax: zero,
        total: zero,
        tax_by_rate: Vec::new(),
    };
    let mut together = Vec::new();
    for (line, discount) in lines.iter().zip(discounts.by_line) {
        let discounted = line.amount.checked_sub(discount)?;
        let taxes = match terms.tax_rounding {
            TaxRounding::Line => tax::line_taxes(terms.tax_behavior, discounted, &line.rates)?,
            TaxRounding::Invoice => {
                tax::added_taxes(terms.tax_behavior, &mut together, discounted, &line.rates)?
            }
        };
        totals.add(line_total(terms.tax_behavior, line, discount, taxes)?)?;
    }
    Ok(totals)
}

impl InvoiceTotals {
    fn add(&mut self, line: LineTotal) -> Result<(), InvoiceError> {
        self.subtotal = self.subtotal.checked_add(line.amount)?;
        self.total = self.total.checked_add(line.total)?;
        for tax in &line.taxes {
            self.tax = self.tax.checked_add(tax.amount)?;
            tax::add_to_rate(&mut self.tax_by_rate, tax)?;
        }
        self.lines.push(line);
        Ok(())
    }
}

fn line_total(
    behavior: TaxBehavior,
    line: &LineInput,
    discount: Money,
    taxes: Vec<TaxAmount>,
) -> Result<LineTotal, InvoiceError> {
    let mut total = line.amount.checked_sub(discount)?;
    match behavior {
        TaxBehavior::Inclusive => {}
        TaxBehavior::Exclusive => {
            for tax in &taxes {
                total = total.checked_add(tax.amount)?;
            }
        }
    }
    Ok(LineTotal { amount: line.amount, exact: line.exact, discount, taxes, total })
}
