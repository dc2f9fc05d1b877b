//! Invoices: what a period costs, drafted and finalized; and what explains it.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    catalog::price::PayTiming,
    decimal::decimal_text,
    ids::{InvoiceId, LineItemId, SubscriptionId},
    invoice::{
        InvoiceTotals, LineInput, LineTotal, TaxAmount,
        state::{InvoiceCommand, InvoiceStatus, transition},
        total,
    },
    money::Currency,
    period::Period,
    rating::{Charge, Step, rate},
};
use usance_db::{
    Page, PageRequest, TenantTx, billing_periods, catalog_versions,
    customers::{self, Customer},
    invoices::{self, EventSet, Invoice, LineItem},
    meters,
    plans::Price,
    subscriptions::{self, Subscription},
    tenants,
};

use crate::{
    Cx,
    catalog::plans::{self, PlanAtVersion},
    customers::tax_rates,
    error::{Code, Error, Result},
    measure::measure,
    outbox::announce,
    prices::charge_model,
    subscriptions::{billing_cycle, find_filter},
    work,
};

/// When an invoice is to be paid, counted from its finalization.
const PAYMENT_TERM: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A line before it has a place on an invoice.
struct PendingLine {
    price: Price,
    period: Period,
    quantity: Decimal,
    charge: Charge,
    events: Option<EventSet>,
}

/// What is billed together: who, for what, by which plan version.
struct Billing {
    subscription: Subscription,
    customer: Customer,
    plan: PlanAtVersion,
}

impl Billing {
    async fn load(tx: &mut TenantTx, id: SubscriptionId) -> Result<Self> {
        let subscription =
            subscriptions::lock(tx, id).await?.ok_or(Error::Internal("due work names no subscription"))?;
        let customer = customers::find(tx, subscription.customer_id)
            .await?
            .ok_or(Error::Internal("a subscription has no customer"))?;
        let plan = plans::get_version(tx, subscription.plan_version_id).await?;
        Ok(Self { subscription, customer, plan })
    }

    fn prices(&self, timing: PayTiming) -> impl Iterator<Item = &Price> {
        self.plan.prices.iter().filter(move |price| price.pay == timing.as_str())
    }

    fn advance_lines(&self, period: Period) -> Result<Vec<PendingLine>> {
        self.prices(PayTiming::Advance).map(|price| fixed_line(price, period)).collect()
    }

    async fn arrears_lines(&self, tx: &mut TenantTx, period: Period) -> Result<Vec<PendingLine>> {
        let metered: Vec<_> = self.prices(PayTiming::Arrears).filter_map(|price| price.meter_id).collect();
        let meters = meters::find_many(tx, &metered).await?;
        let mut lines = Vec::new();
        for price in self.prices(PayTiming::Arrears) {
            let Some(meter_id) = price.meter_id else {
                lines.push(fixed_line(price, period)?);
                continue;
            };
            let meter = meters
                .iter()
                .find(|meter| meter.id == meter_id)
                .ok_or(Error::Internal("a price has no meter"))?;
            let measured = measure(tx, self.customer.id, meter, period).await?;
            let charge = rate(&charge_model(&price.charge_model, &price.parameters)?, measured.quantity)?;
            let events = Some(measured.events);
            lines.push(PendingLine {
                price: price.clone(),
                period,
                quantity: measured.quantity,
                charge,
                events,
            });
        }
        Ok(lines)
    }
}

fn fixed_line(price: &Price, period: Period) -> Result<PendingLine> {
    let charge = rate(&charge_model(&price.charge_model, &price.parameters)?, Decimal::ONE)?;
    Ok(PendingLine { price: price.clone(), period, quantity: Decimal::ONE, charge, events: None })
}

/// Bills what a subscription pays in advance for its first period. Nothing to pay makes no invoice.
pub(crate) async fn open_subscription(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    at: Timestamp,
) -> Result<()> {
    let billing = Billing::load(tx, id).await?;
    let cycle = billing_cycle(&billing.plan.version, &billing.customer, billing.subscription.start_at)?;
    let first = cycle.period_containing(billing.subscription.start_at)?;
    let lines = billing.advance_lines(first)?;
    if lines.is_empty() {
        return Ok(());
    }
    issue(cx, tx, &billing, first, lines, at).await?;
    Ok(())
}

