//! From lines to invoices: discounts, taxes, numbers, what the customer's balance pays, and what follows.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use usance_core::{
    ids::{CreditBalanceEntryId, CustomerId, DiscountId, InvoiceId, LineItemId},
    invoice::{
        InvoiceTerms, InvoiceTotals, LineTotal, TaxBehavior,
        state::{InvoiceCommand, InvoiceStatus, transition},
    },
    money::Currency,
};
use usance_db::{
    TenantTx,
    credit_balances::{self, CreditBalanceEntry},
    customers::{self, Customer},
    discounts::{self, Discount, DiscountUse},
    due_work, invoices,
    invoices::Invoice,
    line_items::{self, LineItem},
    payment_methods,
    tenant_profiles::{self, TenantProfile},
};

use crate::{
    Cx,
    billing::parties::parties,
    error::{Code, Error, Result},
    ledger,
    outbox::announce_many,
    tax::{self, CustomerTax},
    work,
};

use super::{
    Draft, LineDraft,
    totals::{coupon, taxes_json, total_lines},
};

/// What all invoices of a run share.
struct Run<'a> {
    cx: &'a Cx,
    profile: TenantProfile,
    taxes: HashMap<String, CustomerTax>,
    discounted: HashSet<CustomerId>,
    payable: HashSet<CustomerId>,
    balances: HashMap<(CustomerId, String), i64>,
}

