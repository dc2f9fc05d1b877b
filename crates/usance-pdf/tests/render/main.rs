//! What is in a finished PDF, read back from the file.

mod fixture;
mod jpeg;
mod reading;

use jpeg::jpeg;
use usance_core::invoice::document::{
    DocumentError, DocumentKind, Logo, LogoFormat, amount_text, grouped_text,
};
use usance_core::invoice::state::InvoiceStatus;
use usance_core::money::Money;
use usance_pdf::{PdfError, render};

#[test]
fn every_figure_of_the_invoice_can_be_copied_from_the_pdf() {
    let invoice = fixture::invoice(10);

    let text = reading::text(&render(&invoice).unwrap().bytes);

    for line in &invoice.lines {
        let row =
            format!("{} {} 19 % {}", line.quantity_text(), line.unit_price_text(), amount_text(line.amount));
        assert!(text.contains(&row), "{row} is not in {text}");
    }
    for row in invoice.total_rows() {
        assert!(text.contains(&format!("{} {}", row.label, row.amount)), "{row:?} is not in {text}");
    }
    for fact in
        ["ACME-2026-00042", "1 Nov 2026", "1 Dec 2026", "1 Oct 2026 – 31 Oct 2026", "Open", "DE123456789"]
    {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
}

#[test]
fn amounts_of_every_exponent_are_exact() {
    for (code, expected) in [("JPY", "JPY 9,007,199,254,740,993"), ("KWD", "KWD 9,007,199,254,740.993")] {
        let mut invoice = fixture::invoice(1);
        let currency = usance_core::money::Currency::parse(code).unwrap();
        let amount = Money::new(9_007_199_254_740_993, currency);
        (invoice.lines[0].amount, invoice.subtotal, invoice.total, invoice.amount_due) =
            (amount, amount, amount, amount);
        (invoice.credit_applied, invoice.paid) = (Money::zero(currency), Money::zero(currency));
        invoice.taxes.clear();

        let text = reading::text(&render(&invoice).unwrap().bytes);

        assert!(text.contains(&format!("Amount due {expected}")), "{text}");
    }
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let invoice = fixture::invoice(3);

    assert_eq!(render(&invoice).unwrap().bytes, render(&invoice).unwrap().bytes);
}

#[test]
fn five_hundred_lines_fill_pages_that_each_repeat_the_header_and_count_on() {
    let invoice = fixture::invoice(500);

    let pages = reading::pages(&render(&invoice).unwrap().bytes);

    let count = pages.len();
    assert!((10..40).contains(&count), "{count} pages");
    for (page, number) in pages.iter().zip(1..) {
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        // The last page may have room for the sums alone.
        let has_header = page.contains("Description Quantity Unit price Tax Amount (EUR)");
        assert!(has_header || number == count, "page {number}: {page}");
        assert!(page.contains(&format!("Page {number} of {count}")), "page {number}: {page}");
    }
    let text = pages.join(" ");
    for line in &invoice.lines {
        let last_word = line.description.split(' ').next_back().unwrap();
        assert!(text.contains(last_word), "{last_word} is missing");
    }
}

#[test]
fn every_font_is_in_the_file() {
    let mut invoice = fixture::invoice(1);
    invoice.customer.name = "株式会社 Ελλάδα שלום".to_owned();

    let descriptors = reading::dictionaries(&render(&invoice).unwrap().bytes, "FontDescriptor");

    assert!(descriptors.len() >= 4, "{} fonts", descriptors.len());
    for descriptor in descriptors {
        assert!(descriptor.has(b"FontFile2") || descriptor.has(b"FontFile3"), "{descriptor:?}");
    }
}

#[test]
fn names_in_any_common_script_have_all_their_characters() {
    let names = [
        "Łódź Ğüneş Ørsted Ñandú Việt Nam ß",
        "Αθηναϊκή Εταιρεία",
        "Общество «Сияние» Ґанок",
        "株式会社クラウド",
        "上海云计算有限公司",
        "臺灣雲端服務",
        "주식회사 한국클라우드",
        "שירותי ענן",
        "شركة الخدمات",
        "क्लाउड सेवाएँ",
        "Հայաստան საქართველო",
        "€ £ ¥ ₽ ₹ ₩ № § ™ – — … “ ” `a´ Hawaiʻi",
    ];
    for name in names {
        let mut invoice = fixture::invoice(1);
        invoice.customer.name = name.to_owned();
        invoice.lines[0].description = name.to_owned();

        let pdf = render(&invoice).unwrap();

        assert_eq!(pdf.missing_characters, [].into(), "{name}");
    }
}

#[test]
fn names_in_other_scripts_can_be_copied_from_the_pdf() {
    for name in ["Αθηναϊκή", "Общество", "株式会社クラウド", "上海云计算有限公司", "한국클라우드"]
    {
        let mut invoice = fixture::invoice(1);
        invoice.customer.name = name.to_owned();

        // The reader takes the wider gap between two kinds of letters for a space.
        let text = reading::text(&render(&invoice).unwrap().bytes).replace(' ', "");

        assert!(text.contains(name), "{name} is not in {text}");
    }
}

#[test]
fn a_character_that_no_font_has_is_reported() {
    let mut invoice = fixture::invoice(1);
    invoice.customer.name = "Nile 𓀀 Trading".to_owned();

    let pdf = render(&invoice).unwrap();

    assert_eq!(pdf.missing_characters, ['𓀀'].into());
}

#[test]
fn markup_in_a_name_is_shown_and_not_obeyed() {
    let hostile = r#"#panic("no") *b* _i_ $x^2$ \ "q" <b> @ref [y] {z} // c /* d */ = h ~ -- ..."#;
    let mut invoice = fixture::invoice(1);
    hostile.clone_into(&mut invoice.customer.name);
    hostile.clone_into(&mut invoice.lines[0].description);
    invoice.notes = Some(format!("first\nsecond {hostile}"));

    let text = reading::text(&render(&invoice).unwrap().bytes);

    assert_eq!(text.matches(hostile).count(), 3, "{text}");
}

#[test]
fn a_line_end_in_a_text_starts_a_new_line() {
    let mut one_line = fixture::invoice(1);
    one_line.notes = Some("first second".to_owned());
    let mut two_lines = one_line.clone();
    two_lines.notes = Some("first\nsecond".to_owned());

    let one_line = reading::pages(&render(&one_line).unwrap().bytes).concat();
    let two_lines = reading::pages(&render(&two_lines).unwrap().bytes).concat();

    assert!(one_line.contains("first second"), "{one_line}");
    assert!(two_lines.contains("second") && !two_lines.contains("first second"), "{two_lines}");
}

#[test]
fn very_long_words_and_figures_lose_nothing() {
    let mut invoice = fixture::invoice(2);
    invoice.lines[0].description = "x".repeat(300);
    invoice.lines[1].quantity = Some("79228162514264337593543950335".parse().unwrap());
    invoice.lines[1].unit_price = Some("1234567890123456.012345678901".parse().unwrap());

    let text = reading::text(&render(&invoice).unwrap().bytes).replace(' ', "");

    assert!(text.contains(&"x".repeat(300)), "{text}");
    let quantity = grouped_text(invoice.lines[1].quantity.unwrap());
    assert!(text.matches(|c: char| c.is_ascii_digit()).count() > quantity.len(), "{text}");
}

#[test]
fn the_payment_link_can_be_clicked_while_money_is_owed() {
    let open = fixture::invoice(1);
    let mut paid = open.clone();
    paid.status = InvoiceStatus::Paid;
    (paid.paid, paid.amount_due) = (open.total, Money::zero(open.total.currency()));

    let open_links = reading::links(&render(&open).unwrap().bytes);
    let paid_links = reading::links(&render(&paid).unwrap().bytes);

    assert!(!open_links.is_empty());
    assert!(open_links.iter().all(|link| link == "https://pay.example.com/i/9f8c2b7e1d"), "{open_links:?}");
    assert_eq!(paid_links, [""; 0]);
}

#[test]
fn drafts_and_void_invoices_say_so_across_the_page() {
    for (status, word) in [(InvoiceStatus::Draft, "DRAFT"), (InvoiceStatus::Void, "VOID")] {
        let mut invoice = fixture::invoice(1);
        invoice.status = status;

        let text = reading::text(&render(&invoice).unwrap().bytes);

        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_credit_note_names_the_invoice_and_asks_for_nothing() {
    let mut note = fixture::invoice(2);
    note.kind = DocumentKind::CreditNote { corrected_number: Some("ACME-2026-00041".to_owned()) };

    let pdf = render(&note).unwrap().bytes;

    let text = reading::text(&pdf);
    assert!(text.contains("Credit note") && text.contains("For invoice ACME-2026-00041"), "{text}");
    assert!(!text.contains("Amount due") && !text.contains("Scan to pay"), "{text}");
    assert_eq!(reading::links(&pdf), [""; 0]);
}

#[test]
fn an_invoice_that_does_not_add_up_is_refused() {
    let mut invoice = fixture::invoice(2);
    invoice.total = Money::new(invoice.total.minor() + 1, invoice.total.currency());

    let refusal = render(&invoice);

    assert!(matches!(refusal, Err(PdfError::Document(DocumentError::DoesNotAddUp { sum: "total", .. }))));
}

#[test]
fn a_drawn_logo_takes_the_place_of_the_name_at_the_top() {
    let plain = fixture::invoice(1);
    let mut with_logo = plain.clone();
    let drawing = br#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><path d="M0 0h9v3z"/></svg>"#;
    with_logo.seller.logo = Some(Logo { format: LogoFormat::Svg, bytes: drawing.to_vec() });

    let plain = reading::text(&render(&plain).unwrap().bytes);
    let with_logo = reading::text(&render(&with_logo).unwrap().bytes);

    assert!(plain.starts_with("Acme Cloud GmbH Invoice"), "{plain}");
    assert!(with_logo.starts_with("Invoice FROM Acme Cloud GmbH"), "{with_logo}");
}

#[test]
fn a_drawing_cannot_reach_a_file() {
    let mut invoice = fixture::invoice(1);
    let drawing =
        br#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><image href="Cargo.toml"/></svg>"#;
    invoice.seller.logo = Some(Logo { format: LogoFormat::Svg, bytes: drawing.to_vec() });

    let refusal = render(&invoice);

    assert!(matches!(&refusal, Err(PdfError::Layout { message }) if message.contains("access denied")));
}

#[test]
fn logos_that_are_too_large_or_of_another_format_are_refused() {
    let header =
        |width: u32| [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &width.to_be_bytes(), &[0, 0, 0, 9]].concat();
    let cases = [
        (LogoFormat::Png, b"GIF89a".to_vec()),
        (LogoFormat::Png, header(50_000)),
        (LogoFormat::Png, header(9)[..20].to_vec()),
        (LogoFormat::Jpeg, b"GIF89a".to_vec()),
        (LogoFormat::Jpeg, jpeg(5_000)),
        (LogoFormat::Jpeg, jpeg(8)[..75].to_vec()),
        (LogoFormat::Svg, b"<html></html>".to_vec()),
        (LogoFormat::Svg, vec![b' '; 2_000_000]),
    ];
    for (format, bytes) in cases {
        let mut invoice = fixture::invoice(1);
        invoice.seller.logo = Some(Logo { format, bytes });

        assert!(matches!(render(&invoice), Err(PdfError::Logo { .. })));
    }
}

#[test]
fn a_logo_that_cannot_be_decoded_is_an_error_and_the_next_invoice_is_fine() {
    let mut invoice = fixture::invoice(1);
    let broken = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[0, 0, 0, 9, 0, 0, 0, 9, 8, 6]].concat();
    invoice.seller.logo = Some(Logo { format: LogoFormat::Png, bytes: broken });

    assert!(matches!(render(&invoice), Err(PdfError::Layout { .. })));
    assert!(render(&fixture::invoice(1)).is_ok());
}

#[test]
fn a_photograph_takes_the_place_of_the_name_at_the_top() {
    let mut invoice = fixture::invoice(1);
    invoice.seller.logo = Some(Logo { format: LogoFormat::Jpeg, bytes: jpeg(8) });

    let text = reading::text(&render(&invoice).unwrap().bytes);

    assert!(text.starts_with("Invoice FROM Acme Cloud GmbH"), "{text}");
}
