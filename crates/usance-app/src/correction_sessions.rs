//! Correction sessions: corrections of many events that are looked at before they are made, and can be taken back.
//!
//! A draft changes nothing. Applying it makes all of its corrections in one transaction, or none. Undoing an applied session
//! makes the opposite corrections: what counted before counts again.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use usance_core::{
    ids::{CorrectionSessionId, CustomerId, InvoiceId, SubscriptionId},
    money::Money,
    period::Period,
};
use usance_db::{
    Page, PageRequest, TenantTx, billing_periods,
    correction_sessions::{self as sessions, CorrectionSession},
    customers, event_revisions, invoices,
    late_usage::LateStretch,
    subscriptions,
};

use crate::{
    Cx,
    billing::adjust,
    error::{Code, Error, Faults, Result},
    fields::check_optional_text,
    ingest::{
        Amendment, Corrected, CorrectionFault, EventChange, EventCorrection, Occasion, make, undo as reverse,
    },
    invoicing,
};

/// Corrections of one session.
const CORRECTIONS_MAX: usize = 1_000;
/// Subscriptions whose next invoice a preview computes.
const PREVIEW_SUBSCRIPTIONS_MAX: u16 = 100;

/// A correction as it is sent and stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SentCorrection {
    /// The event's id as sent.
    pub event: String,
    /// The source of a `CloudEvent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `void` or `amend`.
    pub action: String,
    /// Of an amendment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Of an amendment.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Of an amendment, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Of an amendment: the object of all properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Box<RawValue>>,
}

impl SentCorrection {
    fn read(self, faults: &mut Faults, index: usize) -> EventCorrection {
        let Self { event, source, action, customer, event_type, time, properties } = self;
        let amendment =
            Amendment { customer, event_type, time, properties: properties.map(|it| it.get().to_owned()) };
        let is_empty = amendment == Amendment::default();
        let change = match action.as_str() {
            "void" if is_empty => EventChange::Void,
            "void" => {
                let detail = "a void says nothing about the event: send amend";
                faults.add(&format!("/corrections/{index}/action"), "invalid", detail);
                EventChange::Void
            }
            "amend" if is_empty => {
                let detail = "an amendment says at least one of customer, type, time and properties";
                faults.add(&format!("/corrections/{index}"), "required", detail);
                EventChange::Void
            }
            "amend" => EventChange::Amend(amendment),
            _ => {
                let detail = "must be void or amend";
                faults.add(&format!("/corrections/{index}/action"), "unknown_value", detail);
                EventChange::Void
            }
        };
        EventCorrection { event, source, change }
    }
}

/// Makes a draft.
pub async fn create(
    cx: &Cx,
    tx: &mut TenantTx,
    description: String,
    corrections: Vec<SentCorrection>,
) -> Result<CorrectionSession> {
    let mut faults = Faults::default();
    check_optional_text(&mut faults, "/description", &description);
    if corrections.is_empty() || corrections.len() > CORRECTIONS_MAX {
        let detail = format!("must hold 1 to {CORRECTIONS_MAX} corrections");
        faults.add("/corrections", "out_of_range", detail);
    }
    let mut events = HashSet::new();
    for (index, correction) in corrections.iter().enumerate() {
        if !events.insert((&correction.event, &correction.source)) {
            let detail = "the session corrects this event already";
            faults.add(&format!("/corrections/{index}/event"), "duplicate", detail);
        }
        correction.clone().read(&mut faults, index);
    }
    faults.check()?;
    let corrections =
        serde_json::to_string(&corrections).map_err(|_| Error::Internal("corrections cannot be written"))?;
    let session = CorrectionSession {
        id: CorrectionSessionId::from_uuid(cx.app.ids.next()),
        description,
        corrections,
        created_at: cx.tenant_now(tx).await?,
        applied_at: None,
        undone_at: None,
    };
    sessions::insert(tx, &session).await?;
    Ok(session)
}

/// The corrections of a session, as sent.
pub fn corrections_of(session: &CorrectionSession) -> Result<Vec<SentCorrection>> {
    serde_json::from_str(&session.corrections)
        .map_err(|_| Error::Internal("stored corrections cannot be read"))
}

