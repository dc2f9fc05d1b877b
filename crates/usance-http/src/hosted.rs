//! The public pages: what customers reach without a credential, by a signed address.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use usance_app::{
    error::{Code, Error, chain},
    hosted_invoices,
};

use crate::{
    HttpState,
    api::invoice_documents::pdf_response,
    extract::Path,
    pages::{
        content_security_policy,
        invoice::{Links, invoice_page},
        message::message_page,
    },
};

/// The page of an invoice.
pub(crate) async fn invoice(State(state): State<HttpState>, Path(token): Path<String>) -> Response {
    match hosted_invoices::open(&state.app, &token).await {
        Ok(document) => {
            let pdf = state.app.pdf.is_built().then(|| format!("/invoices/{token}/pdf"));
            page(StatusCode::OK, invoice_page(&document, &Links { pdf, pay: None }))
        }
        Err(error) => failure(&error),
    }
}

/// The PDF of an invoice.
pub(crate) async fn invoice_pdf(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let document = match hosted_invoices::open(&state.app, &token).await {
        Ok(document) => document,
        Err(error) => return failure(&error),
    };
    let name = document.number.clone().unwrap_or_else(|| "invoice".to_owned());
    match state.app.pdf.render(document).await {
        Ok(pdf) => {
            let cache = HeaderValue::from_static("private, no-store");
            private(pdf_response(&name, pdf, &headers, cache))
        }
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Response {
    match error {
        Error::Refused(refusal) if refusal.code == Code::NotFound => {
            let text = "There is no invoice at this address. Please check that the link is complete.";
            page(StatusCode::NOT_FOUND, message_page("Not found", text))
        }
        Error::Refused(refusal) if refusal.code == Code::PdfNotBuilt => {
            let text = "This server makes no PDF files. The page of the invoice can be printed instead.";
            page(StatusCode::SERVICE_UNAVAILABLE, message_page("No PDF", text))
        }
        Error::Refused(_) | Error::Db(_) => {
            tracing::warn!(cause = chain(error), "A hosted invoice cannot be shown at the moment");
            unavailable()
        }
        Error::TooManyGroups { .. }
        | Error::Rate(_)
        | Error::Invoice(_)
        | Error::Money(_)
        | Error::Period(_)
        | Error::StoredEvent(_)
        | Error::Document(_)
        | Error::Pdf(_)
        | Error::Internal(_) => {
            tracing::error!(cause = chain(error), "A hosted invoice cannot be shown");
            unavailable()
        }
    }
}

fn unavailable() -> Response {
    let text = "The invoice cannot be shown at the moment. Please try again later.";
    page(StatusCode::SERVICE_UNAVAILABLE, message_page("Not available", text))
}

fn page(status: StatusCode, html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, content_security_policy()),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    private((status, headers, html).into_response())
}

/// Keeps the address, which is the only secret, out of search engines and of other sites' logs.
fn private(mut response: Response) -> Response {
    let robots = HeaderName::from_static("x-robots-tag");
    response.headers_mut().insert(robots, HeaderValue::from_static("noindex"));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
