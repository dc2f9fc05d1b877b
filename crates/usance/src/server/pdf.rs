//! The layout of PDFs, which is in the binary only with the feature `pdf`.

use usance_app::invoice_pdf::RenderPdf;

/// The layout, if there is one.
#[cfg(feature = "pdf")]
pub(super) const RENDERER: Option<RenderPdf> = Some(layout::render);
/// The layout, if there is one.
#[cfg(not(feature = "pdf"))]
pub(super) const RENDERER: Option<RenderPdf> = None;

#[cfg(feature = "pdf")]
mod layout {
    use usance_app::error::chain;
    use usance_core::invoice::document::InvoiceDocument;
    use usance_pdf::{InvoicePdf, PdfError};

    /// Lays out an invoice. A logo that cannot be drawn is left out: the customer needs the invoice all the same.
    pub(super) fn render(document: &InvoiceDocument) -> Result<Vec<u8>, String> {
        let rendered = usance_pdf::render(document).or_else(|error| without_logo(document, error));
        let InvoicePdf { bytes, missing_characters } = rendered.map_err(|error| chain(&error))?;
        if !missing_characters.is_empty() {
            tracing::warn!(
                count = missing_characters.len(),
                "Characters of an invoice are in no font and shown as boxes"
            );
        }
        Ok(bytes)
    }

    fn without_logo(document: &InvoiceDocument, error: PdfError) -> Result<InvoicePdf, PdfError> {
        match (&document.seller.logo, &error) {
            (Some(_), PdfError::Logo { .. } | PdfError::Layout { .. }) => {
                tracing::warn!("The logo is left out of an invoice: {error}");
                let mut document = document.clone();
                document.seller.logo = None;
                usance_pdf::render(&document)
            }
            (Some(_), PdfError::Document(_)) | (None, _) => Err(error),
        }
    }
}
