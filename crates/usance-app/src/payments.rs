//! Collecting invoices. The intent is noted before the gateway is called and the outcome after, each in a transaction of
//! its own; an outcome that is not known blocks further attempts until a look-up tells.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use usance_core::{
    ids::{InvoiceId, PaymentId},
    invoice::state::{InvoiceCommand, InvoiceStatus},
    money::{Currency, Money},
};
use usance_db::{
    Page, PageRequest, TenantTx,
    invoices::{self, Invoice},
    payment_methods,
    payments::{self, Payment},
};

use crate::{
    Cx,
    billing::{apply, reference},
    dunning,
    error::{Code, Error, Refusal, Result},
    gateway::{ChargeOutcome, ChargeRequest, NOT_RECEIVED},
    invoicing::recover,
    ledger,
    outbox::announce,
    subscriptions::find_filter,
    work,
};

/// When an unanswered charge or refund is looked up, in the tenant's time.
pub(crate) const RESOLVE_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// How long a gateway may take; afterwards its answer counts as lost.
pub(crate) const GATEWAY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may still be under way, by the wall clock: the gateway's time and as much to note the outcome.
pub(crate) const IN_FLIGHT: SignedDuration = SignedDuration::from_secs(60);

/// Pays an invoice on request with the customer's newest payment method.
pub async fn pay(cx: &Cx, id: InvoiceId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let invoice = invoices::find(&mut tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    drop(tx);
    require_payable(&invoice)?;
    let mut payment = attempt(cx, id).await?;
    if payment.as_ref().and_then(|payment| payment.failure_code.as_deref()) == Some(NOT_RECEIVED) {
        // An earlier attempt turned out never to have arrived: this request is still to be carried out.
        payment = attempt(cx, id).await?;
    }
    let payment = payment.ok_or_else(|| {
        Error::refused(
            Code::NoPaymentMethod,
            "the customer has no payment method: add one with POST /customers/{customer}/payment-methods",
        )
    })?;
    match payment.status.as_str() {
        "succeeded" => Ok(()),
        "failed" => {
            let failure = payment.failure_code.unwrap_or_default();
            let refusal = Refusal::new(Code::PaymentDeclined, format!("the payment was declined: {failure}"));
            Err(refusal.with("payment", payment.id.to_string()).with("failure_code", failure).into())
        }
        _ => {
            let detail = "the gateway did not answer: the money may have been taken; the payment is looked up before another attempt";
            Err(Refusal::new(Code::PaymentUnknown, detail).with("payment", payment.id.to_string()).into())
        }
    }
}

fn require_payable(invoice: &Invoice) -> Result<()> {
    let payable = InvoiceStatus::parse(&invoice.status).is_some_and(InvoiceStatus::is_payable);
    if payable {
        Ok(())
    } else {
        Err(Error::refused(Code::InvoiceNotPayable, format!("the invoice is {}", invoice.status)))
    }
}

/// Collects a finalized invoice by itself. Nothing happens if it is settled; without a payment method, collecting fails.
pub(crate) async fn collect(cx: &Cx, id: InvoiceId) -> Result<()> {
    match attempt(cx, id).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => dunning::note_uncollected(cx, id).await,
        Err(Error::Refused(refusal))
            if matches!(refusal.code, Code::InvoiceNotPayable | Code::PaymentInProgress) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Makes one payment, or finishes the one that is open. `None` without a payment method.
async fn attempt(cx: &Cx, id: InvoiceId) -> Result<Option<Payment>> {
    let mut tx = cx.begin().await?;
    let invoice = invoices::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    require_payable(&invoice)?;
    if let Some(open) = payments::find_effective(&mut tx, id).await? {
        drop(tx);
        return finish_open(cx, open).await.map(Some);
    }
    let newest = PageRequest { limit: 1, after: None };
    let methods = payment_methods::list(&mut tx, invoice.customer_id, newest).await?;
    let Some(method) = methods.items.into_iter().next() else { return Ok(None) };
    let payment = Payment {
        id: PaymentId::from_uuid(cx.app.ids.next()),
        invoice_id: id,
        customer_id: invoice.customer_id,
        payment_method_id: method.id,
        gateway: method.gateway,
        status: "processing".to_owned(),
        amount_minor: invoice.amount_due_minor(),
        currency: invoice.currency,
        gateway_reference: None,
        failure_code: None,
        refunded_minor: 0,
        created_at: cx.now,
    };
    payments::insert(&mut tx, &payment).await?;
    // Should this process end during the call, the payment is looked up.
    let resolve_at = after(cx.tenant_now(&mut tx).await?, RESOLVE_AFTER)?;
    work::schedule(&mut tx, work::Kind::ResolvePayment, payment.id.uuid(), resolve_at).await?;
    let request = charge_request(&payment, method.gateway_reference)?;
    tx.commit().await?;
    let outcome = within_limit(cx.app.gateways.find(&payment.gateway)?.charge(request)).await;
    record(cx, payment.id, outcome).await.map(Some)
}

async fn finish_open(cx: &Cx, open: Payment) -> Result<Payment> {
    let age = cx.now.duration_since(open.created_at);
    if open.status == "processing" && age < RESOLVE_AFTER {
        return Err(Error::refused(
            Code::PaymentInProgress,
            "another payment of this invoice is under way: wait for its outcome",
        ));
    }
    look_up(cx, open).await
}

async fn within_limit(call: BoxFuture<'_, ChargeOutcome>) -> ChargeOutcome {
    tokio::time::timeout(GATEWAY_TIMEOUT, call).await.unwrap_or(ChargeOutcome::Unknown)
}

/// Finds out what became of a payment whose answer was lost. A settled payment stays as it is.
pub(crate) async fn resolve(cx: &Cx, id: PaymentId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let payment = payments::lock(&mut tx, id).await?.ok_or(Error::Internal("due work names no payment"))?;
    let age = cx.now.duration_since(payment.created_at);
    match payment.status.as_str() {
        // A test clock may have jumped over the minutes that the gateway has by the wall clock.
        "processing" if age < IN_FLIGHT => {
            let due_at = after(cx.tenant_now(&mut tx).await?, RESOLVE_AFTER)?;
            work::postpone(&mut tx, work::Kind::ResolvePayment, id.uuid(), due_at).await?;
            return Ok(tx.commit().await?);
        }
        "processing" | "unknown" => {}
        _ => return Ok(()),
    }
    drop(tx);
    look_up(cx, payment).await?;
    Ok(())
}

pub(crate) fn after(now: Timestamp, delay: SignedDuration) -> Result<Timestamp> {
    now.saturating_add(delay).map_err(|_| Error::Internal("time ends"))
}

/// When a payment or refund of this age is looked up again: after 5 minutes, in its first day each hour, then each day.
pub(crate) fn look_up_delay(age: SignedDuration) -> SignedDuration {
    if age < SignedDuration::from_hours(1) {
        RESOLVE_AFTER
    } else if age < SignedDuration::from_hours(24) {
        SignedDuration::from_hours(1)
    } else {
        SignedDuration::from_hours(24)
    }
}

async fn look_up(cx: &Cx, payment: Payment) -> Result<Payment> {
    let mut tx = cx.begin().await?;
    let method = payment_methods::find(&mut tx, payment.payment_method_id).await?;
    drop(tx);
    let method = method.ok_or(Error::Internal("a payment has no payment method"))?;
    let request = charge_request(&payment, method.gateway_reference)?;
    let outcome = within_limit(cx.app.gateways.find(&payment.gateway)?.look_up(request)).await;
    if outcome == ChargeOutcome::Unknown {
        let mut tx = cx.begin().await?;
        let delay = look_up_delay(cx.now.duration_since(payment.created_at));
        let due_at = after(cx.tenant_now(&mut tx).await?, delay)?;
        work::postpone(&mut tx, work::Kind::ResolvePayment, payment.id.uuid(), due_at).await?;
        tx.commit().await?;
    }
    record(cx, payment.id, outcome).await
}

fn charge_request(payment: &Payment, payment_method: String) -> Result<ChargeRequest> {
    let currency = Currency::parse(&payment.currency)
        .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
    let amount = Money::new(payment.amount_minor, currency);
    Ok(ChargeRequest { idempotency_key: payment.id, payment_method, amount })
}

/// Keeps others from changing a payment and its invoice. Whoever changes both locks the invoice first, as refunds and credit
/// notes do.
pub(crate) async fn lock(tx: &mut TenantTx, id: PaymentId) -> Result<(Invoice, Payment)> {
    let found = payments::find(tx, id).await?.ok_or_else(|| Error::not_found("payment"))?;
    let invoice = invoices::lock(tx, found.invoice_id).await?;
    let payment = payments::lock(tx, id).await?;
    invoice.zip(payment).ok_or(Error::Internal("a payment has vanished"))
}

/// Notes an outcome once. What is settled stays as it is, except that money that was taken is never overlooked.
async fn record(cx: &Cx, id: PaymentId, outcome: ChargeOutcome) -> Result<Payment> {
    let mut tx = cx.begin().await?;
    if dunning::may_move_subscription(&mut tx, id, &outcome).await? {
        tx.lock_catalog().await?;
    }
    let (invoice, mut payment) = lock(&mut tx, id).await?;
    let before = payment.status.clone();
    let status = match (before.as_str(), outcome) {
        ("succeeded", _)
        | ("failed", ChargeOutcome::Declined { .. })
        | ("failed" | "unknown", ChargeOutcome::Unknown) => return Ok(payment),
        ("failed", ChargeOutcome::Succeeded { reference }) => {
            payment.gateway_reference = Some(reference);
            if !is_owed(&mut tx, &invoice, &payment).await? {
                return park_duplicate(cx, tx, payment).await;
            }
            payment.failure_code = None;
            settle(cx, &mut tx, invoice, &payment).await?;
            "succeeded"
        }
        (_, ChargeOutcome::Succeeded { reference }) => {
            payment.gateway_reference = Some(reference);
            settle(cx, &mut tx, invoice, &payment).await?;
            "succeeded"
        }
        (before, ChargeOutcome::Declined { code }) => {
            if before == "processing" && code == NOT_RECEIVED {
                // The process ended between the intent and the call: nobody has tried to collect yet.
                let now = cx.tenant_now(&mut tx).await?;
                work::schedule(&mut tx, work::Kind::CollectInvoice, payment.invoice_id.uuid(), now).await?;
            } else {
                dunning::note_failure(cx, &mut tx, payment.invoice_id).await?;
            }
            payment.failure_code = Some(code);
            "failed"
        }
        (_, ChargeOutcome::Unknown) => "unknown",
    };
    status.clone_into(&mut payment.status);
    payments::set_status(&mut tx, &payment, cx.now).await?;
    announce_payment(cx, &mut tx, &payment, status).await?;
    tx.commit().await?;
    Ok(payment)
}

async fn announce_payment(cx: &Cx, tx: &mut TenantTx, payment: &Payment, what: &str) -> Result<()> {
    let data = json!({ "id": payment.id, "invoice": payment.invoice_id });
    announce(cx, tx, &format!("payment.{what}"), data).await
}

/// Whether the invoice still waits for the money that a payment took, and no other payment may take it.
async fn is_owed(tx: &mut TenantTx, invoice: &Invoice, payment: &Payment) -> Result<bool> {
    // A credit note may have reduced what is due since the payment failed.
    let is_due = require_payable(invoice).is_ok() && invoice.amount_due_minor() == payment.amount_minor;
    Ok(is_due && payments::find_effective(tx, payment.invoice_id).await?.is_none())
}

/// Keeps the trace of money that was taken after the payment had failed and another took its place: a person must give
/// it back.
async fn park_duplicate(cx: &Cx, mut tx: TenantTx, payment: Payment) -> Result<Payment> {
    let reason = "a payment that had failed took money that is not owed any more: it must be given back";
    tracing::error!(payment = %payment.id, invoice = %payment.invoice_id, reason);
    payments::set_status(&mut tx, &payment, cx.now).await?;
    let now = cx.tenant_now(&mut tx).await?;
    ledger::post_duplicate(&mut tx, &payment, now)?;
    work::park(&mut tx, work::Kind::ResolvePayment, payment.id.uuid(), now, reason).await?;
    announce_payment(cx, &mut tx, &payment, "duplicate").await?;
    tx.commit().await?;
    Ok(payment)
}

async fn settle(cx: &Cx, tx: &mut TenantTx, mut invoice: Invoice, payment: &Payment) -> Result<()> {
    let now = cx.tenant_now(tx).await?;
    ledger::post_payment(tx, &invoice, payment, now)?;
    apply(&mut invoice, InvoiceCommand::Pay, Code::InvoiceNotPayable)?;
    invoice.paid_minor += payment.amount_minor;
    invoice.paid_at = Some(now);
    invoices::update(tx, &invoice).await?;
    announce(cx, tx, "invoice.paid", reference(&invoice)).await?;
    recover(cx, tx, &invoice).await
}

/// Lists payments, of one customer or of all.
pub async fn list(tx: &mut TenantTx, customer: Option<&str>, page: PageRequest) -> Result<Page<Payment>> {
    let customer = find_filter(tx, customer).await?;
    Ok(payments::list(tx, customer, page).await?)
}

#[cfg(test)]
mod tests;
