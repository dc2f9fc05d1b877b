//! Due work: everything that happens by itself when a tenant's time comes, driven by one table.
//!
//! A piece of work is claimed in the transaction that carries it out, so that it happens once or not at all. Work that
//! calls the outside world claims, notes its intent, calls, and notes the result; repeating it is harmless.

use jiff::{SignedDuration, Timestamp};
use usance_core::ids::{InvoiceId, PaymentId, SubscriptionId};
use usance_db::{Scope, TenantTx, due_work, due_work::DueWork};
use uuid::Uuid;

use crate::{
    App, Cx,
    error::{Error, Result, chain},
    ingest, invoicing, payments, test_clock,
};

/// How often a piece of work is tried before it is parked.
const ATTEMPTS_MAX: i32 = 8;
/// How long work that calls the outside world is kept from others; should this process end, it is taken up again.
const LEASE: SignedDuration = SignedDuration::from_mins(1);
/// Tenants with due work that one round of the worker looks at.
const SCOPES_PER_ROUND: i64 = 100;
/// Work that one tenant gets done before the next one's turn.
const WORK_PER_TURN: usize = 100;

/// The kinds of due work. Of those due at the same time, later in the alphabet comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bills what a subscription pays in advance for its first period.
    OpenSubscription,
    /// Bills a subscription's period and opens the next one.
    ClosePeriod,
    /// Collects a finalized invoice.
    CollectInvoice,
    /// Finds out what became of a payment whose answer was lost.
    ResolvePayment,
    /// Counts events that waited for a meter, a customer or a subscription.
    RateUnbilled,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::OpenSubscription,
        Self::ClosePeriod,
        Self::CollectInvoice,
        Self::ResolvePayment,
        Self::RateUnbilled,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::OpenSubscription => "open_subscription",
            Self::ClosePeriod => "close_period",
            Self::CollectInvoice => "collect_invoice",
            Self::ResolvePayment => "resolve_payment",
            Self::RateUnbilled => "rate_unbilled",
        }
    }

    fn parse(word: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or(Error::Internal("due work of an unknown kind"))
    }
}

/// Plans work in the caller's transaction.
pub(crate) async fn schedule(tx: &mut TenantTx, kind: Kind, subject: Uuid, due_at: Timestamp) -> Result<()> {
    due_work::schedule(tx, kind.as_str(), subject, due_at).await?;
    Ok(())
}

/// Moves work to a later time; what runs now is not the last try.
pub(crate) async fn postpone(tx: &mut TenantTx, kind: Kind, subject: Uuid, due_at: Timestamp) -> Result<()> {
    due_work::postpone(tx, kind.as_str(), subject, due_at).await?;
    Ok(())
}

/// Leaves work for a person to look at.
pub(crate) async fn park(
    tx: &mut TenantTx,
    kind: Kind,
    subject: Uuid,
    now: Timestamp,
    reason: &str,
) -> Result<()> {
    due_work::park(tx, kind.as_str(), subject, now, reason).await?;
    Ok(())
}

/// Plans a look at the unbilled events, if there are any: the catalogue changed.
pub(crate) async fn rate_unbilled(cx: &Cx, tx: &mut TenantTx) -> Result<()> {
    if usance_db::events::any_unbilled(tx).await? {
        let now = cx.tenant_now(tx).await?;
        schedule(tx, Kind::RateUnbilled, Uuid::nil(), now).await?;
    }
    Ok(())
}

/// Runs what is due for every tenant by its own clock. Returns whether anything was done.
pub async fn run_due(app: &App) -> Result<bool> {
    let mut tx = app.db.system().await?;
    let scopes = due_work::list_scopes(&mut tx, app.now(), SCOPES_PER_ROUND).await?;
    drop(tx);
    let mut any = false;
    for scope in scopes {
        match run_due_of(app, scope).await {
            Ok(done) => any |= done,
            // One tenant's trouble must not keep the others waiting.
            Err(error) => {
                tracing::error!(tenant = %scope.tenant, error = chain(&error), "Due work could not be run");
            }
        }
    }
    Ok(any)
}

async fn run_due_of(app: &App, scope: Scope) -> Result<bool> {
    for done in 0..WORK_PER_TURN {
        let cx = Cx::of_work(app, scope);
        let mut tx = cx.begin().await?;
        let now = cx.tenant_now(&mut tx).await?;
        let Some(work) = due_work::claim(&mut tx, now, cx.now, cx.now).await? else { return Ok(done > 0) };
        run(&cx, tx, work).await?;
    }
    Ok(true)
}

