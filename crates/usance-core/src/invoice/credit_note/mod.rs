//! Credit notes: what of an issued invoice is taken back, with its taxes, and where that money goes.
//!
//! The tax of a credit is proportional to the billed tax and rounded half-up over everything credited so far, so each
//! note takes the difference to what earlier notes took. A line that is credited in any number of steps therefore ends
//! at exactly what was billed, and never above it.

#[cfg(test)]
mod tests;

use thiserror::Error;

use super::TaxBehavior;
use crate::discount::allocate;
use crate::fraction::Fraction;
use crate::money::{Currency, Money, MoneyError};

/// A line of an issued invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedLine {
    /// The amount before discount.
    pub amount: Money,
    /// What coupons took off it.
    pub discount: Money,
    /// The tax of each of its rates.
    pub taxes: Vec<Money>,
    /// What earlier credit notes took of the line.
    pub credited: LineCredit,
}

/// What a credit note takes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineCredit {
    /// The part of the discounted line, which contains the taxes if the invoice's prices do.
    pub amount: Money,
    /// The part of each of its taxes, in the order of the line's rates.
    pub taxes: Vec<Money>,
}

/// How much is to be taken back; all amounts are in the terms of the lines, so without a tax that comes on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreditRequest {
    /// All that is left.
    Full,
    /// An amount, divided over the lines in proportion to what is left of them.
    Amount(Money),
    /// An amount for some lines, by their places on the invoice.
    Lines(Vec<(usize, Money)>),
}

/// What a credit note comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditNote {
    /// One credit for each line of the invoice, which is zero for the lines that keep their amount.
    pub lines: Vec<LineCredit>,
    /// The sum of the lines' amounts.
    pub subtotal: Money,
    /// The sum of the lines' taxes.
    pub tax: Money,
    /// What the customer gets back: the subtotal, and the tax where the lines do not contain it.
    pub total: Money,
}

/// Why a credit note is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CreditNoteError {
    /// The invoice was credited in full.
    #[error("nothing is left of the invoice to credit")]
    NothingLeft,
    /// A credit is zero or negative.
    #[error("a credit has to be positive")]
    NotPositive,
    /// More is asked for than is left of the invoice.
    #[error("{asked} is more than the {left} that is left of the invoice")]
    AboveInvoice {
        /// What is to be credited.
        asked: Money,
        /// What no credit note has taken yet.
        left: Money,
    },
    /// More is asked for than is left of a line.
    #[error("{asked} is more than the {left} that is left of line {line}")]
    AboveLine {
        /// The place of the line, from 0.
        line: usize,
        /// What is to be credited.
        asked: Money,
        /// What no credit note has taken yet.
        left: Money,
    },
    /// The invoice has no such line.
    #[error("the invoice has no line {line}")]
    UnknownLine {
        /// The place that was asked for, from 0.
        line: usize,
    },
    /// More is asked for than was paid and not given back.
    #[error("{asked} is more than the {left} that was paid and not given back")]
    AbovePaid {
        /// What would be given back.
        asked: Money,
        /// What was paid in any way and not given back in any way.
        left: Money,
    },
    /// A line is named twice.
    #[error("line {line} is named twice")]
    LineTwice {
        /// The place of the line, from 0.
        line: usize,
    },
    /// An amount is in another currency, or a sum cannot be represented.
    #[error("an amount of the credit note cannot be represented")]
    Amount(#[from] MoneyError),
}

/// Where the money of a credit note goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditSplit {
    /// What reduces the invoice's amount due.
    pub reduces_due: Money,
    /// What is paid back.
    pub refund: Money,
    /// What the customer keeps as a balance for later invoices.
    pub to_balance: Money,
}

/// What an invoice has been paid and what of it was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvoiceBalance {
    /// What is still to be paid.
    pub due: Money,
    /// What was paid through a gateway, which can pay it back.
    pub paid: Money,
    /// What was paid out of the customer's balance.
    pub from_balance: Money,
    /// What was paid back or is on its way, with or without a credit note.
    pub refunded: Money,
    /// What the customer was given as a balance by earlier credit notes.
    pub to_balance: Money,
}

/// Decides a credit note; nothing is credited beyond what earlier notes left.
pub fn credit_note(
    currency: Currency,
    behavior: TaxBehavior,
    lines: &[IssuedLine],
    request: &CreditRequest,
) -> Result<CreditNote, CreditNoteError> {
    let zero = Money::zero(currency);
    let left = lines.iter().map(IssuedLine::left).collect::<Result<Vec<_>, _>>()?;
    let amounts = match request {
        CreditRequest::Full => full(&left)?,
        CreditRequest::Amount(amount) => divided(*amount, &left)?,
        CreditRequest::Lines(chosen) => by_line(currency, chosen, &left)?,
    };
    let mut note =
        CreditNote { lines: Vec::with_capacity(lines.len()), subtotal: zero, tax: zero, total: zero };
    for (line, amount) in lines.iter().zip(amounts) {
        let credit = line.credit(amount)?;
        note.subtotal = note.subtotal.checked_add(credit.amount)?;
        note.tax = sum(note.tax, &credit.taxes)?;
        note.lines.push(credit);
    }
    note.total = match behavior {
        TaxBehavior::Exclusive => note.subtotal.checked_add(note.tax)?,
        TaxBehavior::Inclusive => note.subtotal,
    };
    Ok(note)
}

/// Caps a credit so that all credits together never exceed what was paid.
pub fn refund_cap(paid: Money, credited_before: Money, wanted: Money) -> Result<Money, MoneyError> {
    let left = at_least_zero(paid.checked_sub(credited_before)?);
    smaller(wanted, left)
}

