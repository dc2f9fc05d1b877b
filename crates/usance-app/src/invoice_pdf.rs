//! Invoices as PDF, where the binary was built with the layout.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};
use usance_core::invoice::document::InvoiceDocument;

use crate::error::{Code, Error, Result};

/// Each takes a processor and tens of megabytes while it runs.
const CONCURRENT_MAX: usize = 2;
/// How long a document waits for those before it.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Lays out a document as a PDF file; the error is for the log.
pub type RenderPdf = fn(&InvoiceDocument) -> std::result::Result<Vec<u8>, String>;

/// Lays out documents, a few at a time.
#[derive(Debug, Clone)]
pub struct PdfRendering {
    render: Option<RenderPdf>,
    permits: Arc<Semaphore>,
}

impl PdfRendering {
    /// Takes the layout, which a binary without the feature `pdf` does not have.
    pub fn new(render: Option<RenderPdf>) -> Self {
        Self { render, permits: Arc::new(Semaphore::new(CONCURRENT_MAX)) }
    }

    /// Tells whether there is a layout.
    pub const fn is_built(&self) -> bool {
        self.render.is_some()
    }

    /// Lays a document out on a thread for blocking work. Refusals: `pdf_not_built`, and `unavailable` if too many wait.
    pub async fn render(&self, document: InvoiceDocument) -> Result<Vec<u8>> {
        let Some(render) = self.render else {
            let detail =
                "this server was built without PDF: build it with --features pdf, or read the hosted page";
            return Err(Error::refused(Code::PdfNotBuilt, detail));
        };
        let permit = timeout(WAIT_MAX, Arc::clone(&self.permits).acquire_owned()).await.map_err(|_| {
            Error::refused(Code::Unavailable, "too many PDFs are being made: send the same request again")
        })?;
        let permit = permit.map_err(|_| Error::Internal("the PDF layout is closed"))?;
        let rendered = tokio::task::spawn_blocking(move || {
            // Held to the end, also when the request has gone: the thread works on.
            let _permit = permit;
            render(&document)
        });
        let rendered = rendered.await.map_err(|_| Error::Internal("the PDF layout panicked"))?;
        rendered.map_err(Error::Pdf)
    }
}