/// Runs everything that becomes due until `to`, in order, the test clock moving along.
pub(crate) async fn run_until(cx: &Cx, to: Timestamp) -> Result<()> {
    loop {
        // A failure is tried again at once: in test mode nobody waits for a back-off.
        let cx = Cx { now: cx.app.now(), ..cx.clone() };
        let mut tx = cx.begin().await?;
        let Some(work) = due_work::claim(&mut tx, to, Timestamp::MAX, cx.now).await? else {
            if !due_work::is_pending(&mut tx, to).await? {
                return Ok(());
            }
            // The worker holds it: it is about to be done.
            drop(tx);
            tokio::task::yield_now().await;
            continue;
        };
        let before = work.due_at.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(work.due_at);
        if due_work::is_pending(&mut tx, before).await? {
            // Earlier work is leased to the worker: the clock waits for it.
            drop(tx);
            tokio::task::yield_now().await;
            continue;
        }
        drop(tx);
        test_clock::move_to(&cx, work.due_at).await?;
        let mut tx = cx.begin().await?;
        if let Some(work) = due_work::claim(&mut tx, work.due_at, Timestamp::MAX, cx.now).await? {
            run(&cx, tx, work).await?;
        }
    }
}

async fn run(cx: &Cx, tx: TenantTx, work: DueWork) -> Result<()> {
    let result = match Kind::parse(&work.kind) {
        Ok(kind) => run_kind(cx, tx, kind, &work).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            metrics::counter!("usance_due_work_total", "kind" => work.kind, "outcome" => "done").increment(1);
            Ok(())
        }
        Err(error) => note_failure(cx, &work, &error).await,
    }
}

async fn run_kind(cx: &Cx, mut tx: TenantTx, kind: Kind, work: &DueWork) -> Result<()> {
    let subscription = SubscriptionId::from_uuid(work.subject_id);
    match kind {
        Kind::OpenSubscription => {
            due_work::complete(&mut tx, work).await?;
            invoicing::open_subscription(cx, &mut tx, subscription, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::ClosePeriod => {
            // From here until the commit, no event is accepted into the period that is closed.
            tx.lock_catalog().await?;
            if let Some(rating) = due_work::find_open(&mut tx, Kind::RateUnbilled.as_str()).await? {
                // Events that wait may belong to the period: they are counted first, and this work is claimed again.
                drop(tx);
                ingest::rate_unbilled(&cx.app, cx.scope).await?;
                return complete(cx, &rating).await;
            }
            due_work::complete(&mut tx, work).await?;
            invoicing::close_period(cx, &mut tx, subscription, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::CollectInvoice => {
            lease(cx, tx, work).await?;
            payments::collect(cx, InvoiceId::from_uuid(work.subject_id)).await?;
            complete(cx, work).await
        }
        Kind::ResolvePayment => {
            lease(cx, tx, work).await?;
            payments::resolve(cx, PaymentId::from_uuid(work.subject_id)).await?;
            complete(cx, work).await
        }
        Kind::RateUnbilled => {
            lease(cx, tx, work).await?;
            ingest::rate_unbilled(&cx.app, cx.scope).await?;
            complete(cx, work).await
        }
    }
}

/// Ends the claim's transaction and keeps the work by a lease, so that nothing is locked during a call to the outside.
async fn lease(cx: &Cx, mut tx: TenantTx, work: &DueWork) -> Result<()> {
    let until = cx.now.saturating_add(LEASE).unwrap_or(cx.now);
    due_work::lease(&mut tx, work, until).await?;
    Ok(tx.commit().await?)
}

async fn complete(cx: &Cx, work: &DueWork) -> Result<()> {
    let mut tx = cx.begin().await?;
    due_work::complete(&mut tx, work).await?;
    Ok(tx.commit().await?)
}

async fn note_failure(cx: &Cx, work: &DueWork, error: &Error) -> Result<()> {
    let parked = work.attempts + 1 >= ATTEMPTS_MAX;
    let retry_at = (!parked).then(|| cx.now.saturating_add(retry_delay(work.attempts)).unwrap_or(cx.now));
    tracing::error!(work.kind, work.subject = %work.subject_id, work.attempts, parked, error = chain(error), "Due work failed");
    metrics::counter!("usance_due_work_total", "kind" => work.kind.clone(), "outcome" => "failed")
        .increment(1);
    let mut tx = cx.begin().await?;
    due_work::fail(&mut tx, work, &chain(error), retry_at).await?;
    Ok(tx.commit().await?)
}

/// 5 s, then four times as long after each failure: 20 s, 80 s, 5 min, 21 min, 85 min, 6 h.
fn retry_delay(attempts: i32) -> SignedDuration {
    let factor = 4_i64.saturating_pow(u32::try_from(attempts).unwrap_or_default());
    SignedDuration::from_secs(5_i64.saturating_mul(factor))
}
