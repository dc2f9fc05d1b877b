//! An invoice or a credit note as people read it: what its PDF and its hosted page are both made from.
//!
//! The structs hold values, and the functions here turn them into words and figures, so that the two renderings cannot
//! differ. Nothing is escaped: each rendering does that in its own way.

mod figures;
mod link;
#[cfg(test)]
mod tests;
mod totals;

pub use figures::{amount_text, date_text, deduction_text, grouped_text, unit_price_text};
pub use link::WebAddress;
pub use totals::{TotalKind, TotalRow};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use thiserror::Error;

use super::state::InvoiceStatus;
use super::{TaxAmount, TaxBehavior, TaxRate};
use crate::money::{Money, MoneyError};
use crate::period::Period;

/// All that is printed on an invoice or a credit note; every amount is in the currency of `total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceDocument {
    /// What it is called and which way the money goes.
    pub kind: DocumentKind,
    /// The number, which a draft does not have.
    pub number: Option<String>,
    /// Where it stands; a credit note is `Draft`, `Void` or else issued.
    pub status: InvoiceStatus,
    /// The day it was finalized, in the customer's time zone.
    pub issued_on: Option<Date>,
    /// The last day to pay without being late.
    pub due_on: Option<Date>,
    /// The days that are billed.
    pub period: Option<DocumentPeriod>,
    /// Who bills.
    pub seller: Seller,
    /// Who is billed.
    pub customer: Party,
    /// What is billed, in the order of the invoice.
    pub lines: Vec<DocumentLine>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// Discounts on the whole invoice; those of single lines are already in the lines' amounts.
    pub discounts: Vec<DocumentDiscount>,
    /// The tax by name and percentage.
    pub taxes: Vec<TaxAmount>,
    /// Whether the taxes come on top of the lines or are in their amounts already.
    pub tax_behavior: TaxBehavior,
    /// The subtotal less the discounts, plus the taxes that come on top.
    pub total: Money,
    /// What customer credit has settled; positive.
    pub credit_applied: Money,
    /// What payments have settled; positive.
    pub paid: Money,
    /// What is still asked for.
    pub amount_due: Money,
    /// Where it can be paid.
    pub payment_link: Option<WebAddress>,
    /// Whether the PDF shows the payment link as a QR code too.
    pub payment_qr_code: bool,
    /// A remark to the customer, shown below the totals.
    pub notes: Option<String>,
}

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentKind {
    /// It asks for money.
    Invoice,
    /// It takes back an invoice or a part of it.
    CreditNote {
        /// The number of the invoice that is corrected.
        corrected_number: Option<String>,
    },
}

/// The tenant as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller {
    /// Its legal name and where it is.
    pub party: Party,
    /// Shown in place of the plain name at the top.
    pub logo: Option<Logo>,
    /// Terms of payment, shown below the totals.
    pub terms: Option<String>,
    /// Small print at the foot of every page, such as a register entry.
    pub footer: Option<String>,
}

/// One side of the sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The legal name.
    pub name: String,
    /// The postal address as on an envelope, without the name.
    pub address: Vec<String>,
    /// Numbers such as a VAT id.
    pub tax_ids: Vec<TaxId>,
}

/// A tax number and what it is called where it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxId {
    /// What the number is, such as `VAT ID`.
    pub label: String,
    /// The number.
    pub value: String,
}

/// A picture of the seller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// How the bytes are to be read.
    pub format: LogoFormat,
    /// The file.
    pub bytes: Vec<u8>,
}

/// The formats of a logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoFormat {
    /// A bitmap.
    Png,
    /// A photograph.
    Jpeg,
    /// A drawing.
    Svg,
}

/// The first and the last day of a period, both of which belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentPeriod {
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

/// A line of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentLine {
    /// What was sold.
    pub description: String,
    /// The days that the line covers, if they are not obvious.
    pub period: Option<DocumentPeriod>,
    /// How many units.
    pub quantity: Option<Decimal>,
    /// What one unit is called, such as `GB`.
    pub unit: Option<String>,
    /// The price of one unit in major units of the currency; a tiered line has no single one.
    pub unit_price: Option<Decimal>,
    /// What was taken off this line; positive.
    pub discount: Option<Money>,
    /// The taxes on the line.
    pub taxes: Vec<TaxRate>,
    /// The amount after the line's discount, before the taxes that come on top.
    pub amount: Money,
}

/// A discount on the whole invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentDiscount {
    /// What the discount is called.
    pub name: String,
    /// What it takes off; positive.
    pub amount: Money,
}

