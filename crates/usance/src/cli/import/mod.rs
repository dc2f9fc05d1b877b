//! `usance import`: usage events from a CSV or NDJSON file, through the public API.
//!
//! The file is read twice, in constant memory: once to hash it, because the hash is part of the identity of
//! its rows, and once to send them. Nothing here has to be undone: an event that is sent again is recognized
//! by its id, so an import that stops for any reason is simply started again, and the checkpoint only saves
//! it the way.

mod args;
mod backoff;
mod batch;
mod cells;
mod checkpoint;
mod columns;
mod decimal;
mod delimited;
mod event;
mod file;
mod identity;
mod mapping;
mod options;
mod progress;
mod rejects;
mod send;
mod source;
mod summary;
#[cfg(test)]
mod tests;
mod time;
mod transfer;

pub use args::{FormatName, ImportArgs};
pub use mapping::{Mapping, MappingError};
pub use options::{Format, ImportOptions, Origin, ProgressMode};
pub use summary::{Counts, ImportSummary};

use anyhow::{Context as _, bail};
use batch::Batch;
use checkpoint::{Checkpoint, CheckpointFile};
use event::EventPlan;
use identity::{RowIdentity, Sha256};
use progress::Progress;
use rejects::RejectsFile;
use send::Sender;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;
use transfer::{Lanes, Ledger};

/// Batches that are read and wait for a free request.
const BATCHES_QUEUED: usize = 1;

/// Imports the file that the arguments name, and writes the closing summary to `out`.
///
/// Fails when the file or the server cannot be used; refused rows are no failure but part of the summary.
pub async fn run(args: ImportArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ImportSummary> {
    let summary = import(args.into_options()?).await?;
    write!(out, "{summary}").context("the summary cannot be written")?;
    Ok(summary)
}

/// Imports a file and gives the exact counts; progress goes to standard error, nothing to standard output.
pub async fn import(options: ImportOptions) -> anyhow::Result<ImportSummary> {
    let started = Instant::now();
    let size = file::check_file(&options.file)?;
    check_mappings(&options.mappings)?;
    let progress = Progress::start(options.progress, size);
    let summary = import_file(Arc::new(options), &progress).await;
    progress.finish();
    summary.map(|summary| ImportSummary { elapsed: started.elapsed(), ..summary })
}

async fn import_file(options: Arc<ImportOptions>, progress: &Progress) -> anyhow::Result<ImportSummary> {
    let time_column = columns::find_time_column(&options)?;
    if time_column.is_none() {
        progress.notice(
            "There is no column named time or timestamp, so events get the time at which they arrive.",
        );
    }
    let lanes = Lanes {
        sender: Sender::new(&options)?,
        concurrency: options.concurrency.clamp(1, transfer::CONCURRENCY_MAX),
        jitter_seed: options.jitter_seed,
    };
    let file = hash_in_background(&options, progress).await?;
    let plan = identity::plan_fingerprint(&options, time_column.as_deref());
    let start = Checkpoint::start(file.hex(), identity::import_fingerprint(&options, &plan));
    let mut ledger = open_ledger(&options, &file, start, progress)?;
    let resumed_rows = ledger.checkpoint.counts.read;
    let event_plan = EventPlan::new(&options, time_column, RowIdentity::new(file, plan));
    progress.start_sending();
    send_file(&options, event_plan, file, &lanes, &mut ledger).await.with_context(|| stopped(&ledger))?;
    ledger
        .checkpoint_file
        .remove()
        .context("the import is complete, but its checkpoint file cannot be removed")?;
    Ok(ImportSummary {
        file: options.file.clone(),
        counts: ledger.checkpoint.counts,
        resumed_rows,
        ids_from_rows: options.id_column.is_none(),
        elapsed: std::time::Duration::ZERO,
        rejects_file: ledger.rejects_file.path().map(Path::to_path_buf),
    })
}

/// Reads in a thread of its own and sends from here.
///
/// A failure to send is the one to report, as it also stops the reading.
async fn send_file(
    options: &Arc<ImportOptions>,
    plan: EventPlan,
    file: Sha256,
    lanes: &Lanes,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Batch>(BATCHES_QUEUED);
    let (options, rows_done) = (Arc::clone(options), ledger.checkpoint.counts.read);
    let reading =
        tokio::task::spawn_blocking(move || batch::read_batches(&options, &plan, rows_done, &file, &sender));
    transfer::transfer(lanes, receiver, ledger).await?;
    reading.await.context("the reading of the file was broken off")?
}

async fn hash_in_background(options: &Arc<ImportOptions>, progress: &Progress) -> anyhow::Result<Sha256> {
    let (options, progress) = (Arc::clone(options), progress.clone());
    tokio::task::spawn_blocking(move || file::hash_file(&options.file, options.format, &progress))
        .await
        .context("the reading of the file was broken off")?
}

/// Finds out whether an earlier run stopped on the way, and makes sure that this one can keep its place.
fn open_ledger(
    options: &ImportOptions,
    file: &Sha256,
    start: Checkpoint,
    progress: &Progress,
) -> anyhow::Result<Ledger> {
    let shared = format!("usance-{}", &file.hex()[..16]);
    let mut checkpoint_file = CheckpointFile::new(places(
        &options.file,
        options.checkpoint.as_deref(),
        &shared,
        "usance-checkpoint",
    ));
    let checkpoint = checkpoint_file.load_or(start);
    checkpoint_file.save(&checkpoint).context("the checkpoint file cannot be written")?;
    let rows = checkpoint.counts.read;
    if rows > 0 {
        progress
            .notice(&format!("Continuing behind row {rows}, where an earlier run of this import stopped."));
    }
    let rejects = places(&options.file, options.rejects.as_deref(), &shared, "rejects.ndjson");
    let rejects_file = RejectsFile::new(rejects, checkpoint.rejects_bytes);
    Ok(Ledger::new(checkpoint, checkpoint_file, rejects_file, progress.clone()))
}

/// The path that was asked for; otherwise beside the file, or in the temporary directory if that is not writable.
fn places(file: &Path, asked: Option<&Path>, shared_name: &str, ending: &str) -> Vec<PathBuf> {
    if let Some(path) = asked {
        return vec![path.to_path_buf()];
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{ending}"));
    vec![PathBuf::from(beside), std::env::temp_dir().join(format!("{shared_name}.{ending}"))]
}

fn check_mappings(mappings: &[Mapping]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match mappings.iter().find(|mapping| !seen.insert(&mapping.property)) {
        Some(mapping) => bail!("the property {} is mapped twice", mapping.property),
        None => Ok(()),
    }
}

fn stopped(ledger: &Ledger) -> String {
    match ledger.checkpoint.counts.read {
        0 => "the import stopped before any row was stored; run the same command again".to_owned(),
        rows => format!(
            "the import stopped after the first {rows} rows were acknowledged; run the same command again to continue \
             behind them, no row is counted twice"
        ),
    }
}
