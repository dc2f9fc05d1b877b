//! The public pages of invoices: each is reached by a signed address that nobody can guess.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use usance_core::{
    ids::{InvoiceId, TenantId},
    invoice::document::InvoiceDocument,
};
use usance_db::{Scope, invoices::Invoice};
use uuid::Uuid;

use crate::{
    App, Cx,
    auth::keyring::Keyring,
    error::{Error, Result},
    invoice_document,
};

const PURPOSE: &str = "hosted invoice";
const UUID_BYTES: usize = 16;
/// The mode, the tenant and the invoice.
const NAMED_BYTES: usize = 1 + 2 * UUID_BYTES;

/// Where the customer finds an invoice, without a credential.
#[derive(Debug, Clone)]
pub struct HostedLinks {
    /// The page: absolute if the server knows its public address, else a path.
    pub page: String,
    /// The PDF, if the server makes any.
    pub pdf: Option<String>,
}

/// An invoice as its public address names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostedInvoice {
    scope: Scope,
    invoice: InvoiceId,
}

/// Gives the addresses of an invoice; a draft has none.
pub fn links(cx: &Cx, invoice: &Invoice) -> Option<HostedLinks> {
    invoice.finalized_at?;
    let token = HostedInvoice { scope: cx.scope, invoice: invoice.id }.token(&cx.app.keyring);
    let page = format!("{}/invoices/{token}", cx.app.public_url.as_deref().unwrap_or_default());
    let pdf = cx.app.pdf.is_built().then(|| format!("{page}/pdf"));
    Some(HostedLinks { page, pdf })
}

/// Opens the invoice behind a token. A token that this installation did not make is answered like one whose invoice does
/// not exist.
pub async fn open(app: &App, token: &str) -> Result<InvoiceDocument> {
    let hosted = HostedInvoice::read(&app.keyring, token).ok_or_else(|| Error::not_found("invoice"))?;
    let mut tx = app.db.tenant(hosted.scope).await?;
    let document = invoice_document::load(&mut tx, hosted.invoice).await?;
    // Only what was issued has a number.
    if document.number.is_none() { Err(Error::not_found("invoice")) } else { Ok(document) }
}

impl HostedInvoice {
    /// Writes the token: what it names and the HMAC-SHA-256 of that, in base64 for addresses.
    fn token(self, keyring: &Keyring) -> String {
        let mut bytes = vec![u8::from(self.scope.livemode)];
        bytes.extend(self.scope.tenant.uuid().as_bytes());
        bytes.extend(self.invoice.uuid().as_bytes());
        let tag = hmac::sign(&key(keyring), &bytes);
        bytes.extend(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; the tags are compared in constant time.
    fn read(keyring: &Keyring, token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (named, tag) = bytes.split_at_checked(NAMED_BYTES)?;
        hmac::verify(&key(keyring), named, tag).ok()?;
        let (mode, ids) = named.split_first()?;
        let (tenant, invoice) = ids.split_at_checked(UUID_BYTES)?;
        let scope =
            Scope { tenant: TenantId::from_uuid(Uuid::from_slice(tenant).ok()?), livemode: *mode == 1 };
        Some(Self { scope, invoice: InvoiceId::from_uuid(Uuid::from_slice(invoice).ok()?) })
    }
}

fn key(keyring: &Keyring) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &keyring.derive(PURPOSE))
}

#[cfg(test)]
mod tests;
