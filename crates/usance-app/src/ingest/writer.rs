//! The writers: each takes what waits, commits it in one transaction and answers.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use usance_db::{DbError, event_keys::KEY_CONSTRAINT};

use super::{
    Incoming, Queue, Receipt, Submission,
    commit::{self, Memory},
    intake::Intake,
};
use crate::{
    App,
    contended::TRIES_MAX,
    error::{Error, Result},
};

/// Starts the writers. They end when the queue is closed and empty.
pub fn spawn_writers(app: &App, queue: Queue, tasks: &TaskTracker) {
    let writers = queue.settings.writers.max(1);
    let intake = Arc::new(Intake::new(queue));
    for _ in 0..writers {
        tasks.spawn(write(app.clone(), Arc::clone(&intake)));
    }
}

async fn write(app: App, intake: Arc<Intake>) {
    let mut memory = Memory::default();
    while let Some(mut taken) = intake.take().await {
        let batch = std::mem::take(&mut taken.submissions);
        let events: usize = batch.iter().map(|submission| submission.events.len()).sum();
        metrics::histogram!("usance_ingest_batch_events").record(u32::try_from(events).unwrap_or(u32::MAX));
        answer(&app, &mut memory, batch).await;
    }
}

async fn answer(app: &App, memory: &mut Memory, batch: Vec<Submission>) {
    match store(app, memory, &batch).await {
        Ok(receipts) => reply(batch.into_iter().zip(receipts.into_iter().map(Ok))),
        // One request must not fail because of another one: each is tried alone.
        Err(error) if batch.len() > 1 && !matches!(error, DbError::Unavailable(_)) => {
            tracing::warn!(error = %error, requests = batch.len(), "A batch of events failed; its requests are tried one by one");
            for submission in batch {
                let result = store(app, memory, std::slice::from_ref(&submission)).await;
                let result = result.map(|mut receipts| receipts.pop().unwrap_or_default()).map_err(Error::Db);
                reply([(submission, result)].into_iter());
            }
        }
        Err(error) => {
            let unavailable = matches!(error, DbError::Unavailable(_));
            tracing::error!(error = crate::error::chain(&error), "Events could not be stored");
            let failed = || {
                if unavailable {
                    DbError::lost().into()
                } else {
                    Error::Internal("the events could not be stored")
                }
            };
            reply(batch.into_iter().map(|submission| (submission, Err(failed()))));
        }
    }
}

fn reply(answers: impl Iterator<Item = (Submission, Result<Vec<Receipt>>)>) {
    for (submission, result) in answers {
        let Submission { events, reply, _room, .. } = submission;
        // A caller who went away needs no answer; the events are stored.
        drop(reply.send(result.map(|receipts| name(receipts, events))));
    }
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

async fn store(
    app: &App,
    memory: &mut Memory,
    batch: &[Submission],
) -> std::result::Result<Vec<Vec<Receipt>>, DbError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match commit::commit(app, memory, batch).await {
            Err(error) => {
                memory.forget(&error);
                if tries >= tries_max(&error) {
                    return Err(error);
                }
            }
            receipts => return receipts,
        }
    }
}

/// How often a transaction is tried that fails like this. One that trusted what the writer remembered, that no event comes
/// twice or that a month has a partition, succeeds when it is tried again.
fn tries_max(error: &DbError) -> usize {
    match error {
        DbError::Contended(_) => TRIES_MAX,
        DbError::Conflict { .. } if error.is_conflict(KEY_CONSTRAINT) => TRIES_MAX,
        DbError::Refused(_) => 2,
        DbError::Conflict { .. }
        | DbError::UnstorableText
        | DbError::Unavailable(_)
        | DbError::Other(_)
        | DbError::Unreadable { .. } => 1,
    }
}
