//! Payment gateways: who collects the money.

pub mod sandbox;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use usance_core::{
    ids::{PaymentId, RefundId},
    money::Money,
};

use crate::error::{Code, Error, Result};

/// The kinds of payment method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentMethodKind {
    /// A credit or debit card.
    Card,
    /// A transfer from a bank account.
    BankTransfer,
    /// A `PayPal` account.
    Paypal,
    /// A wallet of another provider.
    Wallet,
}

impl PaymentMethodKind {
    const ALL: [Self; 4] = [Self::Card, Self::BankTransfer, Self::Paypal, Self::Wallet];

    /// The word in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::BankTransfer => "bank_transfer",
            Self::Paypal => "paypal",
            Self::Wallet => "wallet",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a gateway tells about a payment method.
#[derive(Debug, Clone)]
pub struct DescribedMethod {
    /// The gateway's name for it.
    pub reference: String,
    /// Of a card.
    pub brand: Option<String>,
    /// Of a card.
    pub last4: Option<String>,
}

/// A charge to be made.
#[derive(Debug, Clone)]
pub struct ChargeRequest {
    /// The same for every attempt at the same payment: the gateway takes the money once.
    pub idempotency_key: PaymentId,
    /// The gateway's name for the payment method.
    pub payment_method: String,
    /// How much.
    pub amount: Money,
}

/// The failure code of a charge or refund that never reached the gateway, so that it may be made anew.
pub const NOT_RECEIVED: &str = "not_received";

/// What became of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken.
    Succeeded {
        /// The gateway's name for the charge.
        reference: String,
    },
    /// The money was not taken and will not be.
    Declined {
        /// Why, as a word.
        code: String,
    },
    /// The gateway did not answer: the money may have been taken. Only a look-up tells.
    Unknown,
}

/// A refund to be made.
#[derive(Debug, Clone)]
pub struct RefundRequest {
    /// The same for every attempt at the same refund: the gateway pays the money back once.
    pub idempotency_key: RefundId,
    /// The gateway's name for the charge.
    pub charge: String,
    /// How much of it.
    pub amount: Money,
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money is on its way to the customer.
    Succeeded {
        /// The gateway's name for the refund.
        reference: String,
    },
    /// The money was not paid back and will not be.
    Declined {
        /// Why, as a word.
        code: String,
    },
    /// The gateway did not answer: the money may have been paid back. Only a look-up tells.
    Unknown,
}

/// Collects payments and pays them back. A call never runs inside a database transaction.
pub trait PaymentGateway: Send + Sync {
    /// The word in the database.
    fn name(&self) -> &'static str;

    /// Reads the token of a payment method; the error says which tokens are accepted.
    fn describe(
        &self,
        kind: PaymentMethodKind,
        token: &str,
    ) -> std::result::Result<DescribedMethod, &'static str>;

    /// Takes the money.
    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, ChargeOutcome>;

    /// Looks up what became of a charge whose answer was lost. A charge that never arrived is
    /// declined as [`NOT_RECEIVED`].
    fn look_up(&self, request: ChargeRequest) -> BoxFuture<'_, ChargeOutcome>;

    /// Pays money back.
    fn refund(&self, request: RefundRequest) -> BoxFuture<'_, RefundOutcome>;

    /// Looks up what became of a refund whose answer was lost. A refund that never arrived is
    /// declined as [`NOT_RECEIVED`].
    fn look_up_refund(&self, request: RefundRequest) -> BoxFuture<'_, RefundOutcome>;
}

/// The gateways of this installation.
#[derive(Clone)]
pub struct Gateways {
    test: Arc<dyn PaymentGateway>,
}

impl Gateways {
    /// Test mode is served by `test`.
    pub fn new(test: Arc<dyn PaymentGateway>) -> Self {
        Self { test }
    }

    /// The gateway that a new payment method belongs to.
    pub fn of_mode(&self, livemode: bool) -> Result<&dyn PaymentGateway> {
        if livemode {
            return Err(Error::refused(Code::Unavailable, "no payment gateway for live mode is configured"));
        }
        Ok(self.test.as_ref())
    }

    /// The gateway that a stored payment belongs to.
    pub fn find(&self, name: &str) -> Result<&dyn PaymentGateway> {
        let gateway = self.test.as_ref();
        if gateway.name() == name {
            Ok(gateway)
        } else {
            Err(Error::Internal("a payment names a gateway that is not configured"))
        }
    }
}
