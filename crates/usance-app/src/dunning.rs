//! Dunning: what follows when an invoice cannot be collected.

use usance_core::{
    dunning::{DunningPolicy, DunningStep, FinalAction},
    ids::{InvoiceId, PaymentId},
    invoice::state::{InvoiceCommand, InvoiceStatus},
};
use usance_db::{TenantTx, invoices, payments, tenant_profiles, tenant_profiles::TenantProfile};

use crate::{
    Cx,
    billing::{apply, reference},
    error::{Code, Error, Result},
    gateway::ChargeOutcome,
    ledger,
    outbox::announce,
    subscriptions, work,
};

/// Whether noting the outcome of a payment may change the state of a subscription, which needs the catalogue's lock
/// before any other.
pub(crate) async fn may_move_subscription(
    tx: &mut TenantTx,
    payment: PaymentId,
    outcome: &ChargeOutcome,
) -> Result<bool> {
    match outcome {
        ChargeOutcome::Declined { .. } => Ok(true),
        ChargeOutcome::Unknown => Ok(false),
        ChargeOutcome::Succeeded { .. } => {
            let payment = payments::find(tx, payment).await?;
            let payment = payment.ok_or(Error::Internal("a payment has vanished"))?;
            let invoice = invoices::find(tx, payment.invoice_id).await?;
            Ok(invoice.is_some_and(|invoice| invoice.failed_attempts > 0))
        }
    }
}

/// Goes on with the ladder of an invoice whose customer has removed the payment method that failed. One that nobody has
/// tried to collect is the customer's to pay: nothing happens.
pub(crate) async fn note_uncollected(cx: &Cx, id: InvoiceId) -> Result<()> {
    let mut tx = cx.begin().await?;
    tx.lock_catalog().await?;
    if invoices::find(&mut tx, id).await?.is_some_and(|invoice| invoice.failed_attempts > 0) {
        note_failure(cx, &mut tx, id).await?;
    }
    Ok(tx.commit().await?)
}

/// Notes that collecting failed: the invoice is collected again on the next day of the ladder, and given up after the
/// last. The catalogue is locked.
pub(crate) async fn note_failure(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<()> {
    let mut invoice = invoices::lock(tx, id).await?.ok_or(Error::Internal("a payment has no invoice"))?;
    if !InvoiceStatus::parse(&invoice.status).is_some_and(InvoiceStatus::is_payable) {
        return Ok(());
    }
    let profile = tenant_profiles::get(tx).await?;
    let now = cx.tenant_now(tx).await?;
    let first_failed_at = *invoice.first_failed_at.get_or_insert(now);
    invoice.failed_attempts = invoice.failed_attempts.saturating_add(1);
    announce(cx, tx, "invoice.payment_failed", reference(&invoice)).await?;
    let policy = policy(&profile)?;
    let step = policy.next(policy.attempts_by(first_failed_at, now), first_failed_at);
    let collected = invoice.status == InvoiceStatus::Finalized.as_str();
    match step {
        DunningStep::RetryAt(retry_at) if collected => {
            work::postpone(tx, work::Kind::CollectInvoice, id.uuid(), retry_at).await?;
        }
        DunningStep::Exhausted(_) if collected => {
            apply(&mut invoice, InvoiceCommand::MarkUncollectible, Code::InvoiceNotPayable)?;
            ledger::post_write_off(tx, &invoice, now)?;
            announce(cx, tx, "invoice.uncollectible", reference(&invoice)).await?;
        }
        // Somebody pays by hand what was given up already.
        DunningStep::RetryAt(_) | DunningStep::Exhausted(_) => {}
    }
    invoices::update(tx, &invoice).await?;
    let Some(subscription) = invoice.subscription_id else { return Ok(()) };
    let cancel = collected && step == DunningStep::Exhausted(FinalAction::Cancel);
    subscriptions::note_payment_failed(cx, tx, subscription, cancel).await
}

fn policy(profile: &TenantProfile) -> Result<DunningPolicy> {
    let days = profile.dunning_retry_days.iter().map(|days| u16::try_from(*days));
    let retry_days: std::result::Result<Vec<_>, _> = days.collect();
    let (Ok(retry_days), Some(final_action)) =
        (retry_days, FinalAction::parse(&profile.dunning_final_action))
    else {
        return Err(Error::Internal("a stored dunning policy cannot be read"));
    };
    Ok(DunningPolicy { retry_days, final_action })
}
