use proptest::prelude::*;
use rust_decimal::Decimal;

use super::state::{InvoiceCommand, InvoiceStatus, TransitionError, transition};
use super::{InvoiceError, InvoiceTerms, InvoiceTotals, LineInput, TaxBehavior, TaxRate, TaxRounding, total};
use crate::decimal::{decimal_text, parse_decimal};
use crate::discount::{Coupon, CouponOrder, CouponValue};
use crate::money::{Currency, Money, MoneyError};
use crate::programmes::costly_programmes;

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
    lines_in("USD", amounts, rates)
}

fn lines_in(code: &str, amounts: &[&str], rates: &[TaxRate]) -> Vec<LineInput> {
    let line = |exact: &&str| LineInput::from_exact(decimal(exact), currency(code), rates.to_vec());
    amounts.iter().map(|exact| line(exact).unwrap()).collect()
}

fn terms(code: &str) -> InvoiceTerms<'static> {
    InvoiceTerms::plain(currency(code))
}

fn summary(totals: &InvoiceTotals) -> String {
    format!("{} + {} = {}", totals.subtotal, totals.tax, totals.total)
}

#[track_caller]
fn check(code: &str, amounts: &[&str], rates: &[TaxRate], expected: &str) {
    let totals = total(&terms(code), &lines_in(code, amounts, rates)).unwrap();
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
        lines(&["8.819"], &[state, city]).remove(0),
        lines(&["100"], &[same_state]).remove(0),
        lines(&["1"], &[]).remove(0),
    ];

    // when they are totalled
    let totals = total(&terms("USD"), &lines).unwrap();

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
fn coupons_come_off_before_taxes() {
    // given lines under three rates, one without discount, and a coupon of 10.00
    let mut lines: Vec<LineInput> = [("100", "10"), ("50", "0"), ("30", "20"), ("20", "20")]
        .map(|(amount, percent)| lines(&[amount], &[rate("vat", percent)]).remove(0))
        .to_vec();
    lines.push(LineInput { discountable: false, ..lines[0].clone() });
    let coupons = [Coupon { value: CouponValue::Fixed(Money::new(1_000, currency("USD"))) }];

    // when they are totalled
    let totals = total(&InvoiceTerms { coupons: &coupons, ..terms("USD") }, &lines).unwrap();

    // then each discountable line bears its share and is taxed on the rest
    let shown: Vec<[i64; 3]> = totals
        .lines
        .iter()
        .map(|line| [line.discount, line.taxes[0].amount, line.total].map(|money| money.minor()))
        .collect();
    assert_eq!(
        shown,
        [[500, 950, 10_450], [250, 0, 4_750], [150, 570, 3_420], [100, 380, 2_280], [0, 1_000, 11_000]]
    );
    assert_eq!(
        [totals.subtotal, totals.discount, totals.tax, totals.total].map(|money| money.minor()),
        [30_000, 1_000, 2_900, 31_900]
    );
    assert_eq!(totals.discount_by_coupon, [Money::new(1_000, currency("USD"))]);
}

#[test]
fn inclusive_taxes_are_taken_out_of_the_line() {
    // given a gross line under two rates, and a credit
    let inclusive = InvoiceTerms { tax_behavior: TaxBehavior::Inclusive, ..terms("EUR") };
    let rates = [rate("state", "15"), rate("city", "5")];

    // when they are totalled
    let totals = total(&inclusive, &lines_in("EUR", &["120", "-0.10"], &rates)).unwrap();

    // then the total is the sum of the lines, of which the taxes are parts
    assert_eq!(summary(&totals), "EUR 119.90 + EUR 19.99 = EUR 119.90");
    let by_rate: Vec<String> = totals.tax_by_rate.iter().map(|tax| tax.amount.to_string()).collect();
    assert_eq!(by_rate, ["EUR 14.99", "EUR 5.00"]);
}

