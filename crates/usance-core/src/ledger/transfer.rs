//! Transfers: both legs of an entry as one value.

use jiff::Timestamp;
use uuid::Uuid;

use super::Account;
use crate::ids::{FeatureId, InvoiceId};
use crate::money::Currency;

/// What an account counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Minor units of a currency.
    Money(Currency),
    /// Millionths of a feature's unit.
    Feature(FeatureId),
}

impl Unit {
    /// The word of the database: a currency's code, or the id of a feature.
    pub fn word(self) -> String {
        match self {
            Self::Money(currency) => currency.code().to_owned(),
            Self::Feature(feature) => feature.to_string(),
        }
    }
}

/// Why a transfer was made. A source is transferred at most once for each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An invoice was issued: what it charges without tax.
    InvoiceRevenue,
    /// An invoice was issued: its tax.
    InvoiceTax,
    /// An invoice was withdrawn.
    VoidRevenue,
    /// The tax of an invoice that was withdrawn.
    VoidTax,
    /// An invoice was given up as a bad debt.
    WriteOff,
    /// What was given up is not owed any more, or was paid after all.
    WriteOffReversal,
    /// A payment succeeded.
    Payment,
    /// A payment took money that nothing was owed for any more.
    DuplicatePayment,
    /// A credit note without its tax.
    CreditNoteRevenue,
    /// The tax of a credit note.
    CreditNoteTax,
    /// What a credit note asks back from the gateway.
    CreditNoteRefund,
    /// An entry of a customer's credit balance.
    CreditBalance,
    /// A refund was granted without a credit note.
    RefundGranted,
    /// The gateway refused a refund that was granted without a credit note.
    RefundCancelled,
    /// The gateway paid a refund.
    Refund,
    /// The gateway paid a refund that counted as failed.
    LateRefund,
    /// Credits were given to a wallet.
    WalletGrant,
    /// A wallet was topped up.
    WalletTopUp,
    /// A wallet was debited.
    WalletDebit,
    /// Credits of a wallet expired.
    WalletExpiry,
    /// An amount is held before work.
    Hold,
    /// What was used of a hold.
    HoldSettled,
    /// A hold was released.
    HoldReleased,
    /// A hold ran out.
    HoldExpired,
}

impl Reason {
    /// The word of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvoiceRevenue => "invoice_revenue",
            Self::InvoiceTax => "invoice_tax",
            Self::VoidRevenue => "void_revenue",
            Self::VoidTax => "void_tax",
            Self::WriteOff => "write_off",
            Self::WriteOffReversal => "write_off_reversal",
            Self::Payment => "payment",
            Self::DuplicatePayment => "duplicate_payment",
            Self::CreditNoteRevenue => "credit_note_revenue",
            Self::CreditNoteTax => "credit_note_tax",
            Self::CreditNoteRefund => "credit_note_refund",
            Self::CreditBalance => "credit_balance",
            Self::RefundGranted => "refund_granted",
            Self::RefundCancelled => "refund_cancelled",
            Self::Refund => "refund",
            Self::LateRefund => "late_refund",
            Self::WalletGrant => "wallet_grant",
            Self::WalletTopUp => "wallet_top_up",
            Self::WalletDebit => "wallet_debit",
            Self::WalletExpiry => "wallet_expiry",
            Self::Hold => "hold",
            Self::HoldSettled => "hold_settled",
            Self::HoldReleased => "hold_released",
            Self::HoldExpired => "hold_expired",
        }
    }
}

/// A pending transfer that another one resolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Its source.
    pub id: Uuid,
    /// All that it held.
    pub amount: i64,
}

/// How a transfer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At once.
    Single,
    /// It holds its amount until it is resolved.
    Pending,
    /// It takes its amount of what is pending; the rest is free again.
    Post(Pending),
    /// It frees what is pending.
    Void(Pending),
    /// It frees what is pending because its time is over.
    Expire(Pending),
}

impl Kind {
    /// The word of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Pending => "pending",
            Self::Post(_) => "post",
            Self::Void(_) => "void",
            Self::Expire(_) => "expire",
        }
    }

    /// What it resolves.
    pub const fn pending(self) -> Option<Pending> {
        match self {
            Self::Single | Self::Pending => None,
            Self::Post(pending) | Self::Void(pending) | Self::Expire(pending) => Some(pending),
        }
    }
}

/// An amount that leaves one account and enters another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The row that it posts.
    pub source: Uuid,
    /// Why.
    pub reason: Reason,
    /// How it counts.
    pub kind: Kind,
    /// The account that is debited.
    pub debit: Account,
    /// The account that is credited.
    pub credit: Account,
    /// What both accounts count.
    pub unit: Unit,
    /// Above zero.
    pub amount: i64,
    /// The invoice that it concerns.
    pub invoice: Option<InvoiceId>,
    /// Whether it is of something that happened already, so that no limit can stop it.
    pub over_limit: bool,
    /// In the tenant's time.
    pub at: Timestamp,
}