/// Bills the open period of a subscription, together with what the next one costs in advance, and opens that one. The
/// catalogue is locked: no event is accepted into the period that is closed.
pub(crate) async fn close_period(
    cx: &Cx,
    tx: &mut TenantTx,
    id: SubscriptionId,
    at: Timestamp,
) -> Result<()> {
    let billing = Billing::load(tx, id).await?;
    let period = billing.subscription.period;
    if billing.subscription.ended_at.is_some() || period.end > at {
        return Ok(());
    }
    let cycle = billing_cycle(&billing.plan.version, &billing.customer, billing.subscription.start_at)?;
    let next = cycle.next(&period)?;
    let mut lines = billing.arrears_lines(tx, period).await?;
    lines.extend(billing.advance_lines(next)?);
    lines.sort_by_key(|line| line.price.position);
    let invoice = issue(cx, tx, &billing, period, lines, at).await?;
    billing_periods::insert(tx, id, period, invoice).await?;
    subscriptions::set_period(tx, id, next, cx.now).await?;
    catalog_versions::bump(tx).await?;
    work::schedule(tx, work::Kind::ClosePeriod, id.uuid(), next.end).await
}

/// Drafts an invoice and finalizes it.
async fn issue(
    cx: &Cx,
    tx: &mut TenantTx,
    billing: &Billing,
    period: Period,
    lines: Vec<PendingLine>,
    at: Timestamp,
) -> Result<InvoiceId> {
    let mut invoice = draft(cx, tx, billing, period, lines, at).await?;
    finalize_draft(cx, tx, &mut invoice, at).await?;
    Ok(invoice.id)
}

async fn draft(
    cx: &Cx,
    tx: &mut TenantTx,
    billing: &Billing,
    period: Period,
    lines: Vec<PendingLine>,
    at: Timestamp,
) -> Result<Invoice> {
    let currency = Currency::parse(&billing.plan.version.currency)
        .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
    let rates = tax_rates(&billing.customer)?;
    let inputs: Vec<_> =
        lines.iter().map(|line| LineInput { exact: line.charge.exact, rates: rates.clone() }).collect();
    let totals = total(currency, &inputs)?;
    let invoice = Invoice {
        id: InvoiceId::from_uuid(cx.app.ids.next()),
        customer_id: billing.customer.id,
        subscription_id: billing.subscription.id,
        status: InvoiceStatus::Draft.as_str().to_owned(),
        number: None,
        currency: currency.code().to_owned(),
        period,
        subtotal_minor: totals.subtotal.minor(),
        tax_minor: totals.tax.minor(),
        total_minor: totals.total.minor(),
        paid_minor: 0,
        created_at: at,
        finalized_at: None,
        due_at: None,
        paid_at: None,
    };
    invoices::insert(tx, &invoice).await?;
    insert_lines(cx, tx, invoice.id, lines, &totals).await?;
    announce(cx, tx, "invoice.created", reference(&invoice)).await?;
    Ok(invoice)
}

async fn insert_lines(
    cx: &Cx,
    tx: &mut TenantTx,
    invoice: InvoiceId,
    lines: Vec<PendingLine>,
    totals: &InvoiceTotals,
) -> Result<()> {
    for (position, (line, total)) in (0_i16..).zip(lines.into_iter().zip(&totals.lines)) {
        let item = LineItem {
            id: LineItemId::from_uuid(cx.app.ids.next()),
            position,
            price_id: line.price.id,
            price_code: line.price.code,
            description: line.price.name,
            period: line.period,
            quantity: line.quantity,
            exact_amount: line.charge.exact,
            amount_minor: total.amount.minor(),
            tax_minor: total.taxes.iter().map(|tax| tax.amount.minor()).sum(),
            arithmetic: line.charge.steps.iter().map(step_json).collect(),
            taxes: taxes_json(total),
            events: line.events,
        };
        invoices::insert_line(tx, invoice, &item).await?;
    }
    Ok(())
}

fn step_json(step: &Step) -> Value {
    json!({
        "kind": step.kind.as_str(),
        "from": step.from.map(decimal_text),
        "up_to": step.up_to.map(decimal_text),
        "quantity": decimal_text(step.quantity),
        "unit": decimal_text(step.unit),
        "amount": decimal_text(step.amount),
    })
}

fn taxes_json(total: &LineTotal) -> Value {
    let tax = |tax: &TaxAmount| json!({ "name": tax.name, "percent": decimal_text(tax.percent), "amount_minor": tax.amount.minor() });
    total.taxes.iter().map(tax).collect()
}

