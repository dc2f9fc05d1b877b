//! Answers: what was committed is durable before anybody is told.
//!
//! A writer does not wait for the disk, and holds no lock while others do. Whatever was committed since the last time is made
//! durable at once.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::task::TaskTracker;
use usance_db::DbError;

use super::{Incoming, Receipt, Submission};
use crate::{
    App,
    error::{Error, Result, chain},
};

/// Requests that one transaction stored, with their receipts, in their order.
type Stored = (Vec<Submission>, Vec<Vec<Receipt>>);

/// The way to who answers. What lies on it is bounded by the room that requests hold.
#[derive(Debug, Clone)]
pub(super) struct Answers(UnboundedSender<Stored>);

impl Answers {
    /// Starts who answers; it ends when every way to it is dropped and all is answered.
    pub(super) fn spawn(app: &App, tasks: &TaskTracker) -> Self {
        let (sender, stored) = mpsc::unbounded_channel();
        tasks.spawn(answer(app.clone(), stored));
        Self(sender)
    }

    /// Takes what was committed.
    pub(super) fn accept(&self, batch: Vec<Submission>, receipts: Vec<Vec<Receipt>>) {
        // Nobody is left to answer when the server ends; whoever waits is told that it does.
        drop(self.0.send((batch, receipts)));
    }
}

async fn answer(app: App, mut stored: UnboundedReceiver<Stored>) {
    let mut waiting = Vec::new();
    while stored.recv_many(&mut waiting, usize::MAX).await > 0 {
        let flushed = app.db.flush().await;
        for (batch, receipts) in waiting.drain(..) {
            match &flushed {
                Ok(()) => {
                    for (submission, receipts) in batch.into_iter().zip(receipts) {
                        reply(submission, |events| Ok(name(receipts, events)));
                    }
                }
                Err(error) => refuse_all(batch, error),
            }
        }
    }
}

/// Tells that events could not be stored, or that it is not known.
pub(super) fn refuse_all(batch: Vec<Submission>, error: &DbError) {
    tracing::error!(error = chain(error), "Events could not be stored");
    for submission in batch {
        let error = if matches!(error, DbError::Unavailable(_)) {
            DbError::lost().into()
        } else {
            Error::Internal("the events could not be stored")
        };
        refuse(submission, error);
    }
}

/// Tells that the events of a request could not be stored.
pub(super) fn refuse(submission: Submission, error: Error) {
    reply(submission, |_| Err(error));
}

fn reply(submission: Submission, result: impl FnOnce(Vec<Incoming>) -> Result<Vec<Receipt>>) {
    let Submission { events, reply, _room, .. } = submission;
    // A caller who went away needs no answer; the events are stored.
    drop(reply.send(result(events)));
}

/// Moves the ids of events into their receipts.
fn name(mut receipts: Vec<Receipt>, events: Vec<Incoming>) -> Vec<Receipt> {
    for (receipt, incoming) in receipts.iter_mut().zip(events) {
        receipt.id = match incoming {
            Incoming::Event(event) => Some(event.id),
            Incoming::Rejected { id, .. } => id,
        };
    }
    receipts
}