/// What a run writes.
#[derive(Default)]
struct Written {
    drafts: Vec<Invoice>,
    /// Without numbers yet.
    issued: Vec<Invoice>,
    lines: Vec<LineItem>,
    uses: Vec<(InvoiceId, Vec<DiscountUse>)>,
    entries: Vec<CreditBalanceEntry>,
    created: Vec<(&'static str, Value)>,
}

/// Makes the invoices of drafts: finalized at once, or kept as drafts for the tenant's grace period if they hold usage.
pub(crate) async fn issue_many(cx: &Cx, tx: &mut TenantTx, drafts: Vec<Draft<'_>>) -> Result<()> {
    if drafts.is_empty() {
        return Ok(());
    }
    let mut run = Run::load(cx, tx, &drafts).await?;
    let mut written = Written::default();
    for draft in drafts {
        let keep = draft.keep;
        let (mut invoice, lines, uses) = run.total_draft(tx, draft).await?;
        written.created.push(("invoice.created", reference(&invoice)));
        written.lines.extend(lines);
        if !uses.is_empty() {
            written.uses.push((invoice.id, uses));
        }
        if keep || invoice.finalize_at.is_some() {
            written.drafts.push(invoice);
        } else {
            written.entries.extend(run.settle(&mut invoice)?);
            written.issued.push(invoice);
        }
    }
    run.write(tx, written).await
}

/// Gives a draft its number and makes it due.
pub(crate) async fn finalize_draft(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &Customer,
    invoice: &mut Invoice,
    at: Timestamp,
) -> Result<()> {
    let mut run = Run::load_for(cx, tx, &[customer]).await?;
    invoice.finalize_at = None;
    // A draft is finalized when it is, not when it was drafted.
    invoice.finalized_at = Some(at);
    invoice.parties = parties(&run.profile, customer);
    let entry = run.settle(invoice)?;
    ledger::change_balances(tx, entry.as_slice()).await?;
    let issued = std::slice::from_mut(invoice);
    run.follow_up(tx, issued).await?;
    run.number(tx, issued).await?;
    invoices::update(tx, invoice).await?;
    ledger::post_issued(tx, std::slice::from_ref(invoice))?;
    announce_many(cx, tx, finalized(std::slice::from_ref(invoice)).collect()).await
}

/// Computes a draft again from its lines.
pub(crate) async fn rewrite_draft(
    cx: &Cx,
    tx: &mut TenantTx,
    invoice: &mut Invoice,
    draft: Draft<'_>,
) -> Result<()> {
    restore_discounts(tx, invoice.id).await?;
    line_items::delete_of(tx, invoice.id).await?;
    let mut run = Run::load(cx, tx, std::slice::from_ref(&draft)).await?;
    let (fresh, lines, uses) = run.total_draft(tx, draft).await?;
    *invoice = Invoice { created_at: invoice.created_at, finalize_at: invoice.finalize_at, ..fresh };
    invoices::update(tx, invoice).await?;
    line_items::insert_many(tx, &lines).await?;
    if uses.is_empty() { Ok(()) } else { Ok(discounts::insert_uses(tx, invoice.id, &uses).await?) }
}

/// Gives back what an invoice took of its customer's discounts, and returns which.
pub(crate) async fn restore_discounts(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Vec<DiscountId>> {
    let uses = discounts::take_uses(tx, invoice).await?;
    for it in &uses {
        discounts::restore(tx, it.discount, it.periods, it.fixed_minor).await?;
    }
    Ok(uses.into_iter().map(|it| it.discount).collect())
}

impl<'a> Run<'a> {
    async fn load(cx: &'a Cx, tx: &mut TenantTx, drafts: &[Draft<'_>]) -> Result<Self> {
        let customers: Vec<_> = drafts.iter().map(|draft| draft.customer).collect();
        Self::load_for(cx, tx, &customers).await
    }

    async fn load_for(cx: &'a Cx, tx: &mut TenantTx, customers: &[&Customer]) -> Result<Self> {
        let ids: Vec<CustomerId> = customers.iter().map(|customer| customer.id).collect();
        let discounted = discounts::list_owners(tx, &ids).await?;
        let mut owners = credit_balances::list_owners(tx, &ids).await?;
        owners.extend(&discounted);
        // Another run may bill another subscription of theirs: what is left is read once nobody else can take it.
        customers::lock_many(tx, &owners).await?;
        Ok(Self {
            cx,
            profile: tenant_profiles::get(tx).await?,
            taxes: HashMap::new(),
            discounted: discounted.into_iter().collect(),
            payable: payment_methods::list_owners(tx, &ids).await?.into_iter().collect(),
            balances: credit_balances::list_many(tx, &owners).await?,
        })
    }

    async fn tax_of(&mut self, tx: &mut TenantTx, customer: &Customer) -> Result<CustomerTax> {
        let key = customer.tax.to_string();
        if let Some(known) = self.taxes.get(&key) {
            return Ok(known.clone());
        }
        let found = tax::rates_of(tx, customer).await?;
        self.taxes.insert(key, found.clone());
        Ok(found)
    }

    async fn total_draft(
        &mut self,
        tx: &mut TenantTx,
        draft: Draft<'_>,
    ) -> Result<(Invoice, Vec<LineItem>, Vec<DiscountUse>)> {
        let customer = draft.customer;
        let tax = self.tax_of(tx, customer).await?;
        let currency = Currency::parse(&customer.currency)
            .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
        let mut active = match draft.subscription.filter(|_| self.discounted.contains(&customer.id)) {
            Some(subscription) => discounts::list_active(tx, customer.id, subscription).await?,
            None => Vec::new(),
        };
        if let Some(only) = &draft.discounts {
            active.retain(|discount| only.contains(&discount.id));
        }
        let coupons = active.iter().map(|discount| coupon(discount, currency)).collect::<Result<Vec<_>>>()?;
        let terms = InvoiceTerms {
            tax_behavior: tax.behavior(),
            coupons: &coupons,
            coupon_order: draft.coupon_order,
            ..InvoiceTerms::plain(currency)
        };
        let totals = total_lines(&terms, &tax, &draft.lines)?;
        let uses = use_discounts(tx, &active, &totals, draft.at).await?;
        let invoice = self.invoice_of(&draft, tax.behavior(), &totals);
        let lines = line_items_of(self.cx, draft, &totals);
        Ok((invoice, lines, uses))
    }

    fn invoice_of(&self, draft: &Draft<'_>, tax_behavior: TaxBehavior, totals: &InvoiceTotals) -> Invoice {
        let grace = SignedDuration::from_hours(i64::from(self.profile.grace_period_hours));
        let waits = draft.kind == "subscription"
            && grace > SignedDuration::ZERO
            && draft.lines.iter().any(|line| line.kind == "usage");
        Invoice {
            id: draft.id,
            customer_id: draft.customer.id,
            subscription_id: draft.subscription,
            kind: draft.kind.to_owned(),
            status: InvoiceStatus::Draft.as_str().to_owned(),
            sequence: None,
            number: None,
            currency: draft.customer.currency.clone(),
            period: draft.period,
            subtotal_minor: totals.subtotal.minor(),
            discount_minor: totals.discount.minor(),
            tax_minor: totals.tax.minor(),
            tax_behavior: tax_behavior.as_str().to_owned(),
            total_minor: totals.total.minor(),
            paid_minor: 0,
            balance_applied_minor: 0,
            credited_minor: 0,
            created_at: draft.at,
            finalize_at: waits.then(|| draft.at.saturating_add(grace).unwrap_or(draft.at)),
            finalized_at: None,
            due_at: None,
            paid_at: None,
            voided_at: None,
            sent_at: None,
            failed_attempts: 0,
            first_failed_at: None,
            memo: draft.memo.clone(),
            parties: parties(&self.profile, draft.customer),
        }
    }

    /// Finalizes a draft but for its number: the customer's balance pays what it can, and nothing owed is paid.
    fn settle(&mut self, invoice: &mut Invoice) -> Result<Option<CreditBalanceEntry>> {
        apply(invoice, InvoiceCommand::Finalize, Code::InvoiceNotDraft)?;
        let terms = SignedDuration::from_hours(24 * i64::from(self.profile.payment_terms_days));
        let at = invoice.finalized_at.unwrap_or(invoice.created_at);
        invoice.finalized_at = Some(at);
        invoice.due_at = Some(at.saturating_add(terms).unwrap_or(at));
        let entry = self.settle_by_balance(invoice, at);
        if invoice.amount_due_minor() == 0 {
            apply(invoice, InvoiceCommand::Pay, Code::InvoiceNotPayable)?;
            invoice.paid_at = Some(at);
        }
        Ok(entry)
    }

    fn settle_by_balance(&mut self, invoice: &mut Invoice, at: Timestamp) -> Option<CreditBalanceEntry> {
        let balance = self.balances.entry((invoice.customer_id, invoice.currency.clone())).or_default();
        let (change, reason) = if invoice.total_minor < 0 {
            (-invoice.total_minor, "negative_invoice")
        } else {
            (-invoice.total_minor.min((*balance).max(0)), "applied_to_invoice")
        };
        if change == 0 {
            return None;
        }
        *balance += change;
        invoice.balance_applied_minor = (-change).max(0);
        Some(CreditBalanceEntry {
            id: CreditBalanceEntryId::from_uuid(self.cx.app.ids.next()),
            customer_id: invoice.customer_id,
            currency: invoice.currency.clone(),
            amount_minor: change,
            reason: reason.to_owned(),
            invoice_id: Some(invoice.id),
            credit_note_id: None,
            created_at: at,
        })
    }

    /// Stores a run. The numbers come as late as possible: whoever has taken some lets other runs of the tenant wait.
    async fn write(&self, tx: &mut TenantTx, mut written: Written) -> Result<()> {
        line_items::insert_many(tx, &written.lines).await?;
        for (invoice, uses) in &written.uses {
            discounts::insert_uses(tx, *invoice, uses).await?;
        }
        ledger::change_balances(tx, &written.entries).await?;
        let later: Vec<_> =
            written.drafts.iter().filter_map(|it| Some((it.id.uuid(), it.finalize_at?))).collect();
        due_work::schedule_many(tx, work::Kind::FinalizeInvoice.as_str(), &later).await?;
        self.follow_up(tx, &written.issued).await?;
        self.number(tx, &mut written.issued).await?;
        ledger::post_issued(tx, &written.issued)?;
        let events = written.created.into_iter().chain(finalized(&written.issued)).collect();
        announce_many(self.cx, tx, events).await?;
        written.drafts.extend(written.issued);
        Ok(invoices::insert_many(tx, &written.drafts).await?)
    }

    async fn number(&self, tx: &mut TenantTx, issued: &mut [Invoice]) -> Result<()> {
        if issued.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(issued.len()).unwrap_or(i64::MAX);
        let first = invoices::take_sequence(tx, count).await? - count + 1;
        for (sequence, invoice) in (first..).zip(issued) {
            invoice.sequence = Some(sequence);
            invoice.number = Some(format!("{}-{sequence:06}", self.profile.invoice_number_prefix));
        }
        Ok(())
    }

    /// Plans the collection of what is owed by customers who have a payment method. Others pay by themselves.
    async fn follow_up(&self, tx: &mut TenantTx, issued: &[Invoice]) -> Result<()> {
        let owed = |invoice: &&Invoice| {
            invoice.amount_due_minor() > 0 && self.payable.contains(&invoice.customer_id)
        };
        let collected: Vec<_> = issued
            .iter()
            .filter(owed)
            .filter_map(|invoice| Some((invoice.id.uuid(), invoice.finalized_at?)))
            .collect();
        Ok(due_work::schedule_many(tx, work::Kind::CollectInvoice.as_str(), &collected).await?)
    }
}

/// What the outside world is told of issued invoices.
fn finalized(issued: &[Invoice]) -> impl Iterator<Item = (&'static str, Value)> {
    issued.iter().flat_map(|invoice| {
        let paid = (invoice.amount_due_minor() == 0).then_some("invoice.paid");
        std::iter::once("invoice.finalized").chain(paid).map(|event| (event, reference(invoice)))
    })
}

/// Notes what the coupons of an invoice took; one that took nothing is not used.
async fn use_discounts(
    tx: &mut TenantTx,
    active: &[Discount],
    totals: &InvoiceTotals,
    at: Timestamp,
) -> Result<Vec<DiscountUse>> {
    let mut uses = Vec::new();
    for (discount, taken) in active.iter().zip(&totals.discount_by_coupon) {
        if taken.minor() == 0 {
            continue;
        }
        let periods_left = discount.periods_left.map(|left| left - 1);
        let fixed_left = discount.fixed_left_minor.map(|left| left - taken.minor());
        let ended_at = (periods_left == Some(0) || fixed_left == Some(0)).then_some(at);
        discounts::record_use(tx, discount.id, periods_left, fixed_left, ended_at).await?;
        uses.push(DiscountUse {
            discount: discount.id,
            amount_minor: taken.minor(),
            periods: discount.periods_left.map_or(0, |_| 1),
            fixed_minor: discount.fixed_left_minor.map_or(0, |_| taken.minor()),
        });
    }
    Ok(uses)
}

fn line_items_of(cx: &Cx, draft: Draft<'_>, totals: &InvoiceTotals) -> Vec<LineItem> {
    let invoice_id = draft.id;
    let item = |(position, (line, total)): (i16, (LineDraft, &LineTotal))| LineItem {
        id: LineItemId::from_uuid(cx.app.ids.next()),
        invoice_id,
        position,
        kind: line.kind.to_owned(),
        subscription_id: line.subscription,
        item_id: line.item,
        price_id: line.price,
        price_code: None,
        description: line.description,
        period: line.period,
        quantity: line.quantity,
        exact_amount: line.exact,
        amount_minor: total.amount.minor(),
        discount_minor: total.discount.minor(),
        tax_minor: total.taxes.iter().map(|tax| tax.amount.minor()).sum(),
        arithmetic: line.arithmetic,
        share: line.share,
        taxes: taxes_json(total),
        events: line.events,
        revision: line.revision,
        credited_line_id: line.credited,
    };
    (0_i16..).zip(draft.lines.into_iter().zip(&totals.lines)).map(item).collect()
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
