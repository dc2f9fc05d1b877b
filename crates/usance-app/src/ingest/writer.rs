//! The writers: each takes what waits, commits it in one transaction and hands it over to be answered.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use usance_db::{DbError, event_keys::KEY_CONSTRAINT};

use super::{
    Queue, Receipt, Submission,
    answers::{self, Answers},
    commit::{self, Memory},
    intake::Intake,
};
use crate::{App, contended::TRIES_MAX, error::Error};

/// Starts the writers, and who answers. They end when the queue is closed and empty.
pub fn spawn_writers(app: &App, queue: Queue, tasks: &TaskTracker) {
    let writers = queue.settings.writers.max(1);
    let intake = Arc::new(Intake::new(queue));
    let answers = Answers::spawn(app, tasks);
    for _ in 0..writers {
        tasks.spawn(write(app.clone(), Arc::clone(&intake), answers.clone()));
    }
}

async fn write(app: App, intake: Arc<Intake>, answers: Answers) {
    let mut memory = Memory::default();
    while let Some(mut taken) = intake.take().await {
        let batch = std::mem::take(&mut taken.submissions);
        let events: usize = batch.iter().map(|submission| submission.events.len()).sum();
        metrics::histogram!("usance_ingest_batch_events").record(u32::try_from(events).unwrap_or(u32::MAX));
        store_all(&app, &mut memory, batch, &answers).await;
    }
}

async fn store_all(app: &App, memory: &mut Memory, batch: Vec<Submission>, answers: &Answers) {
    match store(app, memory, &batch).await {
        Ok(receipts) => answers.accept(batch, receipts),
        // One request must not fail because of another one: each is tried alone.
        Err(error) if batch.len() > 1 && !matches!(error, DbError::Unavailable(_)) => {
            tracing::warn!(error = %error, requests = batch.len(), "A batch of events failed; its requests are tried one by one");
            for submission in batch {
                match store(app, memory, std::slice::from_ref(&submission)).await {
                    Ok(receipts) => answers.accept(vec![submission], receipts),
                    Err(error) => answers::refuse(submission, Error::Db(error)),
                }
            }
        }
        Err(error) => answers::refuse_all(batch, &error),
    }
}

async fn store(app: &App, memory: &mut Memory, batch: &[Submission]) -> Result<Vec<Vec<Receipt>>, DbError> {
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
