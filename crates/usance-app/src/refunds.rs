//! Refunds: money that goes back the way it came. The intent is noted in the transaction that asks for it; due work sends it
//! to the gateway outside of any transaction and notes the outcome; one that is not known is looked up until it is.

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use serde_json::{Value, json};
use usance_core::{
    ids::{CreditBalanceEntryId, CreditNoteId, PaymentId, RefundId},
    invoice::credit_note::InvoiceBalance,
    money::{Currency, Money},
};
use usance_db::{
    Page, PageRequest, TenantTx,
    credit_balances::CreditBalanceEntry,
    credit_notes,
    invoices::Invoice,
    payments::{self, Payment},
    refunds::{self, Refund},
};

use crate::{
    Cx,
    error::{Code, Error, Faults, Refusal, Result},
    fields::check_word,
    gateway::{NOT_RECEIVED, RefundOutcome, RefundRequest},
    ledger::{self, RefundStep},
    outbox::announce,
    payments::{GATEWAY_TIMEOUT, IN_FLIGHT, RESOLVE_AFTER, after, lock, look_up_delay},
    subscriptions::find_filter,
    work,
};

/// Why a credit note or a refund is made.
pub(crate) const REASONS: [&str; 5] =
    ["duplicate", "fraudulent", "order_change", "product_unsatisfactory", "other"];

/// What is to be paid back of a payment.
#[derive(Debug, Default)]
pub struct CreateRefund {
    /// In minor units; all that is left if absent.
    pub amount_minor: Option<i64>,
    /// A word; `other` if absent.
    pub reason: Option<String>,
}

/// A refund that a payment has room for.
#[derive(Debug)]
pub(crate) struct NewRefund<'a> {
    pub(crate) payment: &'a Payment,
    pub(crate) amount_minor: i64,
    pub(crate) reason: &'a str,
    pub(crate) credit_note: Option<CreditNoteId>,
}

/// Refunds a payment without a credit note: the invoice stays as it is. The gateway is asked right afterwards.
pub async fn create(cx: &Cx, tx: &mut TenantTx, id: PaymentId, input: CreateRefund) -> Result<Refund> {
    let reason = read_input(&input)?;
    let (invoice, payment) = lock(tx, id).await?;
    require_refundable(&payment)?;
    let left = balance_of(tx, &invoice).await?.refundable()?;
    let amount_minor = input.amount_minor.unwrap_or(left.minor());
    if left.minor() == 0 || amount_minor > left.minor() {
        return Err(too_large(left));
    }
    begin(cx, tx, NewRefund { payment: &payment, amount_minor, reason, credit_note: None }).await
}

fn read_input(input: &CreateRefund) -> Result<&str> {
    let mut faults = Faults::default();
    let reason = input.reason.as_deref().unwrap_or("other");
    check_word(&mut faults, "/reason", reason, &REASONS);
    if input.amount_minor.is_some_and(|amount| amount <= 0) {
        faults.add("/amount_minor", "out_of_range", "must be positive");
    }
    faults.check()?;
    Ok(reason)
}

fn require_refundable(payment: &Payment) -> Result<()> {
    match payment.status.as_str() {
        "succeeded" => Ok(()),
        "failed" => Err(Error::refused(
            Code::PaymentNotRefundable,
            "the payment has failed: nothing was paid that could be paid back",
        )),
        _ => Err(under_way()),
    }
}

/// The refusal while a payment may or may not take money.
pub(crate) fn under_way() -> Error {
    let detail = "a payment of the invoice is under way: wait for its outcome";
    Error::refused(Code::PaymentInProgress, detail)
}

/// The refusal of a refund beyond what is left.
pub(crate) fn too_large(left: Money) -> Error {
    let detail = format!("{left} is left of the payment to refund: ask for at most that");
    let currency = left.currency().to_string();
    Refusal::new(Code::RefundTooLarge, detail)
        .with("left", json!({ "amount_minor": left.minor(), "currency": currency }))
        .into()
}

/// What an invoice, which is locked, was paid and what of it was given back.
pub(crate) async fn balance_of(tx: &mut TenantTx, invoice: &Invoice) -> Result<InvoiceBalance> {
    let currency = read_currency(&invoice.currency)?;
    let given = refunds::given_back(tx, invoice.id).await?;
    let money = |minor| Money::new(minor, currency);
    Ok(InvoiceBalance {
        due: money(invoice.amount_due_minor()),
        paid: money(invoice.paid_minor),
        from_balance: money(invoice.balance_applied_minor),
        refunded: money(given.refunded_minor),
        to_balance: money(given.to_balance_minor),
    })
}

