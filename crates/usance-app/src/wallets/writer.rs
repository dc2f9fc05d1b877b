//! Group commit of debits and holds: what waits for the wallets of one tenant and mode is carried out in one transaction, so
//! that a wallet that everybody uses costs a commit per batch and not per request. Tenants do not wait for each other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use usance_core::ids::{HoldId, WalletId};
use usance_db::{DbError, Scope, TenantTx, holds, wallet_books, wallet_books::WalletOperation};

use super::{
    books::Books,
    operations::{self, Operation, Outcome},
};
use crate::{
    App, Cx,
    contended::retried,
    error::{Code, Error, Refusal, Result, chain},
};

/// Operations that one transaction carries out.
const BATCH_MAX: usize = 256;
/// Operations that may wait in this process.
const WAITING_MAX: usize = 20_000;
/// Transactions at once, of as many tenants.
const TRANSACTIONS_MAX: usize = 4;

/// An operation in a queue.
struct Submission {
    operation: Operation,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// The queues, one for each tenant and mode that has something to do.
#[derive(Clone)]
pub struct WalletWriter {
    queues: Arc<Mutex<HashMap<Scope, VecDeque<Submission>>>>,
    waiting: Arc<AtomicUsize>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for WalletWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WalletWriter")
    }
}

impl WalletWriter {
    /// Starts its tasks under a tracker, which shutdown waits for.
    pub fn new(tasks: TaskTracker) -> Self {
        Self {
            queues: Arc::default(),
            waiting: Arc::default(),
            slots: Arc::new(Semaphore::new(TRANSACTIONS_MAX)),
            tasks,
        }
    }

    /// Carries an operation out and answers when it is durable. If the caller goes away, it happens still.
    pub(super) async fn submit(&self, app: &App, scope: Scope, operation: Operation) -> Result<Outcome> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let detail = "more is asked of wallets than can be carried out: send the same request again after the time in Retry-After";
            return Err(Refusal::new(Code::TooManyRequests, detail).with("retry_after_seconds", 1).into());
        }
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = !queues.contains_key(&scope);
            queues.entry(scope).or_default().push_back(Submission { operation, reply });
            is_first
        };
        if is_first {
            self.tasks.spawn(self.clone().drain(app.clone(), scope));
        }
        let stopped =
            || Error::refused(Code::Unavailable, "the request was interrupted: send the same one again");
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn drain(self, app: App, scope: Scope) {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let Some(batch) = self.take(scope) else { return };
            let count = batch.len();
            metrics::histogram!("usance_wallet_batch_operations")
                .record(u32::try_from(count).unwrap_or(u32::MAX));
            // In a task of its own, so that a panic ends the batch and not the queue.
            if self.tasks.spawn(answer(app.clone(), scope, batch)).await.is_err() {
                tracing::error!("A batch of wallet operations panicked");
            }
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            drop(slot);
        }
    }

    /// What waits, or nothing any more: then the queue is gone, and the next submission starts it anew.
    fn take(&self, scope: Scope) -> Option<Vec<Submission>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_mut(&scope)?;
        if queue.is_empty() {
            queues.remove(&scope);
            return None;
        }
        let count = queue.len().min(BATCH_MAX);
        Some(queue.drain(..count).collect())
    }
}

async fn answer(app: App, scope: Scope, batch: Vec<Submission>) {
    let operations: Vec<&Operation> = batch.iter().map(|submission| &submission.operation).collect();
    match retried(|| commit(&app, scope, &operations)).await {
        Ok(outcomes) => reply(batch.into_iter().zip(outcomes)),
        // One operation must not fail because of another one: each is tried alone.
        Err(error) if batch.len() > 1 && !matches!(error, Error::Db(DbError::Unavailable(_))) => {
            tracing::warn!(
                error = chain(&error),
                "A batch of wallet operations failed; they are tried one by one"
            );
            for submission in batch {
                let alone = [&submission.operation];
                let outcome = retried(|| commit(&app, scope, &alone)).await;
                let outcome = outcome.and_then(|mut outcomes| {
                    outcomes.pop().unwrap_or(Err(Error::Internal("an operation has no outcome")))
                });
                reply([(submission, outcome)].into_iter());
            }
        }
        Err(error) => {
            let unavailable = matches!(error, Error::Db(DbError::Unavailable(_)));
            let mut first = Some(error);
            reply(batch.into_iter().map(|submission| {
                let again = || {
                    if unavailable {
                        DbError::lost().into()
                    } else {
                        Error::Internal("a wallet could not be changed")
                    }
                };
                (submission, Err(first.take().unwrap_or_else(again)))
            }));
        }
    }
}

