//! Late usage by credit note: the invoice that billed a stretch is credited as a whole, and issued anew with the usage that
//! is known now.
//!
//! This is done where an invoice stands alone: what was given back of it, or is settled together with other invoices,
//! would count twice on a new one. Elsewhere the difference is booked on the next invoice ([`super::late`]).

use jiff::Timestamp;
use usance_core::{
    ids::{CreditNoteId, InvoiceId},
    invoice::state::InvoiceStatus,
    late_usage::LateUsage,
};
use usance_db::{
    TenantTx, billing_periods, credit_notes as stored_credit_notes,
    customers::Customer,
    discounts,
    invoice_corrections::{self, InvoiceCorrection},
    invoices::{self, Invoice},
    late_usage::{self, LateStretch},
    line_items::{self, LineItem},
    payments, refunds as stored_refunds,
};

use super::{
    Draft, LineDraft, Offers,
    issue::{issue_many, restore_discounts},
    rerating::{Rerated, rerate},
    totals::stored_rates,
};
use crate::{
    Cx,
    credit_notes::{self, CreateCreditNote},
    error::{Error, Result},
    refunds::read_currency,
    tax,
};

/// For the customer to read on the credit note.
const CREDITED: &str = "Usage was reported after the invoice was issued. It is billed anew.";

/// Corrects the invoice that billed a stretch and takes the mark away. Where the plan does not want it or it cannot be
/// done, nothing happens and the mark stays. The catalogue must be locked.
pub(super) async fn correct(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &Customer,
    stretch: LateStretch,
    at: Timestamp,
) -> Result<()> {
    let Some(id) = find_invoice(tx, stretch).await? else { return Ok(()) };
    let old = invoices::lock(tx, id).await?.ok_or(Error::Internal("a settled stretch names no invoice"))?;
    let stored = line_items::list(tx, &[id]).await?;
    if !stands_alone(tx, customer, &old, &stored).await? {
        return Ok(());
    }
    let rerated = rerate(tx, customer, read_currency(&old.currency)?, &stored).await?;
    if rerated.has_minimum {
        return Ok(());
    }
    // First: a credit note may bring the subscription up to now, and that must not bill the stretch.
    late_usage::remove(tx, stretch).await?;
    let is_same = |(line, stored): (&LineDraft, &LineItem)| line.amount.minor() == stored.amount_minor;
    if rerated.lines.iter().zip(&stored).all(is_same) {
        return Ok(());
    }
    let credit_note = credit(cx, tx, &old).await?;
    let invoice = issue(cx, tx, customer, (&old, &stored), (rerated, at)).await?;
    Ok(invoice_corrections::insert(tx, InvoiceCorrection { corrected: id, invoice, credit_note }).await?)
}

/// The invoice that bills the stretch now, if its plan wants invoices to be corrected.
async fn find_invoice(tx: &mut TenantTx, stretch: LateStretch) -> Result<Option<InvoiceId>> {
    let settled = billing_periods::find(tx, stretch.item, stretch.period_start).await?;
    let Some(settled) = settled.filter(|settled| !settled.free) else { return Ok(None) };
    let mut offers = Offers::default();
    offers.load(tx, [settled.plan_version].into_iter()).await?;
    match (offers.get(settled.plan_version)?.late_usage, settled.invoice) {
        (LateUsage::CreditNoteAndReissue, Some(invoice)) => {
            Ok(Some(invoice_corrections::find_latest(tx, invoice).await?))
        }
        (LateUsage::CreditNoteAndReissue, None) | (LateUsage::NextInvoice, _) => Ok(None),
    }
}

/// Whether an invoice can be taken back as a whole and billed anew without anything else to settle.
async fn stands_alone(
    tx: &mut TenantTx,
    customer: &Customer,
    invoice: &Invoice,
    lines: &[LineItem],
) -> Result<bool> {
    // What depends on other invoices or on a whole period's usage is not computed again.
    let simple = lines.iter().all(|line| matches!(line.kind.as_str(), "fee" | "usage" | "trial"));
    let issued = match InvoiceStatus::parse(&invoice.status) {
        Some(InvoiceStatus::Finalized | InvoiceStatus::Paid) => true,
        Some(InvoiceStatus::Draft | InvoiceStatus::Void | InvoiceStatus::Uncollectible) => false,
        None => return Err(Error::Internal("a stored invoice status cannot be read")),
    };
    if !simple || !issued || invoice.total_minor < 0 {
        return Ok(false);
    }
    let payment = payments::find_effective(tx, invoice.id).await?;
    let under_way = payment.is_some_and(|payment| payment.status != "succeeded");
    let refunded = stored_refunds::given_back(tx, invoice.id).await?.refunded_minor != 0;
    let credited = stored_credit_notes::sum_of_invoice(tx, invoice.id).await? != 0;
    let same_tax = tax::rates_of(tx, customer).await?.behavior().as_str() == invoice.tax_behavior;
    Ok(!under_way
        && !refunded
        && !credited
        && same_tax
        && !discounts::any_removed(tx, invoice.id).await?
        && !invoice_corrections::is_settled_elsewhere(tx, invoice.id).await?)
}

/// Credits all of an invoice; what was paid becomes the customer's balance. Of an invoice for nothing there is nothing
/// to credit.
async fn credit(cx: &Cx, tx: &mut TenantTx, invoice: &Invoice) -> Result<Option<CreditNoteId>> {
    if invoice.total_minor == 0 {
        return Ok(None);
    }
    let input = CreateCreditNote {
        invoice: invoice.id.to_string(),
        reason: "other".to_owned(),
        memo: Some(CREDITED.to_owned()),
        full: true,
        settle: Some("balance".to_owned()),
        ..CreateCreditNote::default()
    };
    Ok(Some(credit_notes::create(cx, tx, input).await?.note.id))
}

/// Issues the lines anew at the tax rates and with the discounts of the invoice that was credited.
async fn issue(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &Customer,
    (old, stored): (&Invoice, &[LineItem]),
    (rerated, at): (Rerated, Timestamp),
) -> Result<InvoiceId> {
    let discounts = restore_discounts(tx, old.id).await?;
    let lines = rerated.lines.into_iter().zip(stored).map(|(line, stored)| {
        let rates = Some(stored_rates(&stored.taxes)?);
        Ok(LineDraft { rates, revision: stored.revision + i32::from(stored.kind == "usage"), ..line })
    });
    let lines = lines.collect::<Result<Vec<_>>>()?;
    let number = old.number.as_deref().unwrap_or_default();
    let draft = Draft {
        subscription: old.subscription_id,
        coupon_order: rerated.coupon_order,
        discounts: Some(discounts),
        memo: format!("Corrects the invoice {number}: usage was reported after it was issued."),
        ..Draft::new(cx, "reissue", customer, old.period, at, lines)
    };
    let id = draft.id;
    issue_many(cx, tx, vec![draft]).await?;
    Ok(id)
}
