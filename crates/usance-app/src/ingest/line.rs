//! Requests in line for a transaction. A writer is woken when there is enough to do, not for every request.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Submission;

/// Requests that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    /// Tells the writer that takes next that there is what it waits for.
    enough: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    submissions: VecDeque<Submission>,
    events: usize,
    wanted: Wanted,
    is_closed: bool,
}

/// How much a writer waits for: either suffices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) requests: usize,
    pub(super) events: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { requests: 1, events: 1 }
    }
}

impl Waiting {
    fn is_enough(&self, wanted: Wanted) -> bool {
        self.is_closed || self.submissions.len() >= wanted.requests || self.events >= wanted.events
    }
}

impl Line {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the line; `false` when it is closed.
    pub(super) fn join(&self, submission: Submission) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return false;
        }
        waiting.events += submission.events.len();
        waiting.submissions.push_back(submission);
        let is_enough = waiting.is_enough(waiting.wanted);
        drop(waiting);
        if is_enough {
            self.enough.notify_one();
        }
        true
    }

    /// Refuses what comes from now on; what waits is taken still.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.enough.notify_one();
    }

    /// Refuses what comes from now on, and what waits.
    pub(super) fn abandon(&self) {
        self.close();
        let abandoned = std::mem::take(&mut self.waiting().submissions);
        drop(abandoned);
    }

    /// Waits until so much is in line or the line is closed. One may wait at a time.
    pub(super) async fn wait_for(&self, wanted: Wanted) {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.is_enough(wanted) {
                    return;
                }
                waiting.wanted = wanted;
            }
            self.enough.notified().await;
        }
    }

    /// Takes requests until they hold this many events, the last one whole; nothing if none waits.
    pub(super) fn take(&self, events_max: usize) -> Vec<Submission> {
        let mut waiting = self.waiting();
        let mut events = 0;
        let mut taken = Vec::with_capacity(waiting.submissions.len());
        while events < events_max
            && let Some(submission) = waiting.submissions.pop_front()
        {
            events += submission.events.len();
            taken.push(submission);
        }
        waiting.events -= events;
        taken
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use usance_core::{ids::TenantId, metering::RejectReason};
    use usance_db::Scope;
    use uuid::Uuid;

    use super::*;
    use crate::ingest::{Incoming, Ingest, IngestSettings, Receipt};

    type Answer = oneshot::Receiver<crate::error::Result<Vec<Receipt>>>;

    fn request(events: usize) -> (Submission, Answer) {
        let settings = IngestSettings { writers: 1, batch_events: 10, queue_bytes: 1_024 };
        let room = Ingest::new(settings).0.open_room(1).unwrap();
        let scope = Scope { tenant: TenantId::from_uuid(Uuid::nil()), livemode: false };
        let rejected = Incoming::Rejected { id: None, reason: RejectReason::FutureTime };
        let (reply, answer) = oneshot::channel();
        (Submission { scope, events: vec![rejected; events], unmeasured: None, reply, _room: room }, answer)
    }

    fn line_of(requests: &[usize]) -> Line {
        let line = Line::default();
        for events in requests {
            assert!(line.join(request(*events).0));
        }
        line
    }

    fn sizes(taken: &[Submission]) -> Vec<usize> {
        taken.iter().map(|submission| submission.events.len()).collect()
    }

    #[test]
    fn requests_are_taken_whole_and_in_order_until_they_hold_enough_events() {
        let line = line_of(&[1, 2, 3, 4]);
        assert_eq!(sizes(&line.take(4)), [1, 2, 3]);
        assert_eq!(sizes(&line.take(4)), [4]);
        assert!(line.take(4).is_empty());
    }

    #[test]
    fn a_writer_is_woken_by_enough_requests_or_enough_events() {
        for (wanted, second, third) in [
            (Wanted { requests: 3, events: 1_000 }, 1, 1),
            (Wanted { requests: usize::MAX, events: 10 }, 4, 5),
        ] {
            let line = line_of(&[1]);
            let waiting = line.wait_for(wanted);
            tokio::pin!(waiting);
            assert!(waiting.as_mut().now_or_never().is_none());
            assert!(line.join(request(second).0));
            assert!(waiting.as_mut().now_or_never().is_none(), "{wanted:?}");
            assert!(line.join(request(third).0));
            assert!(waiting.as_mut().now_or_never().is_some(), "{wanted:?}");
        }
    }

    #[test]
    fn a_closed_line_takes_nobody_and_lets_out_who_waits() {
        let line = line_of(&[1]);
        line.close();
        assert!(!line.join(request(1).0));
        assert!(line.wait_for(Wanted { requests: 5, events: 5 }).now_or_never().is_some());
        assert_eq!(sizes(&line.take(10)), [1]);
    }

    #[test]
    fn who_waits_in_an_abandoned_line_is_told() {
        let line = Line::default();
        let (submission, mut answer) = request(1);
        assert!(line.join(submission));
        line.abandon();
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(!line.join(request(1).0));
    }
}
