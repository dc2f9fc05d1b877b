//! Credit notes: what of an issued invoice is taken back. What is due is reduced first; what was paid is refunded or kept as
//! the customer's balance.

mod request;

use serde_json::{Value, json};
use usance_core::{
    ids::{CreditBalanceEntryId, CreditNoteId, InvoiceId},
    invoice::{
        TaxBehavior,
        credit_note::{
            CreditNote as Decided, CreditNoteError, CreditSplit, IssuedLine, LineCredit, credit_note,
            split_credit,
        },
        state::{InvoiceCommand, InvoiceStatus},
    },
    money::{Currency, Money},
};
use usance_db::{
    Page, PageRequest, TenantTx,
    credit_balances::CreditBalanceEntry,
    credit_notes::{self, CreditNote, CreditNoteLine},
    due_work,
    invoices::{self, Invoice},
    line_items::{self, LineItem},
    payments::{self, Payment},
    tenant_profiles,
};

use crate::{
    Cx,
    billing::{apply, reference},
    error::{Code, Error, Result},
    invoicing, ledger,
    outbox::announce,
    refunds::{self, NewRefund, balance_of, read_currency, too_large},
    subscriptions::find_filter,
    work,
};

pub use request::{CreateCreditLine, CreateCreditNote};
use request::{Settle, Wanted};

/// A credit note with its lines.
#[derive(Debug, Clone)]
pub struct CreditNoteWithLines {
    /// The credit note.
    pub note: CreditNote,
    /// In the order of the invoice.
    pub lines: Vec<CreditNoteLine>,
}

/// Makes a credit note. The gateway is asked for its refund right afterwards.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateCreditNote) -> Result<CreditNoteWithLines> {
    let wanted = request::read(input)?;
    let mut invoice = lock_invoice(tx, wanted.invoice).await?;
    let payment = settled_payment(tx, invoice.id).await?;
    let items = line_items::list(tx, &[invoice.id]).await?;
    let decided = decide(tx, &invoice, &items, &wanted).await?;
    let split = divide(tx, &invoice, decided.total, wanted.settle).await?;
    let note = note_of(cx, tx, &invoice, &wanted, (&decided, split)).await?;
    let lines = lines_of(&note, &items, &decided);
    credit_notes::insert(tx, &note).await?;
    credit_notes::insert_lines(tx, &lines).await?;
    announce(cx, tx, "credit_note.created", announcement(&note)).await?;
    ledger::post_credit_note(tx, &invoice, &note)?;
    reduce_due(cx, tx, &mut invoice, split.reduces_due).await?;
    give_back(cx, tx, &note, payment.as_ref()).await?;
    get(tx, note.id).await
}

/// Locks an invoice that can be credited. Where that may settle a subscription, the catalogue is locked before.
async fn lock_invoice(tx: &mut TenantTx, id: InvoiceId) -> Result<Invoice> {
    let unknown = || Error::field("/invoice", "unknown_invoice", "there is no invoice with this id");
    let found = invoices::find(tx, id).await?.ok_or_else(unknown)?;
    if found.subscription_id.is_some() && found.status != InvoiceStatus::Paid.as_str() {
        tx.lock_catalog().await?;
    }
    let invoice = invoices::lock(tx, id).await?.ok_or_else(unknown)?;
    let status = InvoiceStatus::parse(&invoice.status)
        .ok_or(Error::Internal("a stored invoice status cannot be read"))?;
    match status {
        InvoiceStatus::Finalized | InvoiceStatus::Paid | InvoiceStatus::Uncollectible => Ok(invoice),
        InvoiceStatus::Draft => Err(Error::refused(
            Code::InvoiceNotCreditable,
            "the invoice is a draft: finalize it before it is credited",
        )),
        InvoiceStatus::Void => {
            Err(Error::refused(Code::InvoiceNotCreditable, "the invoice is void: nothing of it is owed"))
        }
    }
}

