//! The taxes of a line.

use rust_decimal::Decimal;

use super::InvoiceError;
use crate::decimal::{DecimalError, exact_add, exact_mul};
use crate::fraction::Fraction;
use crate::money::{Money, MoneyError};

/// A tax that applies to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    /// The name shown on the invoice.
    pub name: String,
    /// The percentage: 8 stands for 8 %.
    pub percent: Decimal,
}

/// Whether prices contain their taxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TaxBehavior {
    /// Taxes come on top of the line.
    #[default]
    Exclusive,
    /// The line contains its taxes, which are only shown.
    Inclusive,
}

/// Where taxes are rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TaxRounding {
    /// Each line's tax by itself; the tax of the invoice is their sum.
    #[default]
    Line,
    /// The tax of all lines of a rate together; each line carries what it adds to the rounded sum of those before it.
    Invoice,
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

impl TaxBehavior {
    /// Reads `exclusive` or `inclusive`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Exclusive, Self::Inclusive].into_iter().find(|behavior| behavior.as_str() == text)
    }

    /// Returns `exclusive` or `inclusive`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Inclusive => "inclusive",
        }
    }
}

/// Computes the tax of each rate on a discounted line, each rounded half-up.
pub(super) fn line_taxes(
    behavior: TaxBehavior,
    discounted: Money,
    rates: &[TaxRate],
) -> Result<Vec<TaxAmount>, InvoiceError> {
    let mut gross_percent = Decimal::ONE_HUNDRED;
    for rate in rates {
        if rate.percent < Decimal::ZERO {
            return Err(InvoiceError::NegativeTax { name: rate.name.clone() });
        }
        gross_percent = exact_add(gross_percent, rate.percent)?;
    }
    let amount = |percent| match behavior {
        TaxBehavior::Exclusive => tax_on_top(discounted, percent),
        TaxBehavior::Inclusive => tax_within(discounted, percent, gross_percent),
    };
    rates
        .iter()
        .map(|rate| {
            Ok(TaxAmount { name: rate.name.clone(), percent: rate.percent, amount: amount(rate.percent)? })
        })
        .collect()
}

/// The discounted lines so far that have the same rates, and their taxes.
#[derive(Debug)]
pub(super) struct Together {
    rates: Vec<TaxRate>,
    discounted: Money,
    taxes: Vec<TaxAmount>,
}

/// Computes what a line adds to the taxes of all lines so far that have its rates.
pub(super) fn added_taxes(
    behavior: TaxBehavior,
    together: &mut Vec<Together>,
    discounted: Money,
    rates: &[TaxRate],
) -> Result<Vec<TaxAmount>, InvoiceError> {
    let Some(before) = together.iter_mut().find(|before| before.rates == rates) else {
        let taxes = line_taxes(behavior, discounted, rates)?;
        together.push(Together { rates: rates.to_vec(), discounted, taxes: taxes.clone() });
        return Ok(taxes);
    };
    before.discounted = before.discounted.checked_add(discounted)?;
    let after = line_taxes(behavior, before.discounted, rates)?;
    let mut added = Vec::with_capacity(after.len());
    for (after, before) in after.iter().zip(&before.taxes) {
        added.push(TaxAmount { amount: after.amount.checked_sub(before.amount)?, ..after.clone() });
    }
    before.taxes = after;
    Ok(added)
}

/// Adds a line's tax to the sum of its rate.
pub(super) fn add_to_rate(rates: &mut Vec<TaxAmount>, tax: &TaxAmount) -> Result<(), MoneyError> {
    let known = rates.iter_mut().find(|rate| rate.name == tax.name && rate.percent == tax.percent);
    match known {
        Some(rate) => rate.amount = rate.amount.checked_add(tax.amount)?,
        None => rates.push(tax.clone()),
    }
    Ok(())
}

fn tax_on_top(net: Money, percent: Decimal) -> Result<Money, InvoiceError> {
    let one_percent = Decimal::new(1, 2);
    let exact = exact_mul(exact_mul(net.to_decimal(), percent)?, one_percent)?;
    Ok(Money::from_exact(exact, net.currency())?)
}

/// Takes one rate's part out of a gross amount: the rate over 100 and all rates.
fn tax_within(gross: Money, percent: Decimal, gross_percent: Decimal) -> Result<Money, InvoiceError> {
    let share = Fraction::of_decimals(percent, gross_percent).ok_or(DecimalError::TooPrecise)?;
    let minor = share.share_of(i128::from(gross.minor()));
    let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge)?;
    Ok(Money::new(minor, gross.currency()))
}
