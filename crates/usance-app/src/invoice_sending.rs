//! Invoices are mailed to their customers.

use usance_core::{
    ids::InvoiceId,
    invoice::state::InvoiceStatus,
    money::{Currency, Money},
};
use usance_db::{
    TenantTx, customers,
    invoices::{self, Invoice},
    tenants,
};

use crate::{
    Cx,
    billing::reference,
    error::{Code, Error, Result},
    hosted_invoices,
    invoicing::{self, InvoiceWithLines},
    mail::{self, InvoiceFacts, MailKind},
    outbox::announce,
};

/// Mails an issued invoice to its customer, marks it as sent and announces it. The event does not hold the customer's address, which would outlive
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
    let email = customer.and_then(|customer| customer.email).ok_or_else(|| {
        let detail = "the customer has no e-mail address: set it with PATCH /customers/{customer}";
        Error::refused(Code::NoEmail, detail)
    })?;
    write_mail(cx, tx, &invoice, email).await?;
    let at = cx.tenant_now(tx).await?;
    invoices::mark_sent(tx, id, at).await?;
    announce(cx, tx, "invoice.sent", reference(&invoice)).await?;
    invoicing::get(tx, id).await
}

async fn write_mail(cx: &Cx, tx: &mut TenantTx, invoice: &Invoice, email: String) -> Result<()> {
    let seller = tenants::find(tx).await?.ok_or(Error::Internal("the caller's own tenant is missing"))?;
    let links =
        hosted_invoices::links(cx, invoice).ok_or(Error::Internal("an issued invoice has no page"))?;
    let currency = Currency::parse(&invoice.currency)
        .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
    let facts = InvoiceFacts {
        seller: &seller.company_name,
        seller_email: &seller.email,
        number: invoice.number.as_deref().unwrap_or_default(),
        total: Money::new(invoice.total_minor, currency),
        amount_due: Money::new(invoice.amount_due_minor(), currency),
        due_at: invoice.due_at,
        page: &links.page,
        livemode: cx.scope.livemode,
    };
    mail::enqueue(&cx.app, tx, MailKind::Invoice, &mail::invoice(email, &facts), None).await
}
