//! Top-ups: a gateway takes money, and the wallet gets it. The intent is noted before the gateway is called and the outcome
//! after; one that is not known is looked up until it is.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usance_core::{
    ids::{PaymentId, PaymentMethodId, TopUpId, WalletGrantId, WalletId},
    ledger::{AccountCode, Reason},
    money::Money,
};
use usance_db::{
    PageRequest, TenantTx, payment_methods, wallet_books::WalletGrant, wallet_top_ups, wallet_top_ups::TopUp,
    wallets,
};

use super::{
    Amount,
    books::{Books, Cause, read_currency},
    read_amount,
};
use crate::{
    Cx,
    error::{Code, Error, Faults, Refusal, Result},
    gateway::{ChargeOutcome, ChargeRequest, NOT_RECEIVED},
    payments::{GATEWAY_TIMEOUT, IN_FLIGHT, RESOLVE_AFTER, after, look_up_delay},
    work,
};

/// Money that was paid is used after credits that were given.
const PAID_PRIORITY: i16 = 100;

/// Charges a customer's newest payment method, and puts the money into the wallet. Under the key of an earlier request,
/// whose answer was lost, nothing is charged again: what became of it is found out.
pub async fn create(cx: &Cx, wallet: WalletId, amount: &Amount, key: Option<&str>) -> Result<TopUp> {
    let top_up = match find_before(cx, wallet, key).await? {
        Some(before) => {
            resolve(cx, before).await?;
            let mut tx = cx.begin().await?;
            let found = wallet_top_ups::lock(&mut tx, before).await?;
            found.ok_or(Error::Internal("a top-up has vanished"))?
        }
        None => charge(cx, begin(cx, wallet, amount, key).await?).await?,
    };
    answer(top_up)
}

async fn find_before(cx: &Cx, wallet: WalletId, key: Option<&str>) -> Result<Option<TopUpId>> {
    let Some(key) = key else { return Ok(None) };
    let mut tx = cx.begin().await?;
    Ok(wallet_top_ups::find_by_reference(&mut tx, wallet, key).await?)
}

async fn charge(cx: &Cx, top_up: TopUp) -> Result<TopUp> {
    let request = charge_request(cx, &top_up).await?;
    let outcome = within_limit(cx.app.gateways.find(&top_up.gateway)?.charge(request)).await;
    record(cx, top_up.id, outcome).await
}

fn answer(top_up: TopUp) -> Result<TopUp> {
    match top_up.status.as_str() {
        "succeeded" => Ok(top_up),
        "failed" => {
            let failure = top_up.failure_code.unwrap_or_default();
            let refusal = Refusal::new(Code::PaymentDeclined, format!("the payment was declined: {failure}"));
            Err(refusal.with("top_up", top_up.id.to_string()).with("failure_code", failure).into())
        }
        _ => {
            let detail = "the gateway did not answer: the money may have been taken; it is looked up, and reaches the wallet if it was";
            Err(Refusal::new(Code::PaymentUnknown, detail).with("top_up", top_up.id.to_string()).into())
        }
    }
}

async fn begin(cx: &Cx, id: WalletId, amount: &Amount, key: Option<&str>) -> Result<TopUp> {
    let mut tx = cx.begin().await?;
    let wallet = wallets::find(&mut tx, id).await?.ok_or_else(|| Error::not_found("wallet"))?;
    let mut faults = Faults::default();
    let amount_minor = read_amount(&mut faults, "/amount", amount);
    faults.check()?;
    super::require_currency(&wallet, amount)?;
    let newest = PageRequest { limit: 1, after: None };
    let methods = payment_methods::list(&mut tx, wallet.customer_id, newest).await?;
    let method = methods.items.into_iter().next().ok_or_else(|| {
        let detail =
            "the customer has no payment method: add one with POST /customers/{customer}/payment-methods";
        Error::refused(Code::NoPaymentMethod, detail)
    })?;
    let now = cx.tenant_now(&mut tx).await?;
    let top_up = TopUp {
        id: TopUpId::from_uuid(cx.app.ids.next()),
        wallet_id: id,
        payment_method_id: method.id,
        gateway: method.gateway,
        automatic: false,
        status: "processing".to_owned(),
        amount_minor,
        currency: wallet.currency,
        gateway_reference: None,
        failure_code: None,
        reference: key.map(str::to_owned),
        created_at: now,
        sent_at: Some(cx.now),
    };
    wallet_top_ups::insert(&mut tx, &top_up, cx.now).await?;
    // Should this process end during the call, the charge is looked up.
    work::schedule(&mut tx, work::Kind::ChargeTopUp, top_up.id.uuid(), after(now, RESOLVE_AFTER)?).await?;
    tx.commit().await?;
    Ok(top_up)
}

/// Charges a top-up that nobody asked for, or finds out what became of a charge. A settled one stays as it is.
pub(crate) async fn resolve(cx: &Cx, id: TopUpId) -> Result<()> {
    let mut tx = cx.begin().await?;
    let mut top_up =
        wallet_top_ups::lock(&mut tx, id).await?.ok_or(Error::Internal("due work names no top-up"))?;
    let first = top_up.sent_at.is_none();
    match top_up.status.as_str() {
        "processing" if top_up.sent_at.is_some_and(|sent| cx.now.duration_since(sent) < IN_FLIGHT) => {
            postpone(cx, &mut tx, id, RESOLVE_AFTER).await?;
            return Ok(tx.commit().await?);
        }
        "processing" | "unknown" => {}
        _ => return Ok(()),
    }
    if first {
        top_up.sent_at = Some(cx.now);
        wallet_top_ups::set_status(&mut tx, &top_up, cx.now).await?;
    }
    tx.commit().await?;
    let request = charge_request(cx, &top_up).await?;
    let gateway = cx.app.gateways.find(&top_up.gateway)?;
    let call = if first { gateway.charge(request) } else { gateway.look_up(request) };
    let outcome = within_limit(call).await;
    if outcome == ChargeOutcome::Unknown {
        let mut tx = cx.begin().await?;
        let age = top_up.sent_at.map_or(RESOLVE_AFTER, |sent| cx.now.duration_since(sent));
        postpone(cx, &mut tx, id, look_up_delay(age)).await?;
        tx.commit().await?;
    }
    record(cx, id, outcome).await?;
    Ok(())
}

