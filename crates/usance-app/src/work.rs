//! Due work: everything that happens by itself when a tenant's time comes, driven by one table.
//!
//! A piece of work is claimed in the transaction that carries it out, so that it happens once or not at all. Work that
//! calls the outside world claims, notes its intent, calls, and notes the result; repeating it is harmless.

use jiff::{SignedDuration, Timestamp};
use usance_core::ids::{
    EntitlementCounterId, InvoiceId, PaymentId, PlanMigrationId, RefundId, SubscriptionId, TopUpId, WalletId,
};
use usance_db::{Scope, TenantTx, due_work, due_work::DueWork};
use uuid::Uuid;

use crate::{
    App, Cx, billing, entitlements,
    error::{Error, Result, chain},
    ingest, invoicing, payments, plan_migrations, refunds, subscriptions, test_clock, wallets,
};

/// How often a piece of work is tried before it is parked.
const ATTEMPTS_MAX: i32 = 8;
/// Tenants with due work that one round of the worker looks at.
const SCOPES_PER_ROUND: i64 = 100;
/// Work that one tenant gets done before the next one's turn.
const WORK_PER_TURN: usize = 100;
/// Subscriptions that one transaction advances.
const SUBSCRIPTIONS_PER_TRANSACTION: i64 = 500;

/// The kinds of due work. Of those due at the same time, later in the alphabet comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Does what a subscription's time brings: its start, the end of a trial or a period, a planned change.
    AdvanceSubscription,
    /// Bills usage that came after its stretch was settled, if nothing else will.
    BillLateUsage,
    /// Charges a top-up of a wallet, or finds out what became of it.
    ChargeTopUp,
    /// Compares a subscription's usage with its billing thresholds.
    CheckThresholds,
    /// Collects a finalized invoice.
    CollectInvoice,
    /// Finalizes a draft whose grace period is over.
    FinalizeInvoice,
    /// Moves the subscriptions of a plan to its newest version.
    MigratePlan,
    /// Finds out what became of a payment whose answer was lost.
    ResolvePayment,
    /// Asks the gateway for a refund, or finds out what became of it.
    ResolveRefund,
    /// Counts events that waited for a meter, a customer or a subscription.
    RateUnbilled,
    /// Looks whether there is something again of a limit that was reached.
    RestoreEntitlement,
    /// Frees holds of units whose time is over.
    SweepFeatureHolds,
    /// Frees what has run out of a wallet: holds and credits.
    SweepWallet,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::AdvanceSubscription,
        Self::BillLateUsage,
        Self::ChargeTopUp,
        Self::CheckThresholds,
        Self::CollectInvoice,
        Self::FinalizeInvoice,
        Self::MigratePlan,
        Self::ResolvePayment,
        Self::ResolveRefund,
        Self::RateUnbilled,
        Self::RestoreEntitlement,
        Self::SweepFeatureHolds,
        Self::SweepWallet,
    ];

    /// The word of the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AdvanceSubscription => "advance_subscription",
            Self::BillLateUsage => "bill_late_usage",
            Self::ChargeTopUp => "charge_top_up",
            Self::CheckThresholds => "check_thresholds",
            Self::CollectInvoice => "collect_invoice",
            Self::FinalizeInvoice => "finalize_invoice",
            Self::MigratePlan => "migrate_plan",
            Self::ResolvePayment => "resolve_payment",
            Self::ResolveRefund => "resolve_refund",
            Self::RateUnbilled => "rate_unbilled",
            Self::RestoreEntitlement => "restore_entitlement",
            Self::SweepFeatureHolds => "sweep_feature_holds",
            Self::SweepWallet => "sweep_wallet",
        }
    }

    /// What of the tenant's catalogue it takes before it is claimed.
    const fn catalog_lock(self) -> CatalogLock {
        match self {
            Self::AdvanceSubscription => CatalogLock::Seat,
            Self::BillLateUsage | Self::CheckThresholds | Self::FinalizeInvoice => CatalogLock::Whole,
            Self::MigratePlan
            | Self::CollectInvoice
            | Self::ResolvePayment
            | Self::ResolveRefund
            | Self::RateUnbilled
            | Self::RestoreEntitlement
            | Self::ChargeTopUp
            | Self::SweepFeatureHolds
            | Self::SweepWallet => CatalogLock::None,
        }
    }

    fn parse(word: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or(Error::Internal("due work of an unknown kind"))
    }
}

