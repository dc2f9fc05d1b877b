//! The hosted page of an invoice or a credit note, from the same document as its PDF.

#[cfg(test)]
mod tests;

use askama::Template;
use base64::{Engine, engine::general_purpose::STANDARD};
use usance_core::invoice::document::{
    DocumentKind, DocumentLine, InvoiceDocument, Logo, LogoFormat, Party, TotalKind, WebAddress, amount_text,
    date_text, deduction_text,
};
use usance_core::invoice::state::InvoiceStatus;

use super::STYLESHEET;

/// Where the page leads; an address that is neither of the web nor a path on this host is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// The PDF of the same document.
    pub(crate) pdf: Option<String>,
    /// Where the amount due can be paid; not shown when nothing is due.
    pub(crate) pay: Option<String>,
}

/// The page's values, in the order in which they are shown.
#[derive(Template)]
#[template(path = "invoice.html")]
struct InvoicePage<'a> {
    stylesheet: &'static str,
    heading: String,
    seller: &'a Party,
    logo: Option<String>,
    amount: String,
    badge: &'static str,
    status: &'static str,
    due: Option<String>,
    pay: Option<&'a str>,
    pdf: Option<&'a str>,
    notice: Option<&'static str>,
    parties: [(&'static str, &'a Party); 2],
    facts: Vec<(&'static str, String)>,
    has_discounts: bool,
    currency: &'static str,
    lines: Vec<LineView<'a>>,
    sums: Vec<(&'static str, String, String)>,
    remarks: Vec<(&'static str, &'a str)>,
    footer: Option<&'a str>,
}

struct LineView<'a> {
    description: &'a str,
    period: Option<String>,
    quantity: String,
    unit_price: String,
    discount: String,
    tax: String,
    amount: String,
}

/// Writes the page as a complete HTML document; every text in it is escaped.
pub(crate) fn invoice_page(document: &InvoiceDocument, links: &Links) -> String {
    let page = view(document, links);
    page.render().expect("a String takes every write, and the template calls nothing that fails")
}

fn view<'a>(document: &'a InvoiceDocument, links: &'a Links) -> InvoicePage<'a> {
    let number = document.number.as_deref();
    let asks = document.asks_for_money();
    let shown = if asks { document.amount_due } else { document.total };
    let customer_label = match document.kind {
        DocumentKind::Invoice => "Bill to",
        DocumentKind::CreditNote { .. } => "Credit to",
    };
    let remarks = [("Notes", document.notes.as_deref()), ("Terms", document.seller.terms.as_deref())];
    InvoicePage {
        stylesheet: STYLESHEET,
        heading: number
            .map_or(document.title().to_owned(), |number| format!("{} {number}", document.title())),
        seller: &document.seller.party,
        logo: document.seller.logo.as_ref().map(data_address),
        amount: format!("{} {}", shown.currency(), amount_text(shown)),
        badge: badge(document),
        status: document.status_text(),
        due: document.due_on.filter(|_| asks).map(date_text),
        pay: links.pay.as_deref().filter(|link| asks && is_followable(link)),
        pdf: links.pdf.as_deref().filter(|link| is_followable(link)),
        notice: notice(document.status),
        parties: [("From", &document.seller.party), (customer_label, &document.customer)],
        facts: facts(document),
        has_discounts: document.has_line_discounts(),
        currency: document.total.currency().code(),
        lines: document.lines.iter().map(line).collect(),
        sums: sums(document),
        remarks: remarks.into_iter().filter_map(|(label, text)| Some((label, text?))).collect(),
        footer: document.seller.footer.as_deref(),
    }
}

fn line(line: &DocumentLine) -> LineView<'_> {
    LineView {
        description: &line.description,
        period: line.period.map(|period| period.text()),
        quantity: line.quantity_text(),
        unit_price: line.unit_price_text(),
        discount: line.discount.map(deduction_text).unwrap_or_default(),
        tax: line.tax_text(),
        amount: amount_text(line.amount),
    }
}

fn facts(document: &InvoiceDocument) -> Vec<(&'static str, String)> {
    let corrected = match &document.kind {
        DocumentKind::Invoice => None,
        DocumentKind::CreditNote { corrected_number } => corrected_number.clone(),
    };
    let facts = [
        ("Number", document.number.clone()),
        ("For invoice", corrected),
        ("Issued", document.issued_on.map(date_text)),
        ("Due", document.due_on.map(date_text)),
        ("Period", document.period.map(|period| period.text())),
    ];
    facts.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
}

fn sums(document: &InvoiceDocument) -> Vec<(&'static str, String, String)> {
    let class = |kind| match kind {
        TotalKind::Part => "part",
        TotalKind::Total => "total",
        TotalKind::Due => "due",
    };
    document.total_rows().into_iter().map(|row| (class(row.kind), row.label, row.amount)).collect()
}

fn badge(document: &InvoiceDocument) -> &'static str {
    match document.status {
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::Finalized | InvoiceStatus::Uncollectible if document.asks_for_money() => "open",
        InvoiceStatus::Finalized
        | InvoiceStatus::Uncollectible
        | InvoiceStatus::Draft
        | InvoiceStatus::Void => "quiet",
    }
}

const fn notice(status: InvoiceStatus) -> Option<&'static str> {
    match status {
        InvoiceStatus::Draft => Some("This is a draft. It may still change, and nothing is due yet."),
        InvoiceStatus::Void => Some("This document was withdrawn. Nothing is due on it."),
        InvoiceStatus::Finalized | InvoiceStatus::Paid | InvoiceStatus::Uncollectible => None,
    }
}

/// Tells whether a link may be put on the page: a click on it must lead to a page and never run a script.
fn is_followable(link: &str) -> bool {
    let is_path = link.starts_with('/') && !link[1..].starts_with(['/', '\\']);
    WebAddress::parse(link).is_some() || is_path
}

/// Writes a picture as an address that carries it; as an image it runs no script, whatever an SVG contains.
fn data_address(logo: &Logo) -> String {
    let media_type = match logo.format {
        LogoFormat::Png => "image/png",
        LogoFormat::Jpeg => "image/jpeg",
        LogoFormat::Svg => "image/svg+xml",
    };
    format!("data:{media_type};base64,{}", STANDARD.encode(&logo.bytes))
}