async fn postpone(cx: &Cx, tx: &mut TenantTx, id: TopUpId, delay: jiff::SignedDuration) -> Result<()> {
    let due_at = after(cx.tenant_now(tx).await?, delay)?;
    work::postpone(tx, work::Kind::ChargeTopUp, id.uuid(), due_at).await
}

async fn within_limit(call: BoxFuture<'_, ChargeOutcome>) -> ChargeOutcome {
    tokio::time::timeout(GATEWAY_TIMEOUT, call).await.unwrap_or(ChargeOutcome::Unknown)
}

async fn charge_request(cx: &Cx, top_up: &TopUp) -> Result<ChargeRequest> {
    let mut tx = cx.begin().await?;
    let method: PaymentMethodId = top_up.payment_method_id;
    let method = payment_methods::find(&mut tx, method).await?;
    let method = method.ok_or(Error::Internal("a top-up has no payment method"))?;
    let amount = Money::new(top_up.amount_minor, read_currency(&top_up.currency)?);
    // To a gateway a top-up is a payment like any other.
    let idempotency_key = PaymentId::from_uuid(top_up.id.uuid());
    Ok(ChargeRequest { idempotency_key, payment_method: method.gateway_reference, amount })
}

/// Notes an outcome once. Money that was taken always reaches the wallet, also if the charge had counted as failed.
async fn record(cx: &Cx, id: TopUpId, outcome: ChargeOutcome) -> Result<TopUp> {
    let mut tx = cx.begin().await?;
    let mut top_up =
        wallet_top_ups::lock(&mut tx, id).await?.ok_or(Error::Internal("a top-up has vanished"))?;
    match (top_up.status.as_str(), outcome) {
        ("succeeded", _)
        | ("failed", ChargeOutcome::Declined { .. })
        | ("failed" | "unknown", ChargeOutcome::Unknown) => return Ok(top_up),
        (_, ChargeOutcome::Unknown) => "unknown".clone_into(&mut top_up.status),
        (_, ChargeOutcome::Declined { code }) => {
            "failed".clone_into(&mut top_up.status);
            top_up.failure_code = Some(code);
        }
        (_, ChargeOutcome::Succeeded { reference }) => {
            "succeeded".clone_into(&mut top_up.status);
            top_up.failure_code = None;
            top_up.gateway_reference = Some(reference);
        }
    }
    // Before the wallet is looked at: a top-up that is under way keeps it from planning another.
    wallet_top_ups::set_status(&mut tx, &top_up, cx.now).await?;
    let mut books = Books::open(cx, &mut tx, &[top_up.wallet_id]).await?;
    let event = match top_up.status.as_str() {
        "succeeded" => {
            put_in(cx, &mut books, &top_up)?;
            Some("wallet.topped_up")
        }
        "failed" if top_up.failure_code.as_deref() != Some(NOT_RECEIVED) || top_up.automatic => {
            Some("wallet.top_up_failed")
        }
        _ => None,
    };
    if let Some(event) = event {
        let data = reference(&books, &top_up);
        books.tell(event, data);
    }
    books.save(&mut tx).await?;
    tx.commit().await?;
    cx.app.work_added.notify_one();
    Ok(top_up)
}

fn put_in(cx: &Cx, books: &mut Books<'_>, top_up: &TopUp) -> Result<()> {
    let grant = WalletGrant {
        id: WalletGrantId::from_uuid(cx.app.ids.next()),
        wallet_id: top_up.wallet_id,
        kind: "paid".to_owned(),
        amount_minor: top_up.amount_minor,
        left_minor: top_up.amount_minor,
        priority: PAID_PRIORITY,
        description: String::new(),
        expires_at: None,
        created_at: books.now,
    };
    let cause = Cause {
        kind: "top_up",
        reason: Reason::WalletTopUp,
        other: AccountCode::Clearing,
        reference: None,
        subject: Some(top_up.id.uuid()),
        description: String::new(),
    };
    let put_in = books.put_in(grant, cause)?;
    put_in.map_err(|_| Error::Internal("a balance is too large for the money that was taken for it"))?;
    if top_up.automatic {
        // A balance that is still below the threshold is topped up again.
        books.book_mut(top_up.wallet_id)?.wallet.recharge_armed = true;
    }
    Ok(())
}

fn reference(books: &Books<'_>, top_up: &TopUp) -> Value {
    let customer = books.find(top_up.wallet_id).map(|open| open.wallet.customer_id);
    json!({
        "id": top_up.wallet_id,
        "customer": customer,
        "top_up": top_up.id,
        "status": top_up.status,
        "automatic": top_up.automatic,
        "failure_code": top_up.failure_code,
        "amount": { "amount_minor": top_up.amount_minor, "currency": top_up.currency },
    })
}
