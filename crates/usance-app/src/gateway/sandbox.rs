//! The built-in gateway of test mode: no money moves, and the payment method decides the outcome.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use usance_core::ids::RefundId;

use super::{
    ChargeOutcome, ChargeRequest, DescribedMethod, NOT_RECEIVED, PaymentGateway, PaymentMethodKind,
    RefundOutcome, RefundRequest,
};

/// Every charge and refund succeeds.
pub const TOKEN_SUCCESS: &str = "tok_success";
/// Every charge is declined.
pub const TOKEN_DECLINE: &str = "tok_decline";
/// No charge is answered; a look-up tells that it never arrived.
pub const TOKEN_TIMEOUT: &str = "tok_timeout";
/// Charges succeed; refunds are declined.
pub const TOKEN_REFUND_DECLINE: &str = "tok_refund_decline";
/// Charges succeed; refunds are made without an answer, and a look-up finds them.
pub const TOKEN_REFUND_TIMEOUT: &str = "tok_refund_timeout";

/// Charges whose refunds are remembered; when there are more, the sandbox begins anew, as after a restart.
const CHARGES_MAX: usize = 10_000;

/// The outcome of a charge follows from the request, so that it survives a restart; its reference says how much was taken
/// and how refunds go. What was refunded is kept in memory.
#[derive(Debug, Default)]
pub struct SandboxGateway {
    refunded: Mutex<HashMap<String, HashMap<RefundId, i64>>>,
}

/// How refunds of a charge go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refunds {
    Answered,
    Unanswered,
    Declined,
}

impl Refunds {
    const ALL: [Self; 3] = [Self::Answered, Self::Unanswered, Self::Declined];

    /// What the references of such charges begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Answered => "sandbox_pay_",
            Self::Unanswered => "sandbox_refund_timeout_pay_",
            Self::Declined => "sandbox_refund_decline_pay_",
        }
    }

    fn of_charge(reference: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refunds| reference.starts_with(refunds.prefix()))
    }
}

impl SandboxGateway {
    fn settle(request: &ChargeRequest, unanswered: ChargeOutcome) -> ChargeOutcome {
        let refunds = match request.payment_method.as_str() {
            TOKEN_SUCCESS => Refunds::Answered,
            TOKEN_REFUND_DECLINE => Refunds::Declined,
            TOKEN_REFUND_TIMEOUT => Refunds::Unanswered,
            TOKEN_TIMEOUT => return unanswered,
            _ => return ChargeOutcome::Declined { code: "card_declined".to_owned() },
        };
        let key = request.idempotency_key.to_string();
        let (prefix, minor) = (refunds.prefix(), request.amount.minor());
        let key = key.trim_start_matches("pay_");
        ChargeOutcome::Succeeded { reference: format!("{prefix}{key}_{minor}") }
    }

    fn pay_back(&self, request: &RefundRequest) -> RefundOutcome {
        let decline = |code: &str| RefundOutcome::Declined { code: code.to_owned() };
        let captured = request.charge.rsplit_once('_').and_then(|(_, minor)| minor.parse::<i64>().ok());
        let (Some(refunds), Some(captured)) = (Refunds::of_charge(&request.charge), captured) else {
            return decline("no_such_charge");
        };
        if refunds == Refunds::Declined {
            return decline("refund_declined");
        }
        let mut charges = self.refunded.lock().unwrap_or_else(PoisonError::into_inner);
        if charges.len() >= CHARGES_MAX && !charges.contains_key(&request.charge) {
            charges.clear();
        }
        let made = charges.entry(request.charge.clone()).or_default();
        let before = made.values().fold(0, |sum: i64, minor| sum.saturating_add(*minor));
        if let Entry::Vacant(fresh) = made.entry(request.idempotency_key) {
            if before.saturating_add(request.amount.minor()) > captured {
                return decline("amount_too_large");
            }
            fresh.insert(request.amount.minor());
        }
        match refunds {
            Refunds::Answered => found(request),
            Refunds::Unanswered | Refunds::Declined => RefundOutcome::Unknown,
        }
    }

    fn find_refund(&self, request: &RefundRequest) -> RefundOutcome {
        let charges = self.refunded.lock().unwrap_or_else(PoisonError::into_inner);
        let made =
            charges.get(&request.charge).is_some_and(|made| made.contains_key(&request.idempotency_key));
        if made { found(request) } else { RefundOutcome::Declined { code: NOT_RECEIVED.to_owned() } }
    }
}

fn found(request: &RefundRequest) -> RefundOutcome {
    RefundOutcome::Succeeded { reference: format!("sandbox_{}", request.idempotency_key) }
}

impl PaymentGateway for SandboxGateway {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn describe(&self, kind: PaymentMethodKind, token: &str) -> Result<DescribedMethod, &'static str> {
        let last4 = match token {
            TOKEN_SUCCESS => "4242",
            TOKEN_DECLINE => "0002",
            TOKEN_TIMEOUT => "0044",
            TOKEN_REFUND_DECLINE => "3220",
            TOKEN_REFUND_TIMEOUT => "3144",
            _ => {
                return Err(
                    "the sandbox knows the tokens tok_success, tok_decline, tok_timeout, tok_refund_decline and tok_refund_timeout",
                );
            }
        };
        let card = kind == PaymentMethodKind::Card;
        Ok(DescribedMethod {
            reference: token.to_owned(),
            brand: card.then(|| "visa".to_owned()),
            last4: card.then(|| last4.to_owned()),
        })
    }

    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, ChargeOutcome> {
        ready(Self::settle(&request, ChargeOutcome::Unknown)).boxed()
    }

    fn look_up(&self, request: ChargeRequest) -> BoxFuture<'_, ChargeOutcome> {
        ready(Self::settle(&request, ChargeOutcome::Declined { code: NOT_RECEIVED.to_owned() })).boxed()
    }

    fn refund(&self, request: RefundRequest) -> BoxFuture<'_, RefundOutcome> {
        ready(self.pay_back(&request)).boxed()
    }

    fn look_up_refund(&self, request: RefundRequest) -> BoxFuture<'_, RefundOutcome> {
        ready(self.find_refund(&request)).boxed()
    }
}