pub(crate) fn read_currency(currency: &str) -> Result<Currency> {
    Currency::parse(currency).map_err(|_| Error::Internal("a stored currency cannot be read"))
}

/// Notes a refund and plans that the gateway is asked for it at once.
pub(crate) async fn begin(cx: &Cx, tx: &mut TenantTx, new: NewRefund<'_>) -> Result<Refund> {
    let now = cx.tenant_now(tx).await?;
    let refund = Refund {
        id: RefundId::from_uuid(cx.app.ids.next()),
        payment_id: new.payment.id,
        customer_id: new.payment.customer_id,
        credit_note_id: new.credit_note,
        gateway: new.payment.gateway.clone(),
        currency: new.payment.currency.clone(),
        amount_minor: new.amount_minor,
        status: "processing".to_owned(),
        reason: new.reason.to_owned(),
        gateway_reference: None,
        failure_code: None,
        created_at: now,
        sent_at: None,
    };
    refunds::insert(tx, &refund, cx.now).await?;
    ledger::post_refund(tx, &refund, RefundStep::Granted, now)?;
    work::schedule(tx, work::Kind::ResolveRefund, refund.id.uuid(), now).await?;
    announce(cx, tx, "refund.created", reference(&refund)).await?;
    Ok(refund)
}

fn reference(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "payment": refund.payment_id,
        "credit_note": refund.credit_note_id,
        "customer": refund.customer_id,
        "status": refund.status,
        "amount": { "amount_minor": refund.amount_minor, "currency": refund.currency },
    })
}

/// Asks the gateway for a refund, or finds out what became of it if the answer was lost. A settled refund stays as it is.
pub(crate) async fn resolve(cx: &Cx, id: RefundId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let mut refund = refunds::lock(&mut tx, id).await?.ok_or(Error::Internal("due work names no refund"))?;
    let first = refund.sent_at.is_none();
    match refund.status.as_str() {
        "processing" if refund.sent_at.is_some_and(|sent_at| cx.now.duration_since(sent_at) < IN_FLIGHT) => {
            postpone(cx, &mut tx, id, RESOLVE_AFTER).await?;
            return Ok(tx.commit().await?);
        }
        "processing" | "unknown" => {}
        _ => return Ok(()),
    }
    if first {
        refund.sent_at = Some(cx.now);
        refunds::set_status(&mut tx, &refund, cx.now).await?;
    }
    let request = refund_request(&mut tx, &refund).await?;
    tx.commit().await?;
    let outcome =
        if first { send(cx, &refund, request).await? } else { look_up(cx, &refund, request).await? };
    record(cx, id, outcome).await
}

async fn refund_request(tx: &mut TenantTx, refund: &Refund) -> Result<RefundRequest> {
    let payment = payments::find(tx, refund.payment_id).await?;
    let charge = payment.and_then(|payment| payment.gateway_reference);
    let charge = charge.ok_or(Error::Internal("a refunded payment has no reference"))?;
    let amount = Money::new(refund.amount_minor, read_currency(&refund.currency)?);
    Ok(RefundRequest { idempotency_key: refund.id, charge, amount })
}

async fn send(cx: &Cx, refund: &Refund, request: RefundRequest) -> Result<RefundOutcome> {
    Ok(within_limit(cx.app.gateways.find(&refund.gateway)?.refund(request)).await)
}

/// A refund that never arrived is sent again: the gateway makes it once, as it bears the same key.
async fn look_up(cx: &Cx, refund: &Refund, request: RefundRequest) -> Result<RefundOutcome> {
    let gateway = cx.app.gateways.find(&refund.gateway)?;
    let outcome = within_limit(gateway.look_up_refund(request.clone())).await;
    if matches!(&outcome, RefundOutcome::Declined { code } if code == NOT_RECEIVED) {
        return send(cx, refund, request).await;
    }
    Ok(outcome)
}

async fn within_limit(call: BoxFuture<'_, RefundOutcome>) -> RefundOutcome {
    tokio::time::timeout(GATEWAY_TIMEOUT, call).await.unwrap_or(RefundOutcome::Unknown)
}