/// Finds a session.
pub async fn get(tx: &mut TenantTx, id: CorrectionSessionId) -> Result<CorrectionSession> {
    sessions::find(tx, id).await?.ok_or_else(|| Error::not_found("correction session"))
}

/// Lists sessions, newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<CorrectionSession>> {
    Ok(sessions::list(tx, page).await?)
}

/// Makes the corrections of a draft. One that was applied stays as it is.
pub async fn apply(cx: &Cx, id: CorrectionSessionId) -> Result<CorrectionSession> {
    let (mut tx, mut session) = lock(cx, id).await?;
    check_not_undone(&session)?;
    if session.applied_at.is_some() {
        return Ok(session);
    }
    session.applied_at = Some(cx.tenant_now(&mut tx).await?);
    let (mut tx, corrected) = make(cx, tx, &read(&session)?, &occasion(&session)).await.map_err(refusal)?;
    sessions::update(&mut tx, &session).await?;
    corrected.commit(cx, tx).await?;
    Ok(session)
}

/// Takes the corrections of an applied session back. One that was undone stays as it is.
pub async fn undo(cx: &Cx, id: CorrectionSessionId) -> Result<CorrectionSession> {
    let (mut tx, mut session) = lock(cx, id).await?;
    if session.undone_at.is_some() {
        return Ok(session);
    }
    if session.applied_at.is_none() {
        let detail = "the session was not applied: there is nothing to undo";
        return Err(Error::refused(Code::CorrectionSessionState, detail));
    }
    session.undone_at = Some(cx.tenant_now(&mut tx).await?);
    let made = event_revisions::list_corrections(&mut tx, id).await?;
    // Its own corrections alone belong to a session: those that take them back do not.
    let occasion = Occasion { session: None, reason: format!("undo of {id}") };
    let (mut tx, corrected) = reverse(cx, tx, &made, &occasion).await.map_err(|fault| fault.error)?;
    sessions::update(&mut tx, &session).await?;
    corrected.commit(cx, tx).await?;
    Ok(session)
}

/// What a draft would change.
#[derive(Debug, Clone, Default)]
pub struct CorrectionPreview {
    /// Issued invoices whose stretches are rated again: the next invoice books the difference.
    pub settled: Vec<SettledEffect>,
    /// Invoices to come that would be different, the differences of settled stretches included.
    pub upcoming: Vec<UpcomingEffect>,
}

/// A settled stretch that would cost something else.
#[derive(Debug, Clone)]
pub struct SettledEffect {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// The stretch.
    pub period: Period,
    /// What it was billed by.
    pub invoice: Option<InvoiceId>,
    /// Its number.
    pub number: Option<String>,
    /// What is added to it, before discounts and tax.
    pub difference: Money,
}

/// An invoice to come that would be different.
#[derive(Debug, Clone)]
pub struct UpcomingEffect {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Its total without the corrections, in minor units.
    pub before_minor: i64,
    /// Its total with them, in minor units.
    pub after_minor: i64,
    /// The currency.
    pub currency: String,
}

/// Computes what a draft would change. Nothing is stored.
pub async fn preview(cx: &Cx, id: CorrectionSessionId) -> Result<CorrectionPreview> {
    let (tx, session) = lock(cx, id).await?;
    check_not_undone(&session)?;
    if session.applied_at.is_some() {
        let detail = "the session was applied: a preview shows what a draft would change";
        return Err(Error::refused(Code::CorrectionSessionState, detail));
    }
    let (mut tx, corrected) = make(cx, tx, &read(&session)?, &occasion(&session)).await.map_err(refusal)?;
    let Corrected { stretches, customers, .. } = corrected;
    let mut preview = CorrectionPreview::default();
    for stretch in stretches {
        preview.settled.extend(settled(&mut tx, stretch).await?);
    }
    let affected = affected(&mut tx, &customers).await?;
    let after = totals(cx, &mut tx, &affected).await?;
    // The transactions end without a commit: nothing has happened.
    drop(tx);
    let (mut tx, _) = lock(cx, id).await?;
    let before = totals(cx, &mut tx, &affected).await?;
    for ((subscription, before), after) in affected.into_iter().zip(before).zip(after) {
        let currency = after.as_ref().or(before.as_ref()).map(|(_, currency)| currency.clone());
        let minor = |total: Option<(i64, String)>| total.map_or(0, |(minor, _)| minor);
        let (before_minor, after_minor) = (minor(before), minor(after));
        if let Some(currency) = currency.filter(|_| before_minor != after_minor) {
            preview.upcoming.push(UpcomingEffect { subscription, before_minor, after_minor, currency });
        }
    }
    Ok(preview)
}

