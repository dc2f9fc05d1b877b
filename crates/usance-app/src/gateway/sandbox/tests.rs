use futures_util::FutureExt;
use usance_core::{
    ids::{PaymentId, RefundId},
    money::{Currency, Money},
};
use uuid::Uuid;

use super::{SandboxGateway, TOKEN_REFUND_DECLINE, TOKEN_REFUND_TIMEOUT, TOKEN_SUCCESS};
use crate::gateway::{
    ChargeOutcome, ChargeRequest, NOT_RECEIVED, PaymentGateway, RefundOutcome, RefundRequest,
};

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

/// The reference of a charge of 10.00.
fn charge(gateway: &SandboxGateway, token: &str) -> String {
    let idempotency_key = PaymentId::from_uuid(Uuid::from_u128(7));
    let request = ChargeRequest { idempotency_key, payment_method: token.to_owned(), amount: usd(1_000) };
    match gateway.charge(request).now_or_never() {
        Some(ChargeOutcome::Succeeded { reference }) => reference,
        other => panic!("{other:?}"),
    }
}

fn request(charge: &str, key: u128, minor: i64) -> RefundRequest {
    let idempotency_key = RefundId::from_uuid(Uuid::from_u128(key));
    RefundRequest { idempotency_key, charge: charge.to_owned(), amount: usd(minor) }
}

fn refund(gateway: &SandboxGateway, charge: &str, key: u128, minor: i64) -> RefundOutcome {
    gateway.refund(request(charge, key, minor)).now_or_never().unwrap()
}

fn declined(code: &str) -> RefundOutcome {
    RefundOutcome::Declined { code: code.to_owned() }
}

#[test]
fn refunds_above_what_was_captured_are_declined_and_a_repeated_one_counts_once() {
    let gateway = SandboxGateway::default();
    let charge = charge(&gateway, TOKEN_SUCCESS);

    let first = refund(&gateway, &charge, 1, 600);

    assert!(matches!(first, RefundOutcome::Succeeded { .. }));
    assert_eq!(refund(&gateway, &charge, 1, 600), first);
    assert_eq!(refund(&gateway, &charge, 2, 401), declined("amount_too_large"));
    assert!(matches!(refund(&gateway, &charge, 3, 400), RefundOutcome::Succeeded { .. }));
    assert_eq!(refund(&gateway, "sandbox_pay_nonsense", 4, 1), declined("no_such_charge"));
}

#[test]
fn an_unanswered_refund_is_found_by_its_look_up_and_one_that_was_never_sent_is_not() {
    let gateway = SandboxGateway::default();
    let charge = charge(&gateway, TOKEN_REFUND_TIMEOUT);

    assert_eq!(refund(&gateway, &charge, 1, 600), RefundOutcome::Unknown);

    let look_up = |key| gateway.look_up_refund(request(&charge, key, 600)).now_or_never().unwrap();
    assert!(matches!(look_up(1), RefundOutcome::Succeeded { .. }));
    assert_eq!(look_up(2), declined(NOT_RECEIVED));
}

#[test]
fn refunds_are_declined_where_the_payment_method_says_so() {
    let gateway = SandboxGateway::default();
    let charge = charge(&gateway, TOKEN_REFUND_DECLINE);

    assert_eq!(refund(&gateway, &charge, 1, 1), declined("refund_declined"));
}