#[test]
fn amounts_that_cannot_be_represented_are_refused() {
    let half = "60000000000000000";
    let plain = |lines: &[LineInput]| total(&terms("USD"), lines);
    let negative = lines(&["1"], &[TaxRate { name: "vat".to_owned(), percent: decimal("-1") }]);
    let precise = lines(&["12345678901.23"], &[rate("vat", "0.12345678901234567")]);
    let vast = Decimal::MAX;

    assert_eq!(plain(&lines(&[half, half], &[])), Err(InvoiceError::Amount(MoneyError::TooLarge)));
    assert_eq!(
        plain(&lines(&[half], &[rate("vat", "100")])),
        Err(InvoiceError::Amount(MoneyError::TooLarge))
    );
    assert_eq!(plain(&negative), Err(InvoiceError::NegativeTax { name: "vat".to_owned() }));
    assert!(matches!(plain(&precise), Err(InvoiceError::Inexact(_))));
    assert!(matches!(plain(&lines_in("EUR", &["1"], &[])), Err(InvoiceError::Discount(_))));
    for tax_behavior in [TaxBehavior::Exclusive, TaxBehavior::Inclusive] {
        let lines = lines(&["1"], &[TaxRate { name: "vat".to_owned(), percent: vast }]);
        assert!(total(&InvoiceTerms { tax_behavior, ..terms("USD") }, &lines).is_err());
    }
}

