use aws_lc_rs::digest::{SHA256, digest};
use rust_decimal::Decimal;
use usance_core::invoice::document::{DocumentDiscount, Seller, TaxId};
use usance_core::invoice::{TaxAmount, TaxBehavior, TaxRate};
use usance_core::money::{Currency, Money};

use super::*;
use crate::pages::content_security_policy;

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

fn party(name: &str) -> Party {
    let tax_ids = vec![TaxId { label: "VAT ID".to_owned(), value: "DE123456789".to_owned() }];
    Party {
        name: name.to_owned(),
        address: vec!["Hafenstraße 12".to_owned(), "20457 Hamburg".to_owned()],
        tax_ids,
    }
}

fn invoice() -> InvoiceDocument {
    let vat = TaxRate { name: "VAT".to_owned(), percent: Decimal::from(19) };
    let line = DocumentLine {
        description: "API requests".to_owned(),
        period: None,
        quantity: Some(Decimal::from(1_250_000)),
        unit: None,
        unit_price: Some(Decimal::new(8, 4)),
        discount: None,
        taxes: vec![vat],
        amount: eur(100_000),
    };
    InvoiceDocument {
        kind: DocumentKind::Invoice,
        number: Some("ACME-42".to_owned()),
        status: InvoiceStatus::Finalized,
        issued_on: Some(jiff::civil::date(2026, 11, 1)),
        due_on: Some(jiff::civil::date(2026, 12, 1)),
        period: None,
        seller: Seller { party: party("Acme Cloud GmbH"), logo: None, terms: None, footer: None },
        customer: party("Bluebird"),
        lines: vec![line],
        subtotal: eur(100_000),
        discounts: vec![],
        taxes: vec![TaxAmount { name: "VAT".to_owned(), percent: Decimal::from(19), amount: eur(19_000) }],
        tax_behavior: TaxBehavior::Exclusive,
        total: eur(119_000),
        credit_applied: eur(0),
        paid: eur(19_000),
        amount_due: eur(100_000),
        payment_link: None,
        payment_qr_code: false,
        notes: None,
    }
}

fn links() -> Links {
    Links { pdf: Some("/i/abc/pdf".to_owned()), pay: Some("https://pay.example/abc".to_owned()) }
}

#[test]
fn the_page_shows_what_is_due_and_how_it_came_about() {
    let page = invoice_page(&invoice(), &links());

    for shown in [
        "<h1 id=\"title\">Invoice ACME-42</h1>",
        "<p class=\"amount\">EUR 1,000.00</p>",
        "Due 1 Dec 2026",
        "1,250,000",
        "0.0008",
        "<dt>VAT 19 %</dt><dd>190.00</dd>",
        "<dt>Paid</dt><dd>-190.00</dd>",
        "<dt>Amount due</dt><dd>EUR 1,000.00</dd>",
        "href=\"https://pay.example/abc\"",
        "href=\"/i/abc/pdf\"",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
}

#[test]
fn no_text_becomes_markup() {
    let hostile = "\"><script>alert('1')</script><img src=x onerror=alert(1)>&amp;";
    let mut document = invoice();
    document.number = Some(hostile.to_owned());
    document.seller.party = party(hostile);
    document.seller.terms = Some(hostile.to_owned());
    document.seller.footer = Some(hostile.to_owned());
    document.customer.name = hostile.to_owned();
    document.customer.address = vec![hostile.to_owned()];
    document.customer.tax_ids = vec![TaxId { label: hostile.to_owned(), value: hostile.to_owned() }];
    document.lines[0].description = hostile.to_owned();
    document.lines[0].unit = Some(hostile.to_owned());
    document.taxes[0].name = hostile.to_owned();
    document.discounts = vec![DocumentDiscount { name: hostile.to_owned(), amount: eur(0) }];
    document.notes = Some(hostile.to_owned());

    let page = invoice_page(&document, &links());

    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    // Seventeen places: the number in title, heading and facts, the seller's name in title, top and address, and once
    // for each of the other texts, of which the tax id has two.
    assert_eq!(page.matches("&#60;script&#62;").count(), 17, "{page}");
}

#[test]
fn a_link_that_a_click_would_execute_is_left_out() {
    for hostile in
        ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "//evil.example", "/\\evil", ""]
    {
        let links = Links { pdf: Some(hostile.to_owned()), pay: Some(hostile.to_owned()) };

        let page = invoice_page(&invoice(), &links);

        assert!(!page.contains("href"), "{hostile}");
    }
}

#[test]
fn only_an_open_invoice_offers_to_pay() {
    let mut paid = invoice();
    paid.status = InvoiceStatus::Paid;
    let mut draft = invoice();
    draft.status = InvoiceStatus::Draft;
    let mut note = invoice();
    note.kind = DocumentKind::CreditNote { corrected_number: Some("ACME-41".to_owned()) };

    assert!(invoice_page(&invoice(), &links()).contains("Pay now"));
    for document in [paid, draft, note] {
        let page = invoice_page(&document, &links());
        assert!(!page.contains("Pay now") && page.contains("Download PDF"), "{page}");
    }
}

#[test]
fn the_page_runs_under_its_own_policy() {
    let page = invoice_page(&invoice(), &links());

    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
    assert!(content_security_policy().contains(&format!("style-src 'sha256-{hash}'")));
    assert_eq!(page.matches("<style").count(), 1);
    for refused in ["<script", " style=", " onload=", "javascript:", "<link"] {
        assert!(!page.contains(refused), "{refused}");
    }
}

#[test]
fn every_column_and_every_line_has_a_header_cell() {
    let mut document = invoice();
    document.lines[0].discount = Some(eur(500));

    let page = invoice_page(&document, &links());

    assert_eq!(page.matches("scope=\"col\"").count(), 6);
    assert_eq!(page.matches("scope=\"row\"").count(), document.lines.len());
    assert_eq!(page.matches("<td ").count(), 5 * document.lines.len());
    for landmark in ["<html lang=\"en\">", "<header", "<main>", "<nav ", "width=device-width"] {
        assert!(page.contains(landmark), "{landmark}");
    }
}

#[test]
fn a_logo_is_part_of_the_page() {
    let mut document = invoice();
    document.seller.logo = Some(Logo { format: LogoFormat::Svg, bytes: b"<svg onload='x'/>".to_vec() });

    let page = invoice_page(&document, &links());

    assert!(
        page.contains("src=\"data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9J3gnLz4=\" alt=\"Acme Cloud GmbH\""),
        "{page}"
    );
}

#[test]
fn a_draft_and_a_void_invoice_say_that_nothing_is_due() {
    for (status, notice) in
        [(InvoiceStatus::Draft, "This is a draft."), (InvoiceStatus::Void, "was withdrawn")]
    {
        let mut document = invoice();
        document.status = status;

        assert!(invoice_page(&document, &links()).contains(notice));
    }
}
