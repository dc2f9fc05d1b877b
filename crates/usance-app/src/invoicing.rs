//! Invoices: read, explained, previewed, finalized, voided, and made by hand.

use std::collections::HashMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;
use usance_core::{
    decimal::exact_mul,
    ids::{CreditBalanceEntryId, InvoiceId, PriceId, SubscriptionId},
    invoice::state::InvoiceCommand,
    money::{Currency, Money},
    period::Period,
    rating::{RateError, Step, StepKind},
};
use usance_db::{
    Page, PageRequest, TenantTx,
    credit_balances::CreditBalanceEntry,
    customers::Customer,
    due_work,
    invoice_corrections::{self, InvoiceCorrection},
    invoices::{self, Invoice},
    line_items::{self, LineItem},
    payments,
    plans::Price,
};

use crate::{
    Cx,
    billing::{
        Draft, LineDraft, apply, finalize_draft, issue_many, reference, refresh_draft, restore_discounts,
        step_json,
    },
    catalog::plans::{self, PlanAtVersion},
    customers,
    error::{Code, Error, Faults, Result},
    fields::{check_optional_text, check_text, read_decimal},
    ledger,
    outbox::announce,
    subscriptions::{self, find_filter},
    work,
};

const LINES_MAX: usize = 250;

/// An invoice with its lines.
#[derive(Debug, Clone)]
pub struct InvoiceWithLines {
    /// The invoice.
    pub invoice: Invoice,
    /// In their order.
    pub lines: Vec<LineItem>,
    /// The invoice that it stands in the place of.
    pub corrects: Option<InvoiceId>,
    /// The invoice that stands in its place.
    pub corrected_by: Option<InvoiceId>,
}

impl InvoiceWithLines {
    fn new(invoice: Invoice, lines: Vec<LineItem>, corrections: &[InvoiceCorrection]) -> Self {
        let corrects = corrections.iter().find(|it| it.invoice == invoice.id).map(|it| it.corrected);
        let corrected_by = corrections.iter().find(|it| it.corrected == invoice.id).map(|it| it.invoice);
        Self { invoice, lines, corrects, corrected_by }
    }
}

/// Finds an invoice.
pub async fn get(tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let invoice = invoices::find(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    let lines = line_items::list(tx, &[id]).await?;
    Ok(InvoiceWithLines::new(invoice, lines, &invoice_corrections::list(tx, &[id]).await?))
}

/// Lists invoices with their lines, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<&str>,
    page: PageRequest,
) -> Result<Page<InvoiceWithLines>> {
    let customer = find_filter(tx, customer).await?;
    let page = invoices::list(tx, customer, page).await?;
    let ids: Vec<_> = page.items.iter().map(|invoice| invoice.id).collect();
    let mut lines = line_items::list(tx, &ids).await?;
    let corrections = invoice_corrections::list(tx, &ids).await?;
    Ok(page.map(|invoice| {
        let (own, others) = lines.drain(..).partition(|line| line.invoice_id == invoice.id);
        lines = others;
        InvoiceWithLines::new(invoice, own, &corrections)
    }))
}

/// Finalizes a draft: its usage is measured once more, it gets its number and is collected.
pub async fn finalize(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    tx.lock_catalog().await?;
    let at = cx.tenant_now(tx).await?;
    finalize_at(cx, tx, id, at).await?;
    get(tx, id).await
}

/// Finalizes a draft whose time has come; one that is not a draft any more stays as it is.
pub(crate) async fn finalize_due(cx: &Cx, tx: &mut TenantTx, id: InvoiceId, at: Timestamp) -> Result<()> {
    match finalize_at(cx, tx, id, at).await {
        Err(Error::Refused(refusal)) if refusal.code == Code::InvoiceNotDraft => Ok(()),
        other => other,
    }
}

