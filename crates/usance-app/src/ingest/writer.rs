//! The writers: each takes what waits, commits it in one transaction and answers.

use std::sync::Arc;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;
use usance_db::DbError;

use super::{Queue, Receipt, Submission, commit, resolve::Images};
use crate::{
    App,
    error::{Error, Result},
};

/// How often a transaction that lost against another one is repeated.
const CONTENDED_TRIES_MAX: usize = 5;

/// Starts the writers. They end when every way into the queue is gone and the queue is empty.
pub fn spawn_writers(app: &App, queue: Queue, tasks: &TaskTracker) {
    let submissions = Arc::new(Mutex::new(queue.submissions));
    for _ in 0..queue.settings.writers.max(1) {
        tasks.spawn(write(app.clone(), Arc::clone(&submissions), queue.settings.batch_events));
    }
}

async fn write(app: App, submissions: Arc<Mutex<mpsc::UnboundedReceiver<Submission>>>, batch_events: usize) {
    let mut images = Images::default();
    loop {
        let batch = take(&submissions, batch_events).await;
        if batch.is_empty() {
            return;
        }
        let events: usize = batch.iter().map(|submission| submission.events.len()).sum();
        metrics::histogram!("usance_ingest_batch_events").record(u32::try_from(events).unwrap_or(u32::MAX));
        answer(&app, &mut images, batch).await;
    }
}

/// Waits for one submission and takes with it what else waits. One writer waits at a time; the others commit meanwhile.
async fn take(
    submissions: &Mutex<mpsc::UnboundedReceiver<Submission>>,
    batch_events: usize,
) -> Vec<Submission> {
    let mut submissions = submissions.lock().await;
    let mut batch = Vec::new();
    let mut events = 0;
    let Some(first) = submissions.recv().await else { return batch };
    events += first.events.len();
    batch.push(first);
    while events < batch_events
        && let Some(Some(next)) = submissions.recv().now_or_never()
    {
        events += next.events.len();
        batch.push(next);
    }
    batch
}

async fn answer(app: &App, images: &mut Images, batch: Vec<Submission>) {
    match store(app, images, &batch).await {
        Ok(receipts) => reply(batch.into_iter().zip(receipts.into_iter().map(Ok))),
        // One request must not fail because of another one: each is tried alone.
        Err(error) if batch.len() > 1 && !matches!(error, DbError::Unavailable(_)) => {
            tracing::warn!(error = %error, requests = batch.len(), "A batch of events failed; its requests are tried one by one");
            for submission in batch {
                let result = store(app, images, std::slice::from_ref(&submission)).await;
                let result = result.map(|mut receipts| receipts.pop().unwrap_or_default()).map_err(Error::Db);
                reply([(submission, result)].into_iter());
            }
        }
        Err(error) => {
            let unavailable = matches!(error, DbError::Unavailable(_));
            tracing::error!(error = crate::work::chain(&error), "Events could not be stored");
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
        // A caller who went away needs no answer; the events are stored.
        drop(submission.reply.send(result));
    }
}

async fn store(
    app: &App,
    images: &mut Images,
    batch: &[Submission],
) -> std::result::Result<Vec<Vec<Receipt>>, DbError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let received_at = microseconds(app.clock.now());
        match commit::commit(&app.db, images, batch, received_at).await {
            Err(DbError::Contended(_)) if tries < CONTENDED_TRIES_MAX => images.clear(),
            Err(error) => {
                images.clear();
                return Err(error);
            }
            receipts => return receipts,
        }
    }
}

fn microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