#[test]
fn tax_behaviors_are_read_back() {
    for behavior in [TaxBehavior::Exclusive, TaxBehavior::Inclusive] {
        assert_eq!(TaxBehavior::parse(behavior.as_str()), Some(behavior));
    }
    assert_eq!((TaxBehavior::parse("gross"), TaxBehavior::default()), (None, TaxBehavior::Exclusive));
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

fn any_lines(code: &'static str) -> impl Strategy<Value = Vec<LineInput>> {
    let rates = [rate("a", "8"), rate("b", "19"), rate("c", "7.7"), rate("d", "0.125"), rate("e", "0")];
    let chosen = prop::collection::vec(0..rates.len(), 0..4);
    let parts = (-100_000_000_000_i64..100_000_000_000, 0_u32..=12, chosen, any::<bool>());
    let line = parts.prop_map(move |(digits, scale, chosen, discountable)| {
        let rates = chosen.into_iter().map(|index| rates[index].clone()).collect();
        let line = LineInput::from_exact(Decimal::new(digits, scale), currency(code), rates).unwrap();
        LineInput { discountable, ..line }
    });
    prop::collection::vec(line, 0..12)
}

fn any_coupons(code: &'static str) -> impl Strategy<Value = Vec<Coupon>> {
    let percent = (0_i64..=10_000).prop_map(|digits| CouponValue::Percent(Decimal::new(digits, 2)));
    let fixed = (0_i64..100_000).prop_map(move |minor| CouponValue::Fixed(Money::new(minor, currency(code))));
    prop::collection::vec(prop_oneof![percent, fixed].prop_map(|value| Coupon { value }), 0..4)
}

fn sum(amounts: impl Iterator<Item = Money>) -> i64 {
    amounts.map(|amount| amount.minor()).sum()
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn totals_are_sums_of_what_is_shown(
        (code, lines, coupons) in prop_oneof![Just("USD"), Just("JPY"), Just("KWD")]
            .prop_flat_map(|code| (Just(code), any_lines(code), any_coupons(code))),
        inclusive in any::<bool>(),
        coupon_order in prop_oneof![Just(CouponOrder::PercentBeforeFixed), Just(CouponOrder::AsApplied), Just(CouponOrder::ProRataOnRemaining)],
    ) {
        let tax_behavior = if inclusive { TaxBehavior::Inclusive } else { TaxBehavior::Exclusive };
        let totals = total(&InvoiceTerms { tax_behavior, coupons: &coupons, coupon_order, ..InvoiceTerms::plain(currency(code)) }, &lines).unwrap();

        let line_tax = sum(totals.lines.iter().flat_map(|line| &line.taxes).map(|tax| tax.amount));
        prop_assert_eq!(totals.subtotal.minor(), sum(totals.lines.iter().map(|line| line.amount)));
        prop_assert_eq!(totals.discount.minor(), sum(totals.lines.iter().map(|line| line.discount)));
        prop_assert_eq!(totals.discount.minor(), sum(totals.discount_by_coupon.iter().copied()));
        prop_assert_eq!(totals.total.minor(), sum(totals.lines.iter().map(|line| line.total)));
        prop_assert_eq!(totals.tax.minor(), line_tax);
        prop_assert_eq!(totals.tax.minor(), sum(totals.tax_by_rate.iter().map(|tax| tax.amount)));
        let on_top = if inclusive { 0 } else { line_tax };
        prop_assert_eq!(totals.total.minor(), totals.subtotal.minor() - totals.discount.minor() + on_top);
        for (line, input) in totals.lines.iter().zip(&lines) {
            prop_assert!(input.discountable || line.discount.minor() == 0);
            prop_assert!(line.discount.minor() <= line.amount.minor().max(0));
        }
        prop_assert_eq!(totals.lines.len(), lines.len());
    }

    #[test]
    fn each_tax_is_within_half_a_unit_of_its_exact_value(lines in any_lines("USD"), coupons in any_coupons("USD")) {
        let totals = total(&InvoiceTerms { coupons: &coupons, ..terms("USD") }, &lines).unwrap();

        for line in &totals.lines {
            let discounted = line.amount.checked_sub(line.discount).unwrap().to_decimal();
            for tax in &line.taxes {
                let exact = discounted * tax.percent / Decimal::ONE_HUNDRED;
                prop_assert!((tax.amount.to_decimal() - exact).abs() <= Decimal::new(5, 3));
            }
        }
    }

    #[test]
    fn inclusive_and_exclusive_taxes_agree_on_the_same_gross_line(minor in -10_000_000_i64..10_000_000, percent in 0_i64..=5_000) {
        // given a net line whose one tax comes on top
        let rates = vec![TaxRate { name: "vat".to_owned(), percent: Decimal::new(percent, 2) }];
        let net = LineInput::from_exact(Decimal::new(minor, 2), currency("USD"), rates).unwrap();
        let exclusive = total(&terms("USD"), std::slice::from_ref(&net)).unwrap();

        // when its gross amount is billed with the tax inside
        let gross = LineInput { amount: exclusive.total, ..net };
        let inclusive = total(&InvoiceTerms { tax_behavior: TaxBehavior::Inclusive, ..terms("USD") }, &[gross]).unwrap();

        // then the taxes are the same, but for the rounding of the gross amount
        prop_assert_eq!(inclusive.total, exclusive.total);
        prop_assert!((inclusive.tax.minor() - exclusive.tax.minor()).abs() <= 1);
    }

    #[test]
    fn the_order_of_lines_changes_no_total_without_coupons(lines in any_lines("EUR")) {
        let reversed: Vec<LineInput> = lines.iter().rev().cloned().collect();

        let (forward, backward) = (total(&terms("EUR"), &lines).unwrap(), total(&terms("EUR"), &reversed).unwrap());

        prop_assert_eq!(summary(&forward), summary(&backward));
    }
}

#[test]
fn taxes_rounded_by_invoice_add_up_to_the_tax_of_the_whole_and_drift_nowhere() {
    // Three lines of 0.05 at 10 %: 0.03 by line, 0.02 (0.015 half-up) by invoice.
    let rates = vec![TaxRate { name: "tax".to_owned(), percent: Decimal::TEN }];
    let usd = currency("USD");
    let line = || LineInput::from_exact(Decimal::new(5, 2), usd, rates.clone()).unwrap();
    let by_invoice = InvoiceTerms { tax_rounding: TaxRounding::Invoice, ..terms("USD") };

    let totals = total(&by_invoice, &[line(), line(), line()]).unwrap();

    assert_eq!(totals.tax.minor(), 2);
    let by_line: Vec<_> = totals.lines.iter().map(|line| line.taxes[0].amount.minor()).collect();
    assert_eq!(by_line, [1, 0, 1]);
    assert_eq!(totals.total.minor(), 17);
}