/// How work holds still what events belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CatalogLock {
    /// Not at all.
    None,
    /// Against everybody but its own kind, so that several workers bill one tenant.
    Seat,
    /// Against everybody.
    Whole,
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
        run_claimed(&cx, tx, work, (now, cx.now)).await?;
    }
    Ok(true)
}

/// Runs work that was claimed by the given times. Where the work needs the catalogue, that is taken first and the claim
/// made anew, as a request takes it before it plans work: who waits for the catalogue holds nothing that others want.
async fn run_claimed(
    cx: &Cx,
    tx: TenantTx,
    work: DueWork,
    (by, retry_by): (Timestamp, Timestamp),
) -> Result<()> {
    let lock = catalog_lock(&work);
    if lock == CatalogLock::None {
        return run(cx, tx, work).await;
    }
    drop(tx);
    let mut tx = cx.begin().await?;
    match lock {
        CatalogLock::Seat => tx.lock_billing_seat().await?,
        CatalogLock::None | CatalogLock::Whole => tx.lock_catalog().await?,
    }
    match due_work::claim(&mut tx, by, retry_by, cx.now).await? {
        // What came before it meanwhile may need more of the catalogue: the caller looks anew.
        Some(work) if lock == CatalogLock::Seat && catalog_lock(&work) == CatalogLock::Whole => Ok(()),
        Some(work) => run(cx, tx, work).await,
        // Another worker did it meanwhile.
        None => Ok(()),
    }
}

/// Work of an unknown kind is claimed as it is, and fails.
fn catalog_lock(work: &DueWork) -> CatalogLock {
    Kind::parse(&work.kind).map_or(CatalogLock::None, Kind::catalog_lock)
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
        let times = (work.due_at, Timestamp::MAX);
        if let Some(work) = due_work::claim(&mut tx, times.0, times.1, cx.now).await? {
            run_claimed(&cx, tx, work, times).await?;
        }
    }
}

async fn run(cx: &Cx, mut tx: TenantTx, work: DueWork) -> Result<()> {
    let kind = match Kind::parse(&work.kind) {
        Ok(kind) => kind,
        Err(error) => return note_failure(cx, &work, &error).await,
    };
    if kind == Kind::AdvanceSubscription && work.attempts == 0 {
        let mut batch = due_work::claim_more(&mut tx, &work, cx.now, SUBSCRIPTIONS_PER_TRANSACTION).await?;
        if !batch.is_empty() {
            batch.push(work);
            return run_batch(cx, tx, batch).await;
        }
    }
    // On the heap, because it holds what any kind needs.
    let result = Box::pin(run_kind(cx, tx, kind, &work)).await;
    note_outcome(cx, &work, result).await
}

async fn note_outcome(cx: &Cx, work: &DueWork, result: Result<()>) -> Result<()> {
    match result {
        Ok(()) => {
            metrics::counter!("usance_due_work_total", "kind" => work.kind.clone(), "outcome" => "done")
                .increment(1);
            Ok(())
        }
        Err(error) => note_failure(cx, work, &error).await,
    }
}

/// Advances many subscriptions in one transaction. If one of them cannot be billed, each gets a transaction of its own.
async fn run_batch(cx: &Cx, tx: TenantTx, batch: Vec<DueWork>) -> Result<()> {
    match advance(cx, tx, &batch).await {
        Ok(()) => {
            let done = u64::try_from(batch.len()).unwrap_or_default();
            metrics::counter!("usance_due_work_total", "kind" => Kind::AdvanceSubscription.as_str(), "outcome" => "done").increment(done);
            Ok(())
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "Subscriptions cannot be advanced together: one at a time");
            for work in batch {
                let mut tx = cx.begin().await?;
                tx.lock_catalog().await?;
                if due_work::claim_again(&mut tx, &work, cx.now).await? {
                    let result = advance(cx, tx, std::slice::from_ref(&work)).await;
                    note_outcome(cx, &work, result).await?;
                }
            }
            Ok(())
        }
    }
}

