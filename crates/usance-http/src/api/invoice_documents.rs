//! An invoice as it goes to its customer: by its address, as PDF, and sent.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use usance_app::{Cx, invoice_document, invoice_sending, invoicing};
use usance_core::ids::InvoiceId;

use super::invoices::{InvoiceView, read_id};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Path},
    wire::ProblemView,
};

/// Get an invoice
#[utoipa::path(get, path = "/invoices/{id}", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_invoice(
    Authorized(cx): Authorized,
    State(state): State<HttpState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    // The router's parameters are whole segments, so that it cannot tell the two addresses apart.
    if let Some(id) = id.strip_suffix(".pdf") {
        return get_invoice_pdf(&state, &cx, read_id(id)?, &headers).await;
    }
    let mut tx = cx.begin().await?;
    let invoice = invoicing::get(&mut tx, read_id(&id)?).await?;
    Ok(Json(InvoiceView::new(&cx, &invoice)).into_response())
}

/// Get an invoice as PDF
///
/// Its `ETag` can be sent back as `If-None-Match`. Servers that were built without PDF answer with `pdf_not_built`.
#[utoipa::path(get, path = "/api/v1/invoices/{id}.pdf", tag = "Invoices",
    params(("id" = String, Path, description = "Id of the invoice")),
    responses(
        (status = 200, description = "The invoice", content_type = "application/pdf", body = Vec<u8>),
        (status = 304, description = "You have it already"),
        (status = "4XX", description = "Refused", body = ProblemView),
    ))]
pub(crate) async fn get_invoice_pdf(
    state: &HttpState,
    cx: &Cx,
    id: InvoiceId,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    // Whoever may see the invoice may see its document, which also shows what is the tenant's.
    invoicing::get(&mut cx.begin().await?, id).await?;
    let mut tx = cx.begin_as_tenant().await?;
    let document = invoice_document::load(&mut tx, id).await?;
    drop(tx);
    let name = document.number.clone().unwrap_or_else(|| id.to_string());
    let pdf = state.app.pdf.render(document).await?;
    Ok(pdf_response(&name, pdf, headers, HeaderValue::from_static("private, no-cache")))
}

/// Answers with a PDF file, or with 304 if the client has it.
pub(crate) fn pdf_response(name: &str, pdf: Vec<u8>, request: &HeaderMap, cache: HeaderValue) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &pdf)));
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).any(|own| {
        let own = own.trim();
        own == "*" || own.trim_start_matches("W/") == tag
    });
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Bytes::from(pdf).into_response() };
    let headers = response.headers_mut();
    let tag = HeaderValue::from_str(&tag).expect("base64 is ASCII");
    // Numbers have letters, digits and hyphens alone.
    let disposition = HeaderValue::from_str(&format!("inline; filename=\"{name}.pdf\""));
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition.unwrap_or_else(|_| HeaderValue::from_static("inline")),
    );
    response
}

/// Send an invoice
///
/// The customer gets a mail with the `hosted_url`, marked as a test in test mode; `invoice.sent` is announced.
#[utoipa::path(post, path = "/invoices/{id}/send", tag = "Invoices", params(("id" = String, Path, description = "Id of the invoice")), responses(
    (status = 200, description = "The invoice", body = InvoiceView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn send_invoice(Path(id): Path<String>, request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, _| {
            async move {
                let invoice = invoice_sending::send(cx, tx, read_id(&id)?).await?;
                Ok(InvoiceView::new(cx, &invoice))
            }
            .boxed()
        })
        .await
}
