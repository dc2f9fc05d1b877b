//! Reads PDF files back.

use pdf_extract::{Dictionary, Document, Object};

/// Gives the text of each page, without the invisible places to break.
pub(crate) fn pages(pdf: &[u8]) -> Vec<String> {
    let pages = pdf_extract::extract_text_from_mem_by_pages(pdf).expect("the file is a readable PDF");
    pages.into_iter().map(|page| page.replace('\u{200b}', "")).collect()
}

/// Gives the text of all pages with single spaces, because a line end in a cell is no part of the text.
pub(crate) fn text(pdf: &[u8]) -> String {
    pages(pdf).join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Gives every object that is a dictionary with the given type.
pub(crate) fn dictionaries(pdf: &[u8], kind: &str) -> Vec<Dictionary> {
    let document = Document::load_mem(pdf).expect("the file is a readable PDF");
    let all = document.objects.values().filter_map(|object| object.as_dict().ok());
    all.filter(|own| own.get(b"Type").and_then(Object::as_name).is_ok_and(|name| name == kind.as_bytes()))
        .cloned()
        .collect()
}

/// Gives the addresses that can be clicked.
pub(crate) fn links(pdf: &[u8]) -> Vec<String> {
    let document = Document::load_mem(pdf).expect("the file is a readable PDF");
    let mut links = Vec::new();
    for annotation in dictionaries(pdf, "Annot") {
        let Ok(action) = annotation.get_deref(b"A", &document).and_then(Object::as_dict) else { continue };
        if let Ok(address) = action.get(b"URI").and_then(Object::as_str) {
            links.push(String::from_utf8_lossy(address).into_owned());
        }
    }
    links
}
