use proptest::prelude::*;
use rust_decimal::Decimal;

use super::state::{InvoiceCommand, InvoiceStatus, TransitionError, transition};
use super::{InvoiceError, InvoiceTotals, LineInput, TaxRate, total};
use crate::decimal::{decimal_text, parse_decimal};
use crate::money::{Currency, MoneyError};

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn rate(name: &str, percent: &str) -> TaxRate {
    TaxRate { name: name.to_owned(), percent: decimal(percent) }
}

fn lines(amounts: &[&str], rates: &[TaxRate]) -> Vec<LineInput> {
    amounts.iter().map(|exact| LineInput { exact: decimal(exact), rates: rates.to_vec() }).collect()
}

fn summary(totals: &InvoiceTotals) -> String {
    format!("{} + {} = {}", totals.subtotal, totals.tax, totals.total)
}

#[track_caller]
fn check(code: &str, amounts: &[&str], rates: &[TaxRate], expected: &str) {
    let totals = total(currency(code), &lines(amounts, rates)).unwrap();
    assert_eq!(summary(&totals), expected);
}

#[test]
fn the_documented_invoices_come_out_to_the_cent() {
    let tax = [rate("tax", "8")];
    check("USD", &["10", "8.819", "366.1174"], &tax, "USD 384.94 + USD 30.80 = USD 415.74");
    check("USD", &["10", "19.366", "529.0107"], &tax, "USD 558.38 + USD 44.67 = USD 603.05");
    check("USD", &["10", "1.10", "0.10"], &tax, "USD 11.20 + USD 0.90 = USD 12.10");
}

#[test]
fn tax_is_rounded_on_each_line_and_then_added() {
    check("USD", &["0.05", "0.05", "0.05"], &[rate("vat", "10")], "USD 0.15 + USD 0.03 = USD 0.18");
}

#[test]
fn tax_is_computed_on_the_rounded_line() {
    // 10 % of the exact 0.045 would be 0.0045 and round to nothing.
    check("USD", &["0.045"], &[rate("vat", "10")], "USD 0.05 + USD 0.01 = USD 0.06");
}

// Published as "fp-subtotal-*" in the conformance cases.
#[test]
fn lines_are_rounded_and_then_added() {
    check("USD", &["10.333333", "10.333333", "10.333333"], &[], "USD 30.99 + USD 0.00 = USD 30.99");
    check("USD", &["33.333333", "33.333333", "33.333334"], &[], "USD 99.99 + USD 0.00 = USD 99.99");
    check("JPY", &["100.4", "200.5", "300.6"], &[], "JPY 602 + JPY 0 = JPY 602");
    check("USD", &["0.011"; 100], &[], "USD 1.00 + USD 0.00 = USD 1.00");
    check("USD", &[], &[], "USD 0.00 + USD 0.00 = USD 0.00");
}

#[test]
fn a_credit_line_carries_the_opposite_tax() {
    check("USD", &["10.005", "-10.005"], &[rate("vat", "19")], "USD 0.00 + USD 0.00 = USD 0.00");
    check("USD", &["-0.05"], &[rate("vat", "10")], "USD -0.05 + USD -0.01 = USD -0.06");
}

#[test]
fn each_line_keeps_its_exact_amount_and_each_rate_its_sum() {
    // given lines under one, two and no rates, one of them written in two ways
    let (state, city) = (rate("state", "6"), rate("city", "2.25"));
    let same_state = TaxRate { percent: Decimal::new(600, 2), ..state.clone() };
    let lines = [
        LineInput { exact: decimal("8.819"), rates: vec![state, city] },
        LineInput { exact: decimal("100"), rates: vec![same_state] },
        LineInput { exact: decimal("1"), rates: Vec::new() },
    ];

    // when they are totalled
    let totals = total(currency("USD"), &lines).unwrap();

    // then the rates are apart on the line and summed on the invoice
    assert_eq!(summary(&totals), "USD 109.82 + USD 6.73 = USD 116.55");
    assert_eq!(decimal_text(totals.lines[0].exact), "8.819");
    let line_taxes: Vec<_> = totals.lines[0].taxes.iter().map(|tax| tax.amount.to_string()).collect();
    assert_eq!(line_taxes, ["USD 0.53", "USD 0.20"]);
    let by_rate: Vec<_> =
        totals.tax_by_rate.iter().map(|tax| format!("{} {}", tax.name, tax.amount)).collect();
    assert_eq!(by_rate, ["state USD 6.53", "city USD 0.20"]);
}

