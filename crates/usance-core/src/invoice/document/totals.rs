//! The sums below the lines, in the order in which they are read.

use super::{DocumentKind, InvoiceDocument, amount_text, deduction_text, grouped_text};
use crate::invoice::state::InvoiceStatus;
use crate::invoice::{TaxAmount, TaxBehavior};
use crate::money::Money;

/// How much a row of the sums matters to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalKind {
    /// A step on the way.
    Part,
    /// The total of the document.
    Total,
    /// What is left to pay.
    Due,
}

/// A row of the sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalRow {
    /// What the amount is.
    pub label: String,
    /// The amount as it is printed: with its sign, and with the currency where the row is not only a step.
    pub amount: String,
    /// How the row is set.
    pub kind: TotalKind,
}

impl InvoiceDocument {
    /// Lists the sums from the subtotal to the amount due; what is zero and not a sum is left out.
    pub fn total_rows(&self) -> Vec<TotalRow> {
        let mut rows = vec![part("Subtotal", amount_text(self.subtotal))];
        rows.extend(self.discounts.iter().map(|it| part(&it.name, deduction_text(it.amount))));
        let taxes = |note: &str| -> Vec<TotalRow> {
            let label = |tax: &TaxAmount| format!("{note}{} {} %", tax.name, grouped_text(tax.percent));
            self.taxes.iter().map(|tax| part(&label(tax), amount_text(tax.amount))).collect()
        };
        let total = sum("Total", self.total, TotalKind::Total);
        match self.tax_behavior {
            TaxBehavior::Exclusive => {
                rows.extend(taxes(""));
                rows.push(total);
            }
            TaxBehavior::Inclusive => {
                rows.push(total);
                rows.extend(taxes("Including "));
            }
        }
        for (label, amount) in [("Credit applied", self.credit_applied), ("Paid", self.paid)] {
            if amount.minor() != 0 {
                rows.push(part(label, deduction_text(amount)));
            }
        }
        if self.shows_amount_due() {
            rows.push(sum("Amount due", self.amount_due, TotalKind::Due));
        }
        rows
    }

    fn shows_amount_due(&self) -> bool {
        match (&self.kind, self.status) {
            (DocumentKind::CreditNote { .. }, _) | (DocumentKind::Invoice, InvoiceStatus::Void) => false,
            (
                DocumentKind::Invoice,
                InvoiceStatus::Draft
                | InvoiceStatus::Finalized
                | InvoiceStatus::Paid
                | InvoiceStatus::Uncollectible,
            ) => true,
        }
    }
}

fn part(label: &str, amount: String) -> TotalRow {
    TotalRow { label: label.to_owned(), amount, kind: TotalKind::Part }
}

fn sum(label: &str, amount: Money, kind: TotalKind) -> TotalRow {
    let amount = format!("{} {}", amount.currency(), amount_text(amount));
    TotalRow { label: label.to_owned(), amount, kind }
}
