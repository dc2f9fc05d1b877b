//! Posts what happens to money in the transaction in which it happens. The rows are written at its commit.

use jiff::Timestamp;
use usance_core::{
    invoice::state::InvoiceStatus,
    ledger::{BalanceReason, Posting},
    money::Currency,
};
use usance_db::{
    TenantTx,
    credit_balances::{self, CreditBalanceEntry},
    credit_notes::CreditNote,
    invoices::Invoice,
    ledger,
    payments::Payment,
    refunds::Refund,
};

use crate::error::{Error, Result};

/// Posts the invoices among these that are issued; drafts are not money yet.
pub(crate) fn post_issued(tx: &mut TenantTx, invoices: &[Invoice]) -> Result<()> {
    for invoice in invoices {
        if let Some(at) = invoice.finalized_at.filter(|_| invoice.sequence.is_some()) {
            let posting = posting(invoice, at)?;
            ledger::post(tx, posting.issue(invoice.id, invoice.total_minor, invoice.tax_minor)?);
        }
    }
    Ok(())
}

/// Posts that an invoice is withdrawn, which is given as it was before.
pub(crate) fn post_void(tx: &mut TenantTx, before: &Invoice, at: Timestamp) -> Result<()> {
    let (total, tax) = (before.total_minor, before.tax_minor);
    let written_off = written_off(before, before.amount_due_minor());
    ledger::post(tx, posting(before, at)?.void(before.id, total, tax, written_off)?);
    Ok(())
}

/// Posts that what is due of an invoice is given up.
pub(crate) fn post_write_off(tx: &mut TenantTx, invoice: &Invoice, at: Timestamp) -> Result<()> {
    ledger::post(tx, posting(invoice, at)?.write_off(invoice.id, invoice.amount_due_minor()));
    Ok(())
}

/// Posts that a payment pays an invoice, which is given as it was before.
pub(crate) fn post_payment(
    tx: &mut TenantTx,
    before: &Invoice,
    payment: &Payment,
    at: Timestamp,
) -> Result<()> {
    let (amount, written_off) = (payment.amount_minor, written_off(before, payment.amount_minor));
    ledger::post(tx, posting(before, at)?.pay(payment.id, amount, written_off));
    Ok(())
}

/// Posts that a payment took money that is not owed any more.
pub(crate) fn post_duplicate(tx: &mut TenantTx, payment: &Payment, at: Timestamp) -> Result<()> {
    let posting = Posting {
        customer: payment.customer_id,
        currency: read_currency(&payment.currency)?,
        invoice: Some(payment.invoice_id),
        at,
    };
    ledger::post(tx, posting.pay_twice(payment.id, payment.amount_minor));
    Ok(())
}

/// Posts a credit note on an invoice, which is given as it was before.
pub(crate) fn post_credit_note(tx: &mut TenantTx, before: &Invoice, note: &CreditNote) -> Result<()> {
    let written_off = written_off(before, note.reduced_minor);
    let amounts = (note.total_minor, note.tax_minor);
    let posting = posting(before, note.created_at)?;
    ledger::post(tx, posting.credit(note.id, amounts, note.refunded_minor, written_off)?);
    Ok(())
}

/// Adds entries to customers' credit balances, and posts them.
pub(crate) async fn change_balances(tx: &mut TenantTx, entries: &[CreditBalanceEntry]) -> Result<()> {
    for entry in entries {
        let posting = Posting {
            customer: entry.customer_id,
            currency: read_currency(&entry.currency)?,
            invoice: entry.invoice_id,
            at: entry.created_at,
        };
        let reason = BalanceReason::parse(&entry.reason)
            .ok_or(Error::Internal("the reason of a credit balance's entry is not known"))?;
        ledger::post(tx, posting.change_balance(entry.id, reason, entry.amount_minor));
    }
    Ok(credit_balances::insert_many(tx, entries).await?)
}

/// What becomes of a refund, as far as money is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefundStep {
    /// It was asked for.
    Granted,
    /// The gateway paid it.
    Paid,
    /// The gateway refused it.
    Refused,
    /// The gateway paid it although it counts as failed.
    PaidLate,
}

/// Posts a step of a refund. What a credit note asks back is posted with the note, and with the balance that it becomes.
pub(crate) fn post_refund(tx: &mut TenantTx, refund: &Refund, step: RefundStep, at: Timestamp) -> Result<()> {
    let currency = read_currency(&refund.currency)?;
    let posting = Posting { customer: refund.customer_id, currency, invoice: None, at };
    let transfers = match (step, refund.credit_note_id) {
        (RefundStep::Granted | RefundStep::Refused, Some(_)) => return Ok(()),
        (RefundStep::Granted, None) => posting.grant_refund(refund.id, refund.amount_minor),
        (RefundStep::Refused, None) => posting.cancel_refund(refund.id, refund.amount_minor),
        (RefundStep::Paid, _) => posting.refund(refund.id, refund.amount_minor),
        (RefundStep::PaidLate, _) => posting.refund_late(refund.id, refund.amount_minor),
    };
    ledger::post(tx, transfers);
    Ok(())
}

fn posting(invoice: &Invoice, at: Timestamp) -> Result<Posting> {
    let currency = read_currency(&invoice.currency)?;
    Ok(Posting { customer: invoice.customer_id, currency, invoice: Some(invoice.id), at })
}

/// What had been given up of an amount that an invoice does not owe any more.
fn written_off(before: &Invoice, amount_minor: i64) -> i64 {
    if before.status == InvoiceStatus::Uncollectible.as_str() { amount_minor } else { 0 }
}

fn read_currency(code: &str) -> Result<Currency> {
    Currency::parse(code).map_err(|_| Error::Internal("a stored currency cannot be read"))
}
