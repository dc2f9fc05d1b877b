//! How invoices, payments, credit notes, refunds and credit balances are posted.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Account, AccountCode, Kind, Reason, Transfer, Unit};
use crate::ids::{CreditBalanceEntryId, CreditNoteId, CustomerId, InvoiceId, PaymentId, RefundId};
use crate::money::{Currency, MoneyError};

/// What all transfers of one business event share. Amounts are in minor units of its currency; one below zero is posted
/// with its legs exchanged, and zero is not posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// Whose receivable and credit balance.
    pub customer: CustomerId,
    /// Of all amounts.
    pub currency: Currency,
    /// The invoice that it concerns.
    pub invoice: Option<InvoiceId>,
    /// In the tenant's time.
    pub at: Timestamp,
}

/// Where an entry of a credit balance comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BalanceReason {
    /// A negative invoice or a credit note goes to the balance, or the balance pays an invoice or gets that back.
    Invoice,
    /// The gateway refused what a credit note asked back.
    RefundFailed,
}

impl BalanceReason {
    /// Reads the word of an entry.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "negative_invoice" | "applied_to_invoice" | "invoice_voided" | "credit_note" => {
                Some(Self::Invoice)
            }
            "refund_failed" => Some(Self::RefundFailed),
            _ => None,
        }
    }
}

impl Posting {
    /// An invoice is issued: its total is owed, its tax belongs to an authority, the rest is earned.
    pub fn issue(&self, invoice: InvoiceId, total: i64, tax: i64) -> Result<Vec<Transfer>, MoneyError> {
        let net = without(total, tax)?;
        Ok(self.all([
            (invoice.uuid(), Reason::InvoiceRevenue, AccountCode::Receivable, AccountCode::Revenue, net),
            (invoice.uuid(), Reason::InvoiceTax, AccountCode::Receivable, AccountCode::TaxPayable, tax),
        ]))
    }

    /// An invoice is withdrawn; `written_off` is what had been given up of it.
    pub fn void(
        &self,
        invoice: InvoiceId,
        total: i64,
        tax: i64,
        written_off: i64,
    ) -> Result<Vec<Transfer>, MoneyError> {
        let net = without(total, tax)?;
        let id = invoice.uuid();
        Ok(self.all([
            (id, Reason::WriteOffReversal, AccountCode::Receivable, AccountCode::WriteOff, written_off),
            (id, Reason::VoidRevenue, AccountCode::Revenue, AccountCode::Receivable, net),
            (id, Reason::VoidTax, AccountCode::TaxPayable, AccountCode::Receivable, tax),
        ]))
    }

    /// What is due of an invoice is given up.
    pub fn write_off(&self, invoice: InvoiceId, due: i64) -> Vec<Transfer> {
        self.all([(invoice.uuid(), Reason::WriteOff, AccountCode::WriteOff, AccountCode::Receivable, due)])
    }

    /// A payment pays an invoice; `written_off` is what had been given up of it.
    pub fn pay(&self, payment: PaymentId, amount: i64, written_off: i64) -> Vec<Transfer> {
        let id = payment.uuid();
        self.all([
            (id, Reason::WriteOffReversal, AccountCode::Receivable, AccountCode::WriteOff, written_off),
            (id, Reason::Payment, AccountCode::Clearing, AccountCode::Receivable, amount),
        ])
    }

    /// A payment took money that is not owed.
    pub fn pay_twice(&self, payment: PaymentId, amount: i64) -> Vec<Transfer> {
        let reason = Reason::DuplicatePayment;
        self.all([(payment.uuid(), reason, AccountCode::Clearing, AccountCode::Unapplied, amount)])
    }