async fn finalize_at(cx: &Cx, tx: &mut TenantTx, id: InvoiceId, at: Timestamp) -> Result<()> {
    let mut invoice = invoices::lock(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    apply(&mut invoice.clone(), InvoiceCommand::Finalize, Code::InvoiceNotDraft)?;
    let customer = customers::stored(tx, invoice.customer_id).await?;
    refresh_draft(cx, tx, &customer, &mut invoice).await?;
    finalize_draft(cx, tx, &customer, &mut invoice, at).await?;
    due_work::cancel(tx, work::Kind::FinalizeInvoice.as_str(), id.uuid()).await?;
    Ok(())
}

/// Withdraws an invoice that is not paid. What it took of discounts and of the customer's balance is given back.
pub async fn void(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let found = invoices::find(tx, id).await?;
    if found.is_some_and(|found| found.subscription_id.is_some()) {
        // Before the invoice, in the order of due work: the subscription may recover.
        tx.lock_catalog().await?;
    }
    let mut invoice = invoices::lock(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    if payments::find_effective(tx, id).await?.is_some() {
        let detail = "a payment of the invoice is under way or has succeeded: wait for its outcome, or make a credit note";
        return Err(Error::refused(Code::PaymentInProgress, detail));
    }
    if invoice.credited_minor > 0 {
        let detail = "the invoice has a credit note: credit what is left of it";
        return Err(Error::refused(Code::InvoiceNotVoidable, detail));
    }
    let before = invoice.clone();
    apply(&mut invoice, InvoiceCommand::Void, Code::InvoiceNotVoidable)?;
    let at = cx.tenant_now(tx).await?;
    ledger::post_void(tx, &before, at)?;
    restore_discounts(tx, id).await?;
    let taken = invoice.balance_applied_minor;
    if taken != 0 {
        let entry = CreditBalanceEntry {
            id: CreditBalanceEntryId::from_uuid(cx.app.ids.next()),
            customer_id: invoice.customer_id,
            currency: invoice.currency.clone(),
            amount_minor: taken,
            reason: "invoice_voided".to_owned(),
            invoice_id: Some(id),
            credit_note_id: None,
            created_at: at,
        };
        ledger::change_balances(tx, &[entry]).await?;
        invoice.balance_applied_minor = 0;
    }
    invoice.voided_at = Some(at);
    invoices::update(tx, &invoice).await?;
    due_work::cancel(tx, work::Kind::CollectInvoice.as_str(), id.uuid()).await?;
    announce(cx, tx, "invoice.voided", reference(&invoice)).await?;
    recover(cx, tx, &invoice).await?;
    get(tx, id).await
}

/// Gives an invoice up as a bad debt. It can still be paid, and is not collected by itself any more.
pub async fn mark_uncollectible(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let mut invoice = invoices::lock(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    apply(&mut invoice, InvoiceCommand::MarkUncollectible, Code::InvoiceNotPayable)?;
    let at = cx.tenant_now(tx).await?;
    ledger::post_write_off(tx, &invoice, at)?;
    invoices::update(tx, &invoice).await?;
    due_work::cancel(tx, work::Kind::CollectInvoice.as_str(), id.uuid()).await?;
    announce(cx, tx, "invoice.uncollectible", reference(&invoice)).await?;
    get(tx, id).await
}

/// A subscription is not past due any more once none of its invoices is owed that collecting has failed for.
pub(crate) async fn recover(cx: &Cx, tx: &mut TenantTx, invoice: &Invoice) -> Result<()> {
    let Some(subscription) = invoice.subscription_id.filter(|_| invoice.failed_attempts > 0) else {
        return Ok(());
    };
    if invoices::any_failed(tx, subscription).await? {
        return Ok(());
    }
    subscriptions::note_recovered(cx, tx, subscription).await
}

/// An invoice that no subscription makes.
#[derive(Debug)]
pub struct CreateInvoice {
    /// Our id of the customer, or the tenant's own name for it.
    pub customer: String,
    /// At least one.
    pub lines: Vec<CreateLine>,
    /// For the customer to read.
    pub memo: Option<String>,
    /// Whether it is finalized at once; true if absent.
    pub finalize: Option<bool>,
}

/// A line of a one-off invoice.
#[derive(Debug)]
pub struct CreateLine {
    /// For the customer to read.
    pub description: String,
    /// Decimal; 1 if absent.
    pub quantity: Option<String>,
    /// Decimal of major units; negative for a reduction.
    pub unit: String,
}

/// Makes a one-off invoice.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateInvoice) -> Result<InvoiceWithLines> {
    let at = cx.tenant_now(tx).await?;
    let customer = customers::get(tx, &input.customer).await.map_err(|error| {
        let detail = "there is no customer with this id or external_id: create it first";
        subscriptions::name_missing(error, "/customer", "unknown_customer", detail)
    })?;
    let lines = one_off_lines(&customer, &input, at)?;
    let draft = Draft {
        memo: input.memo.unwrap_or_default(),
        keep: input.finalize == Some(false),
        ..Draft::new(cx, "one_off", &customer, Period { start: at, end: at }, at, lines)
    };
    let id = draft.id;
    issue_many(cx, tx, vec![draft]).await?;
    get(tx, id).await
}

fn one_off_lines(customer: &Customer, input: &CreateInvoice, at: Timestamp) -> Result<Vec<LineDraft>> {
    let currency = Currency::parse(&customer.currency)
        .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
    let mut faults = Faults::default();
    if input.lines.is_empty() || input.lines.len() > LINES_MAX {
        faults.add("/lines", "out_of_range", format!("must have 1 to {LINES_MAX} lines"));
    }
    if let Some(memo) = &input.memo {
        check_optional_text(&mut faults, "/memo", memo);
    }
    let mut lines = Vec::new();
    for (index, line) in input.lines.iter().take(LINES_MAX).enumerate() {
        check_text(&mut faults, &format!("/lines/{index}/description"), &line.description);
        let one = "1".to_owned();
        let quantity = line.quantity.as_ref().unwrap_or(&one);
        let quantity = read_decimal(&mut faults, &format!("/lines/{index}/quantity"), quantity);
        let unit = read_decimal(&mut faults, &format!("/lines/{index}/unit"), &line.unit);
        if let (Some(quantity), Some(unit)) = (quantity, unit) {
            match one_off_line(line, quantity, unit, currency, at) {
                Ok(line) => lines.push(line),
                Err(_) => faults.add(&format!("/lines/{index}"), "too_large", "the amount is too large"),
            }
        }
    }
    faults.check()?;
    Ok(lines)
}

fn one_off_line(
    line: &CreateLine,
    quantity: Decimal,
    unit: Decimal,
    currency: Currency,
    at: Timestamp,
) -> Result<LineDraft> {
    let exact = exact_mul(quantity, unit).map_err(RateError::from)?;
    let amount = Money::from_exact(exact, currency)?;
    let step = Step { kind: StepKind::Unit, from: None, up_to: None, quantity, unit, amount: exact };
    Ok(LineDraft {
        arithmetic: json!([step_json(&step, None)]),
        description: line.description.clone(),
        quantity,
        ..LineDraft::new("one_off", Period { start: at, end: at }, amount, exact)
    })
}

/// Computes the invoice that a subscription's next due time will bring, by the usage until now. Nothing is stored.
pub async fn preview(cx: &Cx, subscription: SubscriptionId) -> Result<Option<InvoiceWithLines>> {
    let mut tx = cx.begin().await?;
    tx.lock_catalog().await?;
    // The transaction ends without a commit: nothing has happened.
    bring_on(cx, &mut tx, subscription).await
}

/// Lets a subscription's next due time come, and returns the invoice that it brings.
pub(crate) async fn bring_on(
    cx: &Cx,
    tx: &mut TenantTx,
    subscription: SubscriptionId,
) -> Result<Option<InvoiceWithLines>> {
    let stored = usance_db::subscriptions::find(tx, subscription).await?;
    let stored = stored.ok_or_else(|| Error::not_found("subscription"))?;
    let before = PageRequest { limit: 1, after: None };
    let newest = invoices::list(tx, Some(stored.customer_id), before).await?.items.pop();
    subscriptions::advance(cx, tx, &[subscription], Timestamp::MAX).await?;
    let made = invoices::list(tx, Some(stored.customer_id), before).await?.items.pop();
    let made = made.filter(|made| newest.is_none_or(|newest| newest.id != made.id));
    match made {
        Some(invoice) => Ok(Some(get(tx, invoice.id).await?)),
        None => Ok(None),
    }
}

/// An invoice with everything that its numbers came from.
#[derive(Debug, Clone)]
pub struct ExplainedInvoice {
    /// The invoice and its lines.
    pub invoice: InvoiceWithLines,
    /// The plan versions whose prices made lines, in the order of the lines.
    pub plans: Vec<PlanAtVersion>,
    /// The prices of the public plan versions that a subscription's own prices stand for.
    pub overridden: HashMap<PriceId, Price>,
}

/// Explains an invoice.
pub async fn explain(tx: &mut TenantTx, id: InvoiceId) -> Result<ExplainedInvoice> {
    let invoice = get(tx, id).await?;
    let prices: Vec<_> = invoice.lines.iter().filter_map(|line| line.price_id).collect();
    let mut plans: Vec<PlanAtVersion> = Vec::new();
    for version in usance_db::plans::list_versions_of_prices(tx, &prices).await? {
        plans.push(plans::get_version(tx, version).await?);
    }
    let first_line = |plan: &PlanAtVersion| {
        let made = |line: &LineItem| plan.prices.iter().any(|price| Some(price.id) == line.price_id);
        invoice.lines.iter().position(made)
    };
    plans.sort_by_key(first_line);
    let overridden = overridden_prices(tx, &plans).await?;
    Ok(ExplainedInvoice { invoice, plans, overridden })
}

/// For each price that was made for a subscription, what its plan asks.
async fn overridden_prices(tx: &mut TenantTx, plans: &[PlanAtVersion]) -> Result<HashMap<PriceId, Price>> {
    let mut overridden = HashMap::new();
    for plan in plans {
        let Some(public) = plan.version.override_of else { continue };
        for price in usance_db::plans::list_prices(tx, public).await? {
            let own = plan.prices.iter().find(|own| own.code == price.code);
            let differs = |own: &&Price| {
                (&own.charge_model, &own.parameters, &own.terms)
                    != (&price.charge_model, &price.parameters, &price.terms)
            };
            if let Some(own) = own.filter(differs) {
                overridden.insert(own.id, price);
            }
        }
    }
    Ok(overridden)
}
