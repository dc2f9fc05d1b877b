//! Keeps several batches on their way and counts them in the order of the file.

use super::batch::{Batch, SentRow};
use super::checkpoint::{Checkpoint, CheckpointFile};
use super::progress::Progress;
use super::rejects::{Reject, RejectsFile};
use super::send::{Answer, EventResult, SendError, Sender};
use super::summary::Counts;
use anyhow::Context as _;
use std::collections::{BTreeMap, HashMap};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

/// The largest number of requests at a time.
pub(super) const CONCURRENCY_MAX: usize = 64;
/// How many batches may be ahead of the first one without an answer, for each request at a time.
const BATCHES_AHEAD: u64 = 4;

/// The outcome of a batch that the server has answered for.
#[derive(Debug)]
pub(super) struct Acknowledged {
    /// The rows by outcome.
    pub(super) counts: Counts,
    /// The rows that are not billed.
    pub(super) rejects: Vec<Reject>,
    /// How far into the file the batch reaches.
    pub(super) end_byte: u64,
}

/// What is safely counted: the leading rows of the file, with nothing missing before them.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The state that is saved.
    pub(super) checkpoint: Checkpoint,
    /// Where it is saved.
    pub(super) checkpoint_file: CheckpointFile,
    /// Where refused rows go.
    pub(super) rejects_file: RejectsFile,
    /// Where it is shown.
    pub(super) progress: Progress,
    next: u64,
    waiting: BTreeMap<u64, Acknowledged>,
}

/// How batches are sent.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The connection.
    pub(super) sender: Sender,
    /// Requests at a time.
    pub(super) concurrency: usize,
    /// The seed of the retry jitter.
    pub(super) jitter_seed: u64,
}

/// Sends every batch and counts it; after a failure the requests under way are still counted.
pub(super) async fn transfer(
    lanes: &Lanes,
    mut batches: Receiver<Batch>,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let mut in_flight = JoinSet::new();
    let mut started = 0;
    let mut failure = None;
    loop {
        let ahead = started - ledger.next < BATCHES_AHEAD * lanes.concurrency as u64;
        let free = failure.is_none() && in_flight.len() < lanes.concurrency && ahead;
        tokio::select! {
            Some(batch) = batches.recv(), if free => {
                in_flight.spawn(send_batch(lanes, &ledger.progress, started, batch));
                started += 1;
            }
            Some(done) = in_flight.join_next() => {
                let outcome = done.context("a request was broken off")?;
                let counted = match outcome {
                    Ok((number, acknowledged)) => ledger.acknowledge(number, acknowledged),
                    Err(err) => Err(err.into()),
                };
                failure = failure.or(counted.err());
            }
            else => break,
        }
    }
    failure.map_or(Ok(()), Err)
}

/// The request as a future that owns all it needs, so that it can run beside the others.
fn send_batch(
    lanes: &Lanes,
    progress: &Progress,
    number: u64,
    batch: Batch,
) -> impl Future<Output = Result<(u64, Acknowledged), SendError>> + use<> {
    let (sender, progress) = (lanes.sender.clone(), progress.clone());
    let seed = lanes.jitter_seed.wrapping_add(number);
    async move {
        let events = batch.sent.len() as u64;
        let answer = if batch.sent.is_empty() {
            Answer::default()
        } else {
            sender.send(batch.body, events, seed, &progress).await?
        };
        let counts = count(&answer, batch.rows, batch.rejects.len() as u64);
        let rejects = merge_rejects(batch.rejects, batch.sent, answer.results);
        Ok((number, Acknowledged { counts, rejects, end_byte: batch.end_byte }))
    }
}

fn count(answer: &Answer, rows: u64, unreadable: u64) -> Counts {
    Counts {
        read: rows,
        accepted: answer.accepted,
        replayed: answer.replayed,
        unbilled: answer.unbilled,
        conflict: answer.conflict,
        rejected: answer.rejected,
        unreadable,
    }
}

impl Ledger {
    /// Continues behind the rows of the checkpoint.
    pub(super) fn new(
        checkpoint: Checkpoint,
        checkpoint_file: CheckpointFile,
        rejects_file: RejectsFile,
        progress: Progress,
    ) -> Self {
        Self { checkpoint, checkpoint_file, rejects_file, progress, next: 0, waiting: BTreeMap::new() }
    }

    /// Counts a batch as soon as all batches before it are counted.
    pub(super) fn acknowledge(&mut self, number: u64, acknowledged: Acknowledged) -> anyhow::Result<()> {
        self.waiting.insert(number, acknowledged);
        while let Some(batch) = self.waiting.remove(&self.next) {
            self.next += 1;
            // The rejects are written before the checkpoint that counts them: a crash between the two repeats them.
            let rejects_bytes =
                self.rejects_file.append(&batch.rejects).context("the rejects file cannot be written")?;
            self.checkpoint.counts.add(&batch.counts);
            self.checkpoint.rejects_bytes = rejects_bytes;
            self.checkpoint_file.save(&self.checkpoint).context("the checkpoint file cannot be written")?;
            self.progress.sent(batch.counts.read, batch.end_byte);
        }
        Ok(())
    }
}

/// Joins the rows that were not sent and those that the server did not take, in the order of the file.
pub(super) fn merge_rejects(
    unsent: Vec<Reject>,
    sent: Vec<SentRow>,
    results: Vec<EventResult>,
) -> Vec<Reject> {
    let mut rejects = unsent;
    if results.is_empty() {
        return rejects;
    }
    let mut results_by_id: HashMap<String, Vec<EventResult>> = HashMap::new();
    for result in results {
        results_by_id.entry(result.id.clone()).or_default().push(result);
    }
    // Backwards, because when an id is there twice the server takes the first row and complains about the later ones.
    for row in sent.into_iter().rev() {
        match results_by_id.get_mut(&row.id).and_then(Vec::pop) {
            Some(result) if !result.stored() => rejects.push(Reject::by_server(row, result)),
            Some(_) | None => {}
        }
    }
    rejects.sort_by_key(|reject| reject.line);
    rejects
}
