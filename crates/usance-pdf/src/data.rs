//! The inputs of the template: every text and figure as it is printed, so that the template only places them.

use serde_json::{Value, json};
use typst::foundations::{Bytes, Dict, IntoValue};
use usance_core::invoice::document::{
    DocumentKind, DocumentLine, InvoiceDocument, LogoFormat, Party, TotalKind, amount_text, date_text,
    deduction_text,
};
use usance_core::invoice::state::InvoiceStatus;

use crate::qr;

/// The longest stretch of characters that is left without a place to break: what fits the narrowest column of words.
const WORD_MAX: usize = 24;

/// The same for columns of figures, once figures are so long that these columns have a fixed share.
const FIGURE_MAX: usize = 13;

/// A description longer than this may continue on the next page.
const WHOLE_DESCRIPTION_MAX: usize = 600;

/// More characters in the columns of figures leave too little for the description, which then gets a fixed share.
const FIGURES_MAX: usize = 62;

/// An invisible place where a line may end.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Gathers the inputs: the texts as JSON, the pictures as they are.
pub(crate) fn inputs(document: &InvoiceDocument) -> Dict {
    let mut inputs = Dict::new();
    inputs.insert("document".into(), Bytes::from_string(texts(document).to_string()).into_value());
    if let Some(logo) = &document.seller.logo {
        inputs.insert("logo".into(), Bytes::new(logo.bytes.clone()).into_value());
    }
    let link =
        document.payment_link.as_ref().filter(|_| document.payment_qr_code && document.asks_for_money());
    if let Some(code) = link.and_then(|link| qr::svg(link.as_str())) {
        inputs.insert("qr".into(), Bytes::from_string(code).into_value());
    }
    inputs
}

fn texts(document: &InvoiceDocument) -> Value {
    let logo_format = document.seller.logo.as_ref().map(|logo| match logo.format {
        LogoFormat::Png => "png",
        LogoFormat::Jpeg => "jpg",
        LogoFormat::Svg => "svg",
    });
    let link = document.payment_link.as_ref().filter(|_| document.asks_for_money());
    let has_wide_figures = document.lines.iter().any(is_wide);
    json!({
        "title": document.title(),
        "number": document.number.as_deref().map(plain),
        "watermark": watermark(document.status),
        "currency": document.total.currency().code(),
        "facts": facts(document),
        "headline": headline(document),
        "seller": party(&document.seller.party),
        "logo_format": logo_format,
        "customer": party(&document.customer),
        "lines": document.lines.iter().map(|it| line(it, has_wide_figures)).collect::<Vec<_>>(),
        "has_discounts": document.has_line_discounts(),
        "has_wide_figures": has_wide_figures,
        "totals": totals(document),
        "link": link.map(|link| json!({ "address": link.as_str(), "shown": plain(link.as_str()) })),
        "notes": document.notes.as_deref().map(plain),
        "terms": document.seller.terms.as_deref().map(plain),
        "footer": document.seller.footer.as_deref().map(plain),
    })
}

const fn watermark(status: InvoiceStatus) -> Option<&'static str> {
    match status {
        InvoiceStatus::Draft => Some("DRAFT"),
        InvoiceStatus::Void => Some("VOID"),
        InvoiceStatus::Finalized | InvoiceStatus::Paid | InvoiceStatus::Uncollectible => None,
    }
}

/// Lists what identifies the document, as pairs of a label and a text.
fn facts(document: &InvoiceDocument) -> Value {
    let corrected = match &document.kind {
        DocumentKind::Invoice => None,
        DocumentKind::CreditNote { corrected_number } => corrected_number.as_deref().map(plain),
    };
    let facts = [
        ("Number", document.number.as_deref().map(plain)),
        ("For invoice", corrected),
        ("Issued", document.issued_on.map(date_text)),
        ("Due", document.due_on.map(date_text)),
        ("Period", document.period.map(|period| period.text())),
        ("Status", Some(document.status_text().to_owned())),
    ];
    facts.into_iter().filter_map(|(label, text)| Some(json!([label, text?]))).collect()
}

fn headline(document: &InvoiceDocument) -> Option<String> {
    let rows = document.total_rows();
    let due = rows.iter().find(|row| row.kind == TotalKind::Due)?;
    match (document.asks_for_money(), document.due_on) {
        (true, Some(day)) => Some(format!("{} due {}", due.amount, date_text(day))),
        (true, None) => Some(format!("{} due", due.amount)),
        (false, _) => None,
    }
}

fn party(party: &Party) -> Value {
    let tax_ids = party.tax_ids.iter().map(|id| plain(&format!("{} {}", id.label, id.value)));
    let address = party.address.iter().map(|line| plain(line));
    json!({ "name": plain(&party.name), "lines": address.chain(tax_ids).collect::<Vec<_>>() })
}

fn line(line: &DocumentLine, has_wide_figures: bool) -> Value {
    let figure = |text: String| if has_wide_figures { with_breaks(&text, FIGURE_MAX) } else { text };
    json!({
        "description": plain(&line.description),
        "period": line.period.map(|period| period.text()),
        "keep": line.description.chars().count() <= WHOLE_DESCRIPTION_MAX,
        "quantity": figure(line.quantity_text()),
        "unit_price": figure(line.unit_price_text()),
        "discount": figure(line.discount.map(deduction_text).unwrap_or_default()),
        "tax": figure(line.tax_text()),
        "amount": figure(amount_text(line.amount)),
    })
}

fn is_wide(line: &DocumentLine) -> bool {
    let texts = [line.quantity_text(), line.unit_price_text(), line.tax_text()];
    texts.iter().map(|text| text.chars().count()).sum::<usize>() > FIGURES_MAX
}

fn totals(document: &InvoiceDocument) -> Value {
    let kind = |kind| match kind {
        TotalKind::Part => "part",
        TotalKind::Total => "total",
        TotalKind::Due => "due",
    };
    let rows = document.total_rows();
    rows.iter().map(|row| json!([plain(&row.label), row.amount, kind(row.kind)])).collect()
}

/// Makes a text printable: control characters other than the line end are dropped, and a very long word gets invisible
/// places to break, because it would run into the next column.
fn plain(text: &str) -> String {
    with_breaks(text, WORD_MAX)
}

fn with_breaks(text: &str, unbroken_max: usize) -> String {
    let mut printable = String::with_capacity(text.len());
    let mut unbroken = 0;
    for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
        unbroken = if c.is_whitespace() { 0 } else { unbroken + 1 };
        if unbroken > unbroken_max {
            printable.push(ZERO_WIDTH_SPACE);
            unbroken = 1;
        }
        printable.push(if c == '\t' { ' ' } else { c });
    }
    printable
}
