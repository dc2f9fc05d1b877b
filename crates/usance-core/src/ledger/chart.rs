//! The chart of accounts.

use uuid::Uuid;

use crate::ids::CustomerId;

/// The side on which an account grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Assets and expenses.
    Debit,
    /// Liabilities and income.
    Credit,
}

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountCode {
    /// What a customer owes for issued invoices.
    Receivable,
    /// What was earned, without tax.
    Revenue,
    /// Tax that was charged and belongs to an authority.
    TaxPayable,
    /// What the tenant owes a customer and takes from later invoices.
    CreditBalance,
    /// Money that gateways have taken and not paid out yet.
    Clearing,
    /// Money that was taken and belongs to no invoice: a person must give it back.
    Unapplied,
    /// What is to be paid back through a gateway and has not arrived yet.
    RefundsPayable,
    /// What was paid back without taking anything off an invoice.
    Refunds,
    /// Bad debts.
    WriteOff,
    /// Prepaid money of a customer; below zero, what was used on credit.
    Wallet,
    /// Credits that were given away.
    Promotion,
    /// Prepaid credits that expired unused.
    Breakage,
    /// Units of a feature that a customer may use.
    Quota,
    /// Units of a feature that were given or used.
    Consumption,
}

impl AccountCode {
    /// Every account of the chart.
    pub const ALL: [Self; 14] = [
        Self::Receivable,
        Self::Revenue,
        Self::TaxPayable,
        Self::CreditBalance,
        Self::Clearing,
        Self::Unapplied,
        Self::RefundsPayable,
        Self::Refunds,
        Self::WriteOff,
        Self::Wallet,
        Self::Promotion,
        Self::Breakage,
        Self::Quota,
        Self::Consumption,
    ];

    /// The word of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receivable => "receivable",
            Self::Revenue => "revenue",
            Self::TaxPayable => "tax_payable",
            Self::CreditBalance => "credit_balance",
            Self::Clearing => "clearing",
            Self::Unapplied => "unapplied",
            Self::RefundsPayable => "refunds_payable",
            Self::Refunds => "refunds",
            Self::WriteOff => "write_off",
            Self::Wallet => "wallet",
            Self::Promotion => "promotion",
            Self::Breakage => "breakage",
            Self::Quota => "quota",
            Self::Consumption => "consumption",
        }
    }

    /// The side on which a balance of this account is positive.
    pub const fn side(self) -> Side {
        match self {
            Self::Receivable
            | Self::Clearing
            | Self::Refunds
            | Self::WriteOff
            | Self::Promotion
            | Self::Consumption => Side::Debit,
            Self::Revenue
            | Self::TaxPayable
            | Self::CreditBalance
            | Self::Unapplied
            | Self::RefundsPayable
            | Self::Wallet
            | Self::Breakage
            | Self::Quota => Side::Credit,
        }
    }
}

/// Whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The tenant's own: one for each unit.
    Tenant,
    /// A customer, a wallet or anything else that has an id.
    Of(Uuid),
}

/// An account of a tenant and mode; together with a unit it names one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// What it is for.
    pub code: AccountCode,
    /// Whose it is.
    pub owner: Owner,
}

impl Account {
    /// An account of the tenant itself.
    pub const fn own(code: AccountCode) -> Self {
        Self { code, owner: Owner::Tenant }
    }

    /// An account of a customer.
    pub const fn of_customer(code: AccountCode, customer: CustomerId) -> Self {
        Self { code, owner: Owner::Of(customer.uuid()) }
    }
}