    /// A credit note takes back what was earned and its tax, and asks `refunded` of it back from the gateway;
    /// `written_off` is what had been given up of the part that is not owed any more.
    pub fn credit(
        &self,
        note: CreditNoteId,
        (total, tax): (i64, i64),
        refunded: i64,
        written_off: i64,
    ) -> Result<Vec<Transfer>, MoneyError> {
        let net = without(total, tax)?;
        let (id, receivable) = (note.uuid(), AccountCode::Receivable);
        Ok(self.all([
            (id, Reason::WriteOffReversal, receivable, AccountCode::WriteOff, written_off),
            (id, Reason::CreditNoteRevenue, AccountCode::Revenue, receivable, net),
            (id, Reason::CreditNoteTax, AccountCode::TaxPayable, receivable, tax),
            (id, Reason::CreditNoteRefund, receivable, AccountCode::RefundsPayable, refunded),
        ]))
    }

    /// A credit balance grows by an amount, or shrinks by one below zero.
    pub fn change_balance(
        &self,
        entry: CreditBalanceEntryId,
        from: BalanceReason,
        amount: i64,
    ) -> Vec<Transfer> {
        let from = match from {
            BalanceReason::Invoice => AccountCode::Receivable,
            BalanceReason::RefundFailed => AccountCode::RefundsPayable,
        };
        self.all([(entry.uuid(), Reason::CreditBalance, from, AccountCode::CreditBalance, amount)])
    }

    /// A refund is granted without a credit note.
    pub fn grant_refund(&self, refund: RefundId, amount: i64) -> Vec<Transfer> {
        let reason = Reason::RefundGranted;
        self.all([(refund.uuid(), reason, AccountCode::Refunds, AccountCode::RefundsPayable, amount)])
    }

    /// The gateway refused a refund that was granted without a credit note.
    pub fn cancel_refund(&self, refund: RefundId, amount: i64) -> Vec<Transfer> {
        let reason = Reason::RefundCancelled;
        self.all([(refund.uuid(), reason, AccountCode::RefundsPayable, AccountCode::Refunds, amount)])
    }

    /// The gateway paid a refund.
    pub fn refund(&self, refund: RefundId, amount: i64) -> Vec<Transfer> {
        let reason = Reason::Refund;
        self.all([(refund.uuid(), reason, AccountCode::RefundsPayable, AccountCode::Clearing, amount)])
    }

    /// The gateway paid a refund that counted as failed: something else has taken its place.
    pub fn refund_late(&self, refund: RefundId, amount: i64) -> Vec<Transfer> {
        let reason = Reason::LateRefund;
        self.all([(refund.uuid(), reason, AccountCode::Unapplied, AccountCode::Clearing, amount)])
    }

    fn all<const N: usize>(
        &self,
        parts: [(Uuid, Reason, AccountCode, AccountCode, i64); N],
    ) -> Vec<Transfer> {
        parts.into_iter().filter_map(|part| self.transfer(part)).collect()
    }

    fn transfer(
        &self,
        (source, reason, debit, credit, amount): (Uuid, Reason, AccountCode, AccountCode, i64),
    ) -> Option<Transfer> {
        let (debit, credit) = if amount < 0 { (credit, debit) } else { (debit, credit) };
        // An amount of -2^63 has no counterpart; no invoice can have it, as its parts could not be summed.
        let amount = amount.checked_abs().filter(|amount| *amount > 0)?;
        Some(Transfer {
            source,
            reason,
            kind: Kind::Single,
            debit: self.account(debit),
            credit: self.account(credit),
            unit: Unit::Money(self.currency),
            amount,
            invoice: self.invoice,
            over_limit: false,
            at: self.at,
        })
    }

    /// Customers have a receivable and a credit balance of their own, the rest is the tenant's.
    const fn account(&self, code: AccountCode) -> Account {
        match code {
            AccountCode::Receivable | AccountCode::CreditBalance => Account::of_customer(code, self.customer),
            AccountCode::Revenue
            | AccountCode::TaxPayable
            | AccountCode::Clearing
            | AccountCode::Unapplied
            | AccountCode::RefundsPayable
            | AccountCode::Refunds
            | AccountCode::WriteOff
            | AccountCode::Wallet
            | AccountCode::Promotion
            | AccountCode::Breakage
            | AccountCode::Quota
            | AccountCode::Consumption => Account::own(code),
        }
    }
}

fn without(total: i64, tax: i64) -> Result<i64, MoneyError> {
    total.checked_sub(tax).ok_or(MoneyError::TooLarge)
}