async fn lock(cx: &Cx, id: CorrectionSessionId) -> Result<(TenantTx, CorrectionSession)> {
    let mut tx = cx.begin().await?;
    tx.lock_catalog().await?;
    let session = get(&mut tx, id).await?;
    Ok((tx, session))
}

fn check_not_undone(session: &CorrectionSession) -> Result<()> {
    if session.undone_at.is_none() {
        return Ok(());
    }
    Err(Error::refused(Code::CorrectionSessionState, "the session was undone: make a new one"))
}

fn occasion(session: &CorrectionSession) -> Occasion {
    Occasion { session: Some(session.id), reason: session.description.clone() }
}

fn read(session: &CorrectionSession) -> Result<Vec<EventCorrection>> {
    let mut faults = Faults::default();
    let sent = corrections_of(session)?.into_iter().enumerate();
    let read = sent.map(|(index, correction)| correction.read(&mut faults, index)).collect();
    faults.check()?;
    Ok(read)
}

/// Says which correction of the session is refused.
fn refusal(fault: CorrectionFault) -> Error {
    match (fault.index, fault.error) {
        (Some(index), Error::Refused(refusal)) => {
            let pointer = format!("/corrections/{index}");
            Error::field(&pointer, refusal.code.as_str(), refusal.detail.into_owned())
        }
        (_, error) => error,
    }
}

async fn settled(tx: &mut TenantTx, stretch: LateStretch) -> Result<Option<SettledEffect>> {
    let period = billing_periods::find(tx, stretch.item, stretch.period_start).await?;
    let stored = subscriptions::find(tx, stretch.subscription).await?;
    let (Some(period), Some(stored)) = (period, stored) else { return Ok(None) };
    let customer = customers::find_many(tx, &[stored.customer_id]).await?.pop();
    let customer = customer.ok_or(Error::Internal("a subscription has no customer"))?;
    let mut difference: Option<Money> = None;
    for line in adjust(tx, &customer, stretch).await? {
        difference = Some(match difference {
            Some(sum) => sum.checked_add(line.amount)?,
            None => line.amount,
        });
    }
    let Some(difference) = difference else { return Ok(None) };
    let number = match period.invoice {
        Some(invoice) => invoices::find(tx, invoice).await?.and_then(|invoice| invoice.number),
        None => None,
    };
    Ok(Some(SettledEffect {
        subscription: stretch.subscription,
        period: period.period,
        invoice: period.invoice,
        number,
        difference,
    }))
}

/// The subscriptions of customers that have not ended.
async fn affected(tx: &mut TenantTx, of: &BTreeSet<CustomerId>) -> Result<Vec<SubscriptionId>> {
    let mut affected = Vec::new();
    for customer in of {
        let page = PageRequest { limit: PREVIEW_SUBSCRIPTIONS_MAX, after: None };
        let found = subscriptions::list(tx, Some(*customer), page).await?.items;
        affected.extend(found.iter().filter(|stored| stored.ended_at.is_none()).map(|stored| stored.id));
        if affected.len() > usize::from(PREVIEW_SUBSCRIPTIONS_MAX) {
            let detail = format!(
                "the corrections touch more than {PREVIEW_SUBSCRIPTIONS_MAX} subscriptions: preview fewer at once"
            );
            return Err(Error::field("/corrections", "too_many", detail));
        }
    }
    Ok(affected)
}

/// The total and currency of the next invoice of each subscription.
async fn totals(cx: &Cx, tx: &mut TenantTx, of: &[SubscriptionId]) -> Result<Vec<Option<(i64, String)>>> {
    let mut totals = Vec::with_capacity(of.len());
    for subscription in of {
        let next = invoicing::bring_on(cx, tx, *subscription).await?;
        totals.push(next.map(|next| (next.invoice.total_minor, next.invoice.currency)));
    }
    Ok(totals)
}
