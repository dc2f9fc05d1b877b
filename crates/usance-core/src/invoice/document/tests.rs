use jiff::civil::date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::*;
use crate::money::Currency;

fn money(minor: i64, code: &str) -> Money {
    Money::new(minor, Currency::parse(code).unwrap())
}

fn line(description: &str, amount: Money) -> DocumentLine {
    DocumentLine {
        description: description.to_owned(),
        period: None,
        quantity: None,
        unit: None,
        unit_price: None,
        discount: None,
        taxes: vec![],
        amount,
    }
}

fn party(name: &str) -> Party {
    Party { name: name.to_owned(), address: vec![], tax_ids: vec![] }
}

fn invoice() -> InvoiceDocument {
    InvoiceDocument {
        kind: DocumentKind::Invoice,
        number: Some("INV-7".to_owned()),
        status: InvoiceStatus::Finalized,
        issued_on: None,
        due_on: None,
        period: None,
        seller: Seller { party: party("Seller"), logo: None, terms: None, footer: None },
        customer: party("Customer"),
        lines: vec![line("One", money(100_000, "EUR")), line("Two", money(5_000, "EUR"))],
        subtotal: money(105_000, "EUR"),
        discounts: vec![DocumentDiscount { name: "Spring".to_owned(), amount: money(5_000, "EUR") }],
        taxes: vec![TaxAmount {
            name: "VAT".to_owned(),
            percent: Decimal::new(190, 1),
            amount: money(19_000, "EUR"),
        }],
        tax_behavior: TaxBehavior::Exclusive,
        total: money(119_000, "EUR"),
        credit_applied: money(9_000, "EUR"),
        paid: money(0, "EUR"),
        amount_due: money(110_000, "EUR"),
        payment_link: None,
        payment_qr_code: false,
        notes: None,
    }
}

#[test]
fn amounts_have_the_digits_of_their_currency_and_grouped_thousands() {
    let cases = [
        (money(123_456_789, "EUR"), "1,234,567.89"),
        (money(-100_000, "USD"), "-1,000.00"),
        (money(5, "USD"), "0.05"),
        (money(1_000, "JPY"), "1,000"),
        (money(999, "JPY"), "999"),
        (money(1_234_567, "KWD"), "1,234.567"),
        (money(i64::MIN, "USD"), "-92,233,720,368,547,758.08"),
    ];
    for (amount, expected) in cases {
        assert_eq!(amount_text(amount), expected);
    }
}

#[test]
fn deductions_turn_the_sign_around_and_nothing_stays_nothing() {
    assert_eq!(deduction_text(money(1_200, "EUR")), "-12.00");
    assert_eq!(deduction_text(money(-1_200, "EUR")), "12.00");
    assert_eq!(deduction_text(money(0, "EUR")), "0.00");
    assert_eq!(deduction_text(money(i64::MIN, "JPY")), "9,223,372,036,854,775,808");
}

#[test]
fn unit_prices_are_exact_and_never_shorter_than_the_currency() {
    let eur = Currency::parse("EUR").unwrap();
    let jpy = Currency::parse("JPY").unwrap();

    assert_eq!(unit_price_text(Decimal::new(12, 5), eur), "0.00012");
    assert_eq!(unit_price_text(Decimal::new(19, 0), eur), "19.00");
    assert_eq!(unit_price_text(Decimal::new(195, 1), eur), "19.50");
    assert_eq!(unit_price_text(Decimal::new(1_900, 0), jpy), "1,900");
}

#[test]
fn quantities_keep_every_digit_and_lose_trailing_zeros() {
    assert_eq!(grouped_text(Decimal::new(12_500_005_000, 4)), "1,250,000.5");
    assert_eq!(grouped_text(Decimal::new(-1_234, 0)), "-1,234");
}

#[test]
fn a_period_that_ends_at_midnight_ends_on_the_day_before() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let (start, end) = (date(2026, 3, 1), date(2026, 4, 1));
    let at = |day: Date| day.to_zoned(berlin.clone()).unwrap().timestamp();

    let days = DocumentPeriod::of(&Period { start: at(start), end: at(end) }, &berlin);

    assert_eq!(days, DocumentPeriod { first: start, last: date(2026, 3, 31) });
    assert_eq!(days.text(), "1 Mar 2026 – 31 Mar 2026");
}