/// The payment that has settled the invoice, if any; one that is under way would take what is credited.
async fn settled_payment(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Option<Payment>> {
    match payments::find_effective(tx, invoice).await? {
        Some(payment) if payment.status != "succeeded" => Err(refunds::under_way()),
        payment => Ok(payment),
    }
}

async fn decide(
    tx: &mut TenantTx,
    invoice: &Invoice,
    items: &[LineItem],
    wanted: &Wanted,
) -> Result<Decided> {
    let currency = read_currency(&invoice.currency)?;
    let behavior = TaxBehavior::parse(&invoice.tax_behavior)
        .ok_or(Error::Internal("a stored tax behavior cannot be read"))?;
    let credited = credit_notes::list_credited(tx, invoice.id).await?;
    let lines: Result<Vec<_>> = items.iter().map(|item| issued_line(item, &credited, currency)).collect();
    let request = wanted.amount.on(items, currency)?;
    let note =
        credit_note(currency, behavior, &lines?, &request).map_err(|error| request::refuse(error, items))?;
    let left = invoice.total_minor - credit_notes::sum_of_invoice(tx, invoice.id).await?;
    // Negative lines can leave an invoice with less than what is left of its other lines and their taxes.
    if note.total.minor() <= 0 || note.total.minor() > left {
        let error = CreditNoteError::AboveInvoice { asked: note.total, left: Money::new(left, currency) };
        return Err(request::refuse(error, items));
    }
    Ok(note)
}

fn issued_line(item: &LineItem, credited: &[CreditNoteLine], currency: Currency) -> Result<IssuedLine> {
    let taxes = tax_amounts(&item.taxes)?;
    let mut before = LineCredit::none(currency, taxes.len());
    for line in credited.iter().filter(|line| line.line_item_id == item.id) {
        before.amount = before.amount.checked_add(Money::new(line.amount_minor, currency))?;
        for (sum, minor) in before.taxes.iter_mut().zip(tax_amounts(&line.taxes)?) {
            *sum = sum.checked_add(Money::new(minor, currency))?;
        }
    }
    Ok(IssuedLine {
        amount: Money::new(item.amount_minor, currency),
        discount: Money::new(item.discount_minor, currency),
        taxes: taxes.into_iter().map(|minor| Money::new(minor, currency)).collect(),
        credited: before,
    })
}

fn tax_amounts(taxes: &Value) -> Result<Vec<i64>> {
    let amounts = taxes.as_array().into_iter().flatten().map(|tax| tax.get("amount_minor")?.as_i64());
    amounts.collect::<Option<_>>().ok_or(Error::Internal("the taxes of a stored line cannot be read"))
}

async fn divide(tx: &mut TenantTx, invoice: &Invoice, total: Money, settle: Settle) -> Result<CreditSplit> {
    let balance = balance_of(tx, invoice).await?;
    let wanted = match settle {
        Settle::Refund => total,
        Settle::Balance => Money::zero(total.currency()),
        Settle::RefundExactly(minor) => Money::new(minor, total.currency()),
    };
    let split = split_credit(total, balance, wanted).map_err(|error| request::refuse(error, &[]))?;
    match settle {
        Settle::RefundExactly(_) if split.refund != wanted => Err(too_large(split.refund)),
        Settle::Refund | Settle::Balance | Settle::RefundExactly(_) => Ok(split),
    }
}

async fn note_of(
    cx: &Cx,
    tx: &mut TenantTx,
    invoice: &Invoice,
    wanted: &Wanted,
    (decided, split): (&Decided, CreditSplit),
) -> Result<CreditNote> {
    let prefix = tenant_profiles::get(tx).await?.invoice_number_prefix;
    let sequence = credit_notes::take_sequence(tx).await?;
    Ok(CreditNote {
        id: CreditNoteId::from_uuid(cx.app.ids.next()),
        invoice_id: invoice.id,
        customer_id: invoice.customer_id,
        sequence,
        number: format!("{prefix}-CN-{sequence:06}"),
        reason: wanted.reason.clone(),
        memo: wanted.memo.clone(),
        currency: invoice.currency.clone(),
        subtotal_minor: decided.subtotal.minor(),
        tax_minor: decided.tax.minor(),
        total_minor: decided.total.minor(),
        reduced_minor: split.reduces_due.minor(),
        refunded_minor: split.refund.minor(),
        balance_minor: split.to_balance.minor(),
        refund_id: None,
        created_at: cx.tenant_now(tx).await?,
    })
}

fn lines_of(note: &CreditNote, items: &[LineItem], decided: &Decided) -> Vec<CreditNoteLine> {
    let credited = items.iter().zip(&decided.lines).filter(|(_, line)| line.amount.minor() != 0);
    let line = |(item, line): (&LineItem, &LineCredit)| CreditNoteLine {
        credit_note_id: note.id,
        line_item_id: item.id,
        description: item.description.clone(),
        amount_minor: line.amount.minor(),
        tax_minor: line.taxes.iter().map(Money::minor).sum(),
        taxes: taxes_of(item, line),
    };
    credited.map(line).collect()
}

/// The taxes of the line with the amounts that are taken back.
fn taxes_of(item: &LineItem, line: &LineCredit) -> Value {
    let taxes = item.taxes.as_array().into_iter().flatten().zip(&line.taxes);
    let tax = |(tax, amount): (&Value, &Money)| json!({ "name": tax["name"], "percent": tax["percent"], "amount_minor": amount.minor() });
    taxes.map(tax).collect()
}

/// An invoice that nothing is due of any more is paid, and nobody asks for it again.
async fn reduce_due(cx: &Cx, tx: &mut TenantTx, invoice: &mut Invoice, reduced: Money) -> Result<()> {
    if reduced.minor() == 0 {
        return Ok(());
    }
    invoice.credited_minor += reduced.minor();
    if invoice.amount_due_minor() > 0 {
        return Ok(invoices::update(tx, invoice).await?);
    }
    apply(invoice, InvoiceCommand::Pay, Code::InvoiceNotCreditable)?;
    invoice.paid_at = Some(cx.tenant_now(tx).await?);
    invoices::update(tx, invoice).await?;
    due_work::cancel(tx, work::Kind::CollectInvoice.as_str(), invoice.id.uuid()).await?;
    announce(cx, tx, "invoice.paid", reference(invoice)).await?;
    invoicing::recover(cx, tx, invoice).await
}

async fn give_back(cx: &Cx, tx: &mut TenantTx, note: &CreditNote, payment: Option<&Payment>) -> Result<()> {
    if note.balance_minor > 0 {
        let entry = CreditBalanceEntry {
            id: CreditBalanceEntryId::from_uuid(cx.app.ids.next()),
            customer_id: note.customer_id,
            currency: note.currency.clone(),
            amount_minor: note.balance_minor,
            reason: "credit_note".to_owned(),
            invoice_id: Some(note.invoice_id),
            credit_note_id: Some(note.id),
            created_at: note.created_at,
        };
        ledger::change_balances(tx, &[entry]).await?;
    }
    if note.refunded_minor > 0 {
        let payment = payment.ok_or(Error::Internal("a paid invoice has no payment"))?;
        let (reason, amount_minor) = (note.reason.as_str(), note.refunded_minor);
        let refund = NewRefund { payment, amount_minor, reason, credit_note: Some(note.id) };
        refunds::begin(cx, tx, refund).await?;
    }
    Ok(())
}

fn announcement(note: &CreditNote) -> Value {
    json!({
        "id": note.id,
        "number": note.number,
        "invoice": note.invoice_id,
        "customer": note.customer_id,
        "total": { "amount_minor": note.total_minor, "currency": note.currency },
    })
}

/// Finds a credit note.
pub async fn get(tx: &mut TenantTx, id: CreditNoteId) -> Result<CreditNoteWithLines> {
    let note = credit_notes::find(tx, id).await?.ok_or_else(|| Error::not_found("credit note"))?;
    let lines = credit_notes::list_lines(tx, &[id]).await?;
    Ok(CreditNoteWithLines { note, lines })
}

/// Lists credit notes with their lines, of one customer, of one invoice, or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<&str>,
    invoice: Option<InvoiceId>,
    page: PageRequest,
) -> Result<Page<CreditNoteWithLines>> {
    let customer = find_filter(tx, customer).await?;
    if let Some(invoice) = invoice {
        invoices::find(tx, invoice).await?.ok_or_else(|| Error::not_found("invoice"))?;
    }
    let page = credit_notes::list(tx, customer, invoice, page).await?;
    let ids: Vec<_> = page.items.iter().map(|note| note.id).collect();
    let mut lines = credit_notes::list_lines(tx, &ids).await?;
    Ok(page.map(|note| {
        let (own, others) = lines.drain(..).partition(|line| line.credit_note_id == note.id);
        lines = others;
        CreditNoteWithLines { note, lines: own }
    }))
}
