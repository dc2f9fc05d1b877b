//! Which requests a writer takes into one transaction, and when it begins.
//!
//! A transaction costs the same whether it holds one event or a hundred. So requests gather while others are committed, and
//! a writer waits a moment for as many as came the last time; nobody waits who is alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify},
    time::sleep,
};

use super::{
    Queue, Submission,
    line::{Line, Wanted},
};

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
    line: Arc<Line>,
    batch_events: usize,
    /// Who gathers; with how many requests were taken the last time.
    company: Mutex<usize>,
    running: AtomicUsize,
    ended: Notify,
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

/// Without writers nobody would answer who waits.
impl Drop for Intake {
    fn drop(&mut self) {
        self.line.abandon();
    }
}

impl Intake {
    pub(super) fn new(queue: Queue) -> Self {
        let Queue { line, settings } = queue;
        Self {
            line,
            batch_events: settings.batch_events.max(1),
            company: Mutex::new(0),
            running: AtomicUsize::new(0),
            ended: Notify::new(),
        }
    }

    /// Waits for requests; nothing when the queue is closed and empty. One writer waits at a time; the others commit
    /// meanwhile.
    pub(super) async fn take(&self) -> Option<Taken<'_>> {
        let mut company = self.company.lock().await;
        self.line.wait_for(Wanted::default()).await;
        self.gather(company.div_ceil(2)).await;
        let submissions = self.line.take(self.batch_events);
        if submissions.is_empty() {
            return None;
        }
        *company = submissions.len();
        self.running.fetch_add(1, Ordering::SeqCst);
        Some(Taken { submissions, intake: self })
    }

    /// Waits until what is in line is worth a transaction.
    async fn gather(&self, requests: usize) {
        let (company, turn) = (sleep(COMPANY_WAIT), sleep(TURN_WAIT));
        tokio::pin!(company, turn);
        let events = LARGE_EVENTS.min(self.batch_events);
        loop {
            let may_run = self.running.load(Ordering::SeqCst) < SMALL_TRANSACTIONS;
            let requests = if may_run { requests } else { usize::MAX };
            tokio::select! {
                biased;
                () = self.line.wait_for(Wanted { requests, events }) => return,
                () = &mut company, if may_run => return,
                () = &mut turn => return,
                () = self.ended.notified(), if !may_run => {}
            }
        }
    }
}