#[test]
fn an_empty_period_names_its_one_day() {
    let at = Timestamp::UNIX_EPOCH;

    let days = DocumentPeriod::of(&Period { start: at, end: at }, &TimeZone::UTC);

    assert_eq!(days.text(), "1 Jan 1970");
}

#[test]
fn only_web_addresses_are_links() {
    for accepted in ["https://pay.example/i/1?a=b&c=d#e", "http://localhost:8080/x"] {
        assert_eq!(WebAddress::parse(accepted).unwrap().as_str(), accepted);
    }
    let long = format!("https://{}", "a".repeat(2000));
    for refused in
        ["javascript:alert(1)", "https://", "/i/1", "https://a b", "https://a\"b", "https://a\nb", &long]
    {
        assert_eq!(WebAddress::parse(refused), None, "{refused}");
    }
}

#[test]
fn the_sums_are_listed_from_the_subtotal_to_the_amount_due() {
    let rows = invoice().total_rows();

    let shown: Vec<_> = rows.iter().map(|row| (row.label.as_str(), row.amount.as_str(), row.kind)).collect();
    assert_eq!(
        shown,
        [
            ("Subtotal", "1,050.00", TotalKind::Part),
            ("Spring", "-50.00", TotalKind::Part),
            ("VAT 19 %", "190.00", TotalKind::Part),
            ("Total", "EUR 1,190.00", TotalKind::Total),
            ("Credit applied", "-90.00", TotalKind::Part),
            ("Amount due", "EUR 1,100.00", TotalKind::Due),
        ]
    );
}

#[test]
fn a_credit_note_and_a_void_invoice_ask_for_nothing() {
    let mut note = invoice();
    note.kind = DocumentKind::CreditNote { corrected_number: Some("INV-7".to_owned()) };
    let mut void = invoice();
    void.status = InvoiceStatus::Void;

    for document in [note, void] {
        assert!(!document.asks_for_money());
        assert!(document.total_rows().iter().all(|row| row.kind != TotalKind::Due));
    }
}

#[test]
fn a_document_that_adds_up_passes_and_one_cent_more_anywhere_does_not() {
    assert_eq!(invoice().check(), Ok(()));

    let mut subtotal = invoice();
    subtotal.subtotal = money(105_001, "EUR");
    let mut total = invoice();
    total.total = money(119_001, "EUR");
    let mut due = invoice();
    due.amount_due = money(110_001, "EUR");
    for (document, name) in [(subtotal, "subtotal"), (total, "total"), (due, "amount due")] {
        let Err(DocumentError::DoesNotAddUp { sum, .. }) = document.check() else { panic!("{name} passes") };
        assert_eq!(sum, name);
    }
}

#[test]
fn two_currencies_on_one_document_are_refused() {
    let mut document = invoice();
    document.lines[0].amount = money(100_000, "USD");

    assert!(matches!(document.check(), Err(DocumentError::Amount(MoneyError::CurrencyMismatch { .. }))));
}

#[test]
fn an_uncollectible_invoice_reads_as_open() {
    let mut document = invoice();
    document.status = InvoiceStatus::Uncollectible;

    assert_eq!(document.status_text(), "Open");
    assert!(document.asks_for_money());
}

#[test]
fn taxes_within_the_amounts_are_shown_after_the_total_and_not_added() {
    let mut document = invoice();
    document.tax_behavior = TaxBehavior::Inclusive;
    assert!(document.check().is_err());

    (document.total, document.amount_due) = (money(100_000, "EUR"), money(91_000, "EUR"));

    assert_eq!(document.check(), Ok(()));
    let rows = document.total_rows();
    let labels: Vec<_> = rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(labels, ["Subtotal", "Spring", "Total", "Including VAT 19 %", "Credit applied", "Amount due"]);
}