/// Advances subscriptions. The catalogue is locked: until the commit, no event is accepted into a period that is closed.
async fn advance(cx: &Cx, mut tx: TenantTx, batch: &[DueWork]) -> Result<()> {
    if let Some(rating) = due_work::find_open(&mut tx, Kind::RateUnbilled.as_str()).await? {
        // Events that wait may belong to the periods: they are counted first, and this work is claimed again.
        drop(tx);
        ingest::rate_unbilled(&cx.app, cx.scope).await?;
        return complete(cx, &rating).await;
    }
    let ids: Vec<_> = batch.iter().map(|work| SubscriptionId::from_uuid(work.subject_id)).collect();
    let by = batch.iter().map(|work| work.due_at).max().unwrap_or(cx.now);
    subscriptions::advance(cx, &mut tx, &ids, by).await?;
    due_work::complete_many(&mut tx, batch).await?;
    Ok(tx.commit().await?)
}

async fn run_kind(cx: &Cx, mut tx: TenantTx, kind: Kind, work: &DueWork) -> Result<()> {
    match kind {
        Kind::AdvanceSubscription => advance(cx, tx, std::slice::from_ref(work)).await,
        Kind::FinalizeInvoice => {
            due_work::complete(&mut tx, work).await?;
            let invoice = InvoiceId::from_uuid(work.subject_id);
            invoicing::finalize_due(cx, &mut tx, invoice, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::BillLateUsage => {
            tx.lock_catalog().await?;
            due_work::complete(&mut tx, work).await?;
            let subscription = SubscriptionId::from_uuid(work.subject_id);
            billing::bill_late_usage(cx, &mut tx, subscription, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::CheckThresholds => {
            due_work::complete(&mut tx, work).await?;
            let subscription = SubscriptionId::from_uuid(work.subject_id);
            billing::check_thresholds(cx, &mut tx, subscription, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::CollectInvoice => {
            let collect = payments::collect(cx, InvoiceId::from_uuid(work.subject_id));
            under_lease(cx, tx, work, Box::pin(collect)).await
        }
        Kind::MigratePlan => {
            lease(cx, tx, work).await?;
            if plan_migrations::carry_on(cx, PlanMigrationId::from_uuid(work.subject_id)).await? {
                return complete(cx, work).await;
            }
            // Planned anew, so that other work has its turn.
            let mut tx = cx.begin().await?;
            schedule(&mut tx, kind, work.subject_id, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::ResolvePayment => {
            let resolve = payments::resolve(cx, PaymentId::from_uuid(work.subject_id));
            under_lease(cx, tx, work, Box::pin(resolve)).await
        }
        Kind::ResolveRefund => {
            under_lease(cx, tx, work, refunds::resolve(cx, RefundId::from_uuid(work.subject_id))).await
        }
        Kind::RestoreEntitlement => {
            due_work::complete(&mut tx, work).await?;
            let counter = EntitlementCounterId::from_uuid(work.subject_id);
            entitlements::restore(cx, &mut tx, counter, work.due_at).await?;
            Ok(tx.commit().await?)
        }
        Kind::ChargeTopUp => {
            under_lease(cx, tx, work, wallets::resolve_top_up(cx, TopUpId::from_uuid(work.subject_id))).await
        }
        Kind::SweepFeatureHolds => {
            under_lease(
                cx,
                tx,
                work,
                entitlements::sweep_holds(cx, EntitlementCounterId::from_uuid(work.subject_id)),
            )
            .await
        }
        Kind::SweepWallet => {
            under_lease(cx, tx, work, wallets::sweep(cx, WalletId::from_uuid(work.subject_id))).await
        }
        Kind::RateUnbilled => under_lease(cx, tx, work, ingest::rate_unbilled(&cx.app, cx.scope)).await,
    }
}

/// Runs work that calls the outside, or that is planned by whoever has locked what it changes.
async fn under_lease(
    cx: &Cx,
    tx: TenantTx,
    work: &DueWork,
    run: impl Future<Output = Result<()>> + Send,
) -> Result<()> {
    lease(cx, tx, work).await?;
    run.await?;
    complete(cx, work).await
}

/// Ends the claim's transaction and keeps the work by a lease, so that nothing is locked during a call to the outside.
/// Should this process end, the work is taken up again after the lease.
async fn lease(cx: &Cx, mut tx: TenantTx, work: &DueWork) -> Result<()> {
    let until = cx.now.saturating_add(cx.app.work_lease).unwrap_or(cx.now);
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
