//! The writers: each takes what waits, commits it in one transaction and answers.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use usance_db::DbError;

use super::{Queue, Receipt, Submission, commit, resolve::Images};
use crate::{
    App,
    error::{Error, Result},
};

/// How often a transaction that lost against another one is repeated.
const CONTENDED_TRIES_MAX: usize = 5;

/// The end of the queue that the writers share.
struct Waiting {
    submissions: Mutex<mpsc::UnboundedReceiver<Submission>>,
    batch_events: usize,
    closing: CancellationToken,
}

/// Starts the writers. They end when the queue is closed and empty.
pub fn spawn_writers(app: &App, queue: Queue, tasks: &TaskTracker) {
    let Queue { submissions, settings, closing } = queue;
    let waiting = Arc::new(Waiting {
        submissions: Mutex::new(submissions),
        batch_events: settings.batch_events,
        closing,
    });
    for _ in 0..settings.writers.max(1) {
        tasks.spawn(write(app.clone(), Arc::clone(&waiting)));
    }
}

async fn write(app: App, waiting: Arc<Waiting>) {
    let mut images = Images::default();
    loop {
        let batch = waiting.take().await;
        if batch.is_empty() {
            return;
        }
        let events: usize = batch.iter().map(|submission| submission.events.len()).sum();
        metrics::histogram!("usance_ingest_batch_events").record(u32::try_from(events).unwrap_or(u32::MAX));
        answer(&app, &mut images, batch).await;
    }
}

impl Waiting {
    /// Waits for one submission and takes with it what else waits; nothing when the queue is closed and empty. One writer
    /// waits at a time; the others commit meanwhile.
    async fn take(&self) -> Vec<Submission> {
        let mut submissions = self.submissions.lock().await;
        let mut batch = Vec::new();
        let mut events = 0;
        let first = tokio::select! {
            first = submissions.recv() => first,
            () = self.closing.cancelled() => {
                // What was sent before is still received; what is sent after is refused.
                submissions.close();
                submissions.recv().await
            }
        };
        let Some(first) = first else { return batch };
        events += first.events.len();
        batch.push(first);
        while events < self.batch_events
            && let Some(Some(next)) = submissions.recv().now_or_never()
        {
            events += next.events.len();
            batch.push(next);
        }
        batch
    }
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
        match commit::commit(app, images, batch).await {
            Err(DbError::Contended(_)) if tries < CONTENDED_TRIES_MAX => images.clear(),
            Err(error) => {
                images.clear();
                return Err(error);
            }
            receipts => return receipts,
        }
    }
}