fn reply(answers: impl Iterator<Item = (Submission, Result<Outcome>)>) {
    for (submission, outcome) in answers {
        // A caller who went away needs no answer; what was asked is done.
        drop(submission.reply.send(outcome));
    }
}

/// Carries operations out in one transaction, in their order.
async fn commit(app: &App, scope: Scope, operations: &[&Operation]) -> Result<Vec<Result<Outcome>>> {
    let cx = Cx::of_work(app, scope);
    let mut tx = cx.begin().await?;
    let wallets = find_wallets(&mut tx, operations).await?;
    if wallets.iter().all(Option::is_none) {
        return Ok(operations.iter().map(|_| Err(Error::not_found("hold"))).collect());
    }
    let mut ids: Vec<WalletId> = wallets.iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut books = Books::open(&cx, &mut tx, &ids).await?;
    let before = list_before(&mut tx, operations, &wallets).await?;
    bring_holds(&mut tx, &mut books, operations, &before).await?;
    let mut names = Names {
        before: before.iter().map(|kept| ((kept.wallet_id, kept.reference.as_str()), kept)).collect(),
        made: HashMap::new(),
    };
    let mut outcomes = Vec::with_capacity(operations.len());
    for (operation, wallet) in operations.iter().zip(wallets) {
        outcomes.push(run_one(&cx, &mut books, operation, wallet, &mut names));
    }
    let is_due = books.save(&mut tx).await?;
    tx.commit().await?;
    // Sweeps are for later, and a worker that looks after every batch would take the time of the next one.
    if is_due {
        app.work_added.notify_one();
    }
    Ok(outcomes)
}

/// What happened under the names of operations.
struct Names<'a> {
    /// In earlier batches.
    before: HashMap<(WalletId, &'a str), &'a WalletOperation>,
    /// In this one, by the place among the operations of the books.
    made: HashMap<(WalletId, &'a str), usize>,
}

fn run_one<'a>(
    cx: &Cx,
    books: &mut Books<'_>,
    operation: &'a Operation,
    wallet: Option<WalletId>,
    names: &mut Names<'a>,
) -> Result<Outcome> {
    let Some(wallet) = wallet else { return Err(Error::not_found("hold")) };
    let Some(reference) = &operation.reference else {
        return operations::run(cx, books, wallet, operation, None);
    };
    let name = (wallet, reference.as_str());
    let made = || books.operations.get(*names.made.get(&name)?);
    let known = names.before.get(&name).copied().or_else(made).cloned();
    let place = books.operations.len();
    let outcome = operations::run(cx, books, wallet, operation, known.as_ref());
    if books.operations.len() > place {
        names.made.insert(name, place);
    }
    outcome
}

/// The wallet of each operation; none where it names a hold that is not there.
async fn find_wallets(tx: &mut TenantTx, operations: &[&Operation]) -> Result<Vec<Option<WalletId>>> {
    let named: Vec<HoldId> = operations.iter().filter_map(|operation| operation.command.hold()).collect();
    let found: HashMap<HoldId, WalletId> = holds::list(tx, &named)
        .await?
        .into_iter()
        .map(|hold| (hold.id, WalletId::from_uuid(hold.owner_id)))
        .collect();
    let wallet = |operation: &&Operation| match operation.command.hold() {
        Some(hold) => found.get(&hold).copied(),
        None => operation.wallet,
    };
    Ok(operations.iter().map(wallet).collect())
}

async fn list_before(
    tx: &mut TenantTx,
    operations: &[&Operation],
    wallets: &[Option<WalletId>],
) -> Result<Vec<WalletOperation>> {
    let named = operations.iter().zip(wallets);
    let names: Vec<(WalletId, &str)> =
        named.filter_map(|(operation, wallet)| Some(((*wallet)?, operation.reference.as_deref()?))).collect();
    Ok(wallet_books::list_operations(tx, &names).await?)
}

/// Reads the holds that operations name, or made before, now that their wallets are locked.
async fn bring_holds(
    tx: &mut TenantTx,
    books: &mut Books<'_>,
    operations: &[&Operation],
    before: &[WalletOperation],
) -> Result<()> {
    let named = operations.iter().filter_map(|operation| operation.command.hold());
    let ids: Vec<HoldId> = named.chain(before.iter().filter_map(operations::kept_hold)).collect();
    books.bring_holds(holds::list(tx, &ids).await?);
    Ok(())
}
