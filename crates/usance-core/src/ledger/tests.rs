use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Account, AccountCode, BalanceReason, Kind, Owner, Posting, Side, Transfer};
use crate::ids::{CreditBalanceEntryId, CreditNoteId, CustomerId, InvoiceId, PaymentId, RefundId};
use crate::money::Currency;

const INVOICE: InvoiceId = InvoiceId::from_uuid(Uuid::from_u128(2));
const PAYMENT: PaymentId = PaymentId::from_uuid(Uuid::from_u128(3));
const NOTE: CreditNoteId = CreditNoteId::from_uuid(Uuid::from_u128(4));
const REFUND: RefundId = RefundId::from_uuid(Uuid::from_u128(5));
const ENTRY: CreditBalanceEntryId = CreditBalanceEntryId::from_uuid(Uuid::from_u128(6));

fn posting() -> Posting {
    Posting {
        customer: CustomerId::from_uuid(Uuid::from_u128(1)),
        currency: Currency::parse("USD").unwrap(),
        invoice: Some(INVOICE),
        at: Timestamp::UNIX_EPOCH,
    }
}

/// What is on each account that is not empty, on its own side.
fn balances(transfers: &[Transfer]) -> BTreeMap<&'static str, i64> {
    let mut sums: BTreeMap<&'static str, i64> = BTreeMap::new();
    for transfer in transfers {
        assert_eq!(transfer.kind, Kind::Single);
        assert!(transfer.amount > 0 && transfer.debit != transfer.credit);
        for (account, side) in [(transfer.debit, Side::Debit), (transfer.credit, Side::Credit)] {
            let signed = if account.code.side() == side { transfer.amount } else { -transfer.amount };
            *sums.entry(account.code.as_str()).or_default() += signed;
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn check(transfers: &[Vec<Transfer>], expected: &[(&'static str, i64)]) {
    assert_eq!(balances(&transfers.concat()), expected.iter().copied().collect());
}

#[test]
fn an_invoice_that_is_paid_leaves_money_revenue_and_tax() {
    let issued = posting().issue(INVOICE, 1_080, 80).unwrap();

    check(std::slice::from_ref(&issued), &[("receivable", 1_080), ("revenue", 1_000), ("tax_payable", 80)]);
    check(
        &[issued, posting().pay(PAYMENT, 1_080, 0)],
        &[("clearing", 1_080), ("revenue", 1_000), ("tax_payable", 80)],
    );
}

#[test]
fn a_negative_invoice_becomes_the_customers_balance_which_pays_the_next() {
    let negative = posting().issue(INVOICE, -540, -40).unwrap();
    let kept = posting().change_balance(ENTRY, BalanceReason::Invoice, 540);
    let next = posting().issue(INVOICE, 1_080, 80).unwrap();
    let applied = posting().change_balance(ENTRY, BalanceReason::Invoice, -540);

    check(
        &[negative.clone(), kept.clone()],
        &[("credit_balance", 540), ("revenue", -500), ("tax_payable", -40)],
    );
    check(&[negative, kept, next, applied], &[("receivable", 540), ("revenue", 500), ("tax_payable", 40)]);
}

#[test]
fn what_was_given_up_and_is_paid_after_all_is_no_bad_debt() {
    let issued = posting().issue(INVOICE, 1_080, 80).unwrap();
    let given_up = posting().write_off(INVOICE, 1_080);

    check(
        &[issued.clone(), given_up.clone()],
        &[("write_off", 1_080), ("revenue", 1_000), ("tax_payable", 80)],
    );
    let paid = posting().pay(PAYMENT, 1_080, 1_080);
    check(
        &[issued.clone(), given_up.clone(), paid],
        &[("clearing", 1_080), ("revenue", 1_000), ("tax_payable", 80)],
    );
    check(&[issued, given_up, posting().void(INVOICE, 1_080, 80, 1_080).unwrap()], &[]);
}

#[test]
fn a_refund_of_a_credit_note_is_owed_until_the_gateway_paid_it() {
    let paid = [posting().issue(INVOICE, 1_080, 80).unwrap(), posting().pay(PAYMENT, 1_080, 0)].concat();
    let credited = posting().credit(NOTE, (1_080, 80), 1_080, 0).unwrap();

    check(&[paid.clone(), credited.clone()], &[("clearing", 1_080), ("refunds_payable", 1_080)]);
    check(&[paid.clone(), credited.clone(), posting().refund(REFUND, 1_080)], &[]);
    let refused = posting().change_balance(ENTRY, BalanceReason::RefundFailed, 1_080);
    check(&[paid, credited, refused], &[("clearing", 1_080), ("credit_balance", 1_080)]);
}

#[test]
fn money_that_belongs_to_no_invoice_stands_apart() {
    let granted = posting().grant_refund(REFUND, 100);

    check(&[posting().pay_twice(PAYMENT, 100)], &[("clearing", 100), ("unapplied", 100)]);
    check(&[granted.clone(), posting().cancel_refund(REFUND, 100)], &[]);
    check(&[granted, posting().refund(REFUND, 100)], &[("refunds", 100), ("clearing", -100)]);
    check(&[posting().refund_late(REFUND, 100)], &[("unapplied", -100), ("clearing", -100)]);
}

#[test]
fn customers_have_accounts_of_their_own_and_the_rest_is_the_tenants() {
    let issued = posting().issue(INVOICE, 1_080, 80).unwrap();

    let customer = posting().customer;
    assert_eq!(issued[0].debit, Account::of_customer(AccountCode::Receivable, customer));
    assert_eq!((issued[0].credit.owner, issued[1].credit.owner), (Owner::Tenant, Owner::Tenant));
}

#[test]
fn nothing_is_posted_for_nothing() {
    assert_eq!(posting().issue(INVOICE, 0, 0).unwrap(), []);
    assert_eq!(posting().pay(PAYMENT, 0, 0), []);
    assert!(posting().issue(INVOICE, i64::MAX, -1).is_err());
}

#[test]
fn the_reasons_of_balances_are_known() {
    assert_eq!(BalanceReason::parse("refund_failed"), Some(BalanceReason::RefundFailed));
    assert_eq!(BalanceReason::parse("negative_invoice"), Some(BalanceReason::Invoice));
    assert_eq!(BalanceReason::parse("whim"), None);
}

proptest! {
    #[test]
    fn an_invoice_and_its_withdrawal_leave_nothing(net in -1_000_000_i64..1_000_000, tax in -100_000_i64..100_000, given_up in 0_i64..1_000) {
        let issued = posting().issue(INVOICE, net + tax, tax).unwrap();
        let written_off = posting().write_off(INVOICE, given_up);
        let voided = posting().void(INVOICE, net + tax, tax, given_up).unwrap();

        prop_assert_eq!(balances(&issued).get("receivable").copied().unwrap_or_default(), net + tax);
        prop_assert_eq!(balances(&[issued, written_off, voided].concat()), BTreeMap::new());
    }
}
