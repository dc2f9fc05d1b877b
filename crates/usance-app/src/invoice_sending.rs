//! Invoices are announced to their customers. There is no mail transport yet: whoever reads the event delivers.

use usance_core::{ids::InvoiceId, invoice::state::InvoiceStatus};
use usance_db::{TenantTx, customers, invoices};

use crate::{
    Cx,
    billing::reference,
    error::{Code, Error, Result},
    invoicing::{self, InvoiceWithLines},
    outbox::announce,
};

/// Marks an issued invoice as sent and announces it. The event does not hold the customer's address, which would outlive
/// the customer's erasure there.
pub async fn send(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let invoice = invoices::lock(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    let status = InvoiceStatus::parse(&invoice.status)
        .ok_or(Error::Internal("a stored invoice status cannot be read"))?;
    match status {
        InvoiceStatus::Finalized | InvoiceStatus::Paid | InvoiceStatus::Uncollectible => {}
        InvoiceStatus::Draft => {
            let detail = "the invoice is a draft: finalize it first";
            return Err(Error::refused(Code::InvoiceNotSendable, detail));
        }
        InvoiceStatus::Void => {
            let detail = "the invoice is void: nothing is due on it";
            return Err(Error::refused(Code::InvoiceNotSendable, detail));
        }
    }
    let customer = customers::find(tx, invoice.customer_id).await?;
    if customer.and_then(|customer| customer.email).is_none() {
        let detail = "the customer has no e-mail address: set it with PATCH /customers/{customer}";
        return Err(Error::refused(Code::NoEmail, detail));
    }
    let at = cx.tenant_now(tx).await?;
    invoices::mark_sent(tx, id, at).await?;
    announce(cx, tx, "invoice.sent", reference(&invoice)).await?;
    invoicing::get(tx, id).await
}