async fn finalize_draft(cx: &Cx, tx: &mut TenantTx, invoice: &mut Invoice, at: Timestamp) -> Result<()> {
    apply(invoice, InvoiceCommand::Finalize, Code::InvoiceNotDraft)?;
    let tenant = tenants::find(tx).await?.ok_or(Error::Internal("a transaction names no tenant"))?;
    let sequence = invoices::next_sequence(tx).await?;
    invoice.number = Some(format!("{}-{sequence:06}", tenant.invoice_prefix));
    invoice.finalized_at = Some(at);
    invoice.due_at = Some(at.saturating_add(PAYMENT_TERM).unwrap_or(at));
    announce(cx, tx, "invoice.finalized", reference(invoice)).await?;
    if invoice.total_minor > 0 {
        work::schedule(tx, work::Kind::CollectInvoice, invoice.id.uuid(), at).await?;
    } else {
        // Nothing is owed.
        apply(invoice, InvoiceCommand::Pay, Code::InvoiceNotPayable)?;
        invoice.paid_at = Some(at);
        announce(cx, tx, "invoice.paid", reference(invoice)).await?;
    }
    invoices::update(tx, invoice, Some(sequence)).await?;
    Ok(())
}

/// Moves an invoice to the state that a command leads to.
pub(crate) fn apply(invoice: &mut Invoice, command: InvoiceCommand, refusal: Code) -> Result<()> {
    let status = InvoiceStatus::parse(&invoice.status)
        .ok_or(Error::Internal("a stored invoice status cannot be read"))?;
    match transition(status, command) {
        Ok(next) => {
            next.as_str().clone_into(&mut invoice.status);
            Ok(())
        }
        Err(_) => Err(Error::refused(refusal, format!("the invoice is {}", invoice.status))),
    }
}

/// What an outbox event says of an invoice.
pub(crate) fn reference(invoice: &Invoice) -> Value {
    json!({
        "id": invoice.id,
        "number": invoice.number,
        "status": invoice.status,
        "customer": invoice.customer_id,
        "total": { "amount_minor": invoice.total_minor, "currency": invoice.currency },
    })
}

/// An invoice with its lines.
#[derive(Debug, Clone)]
pub struct InvoiceWithLines {
    /// The invoice.
    pub invoice: Invoice,
    /// In their order.
    pub lines: Vec<LineItem>,
}

/// Finds an invoice.
pub async fn get(tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let invoice = invoices::find(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    let lines = invoices::list_lines(tx, &[id]).await?;
    Ok(InvoiceWithLines { invoice, lines: lines.into_iter().map(|(_, line)| line).collect() })
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
    let mut lines = invoices::list_lines(tx, &ids).await?;
    Ok(page.map(|invoice| {
        let (own, others) = lines.drain(..).partition(|(id, _)| *id == invoice.id);
        lines = others;
        let own: Vec<(InvoiceId, LineItem)> = own;
        InvoiceWithLines { invoice, lines: own.into_iter().map(|(_, line)| line).collect() }
    }))
}

/// Finalizes a draft: it gets its number and is collected.
pub async fn finalize(cx: &Cx, tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceWithLines> {
    let mut invoice = invoices::lock(tx, id).await?.ok_or_else(|| Error::not_found("invoice"))?;
    let at = cx.tenant_now(tx).await?;
    finalize_draft(cx, tx, &mut invoice, at).await?;
    get(tx, id).await
}

/// An invoice with everything that its numbers came from.
#[derive(Debug, Clone)]
pub struct ExplainedInvoice {
    /// The invoice and its lines.
    pub invoice: InvoiceWithLines,
    /// The plan version that priced it.
    pub plan: PlanAtVersion,
    /// Who owes.
    pub customer: Option<Customer>,
}

/// Explains an invoice.
pub async fn explain(tx: &mut TenantTx, id: InvoiceId) -> Result<ExplainedInvoice> {
    let invoice = get(tx, id).await?;
    let subscription = subscriptions::find(tx, invoice.invoice.subscription_id).await?;
    let subscription = subscription.ok_or(Error::Internal("an invoice has no subscription"))?;
    let plan = plans::get_version(tx, subscription.plan_version_id).await?;
    let customer = customers::find(tx, invoice.invoice.customer_id).await?;
    Ok(ExplainedInvoice { invoice, plan, customer })
}