/// Why a document must not be shown to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The parts of a sum do not give the sum.
    #[error("the {sum} of the invoice is {stated}, but its parts give {computed}")]
    DoesNotAddUp {
        /// Which sum.
        sum: &'static str,
        /// The sum as the document has it.
        stated: Money,
        /// What its parts add up to.
        computed: Money,
    },
    /// Two amounts are in two currencies, or a sum is too large.
    #[error("the amounts of the invoice cannot be added")]
    Amount(#[from] MoneyError),
}

impl DocumentPeriod {
    /// Names the days of a half-open period in a time zone: one that ends at midnight does not touch the day after.
    pub fn of(period: &Period, time_zone: &TimeZone) -> Self {
        let day = |at: Timestamp| time_zone.to_datetime(at).date();
        let tick = SignedDuration::from_nanos(1);
        let last_instant = period.end.checked_sub(tick).unwrap_or(period.end).max(period.start);
        Self { first: day(period.start), last: day(last_instant) }
    }

    /// Writes both days, or the one day of a period of a single day.
    pub fn text(&self) -> String {
        if self.first == self.last {
            return date_text(self.first);
        }
        format!("{} – {}", date_text(self.first), date_text(self.last))
    }
}

impl InvoiceDocument {
    /// Returns what the document is called in its heading.
    pub const fn title(&self) -> &'static str {
        match self.kind {
            DocumentKind::Invoice => "Invoice",
            DocumentKind::CreditNote { .. } => "Credit note",
        }
    }

    /// Returns the status in the customer's words: an invoice that was given up is still open to them.
    pub const fn status_text(&self) -> &'static str {
        match (&self.kind, self.status) {
            (_, InvoiceStatus::Draft) => "Draft",
            (_, InvoiceStatus::Void) => "Void",
            (DocumentKind::Invoice, InvoiceStatus::Finalized | InvoiceStatus::Uncollectible) => "Open",
            (DocumentKind::Invoice, InvoiceStatus::Paid) => "Paid",
            (
                DocumentKind::CreditNote { .. },
                InvoiceStatus::Finalized | InvoiceStatus::Uncollectible | InvoiceStatus::Paid,
            ) => "Issued",
        }
    }

    /// Tells whether the document still asks its reader for money.
    pub fn asks_for_money(&self) -> bool {
        self.kind == DocumentKind::Invoice && self.status.is_payable() && self.amount_due.minor() > 0
    }

    /// Tells whether any line has a discount of its own, which then takes a column.
    pub fn has_line_discounts(&self) -> bool {
        self.lines.iter().any(|line| line.discount.is_some())
    }

    /// Adds everything up again; a document that contradicts itself must not reach a customer.
    pub fn check(&self) -> Result<(), DocumentError> {
        let zero = Money::zero(self.total.currency());
        let lines = self.lines.iter().try_fold(zero, |sum, line| sum.checked_add(line.amount))?;
        must_equal("subtotal", self.subtotal, lines)?;
        let net = self.discounts.iter().try_fold(lines, |sum, discount| sum.checked_sub(discount.amount))?;
        let gross = match self.tax_behavior {
            TaxBehavior::Exclusive => {
                self.taxes.iter().try_fold(net, |sum, tax| sum.checked_add(tax.amount))?
            }
            TaxBehavior::Inclusive => net,
        };
        must_equal("total", self.total, gross)?;
        let due = gross.checked_sub(self.credit_applied)?.checked_sub(self.paid)?;
        if self.asks_for_money() { must_equal("amount due", self.amount_due, due) } else { Ok(()) }
    }
}

impl DocumentLine {
    /// Writes the quantity with its unit.
    pub fn quantity_text(&self) -> String {
        let quantity = self.quantity.map(grouped_text).unwrap_or_default();
        match &self.unit {
            Some(unit) if !quantity.is_empty() => format!("{quantity} {unit}"),
            Some(_) | None => quantity,
        }
    }

    /// Writes the price of one unit with at least the digits that the currency has.
    pub fn unit_price_text(&self) -> String {
        self.unit_price.map(|price| unit_price_text(price, self.amount.currency())).unwrap_or_default()
    }

    /// Writes the percentages of the taxes; their names are beside the sums.
    pub fn tax_text(&self) -> String {
        let percents = self.taxes.iter().map(|tax| format!("{} %", grouped_text(tax.percent)));
        percents.collect::<Vec<_>>().join(" + ")
    }
}

fn must_equal(sum: &'static str, stated: Money, computed: Money) -> Result<(), DocumentError> {
    if stated == computed {
        return Ok(());
    }
    Err(DocumentError::DoesNotAddUp { sum, stated, computed })
}
