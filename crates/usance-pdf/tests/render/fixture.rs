//! Documents that add up, for the tests and the benchmark.

use jiff::civil::date;
use rust_decimal::Decimal;
use usance_core::invoice::document::{
    DocumentKind, DocumentLine, DocumentPeriod, InvoiceDocument, Party, Seller, TaxId, WebAddress,
};
use usance_core::invoice::state::InvoiceStatus;
use usance_core::invoice::{InvoiceTerms, LineInput, TaxBehavior, TaxRate, total};
use usance_core::money::{Currency, Money};

/// What the lines are called, in turn.
const PRODUCTS: [&str; 5] = [
    "Team plan, monthly",
    "API requests",
    "Storage",
    "Seats",
    "Priority support with a four-hour response time",
];

/// Builds an open invoice in EUR with 19 % VAT.
pub(crate) fn invoice(line_count: u32) -> InvoiceDocument {
    let eur = Currency::parse("EUR").expect("EUR is a currency");
    let vat = TaxRate { name: "VAT".to_owned(), percent: Decimal::from(19) };
    let inputs: Vec<LineInput> = (1..=line_count)
        .map(|n| LineInput::from_exact(quantity(n) * unit_price(n), eur, vec![vat.clone()]))
        .collect::<Result<_, _>>()
        .expect("the amounts are small");
    let totals = total(&InvoiceTerms::plain(eur), &inputs).expect("the amounts are small");
    let lines = totals.lines.iter().zip(1..).map(|(line, n)| invoice_line(n, line.amount, &vat)).collect();
    InvoiceDocument {
        kind: DocumentKind::Invoice,
        number: Some("ACME-2026-00042".to_owned()),
        status: InvoiceStatus::Finalized,
        issued_on: Some(date(2026, 11, 1)),
        due_on: Some(date(2026, 12, 1)),
        period: Some(october()),
        seller: seller(),
        customer: customer("Bluebird Analytics Ltd"),
        lines,
        subtotal: totals.subtotal,
        discounts: vec![],
        taxes: totals.tax_by_rate,
        tax_behavior: TaxBehavior::Exclusive,
        total: totals.total,
        credit_applied: Money::zero(eur),
        paid: Money::zero(eur),
        amount_due: totals.total,
        payment_link: WebAddress::parse("https://pay.example.com/i/9f8c2b7e1d"),
        payment_qr_code: true,
        notes: Some("Thank you for your business.".to_owned()),
    }
}

fn invoice_line(n: u32, amount: Money, vat: &TaxRate) -> DocumentLine {
    let product = PRODUCTS[n as usize % PRODUCTS.len()];
    DocumentLine {
        description: format!("{product} ({n})"),
        period: n.is_multiple_of(3).then(october),
        quantity: Some(quantity(n)),
        unit: (n % 5 == 2).then(|| "GB".to_owned()),
        unit_price: Some(unit_price(n)),
        discount: None,
        taxes: vec![vat.clone()],
        amount,
    }
}

fn quantity(n: u32) -> Decimal {
    Decimal::from(u64::from(n) * 1_237)
}

fn unit_price(n: u32) -> Decimal {
    Decimal::new(i64::from(n) * 7 + 25, 4)
}

fn october() -> DocumentPeriod {
    DocumentPeriod { first: date(2026, 10, 1), last: date(2026, 10, 31) }
}

fn seller() -> Seller {
    let address = ["Hafenstraße 12", "20457 Hamburg", "Germany"];
    let party = Party {
        name: "Acme Cloud GmbH".to_owned(),
        address: address.map(str::to_owned).to_vec(),
        tax_ids: vec![TaxId { label: "VAT ID".to_owned(), value: "DE123456789".to_owned() }],
    };
    Seller {
        party,
        logo: None,
        terms: Some("Payable within 30 days without deduction.".to_owned()),
        footer: Some(
            "Acme Cloud GmbH · Amtsgericht Hamburg HRB 123456 · Managing director: Erika Muster".to_owned(),
        ),
    }
}

/// Names a customer in London.
pub(crate) fn customer(name: &str) -> Party {
    let address = ["1 Finsbury Avenue", "London EC2M 2PF", "United Kingdom"];
    Party {
        name: name.to_owned(),
        address: address.map(str::to_owned).to_vec(),
        tax_ids: vec![TaxId { label: "VAT ID".to_owned(), value: "GB987654321".to_owned() }],
    }
}