/// Divides a credit note's total: what is due is reduced first, then up to `refund_wanted` of what can be refunded is paid
/// back, and the customer keeps the rest as a balance. Nothing is given back that was not paid.
pub fn split_credit(
    total: Money,
    balance: InvoiceBalance,
    refund_wanted: Money,
) -> Result<CreditSplit, CreditNoteError> {
    let reduces_due = smaller(total, at_least_zero(balance.due))?;
    let rest = total.checked_sub(reduces_due)?;
    let left = balance.left()?;
    if left.checked_sub(rest)?.minor() < 0 {
        return Err(CreditNoteError::AbovePaid { asked: rest, left });
    }
    let wanted = smaller(rest, at_least_zero(refund_wanted))?;
    let refund = smaller(wanted, balance.refundable()?)?;
    Ok(CreditSplit { reduces_due, refund, to_balance: rest.checked_sub(refund)? })
}

impl InvoiceBalance {
    /// Returns what was paid in any way and not given back in any way.
    pub fn left(&self) -> Result<Money, MoneyError> {
        let paid = self.paid.checked_add(self.from_balance)?;
        Ok(at_least_zero(paid.checked_sub(self.refunded)?.checked_sub(self.to_balance)?))
    }

    /// Returns what of that a gateway can pay back.
    pub fn refundable(&self) -> Result<Money, MoneyError> {
        refund_cap(self.paid, self.refunded, self.left()?)
    }
}

impl LineCredit {
    /// Gives nothing, for a line of so many tax rates.
    pub fn none(currency: Currency, rate_count: usize) -> Self {
        Self { amount: Money::zero(currency), taxes: vec![Money::zero(currency); rate_count] }
    }
}

impl IssuedLine {
    /// Returns what was billed for the line, after discount.
    pub fn billed(&self) -> Result<Money, MoneyError> {
        self.amount.checked_sub(self.discount)
    }

    /// Returns what no credit note has taken of the line.
    pub fn left(&self) -> Result<Money, MoneyError> {
        self.billed()?.checked_sub(self.credited.amount)
    }

    /// Takes an amount, which is not beyond what is left, and the taxes that go with it.
    fn credit(&self, amount: Money) -> Result<LineCredit, MoneyError> {
        let (billed, after) = (self.billed()?, self.credited.amount.checked_add(amount)?);
        let share = if after == billed { Fraction::WHOLE } else { share(after, billed) };
        let mut taxes = Vec::with_capacity(self.taxes.len());
        for (place, tax) in self.taxes.iter().enumerate() {
            let before = self.credited.taxes.get(place).copied().unwrap_or(Money::zero(tax.currency()));
            let minor = i64::try_from(share.share_of(i128::from(tax.minor())));
            let credited = Money::new(minor.map_err(|_| MoneyError::TooLarge)?, tax.currency());
            taxes.push(if amount.minor() == 0 {
                Money::zero(tax.currency())
            } else {
                credited.checked_sub(before)?
            });
        }
        Ok(LineCredit { amount, taxes })
    }
}

/// The share of a line that is credited; both have the same sign, or it is nothing.
fn share(credited: Money, billed: Money) -> Fraction {
    let sign = i128::from(billed.minor().signum());
    Fraction::new(sign * i128::from(credited.minor()), sign * i128::from(billed.minor()))
        .unwrap_or(Fraction::NONE)
}

fn full(left: &[Money]) -> Result<Vec<Money>, CreditNoteError> {
    if left.iter().all(|left| left.minor() == 0) {
        Err(CreditNoteError::NothingLeft)
    } else {
        Ok(left.to_vec())
    }
}

fn divided(amount: Money, left: &[Money]) -> Result<Vec<Money>, CreditNoteError> {
    check_total(amount, left)?;
    let weights: Vec<i64> = left.iter().map(|left| left.minor().max(0)).collect();
    let parts = allocate(amount.minor(), &weights);
    Ok(parts.into_iter().map(|minor| Money::new(minor, amount.currency())).collect())
}

fn by_line(
    currency: Currency,
    chosen: &[(usize, Money)],
    left: &[Money],
) -> Result<Vec<Money>, CreditNoteError> {
    let mut amounts = vec![Money::zero(currency); left.len()];
    for (line, asked) in chosen.iter().copied() {
        let left = left.get(line).copied().ok_or(CreditNoteError::UnknownLine { line })?;
        if asked.minor() <= 0 {
            return Err(CreditNoteError::NotPositive);
        }
        if left.checked_sub(asked)?.minor() < 0 {
            return Err(CreditNoteError::AboveLine { line, asked, left });
        }
        if amounts[line].minor() != 0 {
            return Err(CreditNoteError::LineTwice { line });
        }
        amounts[line] = asked;
    }
    check_total(sum(Money::zero(currency), &amounts)?, left)?;
    Ok(amounts)
}

/// Refuses an amount above what is left of the invoice, which negative lines make less than what is left of the others.
fn check_total(asked: Money, left: &[Money]) -> Result<(), CreditNoteError> {
    if asked.minor() <= 0 {
        return Err(CreditNoteError::NotPositive);
    }
    let left = sum(Money::zero(asked.currency()), left)?;
    if left.checked_sub(asked)?.minor() < 0 {
        return Err(CreditNoteError::AboveInvoice { asked, left });
    }
    Ok(())
}

fn sum(start: Money, amounts: &[Money]) -> Result<Money, MoneyError> {
    amounts.iter().try_fold(start, |sum, amount| sum.checked_add(*amount))
}

fn smaller(a: Money, b: Money) -> Result<Money, MoneyError> {
    Ok(if a.checked_sub(b)?.minor() < 0 { a } else { b })
}

fn at_least_zero(amount: Money) -> Money {
    if amount.minor() < 0 { Money::zero(amount.currency()) } else { amount }
}
