//! The built-in gateway of test mode: no money moves, and the payment method decides the outcome.

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{ChargeOutcome, ChargeRequest, DescribedMethod, NOT_RECEIVED, PaymentGateway, PaymentMethodKind};

/// Every charge succeeds.
pub const TOKEN_SUCCESS: &str = "tok_success";
/// Every charge is declined.
pub const TOKEN_DECLINE: &str = "tok_decline";
/// No charge is answered; a look-up tells that it never arrived.
pub const TOKEN_TIMEOUT: &str = "tok_timeout";

/// Keeps no state: the outcome follows from the request, so that it survives a restart.
#[derive(Debug, Default)]
pub struct SandboxGateway;

impl SandboxGateway {
    fn settle(request: &ChargeRequest, unanswered: ChargeOutcome) -> ChargeOutcome {
        match request.payment_method.as_str() {
            TOKEN_SUCCESS => {
                ChargeOutcome::Succeeded { reference: format!("sandbox_{}", request.idempotency_key) }
            }
            TOKEN_TIMEOUT => unanswered,
            _ => ChargeOutcome::Declined { code: "card_declined".to_owned() },
        }
    }
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
            _ => return Err("the sandbox knows the tokens tok_success, tok_decline and tok_timeout"),
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
}
