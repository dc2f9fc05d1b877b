//! Which requests a writer takes into one transaction, and when it begins.
//!
//! A transaction costs the same whether it holds one event or a hundred. So requests gather while others are committed, and
//! a writer waits a moment for as many as came the last time; nobody waits who is alone.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{Mutex, Notify, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Queue, Submission};

/// Transactions of few events that run beside each other. Of two, each is half as large, and what a transaction costs whatever
/// it holds is most of what it costs; what comes meanwhile is read and gathered.
const SMALL_TRANSACTIONS: usize = 1;
/// Events that are worth a transaction of their own however many run.
const LARGE_EVENTS: usize = 1_000;
/// How long a writer waits for as many requests as came the last time.
const COMPANY_WAIT: Duration = Duration::from_millis(1);
/// How long requests wait for a running transaction at most: it may itself wait for a tenant whose books are closed.
const TURN_WAIT: Duration = Duration::from_millis(10);

/// The end of the queue that the writers share.
pub(super) struct Intake {
    waiting: Mutex<Waiting>,
    batch_events: usize,
    closing: CancellationToken,
    running: AtomicUsize,
    ended: Notify,
}

struct Waiting {
    submissions: mpsc::UnboundedReceiver<Submission>,
    /// Requests that were taken the last time.
    company: usize,
}

/// Requests for one transaction, which counts as running until this is dropped.
pub(super) struct Taken<'a> {
    pub(super) submissions: Vec<Submission>,
    intake: &'a Intake,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.intake.running.fetch_sub(1, Ordering::SeqCst);
        self.intake.ended.notify_one();
    }
}

impl Intake {
    pub(super) fn new(queue: Queue) -> Self {
        let Queue { submissions, settings, closing } = queue;
        Self {
            waiting: Mutex::new(Waiting { submissions, company: 0 }),
            batch_events: settings.batch_events,
            closing,
            running: AtomicUsize::new(0),
            ended: Notify::new(),
        }
    }

    /// Waits for requests; nothing when the queue is closed and empty. One writer waits at a time; the others commit
    /// meanwhile.
    pub(super) async fn take(&self) -> Option<Taken<'_>> {
        let mut waiting = self.waiting.lock().await;
        let first = tokio::select! {
            first = waiting.submissions.recv() => first,
            () = self.closing.cancelled() => {
                // What was sent before is still received; what is sent after is refused.
                waiting.submissions.close();
                waiting.submissions.recv().await
            }
        };
        let submissions = self.gather(&mut waiting, first?).await;
        waiting.company = submissions.len();
        self.running.fetch_add(1, Ordering::SeqCst);
        Some(Taken { submissions, intake: self })
    }

    async fn gather(&self, waiting: &mut Waiting, first: Submission) -> Vec<Submission> {
        let mut events = first.events.len();
        let mut batch = vec![first];
        let (company, turn) = (sleep(COMPANY_WAIT), sleep(TURN_WAIT));
        tokio::pin!(company, turn);
        loop {
            while events < self.batch_events
                && let Some(Some(next)) = waiting.submissions.recv().now_or_never()
            {
                events += next.events.len();
                batch.push(next);
            }
            let may_run = self.running.load(Ordering::SeqCst) < SMALL_TRANSACTIONS;
            if events >= LARGE_EVENTS.min(self.batch_events)
                || (may_run && batch.len() >= waiting.company.div_ceil(2))
            {
                return batch;
            }
            tokio::select! {
                next = waiting.submissions.recv() => {
                    let Some(next) = next else { return batch };
                    events += next.events.len();
                    batch.push(next);
                }
                () = self.ended.notified() => {}
                () = &mut company, if may_run => return batch,
                () = &mut turn => return batch,
            }
        }
    }
}
