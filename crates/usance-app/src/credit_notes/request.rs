//! What a caller asks of a credit note, and what is wrong with it.

use usance_core::{
    ids::InvoiceId,
    invoice::credit_note::{CreditNoteError, CreditRequest},
    money::{Currency, Money},
};
use usance_db::line_items::LineItem;

use crate::{
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, check_word},
    refunds::REASONS,
};

/// Lines that one credit note may name.
const LINES_MAX: usize = 250;
const SETTLEMENTS: [&str; 2] = ["refund", "balance"];

/// A credit note to be made; exactly one of `full`, `amount_minor` and `lines`.
#[derive(Debug, Default)]
pub struct CreateCreditNote {
    /// Id of the invoice.
    pub invoice: String,
    /// A word.
    pub reason: String,
    /// For the customer to read.
    pub memo: Option<String>,
    /// All that is left.
    pub full: bool,
    /// In minor units and in the terms of the lines, so without a tax that comes on top.
    pub amount_minor: Option<i64>,
    /// In the same terms.
    pub lines: Option<Vec<CreateCreditLine>>,
    /// Where the part that was paid goes: `refund`, as far as a gateway can pay it back, or `balance`.
    pub settle: Option<String>,
    /// Exactly how much is paid back, taxes included, in minor units.
    pub refund_minor: Option<i64>,
}

/// What is to be taken of a line.
#[derive(Debug)]
pub struct CreateCreditLine {
    /// Id of the line item.
    pub line: String,
    /// In minor units, after the discount.
    pub amount_minor: i64,
}

/// A request that can be read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) invoice: InvoiceId,
    pub(super) reason: String,
    pub(super) memo: String,
    pub(super) amount: Amount,
    pub(super) settle: Settle,
}

/// How much is to be credited.
#[derive(Debug)]
pub(super) enum Amount {
    Full,
    Sum(i64),
    Lines(Vec<CreateCreditLine>),
}

/// Where the part of a credit that was paid goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settle {
    /// Back to the customer as far as the gateway can pay it back; the rest is kept as a balance.
    Refund,
    /// All is kept as a balance.
    Balance,
    /// So many minor units are paid back.
    RefundExactly(i64),
}

/// Reads a request; all its faults are told at once.
pub(super) fn read(input: CreateCreditNote) -> Result<Wanted> {
    let mut faults = Faults::default();
    let invoice = input.invoice.parse();
    if invoice.is_err() {
        faults.add("/invoice", "unknown_invoice", "there is no invoice with this id");
    }
    check_word(&mut faults, "/reason", &input.reason, &REASONS);
    let memo = input.memo.unwrap_or_default();
    check_optional_text(&mut faults, "/memo", &memo);
    let settle = read_settle(&mut faults, input.settle.as_deref(), input.refund_minor);
    let amount = read_amount(&mut faults, input.full, input.amount_minor, input.lines);
    faults.check()?;
    let (Ok(invoice), Some(amount)) = (invoice, amount) else {
        return Err(Error::Internal("a request without faults cannot be read"));
    };
    Ok(Wanted { invoice, reason: input.reason, memo, amount, settle })
}

fn read_settle(faults: &mut Faults, settle: Option<&str>, refund_minor: Option<i64>) -> Settle {
    if let Some(settle) = settle {
        check_word(faults, "/settle", settle, &SETTLEMENTS);
    }
    let to_balance = settle == Some("balance");
    match refund_minor {
        None if to_balance => Settle::Balance,
        None => Settle::Refund,
        Some(minor) => {
            if minor < 0 {
                faults.add("/refund_minor", "out_of_range", "must not be negative");
            }
            if minor > 0 && to_balance {
                faults.add("/refund_minor", "contradiction", "nothing is refunded when settle is balance");
            }
            Settle::RefundExactly(minor)
        }
    }
}

fn read_amount(
    faults: &mut Faults,
    full: bool,
    amount_minor: Option<i64>,
    lines: Option<Vec<CreateCreditLine>>,
) -> Option<Amount> {
    match (full, amount_minor, lines) {
        (true, None, None) => Some(Amount::Full),
        (false, Some(minor), None) => {
            if minor <= 0 {
                faults.add("/amount_minor", "out_of_range", "must be positive");
            }
            Some(Amount::Sum(minor))
        }
        (false, None, Some(lines)) => {
            check_lines(faults, &lines);
            Some(Amount::Lines(lines))
        }
        (true | false, _, _) => {
            faults.add("", "amount_missing", "give exactly one of full, amount_minor and lines");
            None
        }
    }
}

fn check_lines(faults: &mut Faults, lines: &[CreateCreditLine]) {
    if lines.is_empty() || lines.len() > LINES_MAX {
        faults.add("/lines", "out_of_range", format!("must have 1 to {LINES_MAX} lines"));
    }
    for (index, line) in lines.iter().take(LINES_MAX).enumerate() {
        if line.amount_minor <= 0 {
            faults.add(&format!("/lines/{index}/amount_minor"), "out_of_range", "must be positive");
        }
        if lines[..index].iter().any(|earlier| earlier.line == line.line) {
            faults.add(&format!("/lines/{index}/line"), "duplicate", "names a line a second time");
        }
    }
}

impl Amount {
    /// Finds the places of the lines on the invoice.
    pub(super) fn on(&self, items: &[LineItem], currency: Currency) -> Result<CreditRequest> {
        let lines = match self {
            Self::Full => return Ok(CreditRequest::Full),
            Self::Sum(minor) => return Ok(CreditRequest::Amount(Money::new(*minor, currency))),
            Self::Lines(lines) => lines,
        };
        let mut faults = Faults::default();
        let mut chosen = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            if let Some(place) = items.iter().position(|item| item.id.to_string() == line.line) {
                chosen.push((place, Money::new(line.amount_minor, currency)));
            } else {
                let pointer = format!("/lines/{index}/line");
                faults.add(&pointer, "unknown_line", "the invoice has no line with this id");
            }
        }
        faults.check()?;
        Ok(CreditRequest::Lines(chosen))
    }
}

/// What a refused credit of an invoice with these lines means for the caller.
pub(super) fn refuse(error: CreditNoteError, items: &[LineItem]) -> Error {
    match error {
        CreditNoteError::NothingLeft | CreditNoteError::AboveInvoice { .. } => {
            Error::refused(Code::CreditNoteTooLarge, error.to_string())
        }
        CreditNoteError::AboveLine { line, asked, left } => {
            let name = items.get(line).map(|item| item.id.to_string()).unwrap_or_default();
            let detail = format!("{asked} is more than the {left} that is left of the line {name}");
            Error::refused(Code::CreditNoteTooLarge, detail)
        }
        CreditNoteError::AbovePaid { left, .. } => Error::refused(
            Code::CreditNoteTooLarge,
            format!(
                "only {left} was paid and not given back, by refunds without a credit note too: credit at most that"
            ),
        ),
        CreditNoteError::NotPositive => Error::field("", "out_of_range", error.to_string()),
        CreditNoteError::UnknownLine { .. } | CreditNoteError::LineTwice { .. } => {
            Error::field("/lines", "invalid", error.to_string())
        }
        CreditNoteError::Amount(_) => Error::field("", "too_large", "the amounts are too large"),
    }
}