#[test]
fn amounts_that_cannot_be_represented_are_refused() {
    let usd = currency("USD");
    let half = "60000000000000000";
    let negative = lines(&["1"], &[TaxRate { name: "vat".to_owned(), percent: decimal("-1") }]);
    let precise = lines(&["12345678901.23"], &[rate("vat", "0.12345678901234567")]);

    assert_eq!(total(usd, &lines(&[half, half], &[])), Err(InvoiceError::Amount(MoneyError::TooLarge)));
    assert_eq!(
        total(usd, &lines(&[half], &[rate("vat", "100")])),
        Err(InvoiceError::Amount(MoneyError::TooLarge))
    );
    assert_eq!(total(usd, &negative), Err(InvoiceError::NegativeTax { name: "vat".to_owned() }));
    assert!(matches!(total(usd, &precise), Err(InvoiceError::Inexact(_))));
}

#[test]
fn each_status_allows_only_its_own_commands() {
    use InvoiceCommand::{Finalize, MarkUncollectible, Pay, Void};
    use InvoiceStatus as Status;

    let commands = [Finalize, Pay, Void, MarkUncollectible];
    let table = [
        (Status::Draft, [Some(Status::Finalized), None, None, None]),
        (Status::Finalized, [None, Some(Status::Paid), Some(Status::Void), Some(Status::Uncollectible)]),
        (Status::Uncollectible, [None, Some(Status::Paid), Some(Status::Void), None]),
        (Status::Paid, [None; 4]),
        (Status::Void, [None; 4]),
    ];
    for (status, expected) in table {
        assert_eq!(InvoiceStatus::parse(status.as_str()), Some(status));
        for (command, expected) in commands.into_iter().zip(expected) {
            let next = transition(status, command);
            assert_eq!(next, expected.ok_or(TransitionError { status, command }));
        }
        assert_eq!(status.is_payable(), transition(status, Pay).is_ok());
    }
    assert_eq!(InvoiceStatus::parse("open"), None);
    let error = transition(Status::Void, Void).unwrap_err();
    assert_eq!(error.to_string(), "an invoice that is void cannot be voided");
}

fn any_lines() -> impl Strategy<Value = Vec<LineInput>> {
    let rates = [rate("a", "8"), rate("b", "19"), rate("c", "7.7"), rate("d", "0.125"), rate("e", "0")];
    let chosen = prop::collection::vec(0..rates.len(), 0..4);
    let line = (-100_000_000_000_i64..100_000_000_000, 0_u32..=12, chosen).prop_map(
        move |(digits, scale, chosen)| {
            let rates = chosen.into_iter().map(|index| rates[index].clone()).collect();
            LineInput { exact: Decimal::new(digits, scale), rates }
        },
    );
    prop::collection::vec(line, 0..20)
}

proptest! {
    #[test]
    fn totals_are_sums_of_what_is_shown(lines in any_lines(), index in 0_usize..3) {
        let currency = currency(["USD", "JPY", "KWD"][index]);

        let totals = total(currency, &lines).unwrap();

        let minor_sum: i64 = totals.lines.iter().map(|line| line.amount.minor()).sum();
        let line_tax: i64 = totals.lines.iter().flat_map(|line| &line.taxes).map(|tax| tax.amount.minor()).sum();
        let rate_tax: i64 = totals.tax_by_rate.iter().map(|tax| tax.amount.minor()).sum();
        prop_assert_eq!(totals.subtotal.minor(), minor_sum);
        prop_assert_eq!(totals.tax.minor(), line_tax);
        prop_assert_eq!(totals.tax.minor(), rate_tax);
        prop_assert_eq!(totals.total.minor(), minor_sum + line_tax);
        prop_assert_eq!(totals.lines.len(), lines.len());
    }

    #[test]
    fn each_tax_is_within_half_a_unit_of_its_exact_value(lines in any_lines()) {
        let totals = total(currency("USD"), &lines).unwrap();

        for tax in totals.lines.iter().flat_map(|line| line.taxes.iter().map(move |tax| (line.amount, tax))) {
            let (amount, tax) = tax;
            let exact = amount.to_decimal() * tax.percent / Decimal::ONE_HUNDRED;
            prop_assert!((tax.amount.to_decimal() - exact).abs() <= Decimal::new(5, 3));
        }
    }

    #[test]
    fn the_order_of_lines_changes_no_total(lines in any_lines()) {
        let reversed: Vec<LineInput> = lines.iter().rev().cloned().collect();

        let (forward, backward) = (total(currency("EUR"), &lines).unwrap(), total(currency("EUR"), &reversed).unwrap());

        prop_assert_eq!(summary(&forward), summary(&backward));
    }
}