async fn postpone(cx: &Cx, tx: &mut TenantTx, id: RefundId, delay: SignedDuration) -> Result<()> {
    let due_at = after(cx.tenant_now(tx).await?, delay)?;
    work::postpone(tx, work::Kind::ResolveRefund, id.uuid(), due_at).await
}

/// Notes an outcome once. What is settled stays as it is, except that money that was paid back is never overlooked.
async fn record(cx: &Cx, id: RefundId, outcome: RefundOutcome) -> Result<()> {
    let mut tx = cx.begin().await?;
    let mut refund = refunds::lock(&mut tx, id).await?.ok_or(Error::Internal("a refund has vanished"))?;
    let tenant_now = cx.tenant_now(&mut tx).await?;
    let status = match (refund.status.as_str(), outcome) {
        ("succeeded", _) | ("failed", RefundOutcome::Declined { .. } | RefundOutcome::Unknown) => {
            return Ok(());
        }
        ("failed", RefundOutcome::Succeeded { reference }) => {
            refund.gateway_reference = Some(reference);
            return park(cx, tx, refund).await;
        }
        (_, RefundOutcome::Succeeded { reference }) => {
            refund.gateway_reference = Some(reference);
            ledger::post_refund(&mut tx, &refund, RefundStep::Paid, tenant_now)?;
            "succeeded"
        }
        (_, RefundOutcome::Declined { code }) => {
            refund.failure_code = Some(code);
            keep_as_balance(cx, &mut tx, &refund).await?;
            ledger::post_refund(&mut tx, &refund, RefundStep::Refused, tenant_now)?;
            "failed"
        }
        (before, RefundOutcome::Unknown) => {
            let age = refund.sent_at.map_or(SignedDuration::ZERO, |sent_at| cx.now.duration_since(sent_at));
            postpone(cx, &mut tx, id, look_up_delay(age)).await?;
            if before == "unknown" {
                return Ok(tx.commit().await?);
            }
            "unknown"
        }
    };
    status.clone_into(&mut refund.status);
    refunds::set_status(&mut tx, &refund, cx.now).await?;
    announce(cx, &mut tx, &format!("refund.{status}"), reference(&refund)).await?;
    Ok(tx.commit().await?)
}

/// What a credit note promised and the gateway refuses becomes the customer's balance.
async fn keep_as_balance(cx: &Cx, tx: &mut TenantTx, refund: &Refund) -> Result<()> {
    let Some(note) = refund.credit_note_id else { return Ok(()) };
    let note = credit_notes::find(tx, note).await?;
    let note = note.ok_or(Error::Internal("a refund names no credit note"))?;
    let entry = CreditBalanceEntry {
        id: CreditBalanceEntryId::from_uuid(cx.app.ids.next()),
        customer_id: refund.customer_id,
        currency: refund.currency.clone(),
        amount_minor: refund.amount_minor,
        reason: "refund_failed".to_owned(),
        invoice_id: Some(note.invoice_id),
        credit_note_id: Some(note.id),
        created_at: cx.tenant_now(tx).await?,
    };
    ledger::change_balances(tx, &[entry]).await
}

/// Keeps the trace of money that was paid back although the refund counts as failed: a person must look.
async fn park(cx: &Cx, mut tx: TenantTx, refund: Refund) -> Result<()> {
    let reason = "a refund that had failed was paid out: what took its place must be taken back";
    tracing::error!(refund = %refund.id, payment = %refund.payment_id, reason);
    refunds::set_status(&mut tx, &refund, cx.now).await?;
    let now = cx.tenant_now(&mut tx).await?;
    ledger::post_refund(&mut tx, &refund, RefundStep::PaidLate, now)?;
    work::park(&mut tx, work::Kind::ResolveRefund, refund.id.uuid(), now, reason).await?;
    Ok(tx.commit().await?)
}

/// Finds a refund.
pub async fn get(tx: &mut TenantTx, id: RefundId) -> Result<Refund> {
    refunds::find(tx, id).await?.ok_or_else(|| Error::not_found("refund"))
}

/// Lists refunds, of one customer, of one payment, or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<&str>,
    payment: Option<PaymentId>,
    page: PageRequest,
) -> Result<Page<Refund>> {
    let customer = find_filter(tx, customer).await?;
    if let Some(payment) = payment {
        payments::find(tx, payment).await?.ok_or_else(|| Error::not_found("payment"))?;
    }
    Ok(refunds::list(tx, customer, payment, page).await?)
}
