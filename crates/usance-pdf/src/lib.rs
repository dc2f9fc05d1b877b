//! Invoices and credit notes as PDF files, laid out by typst inside the process: no network, no files, no clock.

mod data;
mod fonts;
mod logo;
mod missing;
mod qr;
mod world;

use std::collections::BTreeSet;

use thiserror::Error;
use typst::comemo;
use typst::diag::SourceDiagnostic;
use typst::foundations::Smart;
use typst_layout::PagedDocument;
use typst_pdf::PdfOptions;
use usance_core::invoice::document::{DocumentError, InvoiceDocument};

use world::TemplateWorld;

/// A finished PDF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoicePdf {
    /// The file; the same document always gives the same bytes.
    pub bytes: Vec<u8>,
    /// The characters that no embedded font has: the file shows a box in their place.
    pub missing_characters: BTreeSet<char>,
}

/// Why there is no PDF.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PdfError {
    /// The document contradicts itself.
    #[error("the document is not consistent")]
    Document(#[from] DocumentError),
    /// The logo is larger than 1 MiB or 4096 pixels, or is not of its format.
    #[error("the logo cannot be shown: {reason}")]
    Logo {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The layout has a fault; the text is for a developer.
    #[error("the layout failed: {message}")]
    Layout {
        /// What typst says.
        message: String,
    },
}

/// Lays out a document, which takes some milliseconds of computing: call it where blocking is allowed.
pub fn render(document: &InvoiceDocument) -> Result<InvoicePdf, PdfError> {
    document.check()?;
    logo::check(document.seller.logo.as_ref())?;
    let world = TemplateWorld::of_invoice(data::inputs(document));
    let _eviction = EvictOnDrop;
    let pages = typst::compile::<PagedDocument>(&world).output.map_err(|faults| layout_error(&faults))?;
    let options = PdfOptions { creator: Smart::Custom(Some("Usance".to_owned())), ..PdfOptions::default() };
    let bytes = typst_pdf::pdf(&pages, &options).map_err(|faults| layout_error(&faults))?;
    Ok(InvoicePdf { bytes, missing_characters: missing::characters(&pages) })
}

/// Lays out an empty page: what the benchmark compares an invoice with.
pub fn render_empty_page() -> Result<Vec<u8>, PdfError> {
    let world = TemplateWorld::of_text(String::new());
    let _eviction = EvictOnDrop;
    let pages = typst::compile::<PagedDocument>(&world).output.map_err(|faults| layout_error(&faults))?;
    typst_pdf::pdf(&pages, &PdfOptions::default()).map_err(|faults| layout_error(&faults))
}

/// Empties typst's memory of earlier results, also after a failure: it would grow with every invoice.
struct EvictOnDrop;

impl Drop for EvictOnDrop {
    fn drop(&mut self) {
        comemo::evict(0);
    }
}

fn layout_error(faults: &[SourceDiagnostic]) -> PdfError {
    let message = faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
    PdfError::Layout { message }
}
